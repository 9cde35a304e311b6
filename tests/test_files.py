"""States in files: both formats, both ways with torch, and what a damaged or wrong file does."""

import os
import sys

import numpy as np
import pytest
import safetensors.torch
import torch

from fastconv import layers
from fastconv.extras import MissingExtra
from fastconv.files import load_arrays, save_arrays

ENDINGS = (".npz", ".safetensors")


def build(nn, **options):
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2), **options)


def trained(seed=0):
    model = build(layers)
    generator = np.random.default_rng(seed)
    for array in model.state_dict().values():
        array[...] = generator.integers(1, 9, array.shape)
    return model


def same(a, b):
    a, b = a.state_dict(), b.state_dict()
    return a.keys() == b.keys() and all(np.array_equal(a[name], np.asarray(b[name])) for name in a)


@pytest.mark.parametrize("ending", ENDINGS)
class TestBothFormats:
    def test_there_and_back(self, ending, tmp_path):
        model, other = trained(), trained(1)
        model.save(tmp_path / f"model{ending}")
        assert os.listdir(tmp_path) == [f"model{ending}"]
        assert other.load(str(tmp_path / f"model{ending}")) == ([], [])
        assert same(other, model)
        assert other[1].num_batches_tracked.dtype == np.int64

    def test_any_arrays_and_names(self, ending, tmp_path):
        arrays = {"file": np.arange(6.0).reshape(2, 3).T, "allow_pickle": np.array(3), "a.b c": np.zeros((0, 2)),
                  "big": np.arange(3, dtype=">f4"), "strided": np.arange(10)[::-2], "flags": np.array([True, False]),
                  "small": np.float16([1.5])}
        save_arrays(tmp_path / f"x{ending}", arrays)
        found = load_arrays(tmp_path / f"x{ending}")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype.newbyteorder("=") and found[name].shape == array.shape

    def test_a_wrong_model_stays_as_it_was(self, ending, tmp_path):
        model = trained()
        state = dict(model.state_dict())
        state["5.weight"] = state.pop("0.bias")
        state["4.weight"] = state["4.weight"].T
        save_arrays(tmp_path / f"x{ending}", state)
        other = trained(1)
        with pytest.raises(ValueError) as error:
            other.load(tmp_path / f"x{ending}")
        for part in ("missing '0.bias'", "unexpected '5.weight'", "'4.weight' has shape (12, 2) instead of (2, 12)"):
            assert part in str(error.value)
        assert same(other, trained(1))

    def test_damaged_files(self, ending, tmp_path):
        path = tmp_path / f"x{ending}"
        model = trained()
        model.save(path)
        content = path.read_bytes()
        for wrong in (b"", b"nonsense", content[:len(content) // 2], content[:-30], b"\xff" * 40):
            path.write_bytes(wrong)
            with pytest.raises(ValueError, match=rf"load_arrays: .*x{ending} is no {ending} file"):
                model.load(path)
        assert same(model, trained())
        with pytest.raises(FileNotFoundError):
            model.load(tmp_path / f"none{ending}")

    def test_a_failed_write_leaves_the_file_before(self, ending, tmp_path, monkeypatch):
        path = tmp_path / f"x{ending}"
        model = trained()
        model.save(path)

        def fail(*_):
            raise OSError("disk full")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="disk full"):
            trained(1).save(path)
        assert os.listdir(tmp_path) == [f"x{ending}"]
        other = trained(1)
        other.load(path)
        assert same(other, model)

    def test_objects_are_refused(self, ending, tmp_path):
        for wrong in (np.array([None]), np.array(["a"])):
            with pytest.raises(TypeError, match=r"^save_arrays: 'a' must hold numbers, got"):
                save_arrays(tmp_path / f"x{ending}", {"a": wrong})
        with pytest.raises(TypeError, match=r"^save_arrays: names must be strings, got 3"):
            save_arrays(tmp_path / f"x{ending}", {3: np.zeros(1)})
        assert not os.listdir(tmp_path)


def test_pickles_in_an_archive_are_not_run(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.array([print], object))
    with pytest.raises(ValueError, match=r"is no \.npz file, or is damaged"):
        load_arrays(tmp_path / "x.npz")


def test_numpy_reads_and_writes_the_same_archives(tmp_path):
    model = trained()
    model.save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        assert sorted(file.files) == sorted(model.state_dict())
    np.savez_compressed(tmp_path / "y.npz", **trained(1).state_dict())
    model.load(tmp_path / "y.npz")
    assert same(model, trained(1))


def test_files_of_torch_load_here(tmp_path):
    theirs = build(torch.nn)
    theirs(torch.randn(4, 1, 4, 4))
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = trained()
    ours.load(tmp_path / "theirs.safetensors")
    assert same(ours, theirs)
    x = torch.randn(2, 1, 4, 4)
    np.testing.assert_allclose(ours.eval()(x.numpy()), theirs.eval()(x).detach(), rtol=1e-4, atol=1e-5)


def test_files_of_ours_load_in_torch(tmp_path):
    ours, theirs = trained(), build(torch.nn)
    ours.save(tmp_path / "ours.safetensors")
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "ours.safetensors"))
    assert same(ours, theirs)


def test_other_endings(tmp_path):
    for name in ("x.pt", "x", "x.npz.gz"):
        with pytest.raises(ValueError, match=r"^save_arrays: path must end in .npz or .safetensors, got"):
            save_arrays(tmp_path / name, {})
        with pytest.raises(ValueError, match=r"^load_arrays: path must end in .npz or .safetensors, got"):
            load_arrays(tmp_path / name)


def test_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.delitem(sys.modules, "safetensors.numpy", raising=False)
    for call in (lambda: save_arrays(tmp_path / "x.safetensors", {}), lambda: load_arrays(tmp_path / "x.safetensors")):
        with pytest.raises(MissingExtra, match=r'pip install "fastconv\[files\]"'):
            call()
