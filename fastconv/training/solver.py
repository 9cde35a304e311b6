"""The training loop."""

import time
from typing import NamedTuple

import numpy as np

from fastconv import devices, geometry
from fastconv.backends import memory
from fastconv.checks import as_generator
from fastconv.layers.loss import CrossEntropyLoss
from fastconv.training.checkpoint import load_checkpoint, save_checkpoint
from fastconv.training.metrics import accuracy

BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")


class Progress(NamedTuple):
    """Where a training stands after a batch.

    Attributes
    ----------
    epoch, batch : int
        Of the batch just done, counted from 1.
    epochs, batches : int
        The last epoch that this `Solver.fit` will train, and the batches of each.
    measures : dict of str to float
        Loss and metrics over the epoch so far.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    measures: dict


class Solver:
    """Trains a model by stochastic gradient descent and remembers how it went.

    Parameters
    ----------
    model : Layer
    loss : Layer
        ``forward(outputs, targets)`` returns the mean over the batch.
    optimizer : Optimizer
        Over the model's parameters.
    batch_size : int
    generator : numpy.random.Generator or seed, optional
        Decides the order of the examples.
    metrics : dict of str to callable, optional
        ``metric(outputs, targets)`` returns a mean over the batch. By default the accuracy if the loss is a
        cross-entropy, else none.
    monitor : str, optional
        What the best epoch is chosen by: ``'loss'`` (the lowest) or the name of a metric (the highest), on the
        validation set where there is one, else on the training set. By default the first metric, else the loss.

    Attributes
    ----------
    epoch : int
        Epochs completed.
    history : dict
        ``'training'`` and ``'validation'``: a dict of ``'loss'`` and each metric, each a list with a number for every
        epoch (NaN where there was no validation set). The training's are means over the epoch, while the parameters
        changed. ``'seconds'``: a list of how long each epoch took, validation included.
    best_epoch : int or None
        The epoch, counted from 1, with the best value of `monitor`; the first of equal ones.
    best_value : float or None
    best_parameters : dict of str to array, or None
        A copy of the model's parameters after that epoch.
    interrupted : bool
        Whether the last `fit` was ended by Ctrl-C.

    Examples
    --------
    >>> solver = Solver(model, CrossEntropyLoss(), Adam(model.parameters()), generator=0)
    >>> solver.fit(images, labels, epochs=10, validation=(more_images, more_labels))
    >>> solver.restore_best()
    """

    def __init__(self, model, loss, optimizer, *, batch_size=64, generator=None, metrics=None, monitor=None):
        self.model, self.loss, self.optimizer = model, loss, optimizer
        (self.batch_size,) = geometry.sizes("Solver", "batch_size", batch_size, 1, 1)
        self.generator = as_generator("Solver", generator)
        if metrics is None:
            metrics = {"accuracy": accuracy} if isinstance(loss, CrossEntropyLoss) else {}
        if "loss" in metrics:
            raise ValueError("Solver: no metric may be called 'loss'")
        self.metrics = dict(metrics)
        self.monitor = next(iter(self.metrics), "loss") if monitor is None else monitor
        names = ["loss", *self.metrics]
        if self.monitor not in names:
            raise ValueError(f"Solver: monitor must be one of {', '.join(map(repr, names))}, got {monitor!r}")
        self.epoch = 0
        self.history = {"training": {name: [] for name in names}, "validation": {name: [] for name in names},
                        "seconds": []}
        self.best_epoch = self.best_value = self.best_parameters = None
        self.interrupted = False

    def fit(self, inputs, targets, epochs, validation=None, *, on_batch=None, on_epoch=None, checkpoint=None):
        """Train for some more epochs.

        Each batch is moved to where the model's parameters lie; arrays that lie there are not copied.

        Ctrl-C ends the training: the model, the history and the best parameters stay as they are, `interrupted` is
        set, and ``fit`` returns.

        Parameters
        ----------
        inputs : array (N, ...)
        targets : array (N, ...)
        epochs : int
        validation : (inputs, targets), optional
            Evaluated after each epoch.
        on_batch : callable, optional
            Called with a `Progress` after each batch.
        on_epoch : callable, optional
            Called with the solver after each epoch; the training ends if it returns True.
        checkpoint : str or path, optional
            Write a checkpoint to this file after each epoch.

        Returns
        -------
        dict
            `history`.
        """
        inputs, targets = _examples("Solver.fit", inputs, targets)
        if not len(inputs):
            raise ValueError("Solver.fit: inputs must hold at least one example")
        (epochs,) = geometry.sizes("Solver.fit", "epochs", epochs, 1)
        if validation is not None:
            validation = _examples("Solver.fit", *validation)
        last = self.epoch + epochs
        self.interrupted = False
        try:
            while self.epoch < last:
                start = time.perf_counter()
                training = self._train_epoch(inputs, targets, last, on_batch)
                validated = None if validation is None else self.evaluate(*validation)
                self._record(training, validated, time.perf_counter() - start)
                if checkpoint is not None:
                    self.save(checkpoint)
                if on_epoch is not None and on_epoch(self) is True:
                    break
        except KeyboardInterrupt:
            self.interrupted = True
        return self.history

    def predict(self, inputs):
        """The model's outputs in evaluation mode, computed batch by batch; an array of one row an example."""
        training = self.model.training
        self.model.eval()
        try:
            starts = range(0, max(len(inputs), 1), self.batch_size)
            return devices.joined([self.model(self._batch(inputs, slice(start, start + self.batch_size)))
                                   for start in starts])
        finally:
            self.model.train(training)

    def evaluate(self, inputs, targets):
        """Loss and metrics in evaluation mode.

        Returns
        -------
        dict of str to float
            ``'loss'`` and each metric, as means over the examples; NaN if there are none.
        """
        inputs, targets = _examples("Solver.evaluate", inputs, targets)
        training = self.model.training
        self.model.eval()
        try:
            measures = _Means(self.metrics)
            for start in range(0, len(inputs), self.batch_size):
                batch = slice(start, start + self.batch_size)
                x, t = self._batch(inputs, batch), self._batch(targets, batch)
                outputs = self.model(x)
                measures.add(self.loss(outputs, t), outputs, t)
            return measures.values()
        finally:
            self.model.train(training)

    def restore_best(self):
        """Give the model the parameters of the best epoch, and return the number of that epoch.

        Raises
        ------
        RuntimeError
            If no epoch was completed.
        """
        if self.best_parameters is None:
            raise RuntimeError("Solver.restore_best: no epoch was completed with a value of "
                               f"{self.monitor!r} that is a number")
        self.model.load_state_dict(self.best_parameters)
        return self.best_epoch

    def save(self, path):
        """Write a checkpoint, from which `load` goes on, bit for bit, as if the training had not stopped.

        That holds between epochs. Within one, for instance after Ctrl-C, what is written is a state to go on from, but
        the examples seen in that epoch are forgotten.

        Parameters
        ----------
        path : str or path
            An .npz file without pickled objects, replaced atomically.
        """
        arrays = {f"model/{name}": array for name, array in self.model.state_dict().items()}
        arrays |= {f"best/{name}": array for name, array in (self.best_parameters or {}).items()}
        optimizer = self.optimizer.state_dict()
        numbers = []
        for index, state in enumerate(optimizer.pop("state")):
            arrays |= {f"optimizer/{index}/{name}": value for name, value in state.items()
                       if devices.is_array(value)}
            numbers.append({name: value for name, value in state.items() if not devices.is_array(value)})
        save_checkpoint(path, arrays, {
            "epoch": self.epoch, "history": self.history, "best": [self.best_epoch, self.best_value],
            "optimizer": {**optimizer, "state": numbers}, "generator": self.generator.bit_generator.state})

    def load(self, path):
        """Take the state of a checkpoint: parameters, optimizer, order of examples, history.

        Model, optimizer and metrics must be built as they were when it was written.

        Raises
        ------
        ValueError
            If the file is no checkpoint, or does not fit the model, the optimizer or the metrics. Nothing has changed
            then.
        """
        arrays, meta = load_checkpoint(path)
        try:
            optimizer = meta["optimizer"]
            for key, array in arrays.items():
                if key.startswith("optimizer/"):
                    _, index, name = key.split("/")
                    optimizer["state"][int(index)][name] = array
            model = {key.removeprefix("model/"): array for key, array in arrays.items() if key.startswith("model/")}
            best = {key.removeprefix("best/"): array for key, array in arrays.items() if key.startswith("best/")}
            generator = _generator(meta["generator"])
            epoch, history, (best_epoch, best_value) = meta["epoch"], meta["history"], meta["best"]
            metrics = list(history["training"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"Solver.load: {path} is no checkpoint of a Solver ({error!r})") from error
        if metrics != list(self.history["training"]):
            raise ValueError(f"Solver.load: {path} holds a history of {', '.join(metrics)}; expected "
                             f"{', '.join(self.history['training'])}")
        before = self.optimizer.state_dict()
        self.optimizer.load_state_dict(optimizer)
        try:
            self.model.load_state_dict(model)
        except Exception:
            self.optimizer.load_state_dict(before)
            raise
        self.generator, self.epoch, self.history = generator, epoch, history
        self.best_epoch, self.best_value, self.best_parameters = best_epoch, best_value, best or None

    def _train_epoch(self, inputs, targets, last, on_batch):
        self.model.train()
        order = self.generator.permutation(len(inputs))
        batches = -(-len(inputs) // self.batch_size)
        measures = _Means(self.metrics)
        for batch in range(batches):
            chosen = order[batch * self.batch_size:(batch + 1) * self.batch_size]
            x, t = self._batch(inputs, chosen), self._batch(targets, chosen)
            outputs = self.model(x)
            loss = self.loss(outputs, t)
            self.model.backward_parameters(self.loss.backward())
            self.optimizer.step()
            measures.add(loss, outputs, t)
            if on_batch is not None:
                on_batch(Progress(self.epoch + 1, last, batch + 1, batches, measures.values()))
        return measures.values()

    def _batch(self, array, chosen):
        """Some rows of an array, in the memory of the model's parameters."""
        parameter = next(iter(self.model.parameters()), None)
        batch = devices.rows(array, chosen)
        return batch if parameter is None else devices.move(batch, memory.device_of(parameter.data))

    def _record(self, training, validated, seconds):
        self.epoch += 1
        absent = dict.fromkeys(training, float("nan"))
        for part, values in (("training", training), ("validation", validated or absent)):
            for name, value in values.items():
                self.history[part][name].append(value)
        self.history["seconds"].append(seconds)
        value = (validated or training)[self.monitor]
        sign = -1 if self.monitor == "loss" else 1
        if not np.isnan(value) and (self.best_value is None or sign * value > sign * self.best_value):
            self.best_epoch, self.best_value = self.epoch, value
            self.best_parameters = {name: devices.copy(array) for name, array in self.model.state_dict().items()}


class _Means:
    """Running means of the loss and the metrics, each batch weighted by its number of examples."""

    def __init__(self, metrics):
        self.metrics = metrics
        self.sums = dict.fromkeys(["loss", *metrics], 0.0)
        self.count = 0

    def add(self, loss, outputs, targets):
        n = len(targets)
        self.count += n
        self.sums["loss"] += n * float(loss)
        for name, metric in self.metrics.items():
            self.sums[name] += n * float(metric(outputs, targets))

    def values(self):
        return {name: total / self.count if self.count else float("nan") for name, total in self.sums.items()}


def _examples(op, inputs, targets):
    for name, value in (("inputs", inputs), ("targets", targets)):
        if not devices.is_array(value) or not value.ndim:
            raise TypeError(f"{op}: {name} must be an array with one row an example, got {type(value).__name__}")
    if len(inputs) != len(targets):
        raise ValueError(f"{op}: inputs and targets must be equally many, got {len(inputs)} and {len(targets)}")
    return inputs, targets


def _generator(state):
    name = state["bit_generator"]
    if name not in BIT_GENERATORS:
        raise ValueError(f"there is no random bit generator {name!r}")
    bits = getattr(np.random, name)()
    bits.state = state
    return np.random.Generator(bits)
