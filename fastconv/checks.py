"""What an array must be before a kernel sees it. Shapes are checked in `fastconv.geometry`.

Convolution and pooling take NumPy arrays; what has no kernel (activations, losses) takes the arrays of any library that
follows the array API standard.
"""

import math
import operator

import array_api_compat
import numpy as np

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_MAX_BYTES = 2**63 - 1


def floating(op, name, x):
    """`x` as an ndarray of native float32 or float64; its strides are kept.

    Raises
    ------
    TypeError
        For everything else: lists, numbers, masked arrays, arrays of other types or of other libraries.
    """
    if type(x) is not np.ndarray:
        x = _ndarray(op, name, x)
    dtype = x.dtype
    # The two types are singletons but for those that were unpickled or carry metadata.
    if dtype is _FLOAT32 or dtype is _FLOAT64:
        return x
    return _native(op, name, x)


def matching(op, name, x, like, like_name="input"):
    """`x` as `floating` gives it, refused unless it has the type of `like`."""
    x = floating(op, name, x)
    if x.dtype != like.dtype:
        raise _mixed(op, name, x.dtype, like_name, like.dtype)
    return x


def contiguous(x):
    """`x`, or a C-contiguous and aligned copy of it where it is not both."""
    flags = x.flags
    if flags.carray or (flags.c_contiguous and flags.aligned):
        return x
    return np.array(x, order="C")


def packed(x, shape):
    """`x` as a C-contiguous array of `shape`, without a copy where it is contiguous."""
    return contiguous(x).reshape(shape)


def user_shape(shape, nd, batched):
    """The caller's form of a kernel's 5-D `shape`: `nd` spatial axes, with the batch axis or without."""
    return (shape[:2] if batched else shape[1:2]) + shape[5 - nd:]


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


def indices(op, name, x, limit, what="the size of an input map"):
    """`x` as an int64 ndarray, refused unless all its elements are at least 0 and below `limit`, which is `what`."""
    if type(x) is not np.ndarray:
        x = _ndarray(op, name, x)
    if x.dtype != np.int64:
        raise TypeError(f"{op}: {name} must be int64, as max pooling returns them, got {x.dtype}")
    x = contiguous(x)
    # Seen as unsigned a negative number is a huge one, so that a single pass finds both ends.
    if x.size and x.view(np.uint64).max() >= limit:
        value = x[(x < 0) | (x >= limit)][0]
        raise ValueError(f"{op}: {name} must be at least 0 and below {limit}, {what}, got {value}")
    return x


def portable(op, name, x, dtype=None):
    """(array namespace, `x` as an array of float32 or float64), for NumPy and other libraries' arrays alike.

    A NumPy array comes back C-contiguous. With `dtype`, arrays of any real type are taken and cast to it.
    """
    if type(x) is not np.ndarray and _foreign(x):
        return _portable_foreign(op, name, x, dtype)
    if dtype is None:
        return np, contiguous(floating(op, name, x))
    return np, _cast(op, name, x, dtype)


def portable_matching(op, name, x, like, like_name="input"):
    """`x` as `portable` gives it, refused unless it is of the library and type of `like`."""
    _, x = portable(op, name, x)
    check_library(op, name, x, like, like_name)
    if x.dtype != like.dtype:
        raise _mixed(op, name, x.dtype, like_name, like.dtype)
    return x


def portable_any(op, name, x):
    """(array namespace, `x` as an array of it), whatever its type."""
    if type(x) is np.ndarray or not _foreign(x):
        return np, x if type(x) is np.ndarray else _ndarray(op, name, x)
    return array_api_compat.array_namespace(x), x


def check_library(op, name, x, like, like_name="input"):
    """Raise TypeError unless `x` and `like` are arrays of the same library."""
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
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{op}: {name} must be a plain NumPy array, got a masked array; pass {name}.filled(value)")
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    # A layer's Parameter; a list or another library's array is not converted behind the caller's back.
    data = getattr(x, "data", None)
    if hasattr(x, "__array__") and isinstance(data, np.ndarray):
        return data if type(data) is np.ndarray else _ndarray(op, name, data)
    raise TypeError(f"{op}: {name} must be a NumPy array, got {_kind(x)}")


def _native(op, name, x):
    dtype = x.dtype
    if dtype.kind != "f" or dtype.itemsize not in (4, 8):
        raise _wrong_type(op, name, dtype)
    return x.astype(_FLOAT32 if dtype.itemsize == 4 else _FLOAT64)


def _cast(op, name, x, dtype):
    target = _float_type(op, dtype)
    _, x = portable_any(op, name, x)
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


def _foreign(x):
    return not isinstance(x, (np.ndarray, np.generic)) and array_api_compat.is_array_api_obj(x)


def _portable_foreign(op, name, x, dtype):
    xp = array_api_compat.array_namespace(x)
    floats = (xp.float32, xp.float64)
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
