"""The contract for NumPy arrays and for any library's device arrays, over kernels that take Numba's device arrays.

A device array is never copied: its memory is described to Numba through ``__cuda_array_interface__`` or DLPack, and the
kernel runs on its device, on the stream that its library works on.
"""

import ctypes
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np

from fastconv import backends
from fastconv.backends import KERNELS, dlpack, memory
from fastconv.backends.cuda import driver, jit, launch

cuda = jit.cuda

NAME = "fastconv.backends.cuda"
# How many of a kernel's last arrays are results.
RESULTS = dict.fromkeys(KERNELS, 1) | {"conv_backward_weight": 2, "max_pool_forward": 2}
LEGACY_STREAM = 1  # as __cuda_array_interface__ and __dlpack__ number it


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
    with _telling(kernel, arrays), _on(memory.device_of(arrays[0])):
        # Asked for here, as CuPy has a current stream for each device; and once, as that takes microseconds.
        found = [_described(a) for a in arrays]
        running = next((stream for _, stream in found if stream is not None), 0)
        others = {stream for _, stream in found} - {running, None}
        for stream in others:
            _synchronize(stream)
        token = launch.set_stream(running)
        try:
            getattr(backends.get("cuda"), kernel)(
                *[view(a, interface, running) for a, (interface, _) in zip(arrays, found, strict=True)], g)
        finally:
            launch.reset_stream(token)
        if others:
            # What is computed on another stream next could take memory that is given back before it has been read.
            _synchronize(running)


class _telling:
    """Turn every library's way to say that there is no memory left into a MemoryError with the arrays' sizes."""

    def __init__(self, kernel, arrays):
        self.kernel, self.arrays = kernel, arrays

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception) and memory.is_exhausted(error):
            raise memory.exhausted(self.kernel, error, *self.arrays) from error


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
    if interface is None:
        if memory.is_torch(x):
            return View(x.data_ptr(), memory.dtype_of(x), x)
        interface = dlpack.interface(x, stream or LEGACY_STREAM)
    if jit.SIMULATED:
        return _simulated(interface, x)
    return View(interface["data"][0], np.dtype(interface["typestr"]), (x, interface))


class View:
    """Of a device array of Numba's, what kernels ask for: its address and its type.

    To make one of Numba's takes tens of microseconds, several times as long as a launch.
    """

    __slots__ = ("address", "dtype", "owner")

    def __init__(self, address, dtype, owner):
        self.address, self.dtype, self.owner = address, dtype, owner


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
    with _on(number):
        return cuda.device_array(tuple(shape), dtype)


def from_host(array, number=None):
    """A copy of a NumPy array on device `number` (Numba's current one by default), a device array of Numba's."""
    if number is None:
        return cuda.to_device(array)
    with _on(number):
        return cuda.to_device(array)


def to_host(x):
    """A copy of a device array as a NumPy array, once what its stream has to do is done."""
    with _on(memory.device_of(x)):
        interface, stream = _described(x)
        _synchronize(stream or 0)
        if not memory.is_numba(x):
            interface = interface or getattr(x, "__cuda_array_interface__", None) or dlpack.interface(x)
            x = (_simulated(interface, x) if jit.SIMULATED else
                 cuda.from_cuda_array_interface(interface, owner=(x, interface), sync=False))
        return x.copy_to_host()


def _described(x):
    """(``__cuda_array_interface__`` or None, the handle of the stream on which its library works or None) of `x`."""
    if x is None:
        return None, None
    if memory.is_numba(x):
        return None, driver.handle(x.stream.handle) if x.stream else None
    if memory.is_torch(x):
        # Its interface, of version 2, names no stream, and takes several times as long as what is asked here.
        return None, sys.modules["torch"].cuda.current_stream(x.device).cuda_stream
    interface = getattr(x, "__cuda_array_interface__", None)
    stream = interface.get("stream") if interface else None
    return interface, 0 if stream == LEGACY_STREAM else stream


def _synchronize(stream):
    """Have the host wait until `stream` has nothing left to do."""
    if not jit.SIMULATED:
        driver.synchronize(stream)


def _on(number):
    """A block within which device `number` is in force."""
    return cuda.gpus[number] if jit.SIMULATED else driver.on(number)


def _simulated(interface, owner):
    # The simulator knows no interfaces: its device memory is the host's.
    dtype = np.dtype(interface["typestr"])
    size = int(np.prod(interface["shape"])) * dtype.itemsize
    buffer = (ctypes.c_char * size).from_address(interface["data"][0]) if size else b""
    array = np.ndarray(interface["shape"], dtype, buffer)
    result = cuda.cudadrv.devicearray.FakeCUDAArray(array)
    result.owner = owner
    return result
