"""NumPy's kernels in the place of those of CUDA: these tests are of all that lies around a kernel."""

import inspect

import device_arrays
import numpy as np
import pytest

import fastconv
from fastconv import backends, devices
from fastconv.backends import tensordot
from fastconv.backends.cuda import arrays, launch


class Kernels(list):
    """What was called: (name of the kernel, its stream)."""

    fail = None

    def called(self, name, *arguments):
        self.append((name, launch.current_stream()))
        if self.fail is not None:
            raise self.fail
        *views, g = arguments
        for view in views:
            assert view is None or (type(view).__name__ == "FakeCUDAArray" and view.is_c_contiguous())
        shapes = {"x": g.x_shape, "dx": g.x_shape, "y": g.y_shape, "dy": g.y_shape, "indices": g.y_shape,
                  "w": g.w_shape, "dw": g.w_shape, "cols": g.cols_shape, "bias": (g.k,), "db": (g.k,)}
        names = inspect.signature(getattr(tensordot, name)).parameters
        host = [None if view is None else view._ary.reshape(shapes[of]) for view, of in zip(views, names, strict=False)]
        wide = [a.astype(np.float32) if a is not None and a.dtype == np.float16 else a for a in host]
        getattr(tensordot, name)(*wide, g)
        for a, result in zip(host, wide, strict=True):
            if a is not result and a.flags.writeable:
                a[...] = result


@pytest.fixture
def kernels(monkeypatch):
    """The kernels of the contract by `tensordot`, which computes on the host too, and a record of their calls."""
    fastconv.set_backend("tensordot")
    record = Kernels()
    module = backends.get("cuda")
    for name in backends.KERNELS:
        monkeypatch.setattr(module, name, lambda *arguments, name=name: record.called(name, *arguments))
    return record


@pytest.fixture
def library(monkeypatch):
    """`device_arrays` as the library that new device arrays come from, and a list of the arrays copied to the host."""
    copied = []

    def to_host(x, original=arrays.to_host):
        copied.append(x.shape)
        return original(x)

    monkeypatch.setattr(devices, "from_host", device_arrays.to_device)
    monkeypatch.setattr(arrays, "to_host", to_host)
    yield copied
    device_arrays.memory_left[0] = None
