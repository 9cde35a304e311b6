"""The contract for NumPy arrays and for any library's device arrays, over kernels that take Numba's device arrays.

A device array is never copied: its memory is described to Numba through ``__cuda_array_interface__`` or DLPack, and the
kernel runs on its device, on the stream that its library works on.
"""

import ctypes
import sys
from contextlib import contextmanager
from functools import lru_cache, partial
from itertools import repeat
from types import SimpleNamespace

import numpy as np

from fastconv import backends
from fastconv.backends import KERNELS, dlpack, memory
from fastconv.backends.cuda import jit, launch

cuda = jit.cuda

NAME = "fastconv.backends.cuda"
# How many of a kernel's last arrays are results.
RESULTS = dict.fromkeys(KERNELS, 1) | {"conv_backward_weight": 2, "max_pool_forward": 2}
LEGACY_STREAM, THREAD_STREAM = 1, 2  # as __cuda_array_interface__ and __dlpack__ number them


def run_on_host(kernel, *arguments):
    """Run a kernel on NumPy arrays: copies of them on Numba's current device, and its results copied back."""
    *arrays, g = arguments
    first = len(arrays) - RESULTS[kernel]
    with _telling(kernel, arrays):
        views = [None if a is None else cuda.to_device(a) for a in arrays[:first]]
        views += [None if a is None else cuda.device_array(a.shape, a.dtype) for a in arrays[first:]]
        getattr(backends.get("cuda"), kernel)(*views, g)
        for a, view in zip(arrays[first:], views[first:], strict=True):
            if a is not None:
                view.copy_to_host(a)


def run_on_device(kernel, *arguments):
    """Run a kernel on C-contiguous arrays of one device, on that device and on the stream of the first array."""
    *arrays, g = arguments
    with _telling(kernel, arrays), cuda.gpus[memory.device_of(arrays[0])]:
        # Asked for here, as CuPy has a current stream for each device; and once, as that takes microseconds.
        interfaces = [getattr(a, "__cuda_array_interface__", None) for a in arrays]
        streams = [_stream_of(a, interface) for a, interface in zip(arrays, interfaces, strict=True)]
        running = next((number for number in streams if number is not None), 0)
        for number in streams:
            if number is not None and number != running:
                _synchronize(number)
        token = launch.set_stream(_stream(running))
        try:
            getattr(backends.get("cuda"), kernel)(*map(view, arrays, interfaces, repeat(running)), g)
        finally:
            launch.reset_stream(token)


@contextmanager
def _telling(kernel, arrays):
    """Turn every library's way to say that there is no memory left into a MemoryError with the arrays' sizes."""
    try:
        yield
    except Exception as error:
        if memory.is_exhausted(error):
            raise memory.exhausted(kernel, error, *arrays) from error
        raise


# Not the module's functions themselves: those take Numba's device arrays alone.
on_host, on_device = (SimpleNamespace(__name__=NAME, **{kernel: partial(run, kernel) for kernel in KERNELS})
                      for run in (run_on_host, run_on_device))


def view(x, interface=None, stream=0):
    """The memory of a device array of any library for a kernel, as a device array of Numba's or a `View`; no copy.

    Parameters
    ----------
    x : array with ``__cuda_array_interface__`` or DLPack, or a device array of Numba's, or None
        It may be read-only.
    interface : dict, optional
        Its ``__cuda_array_interface__``. Without one DLPack is asked.
    stream : int
        Where the kernel will run; a library of which DLPack asks for an array lets that stream wait for it.
    """
    if x is None or memory.is_numba(x):
        return x
    interface = interface or dlpack.interface(x, int(stream) or LEGACY_STREAM)
    return _simulated(interface, x) if jit.SIMULATED else View(interface, x)


class View:
    """Of a device array of Numba's, what kernels ask for: its type and its address.

    To make one of Numba's takes tens of microseconds, several times as long as a launch.
    """

    __slots__ = ("device_ctypes_pointer", "dtype", "owner", "shape")

    def __init__(self, interface, owner):
        self.shape, self.dtype = interface["shape"], np.dtype(interface["typestr"])
        self.device_ctypes_pointer = ctypes.c_void_p(interface["data"][0])
        self.owner = owner, interface


def devices():
    """How many CUDA devices there are."""
    return len(cuda.gpus)


def current_device():
    """The number of the device that this thread works on; 0 before it has worked on any."""
    gpu = cuda.gpus.current
    return 0 if gpu is None else gpu.id


def empty(shape, dtype, number=None):
    """An uninitialised device array of Numba's, on device `number` (Numba's current one by default)."""
    if number is None:
        return cuda.device_array(tuple(shape), dtype)
    with cuda.gpus[number]:
        return cuda.device_array(tuple(shape), dtype)


def from_host(array, number=None):
    """A copy of a NumPy array on device `number` (Numba's current one by default), a device array of Numba's."""
    if number is None:
        return cuda.to_device(array)
    with cuda.gpus[number]:
        return cuda.to_device(array)


def to_host(x):
    """A copy of a device array as a NumPy array, once what its stream has to do is done."""
    with cuda.gpus[memory.device_of(x)]:
        interface = getattr(x, "__cuda_array_interface__", None)
        _synchronize(_stream_of(x, interface) or 0)
        if not memory.is_numba(x):
            interface = interface or dlpack.interface(x)
            x = (_simulated(interface, x) if jit.SIMULATED else
                 cuda.from_cuda_array_interface(interface, owner=(x, interface), sync=False))
        return x.copy_to_host()


def _stream_of(x, interface):
    """The stream, as a number or a stream of Numba's, on which the library of `x` works; None where it names none."""
    if x is None:
        return None
    if memory.is_numba(x):
        return x.stream or None
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(x, torch.Tensor):
        # Its interface, of version 2, names no stream.
        return torch.cuda.current_stream(x.device).cuda_stream
    number = interface.get("stream") if interface else None
    return 0 if number == LEGACY_STREAM else number


def _synchronize(stream):
    """Have the host wait until `stream` has nothing left to do."""
    if not jit.SIMULATED:
        (_stream(stream) or cuda.default_stream()).synchronize()


def _stream(number):
    """Numba's stream for a number, or 0 for the default one; a stream of Numba's is returned as it is."""
    return number if not isinstance(number, int) or not number or jit.SIMULATED else _wrapped(number)


@lru_cache(maxsize=256)
def _wrapped(number):
    return cuda.per_thread_default_stream() if number == THREAD_STREAM else cuda.external_stream(number)


def _simulated(interface, owner):
    # The simulator knows no interfaces: its device memory is the host's.
    dtype = np.dtype(interface["typestr"])
    size = int(np.prod(interface["shape"])) * dtype.itemsize
    buffer = (ctypes.c_char * size).from_address(interface["data"][0]) if size else b""
    array = np.ndarray(interface["shape"], dtype, buffer)
    result = cuda.cudadrv.devicearray.FakeCUDAArray(array)
    result.owner = owner
    return result
