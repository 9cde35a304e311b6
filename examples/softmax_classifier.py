"""A network of two layers with a softmax loss: how many hidden units tell digits apart best?"""

import numpy as np

from fastconv.layers import CrossEntropyLoss, Flatten, Linear, ReLU, Sequential
from fastconv.training import SGD, Solver, accuracy
from fastconv.training.data import load_digits, stratified_split

# The softmax loss is -log of the probability of the right class, averaged over the examples.
scores, target = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), np.array([0, 2])
loss = CrossEntropyLoss()
probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
assert np.isclose(loss(scores, target), -np.log(probabilities[[0, 1], target]).mean())
assert np.allclose(loss.backward(), (probabilities - np.eye(3)[target]) / 2)
print(f"softmax loss of two examples: {loss(scores, target):.4f}; its gradient is (p - one-hot) / 2")

images, labels = load_digits()
train, validation, test = ((images[part], labels[part]) for part in stratified_split(labels, (3500, 500, 1000), seed=4))


def trained(hidden, epochs=4):
    """A solver that has trained a network with so many hidden units."""
    model = Sequential(Flatten(), Linear(784, hidden, generator=0), ReLU(), Linear(hidden, 10, generator=1))
    solver = Solver(model, CrossEntropyLoss(), SGD(model.parameters(), lr=0.1, momentum=0.9), generator=0)
    solver.fit(*train, epochs, validation)
    return solver


solvers = {hidden: trained(hidden) for hidden in (5, 10, 20, 40, 80, 160)}
for hidden, solver in solvers.items():
    print(f"{hidden:4d} hidden units: validation accuracy {solver.best_value:.3f} after epoch {solver.best_epoch}")
best = max(solvers, key=lambda hidden: solvers[hidden].best_value)
solver = solvers[best]
solver.restore_best()
found = accuracy(solver.predict(test[0]), test[1])
print(f"with {best} hidden units: test accuracy {found:.3f}")
assert found > 0.85

print("\nNext: cnn_classifier.py does better with a convolution.")
