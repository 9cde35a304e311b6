"""Moving arrays between the host's memory and that of CUDA devices.

What is moved to a device becomes an array of CuPy's where that is installed, else a device array of Numba's, which
convolution and pooling take but which has no arithmetic of its own.
"""

import importlib
import re

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.backends import memory
from fastconv.checks import contiguous

HOST = "cpu"


def is_device(value):
    """Whether `value` names a device, as ``'cpu'``, ``'cuda'`` and ``'cuda:1'`` do."""
    return isinstance(value, str) and (value == HOST or value.startswith("cuda"))


def device(op, name):
    """The device called `name` as a number, or None for the host.

    Raises
    ------
    ValueError
        For other names, and a number that no device has.
    BackendUnavailable
        If CUDA cannot be used here.
    """
    if name == HOST:
        return None
    match = re.fullmatch(r"cuda(?::(\d+))?", name) if isinstance(name, str) else None
    if match is None:
        raise ValueError(f"{op}: device must be 'cpu', 'cuda' or such as 'cuda:1', got {name!r}")
    arrays = backends.cuda_arrays()
    if match[1] is None:
        return arrays.current_device()
    if int(match[1]) >= arrays.devices():
        raise ValueError(f"{op}: device must be one of the {arrays.devices()} of this machine, got {name!r}")
    return int(match[1])


def move(x, number):
    """`x` on device `number`, or on the host for None; as it is if it lies there."""
    here = memory.device_of(x)
    if here == number:
        return x
    x = to_host(x)
    return x if number is None else from_host(x, number)


def to_host(x):
    """`x` as a NumPy array: a copy of an array in device memory."""
    return np.asarray(x) if memory.device_of(x) is None else backends.cuda_arrays().to_host(contiguous(x))


def from_host(x, number):
    """A copy of a NumPy array on device `number`."""
    try:
        cupy = importlib.import_module("cupy")
    except ImportError:
        return backends.cuda_arrays().from_host(np.ascontiguousarray(x), number)
    try:
        with cupy.cuda.Device(number):
            return cupy.asarray(x)
    except Exception as error:
        if memory.is_exhausted(error):
            raise memory.exhausted("to", error, x) from error
        raise


def like(x, other):
    """The numbers of `x` as an array where `other` lies, of its library and type."""
    dtype = memory.dtype_of(other)
    if isinstance(other, np.ndarray):
        return to_host(x).astype(dtype, copy=False)
    number = memory.device_of(other)
    if memory.is_numba(other):
        return backends.cuda_arrays().from_host(np.ascontiguousarray(to_host(x), dtype), number)
    xp = array_api_compat.array_namespace(other)
    if memory.device_of(x) != number:
        x = to_host(x).astype(dtype, copy=False)
    # Of another library's array on the same device this is a view.
    x = xp.asarray(x, device=array_api_compat.device(other))
    return xp.astype(x, other.dtype, copy=False)


def assign(target, x):
    """Write the numbers of `x` into the array `target`."""
    x = like(x, target)
    if memory.is_numba(target):
        target.copy_to_device(x)
    else:
        target[...] = x


def is_array(x):
    """Whether `x` is a NumPy array, or any library's in device memory."""
    return isinstance(x, np.ndarray) or memory.device_of(x) is not None


def rows(x, chosen):
    """``x[chosen]`` for a slice, or for a NumPy array of indices into the first axis."""
    if isinstance(x, np.ndarray) or isinstance(chosen, slice):
        return x[chosen]
    xp = array_api_compat.array_namespace(x)
    return xp.take(x, xp.asarray(chosen, device=array_api_compat.device(x)), axis=0)


def joined(arrays):
    """Arrays of one library one after another along the first axis."""
    xp = np if isinstance(arrays[0], np.ndarray) else array_api_compat.array_namespace(arrays[0])
    return xp.concat(arrays)


def cast(x, dtype):
    """`x` with elements of another (NumPy) type, where it lies; as it is if it has that type."""
    if memory.dtype_of(x) == dtype:
        return x
    if isinstance(x, np.ndarray):
        return x.astype(dtype)
    if memory.is_numba(x):
        return backends.cuda_arrays().from_host(to_host(x).astype(dtype), memory.device_of(x))
    xp = array_api_compat.array_namespace(x)
    return xp.astype(x, getattr(xp, dtype.name))


def copy(x):
    """A copy of an array, where it lies."""
    if isinstance(x, np.ndarray):
        return x.copy()
    if memory.is_numba(x):
        return backends.cuda_arrays().from_host(to_host(x), memory.device_of(x))
    return array_api_compat.array_namespace(x).asarray(x, copy=True)
