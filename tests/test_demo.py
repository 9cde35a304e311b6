"""The demonstration on a small set of drawn digits: what it prints and writes, Ctrl-C, and its table of backends."""

import re
import signal
import subprocess
import sys

import idx
import numpy as np
import pytest

from fastconv import functional
from fastconv.backends.threads import cores
from fastconv.demo import compare, measure, run
from fastconv.models import digits_cnn
from fastconv.training.data import load_digits

PICTURES = ("confusion.png", "curves.png", "filters.png", "hardest.png")


def _command(folder, *options):
    # A test runner in the background has SIGINT switched off, and its children inherit that.
    code = ("import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
            "from fastconv.cli import main; sys.exit(main())")
    return [sys.executable, "-W", "error", "-c", code, "demo", "--data", str(folder), "--out", str(folder / "out"),
            "--backend", "tensordot", "--threads", "1", "--batch-size", "20", *options]


@pytest.fixture
def folder(tmp_path):
    idx.write(tmp_path, pack=(idx.NAMES["train"][0],))
    return tmp_path


def _check_pictures(out):
    for name in PICTURES:
        assert (out / name).read_bytes().startswith(b"\x89PNG"), name
    assert sorted(path.name for path in out.iterdir()) == sorted([*PICTURES, "model.npz"])


def test_a_short_demo_trains_and_draws(folder):
    done = subprocess.run(_command(folder, "--epochs", "3", "--no-compare"), capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no bar where there is no terminal
    assert "\r" not in done.stdout
    assert "180 digits to train on, 20 to validate, 40 to test; backend tensordot, 1 thread" in done.stdout
    assert "93,322" in done.stdout
    assert len(re.findall(r"^ +\d+( +\d+\.\d{4}){4} +\d+\.\d\d$", done.stdout, re.MULTILINE)) == 3
    (test_accuracy,) = re.findall(r"^test accuracy: (\d\.\d{4})$", done.stdout, re.MULTILINE)
    assert float(test_accuracy) > 0.5
    assert re.search(r"^seconds per epoch: \d+\.\d\d$", done.stdout, re.MULTILINE)
    _check_pictures(folder / "out")
    model = digits_cnn(generator=1)
    with np.load(folder / "out" / "model.npz") as state:
        model.load_state_dict(dict(state))
    (images, labels) = run.load(folder)[2]
    assert np.mean(model(images).argmax(axis=1) == labels) == pytest.approx(float(test_accuracy), abs=1e-4)


def test_the_demo_repeats_itself(folder, capsys):
    printed = []
    (folder / "out").mkdir()
    for _ in range(2):
        assert run.demo(run.load(folder), epochs=1, batch_size=50, seed=3, out=folder / "out", compare=False) == 0
        printed.append(re.findall(r"\d\.\d{4}", capsys.readouterr().out))
    assert len(printed[0]) >= 5
    assert printed[0] == printed[1]


def test_interrupted_it_keeps_what_there_is(folder):
    process = subprocess.Popen(_command(folder, "--epochs", "100000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    with process:
        for line in process.stdout:
            if re.match(r" +2 +\d", line):
                break
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors == ""
    assert re.search(r"^test accuracy: ", printed, re.MULTILINE)
    assert re.search(r"^interrupted: kept is what \d+ of 100000 epochs gave$", printed, re.MULTILINE)
    _check_pictures(folder / "out")


def test_interrupted_in_the_first_epoch_it_says_so(folder, capsys, monkeypatch):
    def interrupt(self, progress):
        raise KeyboardInterrupt

    (folder / "out").mkdir()
    monkeypatch.setattr(run._Bar, "show", interrupt)
    assert run.demo(run.load(folder), epochs=1, out=folder / "out") == 130
    assert "nothing was written" in capsys.readouterr().out
    assert not list((folder / "out").iterdir())


def test_interrupted_while_it_draws_it_leaves_no_half_a_picture(folder, capsys, monkeypatch):
    from matplotlib.figure import Figure

    written = []
    save = Figure.savefig

    def interrupt(self, path, **options):
        written.append(path)
        path.write_bytes(b"half")
        if len(written) == 2:
            raise KeyboardInterrupt
        save(self, path, **options)

    (folder / "out").mkdir()
    monkeypatch.setattr(Figure, "savefig", interrupt)
    assert run.demo(run.load(folder), epochs=1, out=folder / "out") == 130
    assert "model.npz, curves.png\ninterrupted: kept" in capsys.readouterr().out
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["curves.png", "model.npz"]


def test_the_digits_are_split_3500_500_1000():
    training, validation, test = run.load()
    assert [len(labels) for _, labels in (training, validation, test)] == [3500, 500, 1000]
    assert all(np.array_equal(images, again) for (images, _), (again, _) in
               zip((training, validation, test), run.load(), strict=True))
    images, _ = load_digits()
    assert len(np.unique(np.concatenate([part[0] for part in (training, validation, test)]), axis=0)) == \
        len(np.unique(images, axis=0))


def test_too_few_digits_are_refused(tmp_path):
    idx.write(tmp_path, train=9)
    with pytest.raises(ValueError, match="at least 10 training images are needed, got 9"):
        run.load(tmp_path)


def test_cases_are_the_layers_of_the_network():
    cases = compare.cases_of(digits_cnn(generator=0), (64, 1, 28, 28))
    assert [case["label"] for case in cases] == [
        "conv 3x3, 1 to 32, on 28x28", "max-pool 2x2, 32, on 26x26", "conv 3x3, 32 to 64, on 13x13",
        "max-pool 2x2, 64, on 11x11", "conv 3x3, 64 to 64, on 5x5"]
    assert [case["x"] for case in cases] == [(64, 1, 28, 28), (64, 32, 26, 26), (64, 32, 13, 13), (64, 64, 11, 11),
                                             (64, 64, 5, 5)]


SMALL = [{"kind": "conv", "x": [8, 2, 6, 7], "w": [3, 2, 3, 3], "label": "convolution"},
         {"kind": "pool", "x": [8, 2, 5, 6], "w": 2, "label": "pooling"}]


def test_the_table_has_every_implementation_and_a_ratio_to_torch():
    with compare.Comparison(SMALL, threads=1) as comparison:
        assert comparison.names[0] == "loops"
        assert comparison.names[-1] == "torch"
        for name in ("loops", "tensordot", "torch"):
            comparison.measure(name)
        assert comparison.failed == {}
        assert comparison.wrong == []
        table = comparison.table()
    assert table.headings == ["<layer", "<direction", "tensordot", "loops*", "torch"]
    assert [row[:2] for row in table.rows] == [
        ["convolution", "forward"], ["", "backward"], ["pooling", "forward"], ["", "backward"],
        ["all of them", "forward"], ["", "backward"]]
    for row in table.rows:
        assert re.fullmatch(r"[\d.]+ \(<?[\d.]+x\)", row[2]), row
        assert re.fullmatch(r"[\d.,]+", row[4]), row
    text = str(table)
    assert "1 thread\n" in text
    assert "* loops: one call on a batch of 4, times 2." in text
    assert re.search(r"torch 2\.\S+ \(NCHW\)", text)


def test_loops_are_scaled_to_the_batch():
    with compare.Comparison(SMALL, threads=2) as comparison:
        rows = [{"forward": 0.01, "backward": 0.02, "wrong": None}] * 2
        comparison.results = {"loops": {"version": "1", "rows": rows}}
        table = comparison.table()
    assert [row[2] for row in table.rows] == ["20.0", "40.0", "20.0", "40.0", "40.0", "80.0"]
    assert "2 threads" in table.title


def test_a_busy_machine_is_told(monkeypatch):
    with compare.Comparison(SMALL, threads=1) as comparison:
        for used in (0.05, 1.3, 0.1):
            monkeypatch.setattr(compare, "_cores_in_use", lambda used=used: used)
            comparison.measure("loops")
        assert "CAUTION: other processes kept 1.3 cores busy" in str(comparison.table())
        comparison.disturbance = 0.1
        assert "CAUTION" not in str(comparison.table())


def test_cores_in_use_are_a_share_of_this_processes_cores():
    assert 0 <= compare._cores_in_use() <= cores()


def test_a_failing_implementation_is_named():
    with compare.Comparison(SMALL, threads=1) as comparison:
        comparison.measure("tensordot")  # before the oracle: there is nothing to compare with
        assert "expected.npz" in comparison.failed["tensordot"]


@pytest.fixture
def expected(tmp_path):
    path = str(tmp_path / "expected.npz")
    measure.measure({"implementation": "loops", "threads": 1, "cases": SMALL, "expected": path})
    return path


@pytest.mark.parametrize(("name", "case", "spoil", "message"), [
    ("conv2d", 0, lambda y: y * np.float32(1.001), "output is off the oracle's by 1.0e-03"),
    ("conv2d", 0, lambda y: y[:, :, :-1], "output has shape (4, 3, 3, 5), expected (4, 3, 4, 5)"),
    ("conv2d", 0, lambda y: y * np.float32(np.nan), "output is off the oracle's by nan"),
    ("max_pool2d", 1, lambda y: (y[0], y[1] + 1), "indices differ from the oracle's"),
])
def test_a_wrong_result_is_not_timed(monkeypatch, expected, name, case, spoil, message):
    right = getattr(functional, name)
    monkeypatch.setattr(functional, name, lambda *args, **kwargs: spoil(right(*args, **kwargs)))
    answer = measure.measure({"implementation": "tensordot", "threads": 1, "cases": SMALL, "expected": expected})
    row = answer["rows"][case]
    assert message in row["wrong"]
    assert row["forward"] is None
    assert answer["rows"][1 - case]["wrong"] is None
    with compare.Comparison(SMALL, threads=1) as comparison:
        comparison.results["tensordot"] = answer
        assert message in comparison.wrong[0]
        text = str(comparison.table())
    assert f"WRONG tensordot: {SMALL[case]['label']}: " in text


def test_a_wrong_weight_gradient_is_found(monkeypatch, expected):
    from fastconv import grad

    right = grad.conv2d_parameters

    def wrong(*args):
        by_weight, by_bias = right(*args)
        return by_weight, by_bias + 1

    monkeypatch.setattr(grad, "conv2d_parameters", wrong)
    answer = measure.measure({"implementation": "tensordot", "threads": 1, "cases": SMALL, "expected": expected})
    assert answer["rows"][0]["wrong"].startswith("bias gradient is off")
