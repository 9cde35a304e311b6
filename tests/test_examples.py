"""Every file of examples/ runs to its end, which checks its numbers; the layer that CONTRIBUTING.md shows is right."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from fastconv import functional, layers
from fastconv.inspection import check_gradients

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.strip().splitlines()[-1].startswith("Next: ")
    named = re.findall(r"(\w+)\.py", printed)
    assert all((path.parent / f"{name}.py").exists() or name == "loops" for name in named), named
    for picture in re.findall(r"out/\w+\.png", printed):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_an_example_runs_in_a_fresh_interpreter(fresh, tmp_path):
    path = ROOT / "examples" / "learning_by_hand.py"
    assert "updated kernel: [[ 0.  -0.5]]" in fresh(f"import os, runpy; os.chdir({str(tmp_path)!r}); "
                                                    f"runpy.run_path({str(path)!r}, run_name='__main__')")


def test_the_index_names_every_example():
    index = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\((\w+)\.py\)", index) == list(dict.fromkeys(re.findall(r"\((\w+)\.py\)", index)))
    assert set(re.findall(r"\((\w+)\.py\)", index)) == {path.stem for path in EXAMPLES}


def contributed():
    """The layer that CONTRIBUTING.md shows, from the code in it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "class ThreeTap" in block]
    names = {}
    exec(compile(code, "CONTRIBUTING.md", "exec"), names)
    return names["ThreeTap"]


def test_the_layer_of_contributing():
    three_tap = contributed()
    assert issubclass(three_tap, layers.Layer)
    w, p = [2.0, 3.0, 5.0], np.arange(1.0, 7)
    dq = np.array([1.0, -2, 4, 0, 3, -1])
    layer = three_tap(w).to(np.float64)
    jacobian = w[0] * np.eye(6, k=-1) + w[1] * np.eye(6) + w[2] * np.eye(6, k=1)
    assert np.array_equal(layer(p[None, None])[0, 0], jacobian @ p)
    assert np.array_equal(layer.backward(dq[None, None])[0, 0], dq @ jacobian)
    by_parameters = np.stack([np.pad(p, 1)[:-2], p, np.pad(p, 1)[2:]], axis=1)
    assert np.array_equal(layer.weight.grad[0, 0], dq @ by_parameters)


def test_the_layer_of_contributing_in_a_network():
    three_tap = contributed()
    shared = three_tap([0.5, -1, 2])
    model = layers.Sequential(shared, layers.ReLU(), layers.Conv1d(1, 3, 3, generator=0), layers.ReLU(),
                              layers.Flatten(), layers.Linear(3 * 8, 10, generator=1))
    x = np.random.default_rng(0).standard_normal((4, 1, 10), np.float32)
    assert model(x).shape == (4, 10)
    assert next(iter(model.state_dict())) == "0.weight"
    report = check_gradients(model, x)
    assert report and report.worst < 1e-6, str(report)
    # Twice in a network, its gradients add up.
    report = check_gradients(layers.Sequential(shared, layers.ReLU(), shared), x)
    assert report and report.worst < 1e-6, str(report)
    loss = layers.CrossEntropyLoss()
    before = float(loss(model(x), np.arange(4)))
    model.backward(loss.backward())
    for parameter in model.parameters():
        parameter.data -= np.float32(0.05) * parameter.grad
    assert float(loss(model(x), np.arange(4))) < before
    assert np.array_equal(shared(x), functional.conv1d(x, shared.weight.data, padding=1))
