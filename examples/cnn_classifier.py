"""A convolutional network in a solver: convolution, ReLU, maximum, two fully connected layers, softmax."""

from pathlib import Path

from fastconv.inspection import curves, filter_grid, summary
from fastconv.layers import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastconv.training import Adam, Solver, accuracy
from fastconv.training.data import load_digits, stratified_split

images, labels = load_digits()
train, validation, test = ((images[part], labels[part]) for part in stratified_split(labels, (3500, 500, 1000), seed=4))

model = Sequential(Conv2d(1, 16, 7, generator=0), ReLU(), MaxPool2d(2), Flatten(),
                   Linear(16 * 11 * 11, 100, generator=1), ReLU(), Linear(100, 10, generator=2))
summary(model, (1, 28, 28), batch_size=50).print()

solver = Solver(model, CrossEntropyLoss(), Adam(model.parameters(), lr=1e-3), batch_size=50, generator=0)
solver.fit(*train, epochs=4, validation=validation)
solver.restore_best()
found = accuracy(solver.predict(test[0]), test[1])
print(f"\nvalidation accuracy {solver.best_value:.3f}, test accuracy {found:.3f}")
assert found > 0.9

Path("out").mkdir(exist_ok=True)
curves(solver.history["training"], solver.history["validation"]).savefig("out/cnn_curves.png")
filter_grid(model[0].weight.data).savefig("out/cnn_filters.png")
print("out/cnn_curves.png and out/cnn_filters.png show how it learnt, and what")

print("\nNext: transfer_learning.py uses a trained network for another task; `make demo` trains a larger one.")
