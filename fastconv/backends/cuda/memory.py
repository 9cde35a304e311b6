"""Device memory: the addresses of arrays, tables that stay there, and workspaces."""

import threading

import numpy as np

from fastconv.backends.cuda import jit, launch
from fastconv.backends.cuda.jit import cuda

# Held while the kernels of one call are launched: a second thread that used the same workspace on the same stream
# would otherwise put its own kernels between them.
lock = threading.RLock()

WORKSPACES = 8           # kept, the last ones used; each belongs to a device and a stream
KEPT = 1 << 30           # bytes: a larger workspace is given back at the next call that needs a smaller one

_workspaces = {}


def device():
    """The number of the device in force."""
    return 0 if jit.SIMULATED else cuda.get_current_device().id


def capability():
    """The compute capability of the device in force, (9, 0) for an H200."""
    return (9, 0) if jit.SIMULATED else tuple(cuda.get_current_device().compute_capability)


def address(array):
    """Where a device array begins, as kernels take it; 0 of None."""
    if jit.SIMULATED:
        from fastconv.backends.cuda.twins import Memory

        return None if array is None else Memory(_plain(array).reshape(-1))
    return 0 if array is None else array.device_ctypes_pointer.value


def aligned(array):
    """Whether four elements from the first on are at a multiple of their bytes, or of 16."""
    if jit.SIMULATED:
        return True
    return array.device_ctypes_pointer.value % min(16, 4 * array.dtype.itemsize) == 0


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
    key = number, _number(launch.current_stream())
    kept = _workspaces.pop(key, None)
    if kept is None or kept.size < size or kept.size > max(size, KEPT):
        kept = None  # given back before more is asked for
        with _explained(size, what):
            kept = cuda.device_array(size, np.uint8)
    _workspaces[key] = kept
    while len(_workspaces) > WORKSPACES:
        _workspaces.pop(next(iter(_workspaces)))
    if not jit.SIMULATED:
        return address(kept)
    whole = _plain(kept)[:size].view(dtype)
    whole[...] = np.nan
    return address(whole)


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


def _number(stream):
    handle = getattr(stream, "handle", stream)
    return int(getattr(handle, "value", handle) or 0)
