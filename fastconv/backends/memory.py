"""In whose memory an array lies, the host's or a CUDA device's. Nothing of CUDA is imported to tell."""

import math

import numpy as np

from fastconv.backends import dlpack

CUDA = (2, 13)  # kDLCUDA and kDLCUDAManaged, the devices of DLPack's DLDeviceType whose memory kernels can reach
OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


def device_of(x):
    """The number of the CUDA device in whose memory `x` lies; None for arrays in host memory and all that is no array.

    An array that has ``__cuda_array_interface__`` but not ``__dlpack_device__`` does not say where it lies: it is taken
    to be on device 0.
    """
    if is_numba(x):
        # The simulator's arrays have no device; there is but one.
        memory = getattr(x, "gpu_data", None)
        return 0 if memory is None else memory.context.device.id
    ask = getattr(x, "__dlpack_device__", None)
    if ask is not None:
        kind, number = ask()
        return int(number) if kind in CUDA else None
    return 0 if hasattr(type(x), "__cuda_array_interface__") else None


def place(x):
    """`device_of` in words: ``'host memory'`` or such as ``'cuda:0'``."""
    number = device_of(x)
    return "host memory" if number is None else f"cuda:{number}"


def is_numba(x):
    """Whether `x` is a device array of Numba's, which can be passed to kernels but has no arithmetic."""
    return bool(getattr(type(x), "__cuda_ndarray__", False))


def dtype_of(x):
    """The type of an array's elements as a NumPy dtype; that of objects where NumPy has no such type."""
    dtype = x.dtype
    if isinstance(dtype, np.dtype):
        return dtype
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
