"""The demonstration, and the README's example, on a device."""

import re
import sys
from types import ModuleType, SimpleNamespace

import idx
import numpy as np
from device_arrays import Array, to_device
from test_packaging import python_blocks

from fastconv.demo import run


def test_the_demo_trains_on_the_device(tmp_path, capsys, kernels, library):
    idx.write(tmp_path)
    printed = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        out.mkdir()
        assert run.demo(run.load(tmp_path), epochs=1, batch_size=50, out=out, compare=False, device=device) == 0
        printed[device] = capsys.readouterr().out
    assert "; device cuda:0\n" in printed["cuda"]
    measures = [[float(n) for n in re.findall(r"\b\d\.\d{4}\b", printed[device])] for device in printed]
    np.testing.assert_allclose(measures[1], measures[0], atol=2e-4)
    assert sorted(p.name for p in (tmp_path / "cuda").iterdir()) == sorted(p.name for p in (tmp_path / "cpu").iterdir())
    states = [np.load(tmp_path / device / "model.npz") for device in printed]
    for name in states[0].files:
        np.testing.assert_allclose(states[1][name], states[0][name], atol=1e-4)
    for state in states:
        state.close()
    assert {stream for _, stream in kernels} == {7}


def test_example_of_the_readme(kernels, library, monkeypatch):
    def standard_normal(shape, dtype):
        return to_device(np.random.default_rng(0).standard_normal(shape, dtype))

    cupy = ModuleType("cupy")
    cupy.ndarray, cupy.float32 = type("ndarray", (), {}), np.float32
    cupy.random = SimpleNamespace(standard_normal=standard_normal)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    (example,) = (block for block in python_blocks("README.md") if "cupy" in block)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert type(names["y"]) is Array and names["y"].shape == (8, 16, 16, 16)
