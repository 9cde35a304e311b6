"""Device memory: the addresses of arrays, tables that stay there, and workspaces."""

import threading
from functools import cache

import numpy as np

from fastconv.backends.cuda import driver, jit, launch
from fastconv.backends.cuda.jit import cuda

# Held while the kernels of one call are launched: a second thread that used the same workspace on the same stream
# would otherwise put its own kernels between them.
lock = threading.RLock()

WORKSPACES = 8           # kept, the last ones used; each belongs to a device and a stream
KEPT = 1 << 30           # bytes: a larger workspace is given back at the next call that needs a smaller one

_workspaces = {}


def device():
    """The number of the device in force."""
    return 0 if jit.SIMULATED else driver.device()


def capability():
    """The compute capability of the device in force, (9, 0) for an H200."""
    return (9, 0) if jit.SIMULATED else _capability(driver.device())


@cache
def _capability(number):
    return tuple(cuda.gpus[number].compute_capability)


def address(array):
    """Where a device array begins, as kernels take it; 0 of None."""
    if jit.SIMULATED:
        from fastconv.backends.cuda.twins import Memory

        return None if array is None else Memory(_plain(array).reshape(-1))
    if array is None:
        return 0
    known = getattr(array, "address", None)
    return driver.handle(array.device_ctypes_pointer) if known is None else known


def aligned(array):
    """Whether four elements from the first on are at a multiple of their bytes, or of 16."""
    if jit.SIMULATED:
        return True
    return address(array) % min(16, 4 * array.dtype.itemsize) == 0


class Table:
    """A NumPy array's copy on the device, with its address."""

    def __init__(self, array, what):
        with _explained(array.nbytes, what):
            self.array = cuda.to_device(np.ascontiguousarray(array))
        self.address = address(self.array)


def workspace(count, dtype, what, number):
    """The address of `count` elements on device `number` for the kernels of one call, which hold `lock`.

    Raises
    ------
    MemoryError
        If the device has no room for them; `what` says what for.
    """
    dtype = np.dtype(dtype)
    size = max(count * dtype.itemsize, 1)
    stream = launch.current_stream()
    # A thread's default stream has the same handle in every thread.
    key = number, stream, threading.get_ident() if (stream or driver.DEFAULT_STREAM) == driver.THREAD_STREAM else 0
    kept = _workspaces.pop(key, None)
    if kept is None or kept.size < size or kept.size > max(size, KEPT):
        kept = None  # given back before more is asked for
        with _explained(size, what):
            kept = _Workspace(size)
    _workspaces[key] = kept
    while len(_workspaces) > WORKSPACES:
        _workspaces.pop(next(iter(_workspaces)))
    if not jit.SIMULATED:
        return kept.address
    whole = _plain(kept.array)[:size].view(dtype)
    whole[...] = np.nan
    return address(whole)


class _Workspace:
    """Bytes on the device, with their address."""

    def __init__(self, size):
        self.size, self.array = size, cuda.device_array(size, np.uint8)
        self.address = address(self.array)


class _explained:
    """What CUDA says when there is no memory left, as a MemoryError."""

    def __init__(self, size, what):
        self.size, self.what = size, what

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, Exception) and ("OUT_OF_MEMORY" in str(error) or isinstance(error, MemoryError)):
            free, total = cuda.current_context().get_memory_info()
            raise MemoryError(f"{self.what}: {self.size:,} bytes of device memory are needed, {free:,} of {total:,} "
                              "are free") from error


def _plain(array):
    """The NumPy array behind one of the simulator's."""
    return getattr(array, "_ary", array)
