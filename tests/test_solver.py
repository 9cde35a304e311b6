"""The training loop: what it computes, records, keeps, and how it resumes."""

import json
import zipfile

import numpy as np
import pytest
import torch

from fastconv.layers import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, MSELoss, ReLU, Sequential
from fastconv.training import (
    SGD,
    Adam,
    Progress,
    RMSprop,
    Solver,
    accuracy,
    checkpoint,
    load_checkpoint,
    save_checkpoint,
)

OPTIMIZERS = {"sgd": lambda p: SGD(p, lr=0.05, momentum=0.9), "rmsprop": lambda p: RMSprop(p, lr=1e-3, centered=True),
              "adam": lambda p: Adam(p, lr=1e-2, amsgrad=True)}


def digits(count, seed=0):
    """Images of 8 x 8 pixels with a bright block in one of four corners, which is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, count)
    images = 0.8 * rng.random((count, 1, 8, 8), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[0, 4 * row:4 * row + 4, 4 * column:4 * column + 4] += 0.4
    return images, labels


def model():
    generator = np.random.default_rng(1)
    return Sequential(Conv2d(1, 4, 3, generator=generator), ReLU(), MaxPool2d(2), Flatten(),
                      Linear(36, 4, generator=generator))


def solver(optimizer="adam", **options):
    network = model()
    return Solver(network, CrossEntropyLoss(), OPTIMIZERS[optimizer](network.parameters()),
                  **{"batch_size": 16, "generator": 7, **options})


def parameters(of):
    return {name: array.copy() for name, array in of.model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert np.array_equal(a[name], b[name]), name


def without_seconds(history):
    return {part: values for part, values in history.items() if part != "seconds"}


class TestTraining:
    def test_it_learns(self):
        s = solver()
        images, labels = digits(200)
        history = s.fit(images, labels, epochs=12, validation=digits(60, 1))
        assert history is s.history and s.epoch == 12 and not s.interrupted
        assert history["training"]["loss"][-1] < 0.5 * history["training"]["loss"][0]
        assert history["validation"]["accuracy"][-1] > 0.9
        assert list(history) == ["training", "validation", "seconds"]
        for part in (history["training"], history["validation"]):
            assert list(part) == ["loss", "accuracy"]
            assert all(len(values) == 12 and all(type(value) is float for value in values) for values in part.values())
        assert len(history["seconds"]) == 12 and min(history["seconds"]) > 0

    def test_an_epoch_is_torchs(self):
        s = Solver(network := model().to(np.float64), CrossEntropyLoss(), SGD(network.parameters(), lr=0.1),
                   batch_size=16, generator=7)
        theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                                     torch.nn.Flatten(), torch.nn.Linear(36, 4)).double()
        theirs.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in network.state_dict().items()})
        images, labels = digits(40)
        images = images.astype(np.float64)
        s.fit(images, labels, epochs=1)
        optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1)
        order = np.random.default_rng(7).permutation(40)
        total = 0.0
        for start in range(0, 40, 16):
            batch = order[start:start + 16]
            loss = torch.nn.functional.cross_entropy(theirs(torch.from_numpy(images[batch])),
                                                     torch.from_numpy(labels[batch]))
            total += loss.item() * len(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        for name, parameter in theirs.named_parameters():
            np.testing.assert_allclose(network.state_dict()[name], parameter.detach(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(s.history["training"]["loss"], [total / 40], rtol=1e-12)

    def test_the_seed_decides(self):
        images, labels = digits(40)
        a, b, c = solver(), solver(), solver(generator=8)
        for s in (a, b, c):
            s.fit(images, labels, epochs=2)
        assert_same(parameters(a), parameters(b))
        assert not np.array_equal(a.model[0].weight, c.model[0].weight)

    def test_every_example_once_an_epoch(self):
        seen = []

        class Watching(CrossEntropyLoss):
            def forward(self, input, target):
                seen.extend(target.tolist())
                return super().forward(input, target)

        network = Sequential(Flatten(), Linear(4, 37))
        s = Solver(network, Watching(), SGD(network.parameters()), batch_size=10)
        s.fit(np.zeros((37, 1, 2, 2), np.float32), np.arange(37), epochs=2)
        assert sorted(seen[:37]) == sorted(seen[37:]) == list(range(37))
        assert seen[:37] != list(range(37)) and seen[:37] != seen[37:]

    def test_regression(self):
        rng = np.random.default_rng(0)
        x = rng.standard_normal((50, 3))
        y = x @ rng.standard_normal((3, 2))
        network = Linear(3, 2, dtype=np.float64, generator=0)
        s = Solver(network, MSELoss(), Adam(network.parameters(), lr=0.05), batch_size=10, generator=0)
        s.fit(x, y, epochs=150)
        assert list(s.history["training"]) == ["loss"] and s.history["training"]["loss"][-1] < 1e-6
        assert np.isnan(s.history["validation"]["loss"]).all()
        assert s.monitor == "loss" and s.best_value == min(s.history["training"]["loss"])

    def test_modes(self):
        modes = []

        class Watching(ReLU):
            def forward(self, x):
                modes.append(self.training)
                return super().forward(x)

        network = Sequential(Flatten(), Watching(), Linear(64, 4))
        s = Solver(network, CrossEntropyLoss(), SGD(network.parameters()), batch_size=64)
        data = digits(10)
        s.fit(*data, epochs=1, validation=data)
        assert modes == [True, False] and network.training
        network.eval()
        s.evaluate(*data)
        assert not network.training

    def test_evaluate_and_predict(self):
        s = solver(batch_size=16)
        images, labels = digits(41)
        scores = s.predict(images)
        assert scores.shape == (41, 4)
        np.testing.assert_allclose(scores, s.model(images), rtol=1e-5, atol=1e-6)
        measures = s.evaluate(images, labels)
        np.testing.assert_allclose(measures["loss"], CrossEntropyLoss()(scores, labels), rtol=1e-6)
        assert measures["accuracy"] == pytest.approx(accuracy(scores, labels))
        assert s.predict(images[:0]).shape == (0, 4)
        assert np.isnan(s.evaluate(images[:0], labels[:0])["loss"])

    def test_other_metrics(self):
        s = solver(metrics={"wrong": lambda scores, target: np.mean(scores.argmax(axis=1) != target)})
        images, labels = digits(32)
        s.fit(images, labels, epochs=1)
        assert list(s.history["training"]) == ["loss", "wrong"] and s.monitor == "wrong"


class TestHooks:
    def test_on_batch(self):
        s, steps = solver(), []
        images, labels = digits(40)
        s.fit(images, labels, epochs=1)
        s.fit(images, labels, epochs=2, on_batch=steps.append)
        assert all(type(step) is Progress for step in steps)
        assert [(step.epoch, step.epochs, step.batch, step.batches) for step in steps] == [
            (epoch, 3, batch, 3) for epoch in (2, 3) for batch in (1, 2, 3)]
        assert steps[-1].measures == {name: values[-1] for name, values in s.history["training"].items()}

    def test_on_epoch_can_stop(self):
        s, seen = solver(), []

        def stop(which):
            seen.append(which.epoch)
            return which.epoch == 3
        s.fit(*digits(20), epochs=10, on_epoch=stop)
        assert seen == [1, 2, 3] and s.epoch == 3 and not s.interrupted
        assert len(s.history["training"]["loss"]) == 3

    @pytest.mark.parametrize("batch", (1, 3))
    def test_interrupt(self, tmp_path, batch):
        s = solver()
        data = digits(48)

        def press(progress):
            if (progress.epoch, progress.batch) == (3, batch):
                raise KeyboardInterrupt

        path = tmp_path / "checkpoint.npz"
        history = s.fit(*data, epochs=5, on_batch=press, checkpoint=path)
        assert s.interrupted and s.epoch == 2 and len(history["training"]["loss"]) == len(history["seconds"]) == 2
        assert s.best_parameters is not None and s.model.training
        # What was written after the second epoch goes on as if nothing had happened.
        resumed, whole = solver(), solver()
        resumed.load(path)
        resumed.fit(*data, epochs=3)
        whole.fit(*data, epochs=5)
        assert_same(parameters(resumed), parameters(whole))
        # And so does the model in hand, though not bit for bit.
        s.fit(*data, epochs=1)
        assert s.epoch == 3 and not s.interrupted

    def test_an_interrupt_within_a_layer_leaves_no_pass_open(self):
        class Pressing(ReLU):
            armed = True

            def forward(self, x):
                if self.armed:
                    raise KeyboardInterrupt
                return super().forward(x)

        network = Sequential(Flatten(), pressing := Pressing(), Linear(64, 4, generator=0))
        s = Solver(network, CrossEntropyLoss(), SGD(network.parameters()), generator=0)
        s.fit(*digits(8), epochs=1)
        assert s.interrupted and s.epoch == 0
        pressing.armed = False
        s.fit(*digits(8), epochs=2)
        assert s.epoch == 2 and not network[2]._calls.earlier

    def test_other_errors_pass(self):
        def fail(progress):
            raise RuntimeError("mine")
        with pytest.raises(RuntimeError, match="mine"):
            solver().fit(*digits(8), epochs=1, on_batch=fail)


class TestBest:
    def run(self, monitor, values, validation=True):
        """A solver whose monitored measure takes the given values, one an epoch, and its parameters after each."""
        given = iter(values)
        network = model()
        s = Solver(network, CrossEntropyLoss(), SGD(network.parameters(), lr=0.1), generator=0, monitor=monitor,
                   metrics={"score": lambda outputs, targets: 0.0}, batch_size=64)
        after = []
        s.evaluate = lambda *data: {"loss": 0.0, "score": 0.0, monitor: next(given)}
        s.fit(*digits(16), epochs=len(values), validation=digits(4) if validation else None,
              on_epoch=lambda s: after.append(parameters(s)))
        return s, after

    @pytest.mark.parametrize("monitor, values, best", [
        ("score", [0.5, 0.9, 0.9, 0.7], 2), ("loss", [3.0, 1.0, 2.0, 1.0], 2), ("score", [np.nan, 0.2, np.nan], 2),
        ("loss", [0.1, np.nan, 0.2], 1)])
    def test_best_parameters(self, monitor, values, best):
        s, after = self.run(monitor, values)
        assert (s.best_epoch, s.best_value) == (best, values[best - 1])
        assert_same(s.best_parameters, after[best - 1])
        assert_same(parameters(s), after[-1])
        assert s.restore_best() == best
        assert_same(parameters(s), after[best - 1])

    def test_without_validation_the_training_counts(self):
        s = solver(monitor="loss")
        s.fit(*digits(32), epochs=3)
        losses = s.history["training"]["loss"]
        assert s.best_value == min(losses) and s.best_epoch == losses.index(min(losses)) + 1

    def test_nothing_to_restore(self):
        with pytest.raises(RuntimeError, match="no epoch was completed"):
            solver().restore_best()
        s, _ = self.run("score", [np.nan])
        with pytest.raises(RuntimeError, match="'score'"):
            s.restore_best()


class TestCheckpoints:
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    @pytest.mark.parametrize("bits", (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64,
                                      np.random.PCG64DXSM))
    def test_resuming_is_bit_identical(self, tmp_path, optimizer, bits):
        images, labels = digits(40)
        validation = digits(10, 1)
        path = tmp_path / "state.npz"
        whole = solver(optimizer, generator=np.random.Generator(bits(3)))
        whole.fit(images, labels, epochs=5, validation=validation)
        first = solver(optimizer, generator=np.random.Generator(bits(3)))
        first.fit(images, labels, epochs=3, validation=validation, checkpoint=path)
        second = solver(optimizer, generator=99)
        second.model.load_state_dict({name: array + 1 for name, array in second.model.state_dict().items()})
        second.load(path)
        assert second.epoch == 3
        assert second.history == first.history
        second.fit(images, labels, epochs=2, validation=validation)
        assert_same(parameters(second), parameters(whole))
        assert without_seconds(second.history) == without_seconds(whole.history)
        assert (second.best_epoch, second.best_value) == (whole.best_epoch, whole.best_value)
        assert_same(second.best_parameters, whole.best_parameters)
        state, expected = second.optimizer.state_dict(), whole.optimizer.state_dict()
        assert state["groups"] == expected["groups"]
        for a, b in zip(state["state"], expected["state"], strict=True):
            assert_same(a, b)

    def test_before_the_first_epoch(self, tmp_path):
        a, b = solver(), solver(generator=5)
        a.save(tmp_path / "new")
        b.load(tmp_path / "new")
        assert b.epoch == 0 and b.best_parameters is None
        for s in (a, b):
            s.fit(*digits(20), epochs=1)
        assert_same(parameters(a), parameters(b))

    def test_the_file_is_plain_and_alone(self, tmp_path):
        s = solver()
        s.fit(*digits(20), epochs=1, checkpoint=tmp_path / "state.npz")
        s.fit(*digits(20), epochs=1, checkpoint=str(tmp_path / "state.npz"))
        assert [path.name for path in tmp_path.iterdir()] == ["state.npz"]
        with np.load(tmp_path / "state.npz", allow_pickle=False) as file:
            assert all(not file[name].dtype.hasobject for name in file.files)
            assert np.array_equal(file["model/0.weight"], s.model[0].weight)
            assert json.loads(str(file["meta"]))["epoch"] == 2

    def test_a_failed_write_keeps_the_file_before(self, tmp_path, monkeypatch):
        path = tmp_path / "state.npz"
        s = solver()
        s.save(path)
        before = path.read_bytes()

        def fail(file, arrays):
            file.write(b"half")
            raise OSError("disk full")
        monkeypatch.setattr(checkpoint, "write_npz", fail)
        with pytest.raises(OSError, match="disk full"):
            s.save(path)
        assert path.read_bytes() == before
        assert [found.name for found in tmp_path.iterdir()] == ["state.npz"]

    def test_what_is_no_checkpoint(self, tmp_path):
        s = solver()
        s.fit(*digits(20), epochs=1)
        before = parameters(s)
        text, array, archive, cut = (tmp_path / name for name in ("text", "array.npy", "archive.npz", "cut.npz"))
        text.write_text("not an archive")
        np.save(array, np.zeros(3))
        np.savez(archive, weight=np.zeros(3))
        s.save(cut)
        cut.write_bytes(cut.read_bytes()[:500])
        pickled = tmp_path / "pickled.npz"
        np.savez(pickled, meta=np.array([print], dtype=object))
        damaged = tmp_path / "damaged.npz"
        s.save(damaged)
        content = bytearray(damaged.read_bytes())
        with zipfile.ZipFile(damaged) as file:
            info = file.getinfo("model/0.weight.npy")
        content[info.header_offset + 200] ^= 1
        damaged.write_bytes(content)
        for path in (text, array, archive, cut, pickled, damaged):
            with pytest.raises(ValueError, match="is no checkpoint, or is damaged"):
                s.load(path)
        with pytest.raises(FileNotFoundError):
            s.load(tmp_path / "nowhere")
        other = tmp_path / "other.npz"
        save_checkpoint(other, {}, {"epoch": 3})
        with pytest.raises(ValueError, match="is no checkpoint of a Solver"):
            s.load(other)
        assert_same(parameters(s), before)
        assert s.epoch == 1

    def test_another_format(self, tmp_path, monkeypatch):
        path = tmp_path / "state.npz"
        monkeypatch.setattr("fastconv.training.checkpoint.FORMAT", 99)
        solver().save(path)
        monkeypatch.undo()
        with pytest.raises(ValueError, match="has format 99, expected 1"):
            solver().load(path)

    def test_what_does_not_fit(self, tmp_path):
        path = tmp_path / "state.npz"
        s = solver("adam")
        s.fit(*digits(20), epochs=1, checkpoint=path)
        other_optimizer = solver("sgd")
        other_metrics = solver("adam", metrics={"score": accuracy})
        network = Sequential(Flatten(), Linear(64, 4, generator=0))
        other_model = Solver(network, CrossEntropyLoss(), Adam(network.parameters()))
        network = model()
        renamed = Sequential({f"layer{i}": layer for i, layer in enumerate(network)})
        other_names = Solver(renamed, CrossEntropyLoss(), Adam(renamed.parameters()))
        for wrong, message in ((other_optimizer, "this is the state of Adam"), (other_metrics, "holds a history of"),
                               (other_model, "of 4 parameters"), (other_names, "missing 'layer0.weight'")):
            before, state = parameters(wrong), wrong.optimizer.state_dict()
            with pytest.raises(ValueError, match=message):
                wrong.load(path)
            assert_same(parameters(wrong), before)
            assert wrong.optimizer.state_dict() == state
            assert wrong.epoch == 0 and not wrong.history["seconds"]

    def test_an_unknown_generator(self, tmp_path):
        s = solver()
        s.save(path := tmp_path / "state.npz")
        arrays, meta = load_checkpoint(path)
        meta["generator"]["bit_generator"] = "BitGenerator"
        save_checkpoint(path, arrays, meta)
        with pytest.raises(ValueError, match="no random bit generator 'BitGenerator'"):
            s.load(path)

    def test_objects_are_not_written(self, tmp_path):
        with pytest.raises(TypeError, match="'a' holds Python objects"):
            save_checkpoint(tmp_path / "x", {"a": np.array([None])}, {})
        with pytest.raises(TypeError, match="meta holds set"):
            save_checkpoint(tmp_path / "x", {}, {"a": {1}})
        assert not list(tmp_path.iterdir())


IMAGES, LABELS = digits(8)
BAD = [
    (lambda: solver(batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
    (lambda: solver(generator="x"), TypeError, "generator must be"),
    (lambda: solver(metrics={"loss": accuracy}), ValueError, "no metric may be called 'loss'"),
    (lambda: solver(monitor="f1"), ValueError, "monitor must be one of 'loss', 'accuracy', got 'f1'"),
    (lambda: solver().fit(IMAGES, LABELS[:7], epochs=1), ValueError, "equally many, got 8 and 7"),
    (lambda: solver().fit(IMAGES[:0], LABELS[:0], epochs=1), ValueError, "at least one example"),
    (lambda: solver().fit(IMAGES.tolist(), LABELS, epochs=1), TypeError, "inputs must be an array"),
    (lambda: solver().fit(IMAGES, LABELS.tolist(), epochs=1), TypeError, "targets must be an array"),
    (lambda: solver().fit(IMAGES, LABELS, epochs=-1), ValueError, "epochs must be at least 0, got -1"),
    (lambda: solver().fit(IMAGES, LABELS, epochs=1.5), TypeError, "epochs must be an int"),
    (lambda: solver().fit(IMAGES, LABELS, 1, validation=(IMAGES, LABELS[:3])), ValueError, "got 8 and 3"),
    (lambda: solver().fit(IMAGES, LABELS + 9, epochs=1), ValueError, "target must hold class indices from 0 to 3"),
    (lambda: solver().fit(IMAGES.astype(np.float64), LABELS, epochs=1), TypeError, "float64"),
]


@pytest.mark.parametrize("call, kind, message", BAD)
def test_bad_arguments(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
