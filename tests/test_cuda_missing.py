"""Without CUDA: everything imports, and what is missing is named with the command that installs it."""

from types import SimpleNamespace

import numpy as np
import pytest

import fastconv
from fastconv import backends, layers
from fastconv import functional as F
from fastconv.backends.cuda import requirements
from fastconv.cli import main

PACKAGES = 'pip install "fastconv[cuda]"'


def machine(available=False, error=None, gpus=()):
    """Numba's `cuda` on some machine."""
    return SimpleNamespace(SIMULATED=False, cuda=SimpleNamespace(is_available=lambda: available, gpus=gpus,
                                                                 cuda_error=lambda: error))


@pytest.fixture
def without_driver(monkeypatch):
    monkeypatch.setattr(requirements, "jit", machine(error="\nCUDA driver library cannot be found.\n"))
    monkeypatch.delitem(backends._loaded, "cuda", raising=False)
    monkeypatch.delitem(backends._hosting, "cuda", raising=False)


@pytest.mark.parametrize("found, parts", [
    (machine(error="\nCUDA driver library cannot be found.\n"),
     ["no NVIDIA driver that can be used (CUDA driver library cannot be found.)", "apt-get install nvidia-driver",
      PACKAGES]),
    (machine(), ["the driver finds no NVIDIA GPU", "nvidia-smi"]),
    (machine(gpus=["one"]), ["the CUDA toolkit's compiler (NVVM) was not found", PACKAGES, "fastconv[cuda12]",
                             "CUDA_HOME"]),
])
def test_what_is_missing_is_named(monkeypatch, found, parts):
    monkeypatch.setattr(requirements, "jit", found)
    with pytest.raises(fastconv.BackendUnavailable) as caught:
        requirements.check()
    for part in ["backend 'cuda' cannot run here", *parts]:
        assert part in str(caught.value)


def test_nothing_is_missing(monkeypatch):
    monkeypatch.setattr(requirements, "jit", machine(available=True, gpus=["one"]))
    assert requirements.check() is None


def test_description(monkeypatch):
    gpus = [SimpleNamespace(name=b"GPU A", compute_capability=(9, 0)),
            SimpleNamespace(name="GPU B", compute_capability=(8, 0))]
    monkeypatch.setattr(requirements, "jit", machine(gpus=gpus))
    assert requirements.describe() == ("numba.cuda (Built-in), GPU A (compute capability 9.0), "
                                       "GPU B (compute capability 8.0)")


def test_the_choice_in_force_stays(without_driver, capsys):
    fastconv.set_backend("tensordot")
    with pytest.raises(fastconv.BackendUnavailable, match="driver"):
        fastconv.set_backend("cuda")
    assert backends.current_name() == "tensordot"
    fastconv.show_config()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cuda ")]
    assert line.startswith("cuda        missing: backend 'cuda' cannot run here: there is no NVIDIA driver")


def test_layers_stay_where_they_are(without_driver):
    layer = layers.Linear(2, 2, generator=0)
    with pytest.raises(fastconv.BackendUnavailable, match="driver"):
        layer.to("cuda")
    assert type(layer.weight.data) is np.ndarray
    assert layer.to("cpu") is layer


def test_an_array_in_device_memory(without_driver):
    class Array:
        shape, ndim, dtype, __cuda_array_interface__ = (1, 1, 2, 2), 4, np.dtype(np.float32), {"strides": None}

        def reshape(self, shape):
            return self

    with pytest.raises(fastconv.BackendUnavailable, match="driver"):
        F.max_pool2d(Array(), 2)


def test_the_demo_says_so(without_driver, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["demo", "--device", "cuda", "--backend", "tensordot"])
    assert stop.value.code == 2
    assert "argument --device: backend 'cuda' cannot run here: there is no NVIDIA driver" in capsys.readouterr().err


def test_without_numba(fresh):
    printed = fresh("import sys; sys.modules['numba'] = None\nimport fastconv\n"
                    "try:\n    fastconv.set_backend('cuda')\n"
                    "except fastconv.BackendUnavailable as error:\n    print(error)")
    assert "numba" in printed
    assert PACKAGES in printed


def test_nothing_of_cuda_is_imported_for_numpy_arrays(fresh):
    printed = fresh("import sys\nimport numpy as np\nfrom fastconv import functional as F, layers\n"
                    "layers.Conv2d(1, 1, 1)(np.ones((1, 1, 2, 2), np.float32)); F.relu(np.ones(2))\n"
                    "print([name for name in sys.modules if 'cuda' in name.lower() and 'fastconv' in name])",
                    FASTCONV_BACKEND=None)
    assert printed == "[]"
