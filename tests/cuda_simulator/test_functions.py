"""Functions and their gradients on device arrays: computed there, returned there, and refused where they must be."""

import device_arrays
import numpy as np
import pytest
from device_arrays import Array, to_device
from numba import cuda
from test_functional_arrays import CALLS, arguments
from torch_twins import TYPES

import fastconv
from fastconv import backends
from fastconv import functional as F
from fastconv import grad as G
from fastconv.backends.cuda.launch import current_stream

# These make NumPy arrays of their own; the tests of layers have them.
CALLS = {name: call for name, call in CALLS.items()
         if name not in ("batch_norm", "batch_norm_input of running statistics", "dropout_input")}


def on_device(arrays):
    return [to_device(a) for a in arrays]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("call", CALLS)
def test_every_function_computes_on_the_device(call, dtype, kernels, library):
    function, arrays = arguments(call, dtype)
    given = on_device(arrays)
    found = function(*given)
    assert type(found) is Array
    expected = function(*arrays)
    assert found.shape == expected.shape and found.dtype == expected.dtype
    np.testing.assert_allclose(found.get(), expected, rtol=2e-6 if dtype == np.float32 else 1e-13, atol=1e-6)
    assert library == []
    for array, before in zip(given, arrays, strict=True):
        np.testing.assert_array_equal(array.get(), before)
    assert {stream for _, stream in kernels} <= {device_arrays.stream}


@pytest.mark.parametrize("call", CALLS)
def test_strided_and_read_only_arrays(call, kernels, library):
    function, arrays = arguments(call, np.float64)
    expected = function(*on_device(arrays)).get()
    odd = []
    for a in arrays:
        wide = np.zeros([2 * n for n in a.shape], a.dtype)
        strided = wide[(..., *(slice(None, None, 2),) * a.ndim)]
        strided[...] = a
        strided.flags.writeable = False
        odd.append(Array(strided))
    np.testing.assert_array_equal(function(*odd).get(), expected)
    assert library == []


def test_float16(kernels):
    x, w = (np.ones(shape, np.float16) for shape in ((1, 1, 3, 3), (1, 1, 2, 2)))
    y = F.conv2d(to_device(x), to_device(w))
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.get(), np.full((1, 1, 2, 2), 4, np.float16))
    assert F.relu(y).dtype == np.float16
    with pytest.raises(TypeError, match="conv2d: input must be float32 or float64, got float16"):
        F.conv2d(x, w)
    with pytest.raises(TypeError, match="relu: input must be float32 or float64, got float16"):
        F.relu(x)


def test_types_that_numpy_lacks_are_refused(kernels):
    class Array:
        shape, ndim, dtype, __cuda_array_interface__ = (1, 1, 2, 2), 4, "library.bfloat16", {}

    with pytest.raises(TypeError, match=r"max_pool2d: input must be float16, float32 or float64, got library.bfloat16"):
        F.max_pool2d(Array(), 2)


# Arrays of Numba's, and of libraries that describe their memory in other ways

def numba_call(call):
    function, arrays = arguments(call, np.float32)
    return function, arrays, [cuda.to_device(a) for a in arrays]


WITHOUT_ARITHMETIC = ("conv1d", "conv2d", "conv2d unbatched", "conv3d", "max_pool2d", "max_pool2d indices",
                      "avg_pool2d", "unfold", "fold", "linear", "correlate1d", "conv2d_input", "conv2d_weight",
                      "conv2d_parameters", "conv_transpose1d_input", "max_pool2d_input", "avg_pool2d_input",
                      "unfold_input", "fold_input", "linear_input", "linear_weight", "linear_parameters")


@pytest.mark.parametrize("call", WITHOUT_ARITHMETIC)
def test_numba_arrays(call, kernels):
    function, arrays, given = numba_call(call)
    found = function(*given)
    assert type(found) is type(given[0])
    np.testing.assert_allclose(found.copy_to_host(), function(*arrays), rtol=2e-6, atol=1e-6)
    assert len(kernels) == 1


@pytest.mark.parametrize("call", ["relu", "softmax", "cross_entropy", "mse_loss", "relu_input", "convolve2d"])
def test_numba_arrays_have_no_arithmetic(call, kernels):
    function, _, given = numba_call(call)
    with pytest.raises(TypeError, match=r"must be an array of a library that can compute with it, .*cupy\.asarray"):
        function(*given)
    assert kernels == []


def test_strided_numba_arrays_are_refused(kernels):
    x = cuda.to_device(np.ones((1, 1, 6, 6), np.float32))[:, :, ::2]
    with pytest.raises(ValueError, match=r"^max_pool2d: input must be C-contiguous, as there is no library to copy a "):
        F.max_pool2d(x, 2)


class Interface:
    """An array of a library of which nothing is known but how it describes memory."""

    def __init__(self, values):
        self._array = to_device(values)
        self.shape, self.ndim, self.dtype = values.shape, values.ndim, values.dtype
        self.reshape = lambda shape: Interface(values.reshape(shape))

    @property
    def __cuda_array_interface__(self):
        return self._array.__cuda_array_interface__ | {"stream": None, "version": 2}


def test_an_unknown_library_gets_numba_arrays(kernels):
    x, w = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 2, 2))
    y = F.conv2d(Interface(x), Interface(w))
    np.testing.assert_array_equal(y.copy_to_host(), F.conv2d(x, w))
    assert kernels == [("conv_forward", 0)]


def test_libraries_may_be_mixed_on_one_device(kernels):
    x, w = np.arange(16.0).reshape(1, 1, 4, 4), np.ones((1, 1, 2, 2))
    assert type(F.conv2d(to_device(x), cuda.to_device(w))) is Array
    assert not isinstance(F.conv2d(cuda.to_device(x), to_device(w)), Array)


# Streams and devices

def test_the_stream_is_the_librarys(kernels, monkeypatch):
    x = to_device(np.ones((1, 1, 4, 4)))
    for stream, expected in ((1, 0), (None, 0), (2, 2), (12345, 12345)):
        monkeypatch.setattr(device_arrays, "stream", stream)
        F.max_pool2d(x, 2)
        assert kernels.pop() == ("max_pool_forward", expected)


class Device:
    """In the place of a device of Numba's: notes when it was current."""

    def __init__(self, number, current):
        self.number, self.current = number, current

    def __enter__(self):
        self.current.append(self.number)

    def __exit__(self, *error):
        self.current.append(None)


def test_another_device_than_the_current_one(kernels, monkeypatch):
    current = []
    monkeypatch.setattr(cuda, "gpus", [Device(n, current) for n in range(4)])
    x = to_device(np.ones((1, 1, 4, 4)), device=3)
    assert F.max_pool2d(x, 2).device == 3
    assert current == [3, None]


X, W = np.ones((1, 2, 5, 5), np.float32), np.ones((3, 2, 3, 3), np.float32)
LABELS = np.zeros(2, np.int64)
SCORES = np.ones((2, 3), np.float32)
MIXED = {
    "weight on the host": (lambda: F.conv2d(to_device(X), W),
                           r"^conv2d: weight lies in host memory but input in cuda:0; move one"),
    "input on the host": (lambda: F.conv2d(X, to_device(W)),
                          r"^conv2d: weight lies in cuda:0 but input in host memory"),
    "bias on the host": (lambda: F.conv2d(to_device(X), to_device(W), np.ones(3, np.float32)),
                         r"^conv2d: bias lies in host memory but input in cuda:0"),
    "another device": (lambda: F.conv2d(to_device(X), to_device(W, 1)),
                       r"^conv2d: weight lies in cuda:1 but input in cuda:0"),
    "a gradient on the host": (lambda: G.conv2d_input(X.shape, to_device(W), np.ones((1, 3, 3, 3), np.float32)),
                               r"^conv2d_input: grad_output lies in host memory but weight in cuda:0"),
    "indices on the host": (lambda: G.max_pool2d_input((1, 1, 2, 2), np.zeros((1, 1, 1, 1), np.int64),
                                                       to_device(np.ones((1, 1, 1, 1)))),
                            r"^max_pool2d_input: indices lies in host memory but grad_output in cuda:0"),
    "labels on the host": (lambda: F.cross_entropy(to_device(SCORES), LABELS),
                           r"^cross_entropy: target lies in host memory but input in cuda:0"),
    "labels on another device": (lambda: F.cross_entropy(to_device(SCORES), to_device(LABELS, 1)),
                                 r"^cross_entropy: target lies in cuda:1 but input in cuda:0"),
    "a target on the host": (lambda: F.mse_loss(to_device(SCORES), SCORES), r"^mse_loss: target lies in host memory"),
    "types": (lambda: F.conv2d(to_device(X), to_device(W.astype(np.float64))),
              r"^conv2d: weight is float64 but input is float32; cast"),
    "integers": (lambda: F.conv2d(to_device(X.astype(np.int32)), to_device(W)),
                 r"^conv2d: input must be float16, float32 or float64, got int32"),
    "integers in relu": (lambda: F.relu(to_device(LABELS)), r"^relu: input must be float32 or float64, got int64"),
}


@pytest.mark.parametrize("call, message", MIXED.values(), ids=MIXED)
def test_what_does_not_fit_together_is_refused(call, message, kernels):
    with pytest.raises(TypeError, match=message):
        call()
    assert kernels == []


def test_shapes_are_checked_before_a_kernel(kernels):
    with pytest.raises(ValueError, match=r"^conv2d: input of shape \(1, 2, 5, 5\) has 2 channels"):
        F.conv2d(to_device(X), to_device(W[:, :1]))
    assert kernels == []


def test_empty_batches(kernels):
    y = F.conv2d(to_device(X[:0]), to_device(W))
    assert type(y) is Array and y.shape == (0, 3, 3, 3)
    assert G.conv2d_weight(to_device(X[:0]), W.shape, y).get().tolist() == np.zeros(W.shape).tolist()
    assert F.linear(to_device(SCORES[:0]), to_device(SCORES)).shape == (0, 2)
    assert kernels == []


# NumPy arrays

def test_numpy_arrays_are_copied_there_and_back(kernels):
    fastconv.set_backend("cuda")
    assert backends.current_name() == "cuda"
    for call in WITHOUT_ARITHMETIC:
        function, arrays = arguments(call, np.float32)
        found = function(*arrays)
        assert type(found) is np.ndarray
        with fastconv.use_backend("tensordot"):
            np.testing.assert_array_equal(found, function(*arrays))
    assert {name for name, _ in kernels} == set(backends.KERNELS)


def test_device_arrays_are_computed_by_cuda_whatever_backend_is_in_force(kernels):
    with fastconv.use_backend("tensordot"):
        F.max_pool2d(to_device(X), 2)
    assert [name for name, _ in kernels] == ["max_pool_forward"]


def test_the_automatic_choice_is_not_cuda(monkeypatch):
    monkeypatch.delenv("FASTCONV_BACKEND", raising=False)
    fastconv.set_backend(None)
    assert backends.available()["cuda"] is None
    assert backends.current_name() != "cuda"


# Faults

def test_no_memory_for_the_result(kernels, library):
    x = to_device(X)
    device_arrays.memory_left[0] = 10
    with pytest.raises(MemoryError, match=r"on the device for \(1, 2, 2, 2\) of float32 \(32 bytes\): out of memory"):
        F.max_pool2d(x, 2)
    assert kernels == []
    device_arrays.memory_left[0] = None
    assert F.max_pool2d(x, 2).shape == (1, 2, 2, 2)


class CudaAPIError(Exception):
    """As Numba's driver raises it."""

    def __init__(self, code, message):
        super().__init__(code, message)
        self.code = code


@pytest.mark.parametrize("where", [to_device, lambda a: a], ids=["device", "host"])
def test_no_memory_within_a_kernel(kernels, where):
    fastconv.set_backend("cuda")
    kernels.fail = CudaAPIError(2, "CUDA_ERROR_OUT_OF_MEMORY")
    with pytest.raises(MemoryError, match=r"^conv_forward: not enough memory on the device for "
                                          r"\(1, 2, (1, )?5, 5\) of float32 \(200 bytes\), \(3, 2, (1, )?3, 3\) of"):
        F.conv2d(where(X), where(W))


@pytest.mark.parametrize("where", [to_device, lambda a: a], ids=["device", "host"])
def test_a_failed_kernel_leaves_nothing_behind(kernels, where):
    fastconv.set_backend("cuda")
    kernels.fail = CudaAPIError(700, "an illegal launch")
    with pytest.raises(CudaAPIError, match="illegal"):
        F.conv2d(where(X), where(W))
    kernels.fail = None
    expected = np.full((1, 3, 3, 3), 18.0)
    y = F.conv2d(where(X), where(W))
    np.testing.assert_array_equal(y if isinstance(y, np.ndarray) else y.get(), expected)
    assert current_stream() == 0
