"""Captions for images: a recurrent network that starts from the image's features and says one word after another."""

from pathlib import Path

import numpy as np

from fastconv.inspection import check_gradients, curves
from fastconv.layers import RNN, CrossEntropyLoss, Embedding, Layer, Linear, TimeDistributed
from fastconv.training import Adam, accuracy
from fastconv.training.data import batches, load_digits, stratified_split

WORDS = ("<null>", "<start>", "<end>", "an", "a", "even", "odd", "digit", "small", "large",
         "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NULL, START, END = range(3)


def caption(label):
    """Such as: <start> a small even digit four <end>, with <null> where nothing follows."""
    words = ["<start>", "a", "small" if label < 5 else "large", "even" if label % 2 == 0 else "odd", "digit",
             WORDS[10 + label], "<end>"]
    if label == 8:  # captions differ in length
        words[1:3] = ["an"]
    return [WORDS.index(word) for word in words] + [NULL] * (7 - len(words))


class Captioner(Layer):
    """Scores (N, T, words) for the word after each of the words (N, T), for an image's features (N, D)."""

    def __init__(self, features, words, hidden=64, embedded=16, generator=0, **options):
        rng = np.random.default_rng(generator)
        self.project = Linear(features, hidden, generator=rng, **options)  # the state that the sentence starts from
        self.embed = Embedding(words, embedded, generator=rng, **options)
        self.rnn = RNN(embedded, hidden, batch_first=True, generator=rng, **options)
        self.score = TimeDistributed(Linear(hidden, words, generator=rng, **options))

    def forward(self, features, words):
        first = self.project(features)
        states, _ = self.rnn(self.embed(words), first[None])
        return self.score(states)

    def backward(self, grad_output):
        by_words, by_first = self.rnn.backward(self.score.backward(grad_output))
        self.embed.backward(by_words)
        return self.project.backward(by_first[0])

    def sample(self, features, length=7):
        """The likeliest word after word."""
        words = np.full((len(features), 1), START)
        for _ in range(length - 1):
            scores = self.forward(features, words)
            words = np.concatenate([words, scores[:, -1:].argmax(axis=2)], axis=1)
        return words


loss = CrossEntropyLoss(ignore_index=NULL)  # over all words of all captions, but for those that fill up


def step(model, features, captions):
    """The loss, with all gradients taken."""
    scores = model(features, captions[:, :-1])
    value = loss(np.ascontiguousarray(scores.transpose(0, 2, 1)), captions[:, 1:])  # classes come second
    model.backward(np.ascontiguousarray(loss.backward().transpose(0, 2, 1)))
    return float(value)


rng = np.random.default_rng(0)
small = Captioner(5, 7, hidden=4, embedded=3)
report = check_gradients(small, (rng.standard_normal((2, 5)), np.array([[1, 3, 4], [1, 5, 2]])))
print(f"gradients beside finite differences: the worst relative error is {report.worst:.1e}")
assert report

images, labels = load_digits()
features = images.reshape(len(images), -1)
captions = np.array([caption(label) for label in labels])
train, test = stratified_split(labels, (4000, 1000))

model = Captioner(784, len(WORDS))
optimizer, history = Adam(model.parameters(), lr=5e-3), {"loss": [], "accuracy": []}
for epoch in range(1, 5):
    losses = []
    for x, y in batches(features[train], captions[train], batch_size=25, rng=rng):
        losses.append(step(model, x, y))
        optimizer.step()
    scores = model(features[test], captions[test, :-1])
    history["loss"].append(np.mean(losses))
    history["accuracy"].append(accuracy(scores[:, 4], captions[test, 5]))
    print(f"epoch {epoch}: loss {history['loss'][-1]:.3f}, the digit's name is right in {history['accuracy'][-1]:.1%}")
assert history["accuracy"][-1] > 0.8

said = model.sample(features[test[::250]])
for label, words in zip(labels[test[::250]], said, strict=True):
    print(f"{label}: {' '.join(WORDS[word] for word in words if word not in (NULL, START, END))}")
assert said.shape == (4, 7)

Path("out").mkdir(exist_ok=True)
curves(history, title="Captions").savefig("out/captions.png")
print("\nNext: out/captions.png has the learning curve; give it the features of cnn_classifier.py in place of pixels.")
