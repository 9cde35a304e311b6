"""Device arrays that are passed by DLPack alone: their memory, as ``__cuda_array_interface__`` would describe it.

The structures are those of dlpack.h, version 0.x, in which any library still answers a call of ``__dlpack__()`` without
a version.
"""

import ctypes
import math

LEGACY_STREAM = 1
KINDS = {0: "i", 1: "u", 2: "f"}  # DLDataTypeCode: kDLInt, kDLUInt, kDLFloat


class _Tensor(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("device_type", ctypes.c_int), ("device_id", ctypes.c_int),
                ("ndim", ctypes.c_int), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
                ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)),
                ("byte_offset", ctypes.c_uint64)]


_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class Interface(dict):
    """A description as of ``__cuda_array_interface__``, which keeps the capsule that owns the memory."""

    capsule = None


def c_strides(shape, itemsize):
    """The strides, in bytes, of a C-contiguous array."""
    return tuple(itemsize * math.prod(shape[axis + 1:]) for axis in range(len(shape)))


def interface(x, stream=LEGACY_STREAM):
    """Describe the memory of `x`, and have `stream` wait until it is ready.

    Parameters
    ----------
    x : array with ``__dlpack__``
    stream : int
        As of ``__dlpack__``.

    Returns
    -------
    Interface
        It must live as long as the memory is used.

    Raises
    ------
    TypeError
        For elements that are no plain integers or floats.
    """
    capsule = x.__dlpack__(stream=stream)
    # The capsule is not renamed to "used_dltensor": it stays the owner, and its destructor gives the memory back.
    tensor = _Tensor.from_address(_pointer(capsule, b"dltensor"))
    if tensor.lanes != 1 or tensor.bits % 8 or tensor.code not in KINDS:
        raise TypeError(f"an array by DLPack must hold plain integers or floats, got type code {tensor.code} of "
                        f"{tensor.bits} bits and {tensor.lanes} lanes")
    shape, itemsize = tuple(tensor.shape[:tensor.ndim]), tensor.bits // 8
    strides = tuple(n * itemsize for n in tensor.strides[:tensor.ndim]) if tensor.strides else None
    found = Interface(shape=shape, typestr=f"<{KINDS[tensor.code]}{itemsize}", version=3,
                      data=((tensor.data or 0) + tensor.byte_offset, False),
                      strides=None if strides == c_strides(shape, itemsize) else strides)
    found.capsule = capsule
    return found
