"""In whose memory an array lies, the host's or a CUDA device's. Nothing of CUDA is imported to tell."""

import math
import sys
from functools import lru_cache

import numpy as np

from fastconv.backends import dlpack

CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged, the devices of DLPack's DLDeviceType whose memory kernels can reach
OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


def device_of(x):
    """The number of the CUDA device in whose memory `x` lies; None for arrays in host memory and all that is no array.

    An array that has ``__cuda_array_interface__`` but not ``__dlpack_device__`` does not say where it lies: it is taken
    to be on device 0.
    """
    return _asked(type(x))(x)


@lru_cache(maxsize=256)
def _asked(kind):
    """How arrays of a type are asked where they lie, a function of such an array; of every call it is asked often."""
    if getattr(kind, "__cuda_ndarray__", False):
        return _of_numba
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(kind, torch.Tensor):
        return _of_torch
    if hasattr(kind, "__dlpack_device__"):
        return _by_dlpack
    return _on_the_first if hasattr(kind, "__cuda_array_interface__") else _nowhere


def _of_numba(x):
    # The simulator's arrays have no device; there is but one.
    memory = getattr(x, "gpu_data", None)
    return 0 if memory is None else memory.context.device.id


def _of_torch(x):
    return x.get_device() if x.is_cuda else None


def _by_dlpack(x):
    kind, number = x.__dlpack_device__()
    return int(number) if kind in CUDA else None


def _on_the_first(x):
    return 0


def _nowhere(x):
    return None


def place(x):
    """`device_of` in words: ``'host memory'`` or such as ``'cuda:0'``."""
    number = device_of(x)
    return "host memory" if number is None else f"cuda:{number}"


def is_numba(x):
    """Whether `x` is a device array of Numba's, which can be passed to kernels but has no arithmetic."""
    return bool(getattr(type(x), "__cuda_ndarray__", False))


def is_torch(x):
    """Whether `x` is a tensor of torch's."""
    return _asked(type(x)) is _of_torch


def dtype_of(x):
    """The type of an array's elements as a NumPy dtype; that of objects where NumPy has no such type."""
    dtype = x.dtype
    return dtype if isinstance(dtype, np.dtype) else _numpys(dtype)


@lru_cache(maxsize=256)
def _numpys(dtype):
    try:
        return np.dtype(str(dtype).rpartition(".")[2])  # such as torch.float32
    except TypeError:
        return np.dtype(object)  # None would compare equal to float64


def is_contiguous(x):
    """Whether an array in device memory is C-contiguous."""
    if is_numba(x):
        return x.is_c_contiguous()
    flags = getattr(x, "flags", None)
    if hasattr(flags, "c_contiguous"):
        return flags.c_contiguous
    if hasattr(x, "is_contiguous"):
        return x.is_contiguous()
    interface = getattr(x, "__cuda_array_interface__", None) or dlpack.interface(x)
    strides = interface.get("strides")
    return strides is None or tuple(strides) == dlpack.c_strides(x.shape, dtype_of(x).itemsize)


def is_exhausted(error):
    """Whether an exception of some library says that a device has no memory left."""
    return (isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            or getattr(error, "code", None) == OUT_OF_MEMORY or "CUDA_ERROR_OUT_OF_MEMORY" in str(error))


def exhausted(op, error, *arrays):
    """The MemoryError that tells of `error` and of the `arrays` of a call, or (shape, dtype) of what was to be made."""
    sizes = []
    for a in arrays:
        if a is not None:
            shape, dtype = (a if isinstance(a, tuple) else (a.shape, dtype_of(a)))
            sizes.append(f"{tuple(shape)} of {dtype} ({math.prod(shape) * dtype.itemsize:,} bytes)")
    return MemoryError(f"{op}: not enough memory on the device for {', '.join(sizes)}: {error}")
