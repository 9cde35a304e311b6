"""A laboratory class: look at digits, build a network, train it in a loop of one's own, evaluate it."""

from pathlib import Path

import numpy as np

from fastconv.inspection import image_grid, summary
from fastconv.layers import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastconv.training import RMSprop
from fastconv.training.data import batches, load_digits, stratified_split

images, labels = load_digits()
train, test = ((images[part], labels[part]) for part in stratified_split(labels, (4000, 1000)))
Path("out").mkdir(exist_ok=True)
image_grid(images[::50], columns=20, title="Digits").savefig("out/digits.png")

rng = np.random.default_rng(0)
model = Sequential(
    Conv2d(1, 32, 3, generator=rng), ReLU(), MaxPool2d(2),
    Conv2d(32, 64, 3, generator=rng), ReLU(), MaxPool2d(2),
    Conv2d(64, 64, 3, generator=rng), Flatten(),
    Linear(576, 64, generator=rng), ReLU(), Linear(64, 10, generator=rng))

found = summary(model, (1, 28, 28))
found.print()
assert [row.parameters for row in found.rows] == [320, 0, 0, 18_496, 0, 0, 36_928, 0, 36_928, 0, 650]
assert found.parameters == found.trainable == 93_322
sizes = [found.input_bytes, found.pass_bytes, found.parameter_bytes]
assert [f"{size / 2**20:.2f}" for size in (*sizes, sum(sizes))] == ["0.00", "0.51", "0.36", "0.87"]
assert found.rows[6].output_shape[1:] == (64, 3, 3)  # so Flatten makes 576 numbers of it

loss, optimizer = CrossEntropyLoss(), RMSprop(model.parameters(), lr=1e-3)
for epoch in range(1, 3):
    total, correct = 0.0, 0
    for x, y in batches(*train, batch_size=64, rng=rng):
        scores = model(x)
        total += float(loss(scores, y)) * len(y)
        optimizer.zero_grad()
        model.backward_parameters(loss.backward())
        optimizer.step()
        correct += int((scores.argmax(axis=1) == y).sum())
    print(f"epoch {epoch}: loss {total / len(train[0]):.3f}, accuracy {correct / len(train[0]):.3f}")

# No gradients are needed now, so batches may be larger.
correct = sum(int((model(x).argmax(axis=1) == y).sum()) for x, y in batches(*test, batch_size=500))
print(f"test accuracy: {correct / len(test[0]):.3f}")
assert correct > 850

print("\nNext: sobel.py and image_gradient.py look into the convolution; out/digits.png shows what was learnt from.")
