"""Transfer learning: a network that knows the digits 0 to 4 learns 5 to 9, in whole or in its last layer alone."""

import numpy as np

from fastconv.inspection import hardest, summary
from fastconv.layers import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastconv.training import Adam, Solver, accuracy
from fastconv.training.data import load_digits, stratified_split

images, labels = load_digits()
known, new = labels < 5, labels >= 5


def network():
    """Features, and a last layer for five classes."""
    return Sequential(Conv2d(1, 8, 5, generator=0), ReLU(), MaxPool2d(2), Conv2d(8, 16, 5, generator=1), ReLU(),
                      MaxPool2d(2), Flatten(), Linear(256, 5, generator=2))


def train(model, images, labels, epochs):
    """Train what is not frozen; returns the solver."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    solver = Solver(model, CrossEntropyLoss(), Adam(parameters, lr=3e-3), batch_size=32, generator=0)
    solver.fit(images, labels, epochs)
    return solver


pretrained = network()
train(pretrained, images[known], labels[known], epochs=2)

# Few examples of the new digits: 20 of each.
few, held_out = stratified_split(labels[new], (100, 1000))
few_images, few_labels = images[new][few], labels[new][few] - 5
test_images, test_labels = images[new][held_out], labels[new][held_out] - 5


def start(frozen):
    """The trained network with a new last layer; `frozen` lets that layer alone learn."""
    model = network()
    model.load_state_dict(pretrained.state_dict())
    model.requires_grad_(not frozen)
    model[7] = Linear(256, 5, generator=3)
    return model


found = {}
for name, model in {"from scratch": network(), "fine-tuned": start(frozen=False), "frozen": start(frozen=True)}.items():
    features = model[0].weight.data.copy()
    solver = train(model, few_images, few_labels, epochs=12)
    found[name] = accuracy(solver.predict(test_images), test_labels)
    assert np.array_equal(model[0].weight.data, features) == (name == "frozen")
    print(f"{name:12s}  {summary(model, (1, 28, 28)).trainable:6,} parameters learn; accuracy {found[name]:.3f}")
assert found["fine-tuned"] > 0.85
assert found["frozen"] > 0.8

probabilities = np.exp(scores := solver.predict(test_images)) / np.exp(scores).sum(axis=1, keepdims=True)
hardest(test_images, test_labels, probabilities, names="56789")  # .savefig(...) writes the picture

print("\nNext: digits_network.py writes the training loop out.")
