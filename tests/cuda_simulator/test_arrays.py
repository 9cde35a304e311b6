"""How arrays reach kernels: by which address, on which stream, after which wait; and with the kernels of CUDA."""

import ctypes
from contextlib import nullcontext

import device_arrays
import numpy as np
import pytest
from device_arrays import Array, to_device
from numba import cuda

import fastconv
from fastconv import functional as F
from fastconv import grad as G
from fastconv.backends import dlpack, memory
from fastconv.backends.cuda import arrays, driver, jit, launch
from fastconv.backends.cuda import memory as device_memory
from fastconv.layers import Conv2d, CrossEntropyLoss, Flatten, Linear, MaxPool2d, ReLU, Sequential
from fastconv.training import SGD

RNG = np.random.default_rng(0)


# Addresses

def test_views_share_memory():
    x = to_device(np.arange(6.0).reshape(2, 3))
    view = arrays.view(x, x.__cuda_array_interface__)
    view[1, 2] = 50
    assert x.get()[1, 2] == 50
    numbas = cuda.to_device(np.ones(2))
    assert arrays.view(numbas) is numbas


def test_kernels_get_the_address(monkeypatch):
    """As they do on a device, of which the simulator has no addresses."""
    for module in (arrays.jit, device_memory.jit):
        monkeypatch.setattr(module, "SIMULATED", False)
    x = to_device(np.arange(6, dtype=np.float32).reshape(2, 3))
    view = arrays.view(x, x.__cuda_array_interface__)
    address = x.__cuda_array_interface__["data"][0]
    assert device_memory.address(view) == address
    assert view.dtype == np.float32
    assert device_memory.aligned(view) == (address % 16 == 0)
    assert view.owner[0] is x


class OnlyDLPack:
    """A device array whose memory only DLPack describes; the capsule is NumPy's."""

    def __init__(self, values):
        self.values, self.streams = values, []

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, stream=None):
        self.streams.append(stream)
        return self.values.__dlpack__()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_dlpack(dtype):
    values = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    for part in (values, values[1:], values[:, :, ::2], values.T, values[:0]):
        x = OnlyDLPack(part)
        found = dlpack.interface(x, 5)
        expected = part.__array_interface__
        assert found["shape"] == part.shape and np.dtype(found["typestr"]) == dtype
        assert found["data"][0] == expected["data"][0] or not part.size
        assert found["strides"] == (None if part.flags.c_contiguous else part.strides) or not part.size
        assert x.streams == [5]


def test_dlpack_keeps_the_memory_alive():
    values = np.arange(1000.0)
    found = dlpack.interface(OnlyDLPack(values), 1)
    del values
    address, (n,) = found["data"][0], found["shape"]
    assert np.frombuffer((ctypes.c_double * n).from_address(address)).tolist() == list(range(1000))


@pytest.mark.parametrize("values", [np.ones(2, complex), np.ones(2, bool)])
def test_dlpack_of_other_types_is_refused(values):
    with pytest.raises(TypeError, match="must hold plain integers or floats, got type code"):
        dlpack.interface(OnlyDLPack(values), 1)


def test_arrays_by_dlpack_are_computed(kernels):
    class Described(OnlyDLPack):
        shape, ndim, dtype = (1, 1, 2, 2), 4, np.dtype(float)

        def reshape(self, shape):
            return Described(self.values.reshape(shape))

    x = Described(np.arange(4.0).reshape(1, 1, 2, 2))
    assert memory.is_contiguous(x)
    assert F.max_pool2d(x, 2).copy_to_host().tolist() == [[[[3]]]]
    with pytest.raises(ValueError, match="max_pool2d: input must be C-contiguous"):
        F.max_pool2d(Described(x.values.transpose(0, 1, 3, 2)), 2)


# Streams

@pytest.fixture
def waits(monkeypatch):
    """The numbers of the streams that the host waited for, with the driver's functions replaced."""
    log = []
    monkeypatch.setattr(jit, "SIMULATED", False)
    monkeypatch.setattr(driver, "synchronize", log.append)
    monkeypatch.setattr(driver, "on", lambda number: nullcontext())
    return log


class On(Array):
    """An array of another library, on a stream of its own."""

    stream = None

    @property
    def __cuda_array_interface__(self):
        return super().__cuda_array_interface__ | {"stream": self.stream}

    def on(self, stream):
        self.stream = stream
        return self


def on(stream):
    return On(np.ones((1, 1, 1, 1, 1))).on(stream)


@pytest.mark.parametrize("streams, runs_on, waited", [
    ((1, 1, 1), 0, []), ((None, None, None), 0, []), ((9, 9, 9), 9, []), ((9, None, 9), 9, []),
    ((9, 8, 9), 9, [8, 9]), ((9, 1, 9), 9, [0, 9]), ((1, 9, 1), 0, [9, 0]), ((None, 9, None), 9, []),
    ((2, 2, 2), 2, []),
])
def test_a_kernel_runs_on_the_first_arrays_stream_and_in_turn_with_others(waits, monkeypatch, streams, runs_on, waited):
    seen = []
    monkeypatch.setattr(fastconv.backends.get("cuda"), "conv_forward",
                        lambda *_: seen.append(launch.current_stream()))
    x, w, y = map(on, streams)
    fastconv.backends.serving(x).conv_forward(x, w, None, y, None)
    assert seen == [runs_on]
    assert waits == waited
    assert launch.current_stream() == 0


def test_torch_names_its_stream_elsewhere(monkeypatch):
    import torch

    class Current:
        cuda_stream = 77

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Current)
    assert arrays._described(torch.ones(2)) == (None, 77)


def test_a_copy_to_the_host_waits_for_the_arrays_stream(waits, monkeypatch):
    x = on(9)
    monkeypatch.setattr(cuda, "from_cuda_array_interface", lambda interface, **_: arrays._simulated(interface, x),
                        raising=False)
    assert arrays.to_host(x).tolist() == [[[[[1.0]]]]]
    assert waits == [9]


# With the kernels of CUDA

def test_a_network_learns_with_the_kernels_of_cuda(library):
    def step(where, x, t):
        options = {"dtype": np.float64, "generator": np.random.default_rng(0)}
        model = Sequential(Conv2d(1, 2, 2, **options), ReLU(), MaxPool2d(2), Flatten(), Linear(2, 3, **options))
        model.to(where)
        loss, optimizer = CrossEntropyLoss(), SGD(model.parameters(), lr=0.5)
        losses = []
        for _ in range(2):
            losses.append(float(loss(model(x), t)))
            model.backward(loss.backward())
            optimizer.step()
        return losses

    images, labels = RNG.standard_normal((2, 1, 3, 3)), np.array([0, 2])
    fastconv.set_backend("tensordot")
    expected = step("cpu", images, labels)
    np.testing.assert_allclose(step("cuda", to_device(images), to_device(labels)), expected, rtol=1e-12)


def test_numpy_arrays_with_the_kernels_of_cuda():
    x, w = RNG.standard_normal((1, 2, 4, 4)), RNG.standard_normal((2, 2, 3, 3))
    with fastconv.use_backend("cuda"):
        found = F.conv2d(x, w, np.ones(2))
    with fastconv.use_backend("tensordot"):
        np.testing.assert_allclose(found, F.conv2d(x, w, np.ones(2)))


def test_indices_beyond_the_map_are_left_out():
    indices = np.array([[[[0, 4], [-1, 2**40]]]])
    dx = G.max_pool2d_input((1, 1, 2, 2), to_device(indices), to_device(np.array([[[[1.0, 2], [3, 4]]]])))
    assert dx.get().tolist() == [[[[1, 0], [0, 0]]]]


def test_the_simulators_stream_is_not_leaked():
    x = to_device(np.ones((1, 1, 2, 2)))
    assert device_arrays.stream != 0
    F.max_pool2d(x, 2)
    assert launch.current_stream() == 0
