"""What an array must be before a kernel sees it, and new arrays for what a kernel writes.

Shapes are checked in `fastconv.geometry`. Convolution and pooling take NumPy arrays, and the arrays of any library that
lie in a CUDA device's memory; what has no kernel (activations, losses) takes the arrays of any library that follows the
array API standard. Here the two part: a NumPy array is known by its type alone, and passes first.
"""

import math
import operator
from contextlib import nullcontext

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.backends import memory, workspace

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_DEVICE_FLOATS = (np.dtype(np.float16), _FLOAT32, _FLOAT64)
_MAX_BYTES = 2**63 - 1


def floating(op, name, x):
    """`x` as an ndarray of native float32 or float64, or as it is if it lies in device memory; its strides are kept.

    In device memory float16 is taken too.

    Raises
    ------
    TypeError
        For everything else: lists, numbers, masked arrays, arrays of other types, host arrays of other libraries.
    """
    if type(x) is not np.ndarray:
        x = _ndarray(op, name, x)
        if type(x) is not np.ndarray:
            return _device_floating(op, name, x)
    dtype = x.dtype
    # The two types are singletons but for those that were unpickled or carry metadata.
    if dtype is _FLOAT32 or dtype is _FLOAT64:
        return x
    return _native(op, name, x)


def matching(op, name, x, like, like_name="input"):
    """`x` as `floating` gives it, refused unless it has the type of `like` and lies where `like` does."""
    if type(x) is type(like) is np.ndarray and x.dtype is like.dtype:
        return x
    x = floating(op, name, x)
    if not (x.dtype is like.dtype and type(x) is type(like) is np.ndarray):
        _check_match(op, name, x, like, like_name)
    return x


def contiguous(x):
    """`x`, or a C-contiguous and aligned copy of it where it is not both."""
    if type(x) is np.ndarray:
        flags = x.flags
        if flags.carray or (flags.c_contiguous and flags.aligned):
            return x
        return np.array(x, order="C")
    return x if memory.is_contiguous(x) else copied(x)


def copied(x):
    """A new C-contiguous array of the numbers of `x`, of its library and type, where it lies."""
    copy = empty(x.shape, x)
    with _current(x):
        copy[...] = x
    return copy


def packed(x, shape):
    """`x` as a C-contiguous array of `shape`, without a copy where it is contiguous."""
    # What is told at once need not go through `contiguous`: a call less on the way of every kernel.
    return x.reshape(shape) if type(x) is np.ndarray and x.flags.carray else contiguous(x).reshape(shape)


def empty(shape, like, dtype=None):
    """An uninitialised array where `like` lies, of its library, and of its type unless `dtype` (NumPy's) is another."""
    if type(like) is np.ndarray:
        return workspace.empty(shape, np.dtype(dtype) if dtype else like.dtype)
    return _device_array("empty", shape, like, dtype)


def zeros(shape, like):
    """An array of zeros where `like` lies, of its library and type."""
    if type(like) is np.ndarray:
        return np.zeros(shape, like.dtype)
    return _device_array("zeros", shape, like, None)


def total(op, name, x, axes):
    """The sum of an array that `floating` has passed over some axes, an array of its library."""
    if type(x) is np.ndarray:
        with np.errstate(all="ignore"):
            return np.asarray(x.sum(axis=axes))
    xp = arithmetic(op, name, x)
    # Of no axes, torch would take all.
    return xp.sum(x, axis=axes) if axes else copied(x)


def arithmetic(op, name, x):
    """The array namespace of `x`; TypeError for a device array of Numba's, which has none."""
    if type(x) is np.ndarray:
        return np
    if _is_bare(x):
        raise TypeError(f"{op}: {name} must be an array of a library that can compute with it, got {_kind(x)}, which "
                        f"only kernels take; with CuPy, pass cupy.asarray({name}), which copies nothing")
    return array_api_compat.array_namespace(x)


def size(op, name, value):
    """`value`, the shape of an array, as a tuple of ints."""
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{op}: {name} must be a tuple of ints, got {value!r}")
    try:
        result = tuple(map(operator.index, value))
    except TypeError:
        raise TypeError(f"{op}: {name} must be a tuple of ints, got {value!r}") from None
    if result and min(result) < 0:
        raise ValueError(f"{op}: {name} must hold no negative number, got {result}")
    if math.prod(n for n in result if n) * 8 > _MAX_BYTES:
        raise ValueError(f"{op}: {name} must describe an array whose bytes a 64-bit integer can count, got {result}")
    return result


def indices(op, name, x, limit, what="the size of an input map", wait=True):
    """`x` as an int64 array, refused unless all its elements are at least 0 and below `limit`, which is `what`.

    They are not looked at if `limit` is None; nor, without `wait`, in device memory, as the host would have to wait.
    """
    if type(x) is not np.ndarray:
        x = _ndarray(op, name, x)
    if memory.dtype_of(x) != np.int64:
        raise TypeError(f"{op}: {name} must be int64, as max pooling returns them, got {x.dtype}")
    x = contiguous(x)
    if limit is None:
        return x
    if type(x) is np.ndarray:
        # Seen as unsigned a negative number is a huge one, so that a single pass finds both ends.
        beyond = x.size and x.view(np.uint64).max() >= limit
    else:
        beyond = wait and math.prod(x.shape) and arithmetic(op, name, x).any((x < 0) | (x >= limit))
    if beyond:
        value = int(x[(x < 0) | (x >= limit)][0])
        raise ValueError(f"{op}: {name} must be at least 0 and below {limit}, {what}, got {value}")
    return x


def has_kernels(x):
    """Whether a backend's kernels take `x`: NumPy arrays, and all in device memory."""
    return type(x) is np.ndarray or memory.device_of(x) is not None


def portable(op, name, x, dtype=None):
    """(array namespace, `x` as an array of float32 or float64), for NumPy and other libraries' arrays alike.

    A NumPy array comes back C-contiguous; in device memory float16 is taken too. With `dtype`, arrays of any real type
    are taken and cast to it.
    """
    if type(x) is not np.ndarray:
        x = _any_library(op, name, x)
        if type(x) is not np.ndarray:
            return _portable_foreign(op, name, x, dtype)
    if dtype is None:
        return np, contiguous(floating(op, name, x))
    return np, _cast(op, name, x, dtype)


def portable_matching(op, name, x, like, like_name="input"):
    """`x` as `portable` gives it, refused unless it is of the library, the memory and the type of `like`."""
    _, x = portable(op, name, x)
    check_library(op, name, x, like, like_name)
    if x.dtype != like.dtype:
        raise _mixed(op, name, x.dtype, like_name, like.dtype)
    return x


def portable_any(op, name, x):
    """(array namespace, `x` as an array of it), whatever its type."""
    if type(x) is not np.ndarray:
        x = _any_library(op, name, x)
    return arithmetic(op, name, x), x


def check_place(op, name, x, like, like_name="input"):
    """Raise TypeError unless `x` and `like` lie in the same memory."""
    if type(x) is np.ndarray is type(like):
        return
    if memory.device_of(x) != memory.device_of(like):
        place, like_place = memory.place(x), memory.place(like)
        raise TypeError(f"{op}: {name} lies in {place} but {like_name} in {like_place}; move one of them, "
                        "for example by layer.to('cuda') or layer.to('cpu'), by cupy.asarray or cupy.asnumpy")


def check_library(op, name, x, like, like_name="input"):
    """Raise TypeError unless `x` and `like` are arrays of the same library, in the same memory."""
    check_place(op, name, x, like, like_name)
    if type(x) is not type(like):
        raise TypeError(f"{op}: {name} and {like_name} must be arrays of the same library, got {_kind(x)} and "
                        f"{_kind(like)}")


def real(op, name, value, least=-math.inf, most=math.inf):
    """`value` as a float, refused unless it is a real number from `least` to `most`."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{op}: {name} must be a number, got {value!r}")
    if not least <= value <= most and (math.isfinite(least) or math.isfinite(most)):
        limits = f"from {least} to {most}" if math.isfinite(most) else f"at least {least}"
        raise ValueError(f"{op}: {name} must be {limits}, got {value!r}")
    return float(value)


def as_generator(op, generator):
    """A NumPy generator from itself, from a seed, or from None (a fresh one of unpredictable seed)."""
    try:
        return np.random.default_rng(generator)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: generator must be a numpy.random.Generator, a seed or None, got "
                        f"{generator!r}") from None


def check_axis(op, dim, ndim):
    """`dim` as an axis of an array of `ndim` axes, counted from 0."""
    if isinstance(dim, (bool, np.bool_)) or not hasattr(dim, "__index__"):
        raise TypeError(f"{op}: dim must be an int, got {dim!r}")
    dim, ndim = operator.index(dim), max(ndim, 1)
    if not -ndim <= dim < ndim:
        raise ValueError(f"{op}: dim must be from {-ndim} to {ndim - 1} for this input, got {dim}")
    return dim % ndim


def _ndarray(op, name, x):
    """`x` as an ndarray, or as it is if it lies in device memory."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{op}: {name} must be a plain NumPy array, got a masked array; pass {name}.filled(value)")
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    if memory.device_of(x) is not None:
        return x
    # A layer's Parameter; a list or another library's array is not converted behind the caller's back.
    data = getattr(x, "data", None)
    if hasattr(x, "__array__") and (isinstance(data, np.ndarray) or memory.device_of(data) is not None):
        return data if type(data) is np.ndarray else _ndarray(op, name, data)
    raise TypeError(f"{op}: {name} must be a NumPy array, got {_kind(x)}")


def _any_library(op, name, x):
    """`x` as an ndarray, or as it is if its library follows the array API standard or it lies in device memory."""
    foreign = not isinstance(x, (np.ndarray, np.generic)) and array_api_compat.is_array_api_obj(x)
    return x if foreign else _ndarray(op, name, x)


def _device_floating(op, name, x):
    dtype = memory.dtype_of(x)
    if dtype not in _DEVICE_FLOATS:
        raise TypeError(f"{op}: {name} must be float16, float32 or float64, got {x.dtype}; cast it")
    if getattr(x, "requires_grad", False) is True:
        raise TypeError(f"{op}: {name} requires a gradient, which torch cannot follow through here; pass "
                        f"{name}.detach()")
    if not memory.is_contiguous(x) and _is_bare(x):
        raise ValueError(f"{op}: {name} must be C-contiguous, as there is no library to copy a {_kind(x)}; with CuPy, "
                         f"pass cupy.ascontiguousarray(cupy.asarray({name}))")
    return x


def _is_bare(x):
    """Whether a device array belongs to no library that can compute with it, or make new ones."""
    return memory.is_numba(x) or not array_api_compat.is_array_api_obj(x)


def _current(x):
    """A block within which the device of `x` is current: CuPy makes and fills arrays there, whatever it is asked."""
    device = getattr(x, "device", None)
    # torch does as it is asked, and its devices are slow to enter.
    return device if hasattr(type(device), "__enter__") and not array_api_compat.is_torch_array(x) else nullcontext()


def _device_array(make, shape, like, dtype):
    try:
        if _is_bare(like):
            arrays, number, dtype = backends.cuda_arrays(), memory.device_of(like), dtype or memory.dtype_of(like)
            if make == "zeros":
                return arrays.from_host(np.zeros(shape, dtype), number)
            return arrays.empty(shape, dtype, number)
        xp = array_api_compat.array_namespace(like)
        own = like.dtype if dtype is None else getattr(xp, np.dtype(dtype).name)
        with _current(like):
            return getattr(xp, make)(tuple(shape), dtype=own, device=array_api_compat.device(like))
    except Exception as error:
        if memory.is_exhausted(error):
            raise memory.exhausted(make, error, (shape, np.dtype(dtype or memory.dtype_of(like)))) from error
        raise


def _check_match(op, name, x, like, like_name):
    check_place(op, name, x, like, like_name)
    if x.dtype is not like.dtype and memory.dtype_of(x) != memory.dtype_of(like):
        raise _mixed(op, name, x.dtype, like_name, like.dtype)


def _native(op, name, x):
    dtype = x.dtype
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise _wrong_type(op, name, dtype)
    return x.astype(_FLOAT32 if dtype.itemsize == 4 else _FLOAT64)


def _cast(op, name, x, dtype):
    target = _float_type(op, dtype)
    if x.dtype.kind not in "biuf":
        raise _wrong_type(op, name, x.dtype)
    with np.errstate(all="ignore"):
        return contiguous(x.astype(target, copy=False))


def _float_type(op, dtype):
    try:
        target = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        target = np.dtype(object)  # None would compare equal to float64
    if target != _FLOAT32 and target != _FLOAT64:
        raise TypeError(f"{op}: dtype must be float32 or float64, got {dtype!r}")
    return target


def _portable_foreign(op, name, x, dtype):
    xp = arithmetic(op, name, x)
    floats = (xp.float32, xp.float64)
    if memory.device_of(x) is not None:
        floats = (xp.float16, *floats)
    if dtype is not None:
        if dtype not in floats:
            raise TypeError(f"{op}: dtype must be float32 or float64 of {name}'s own library, got {dtype!r}")
        if not xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
            raise _wrong_type(op, name, x.dtype)
        return xp, xp.astype(x, dtype, copy=False)
    if x.dtype not in floats:
        raise _wrong_type(op, name, x.dtype)
    return xp, x


def _wrong_type(op, name, dtype):
    return TypeError(f"{op}: {name} must be float32 or float64, got {dtype}; cast it, for example "
                     f"{name}.astype(np.float32)")


def _mixed(op, name, dtype, like_name, like_dtype):
    return TypeError(f"{op}: {name} is {dtype} but {like_name} is {like_dtype}; cast one of them, for example "
                     f"{name}.astype({like_name}.dtype)")


def _kind(x):
    kind = type(x)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
