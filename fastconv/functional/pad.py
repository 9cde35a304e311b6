"""Elements round an array."""

import operator
from functools import lru_cache

import numpy as np

from fastconv import sampling
from fastconv.checks import contiguous, portable, portable_any
from fastconv.functional.resample import resample
from fastconv.geometry import AXES, check_total


def pad(input, pad, mode="constant", value=None):
    """Add elements before and after the axes of an array, or take some away where `pad` is negative.

    Parameters
    ----------
    input : array of any shape; float32, float64, integers or bools
    pad : sequence of an even number of ints
        (before, after) of the last axis, then of the one before it, and so on. Modes but 'constant' need it for all
        axes but batch and channels: 2 numbers for an input (N, C, W) or (C, W), 4 for (N, C, H, W) or (C, H, W), 6 for
        (N, C, D, H, W) or (C, D, H, W).
    mode : {'constant', 'reflect', 'replicate', 'circular'}
        'reflect' mirrors the axis about its last element, 'replicate' repeats that, 'circular' goes on at the other
        end.
    value : number, optional
        The elements added in mode 'constant', 0 without it. Its fraction is dropped for integers.

    Returns
    -------
    array of the input's type

    Raises
    ------
    ValueError, TypeError
        For pads that leave fewer than no elements, those that reach beyond the axis in mode 'reflect' or 'circular',
        other modes, and arrays of other types.
    """
    xp, x = _operand("pad", "input", input)
    check_mode("pad", mode)
    axes = pad_axes("pad", tuple(x.shape), pad, mode)
    return resample(xp, x, axes, _fill("pad", xp, x, mode, value))


def check_mode(op, mode):
    """Refuse any mode but those of `pad`."""
    if not isinstance(mode, str) or mode not in sampling.PAD_MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(map(repr, sampling.PAD_MODES))}, got {mode!r}")


def pad_axes(op, shape, pad, mode):
    """One `fastconv.sampling.Axis` for each axis of `shape` that `pad` is about."""
    return _pad_axes(op, shape, _ints(op, pad), mode)


@lru_cache(maxsize=1024)
def _pad_axes(op, shape, pad, mode):
    if len(pad) % 2:
        raise ValueError(f"{op}: pad must have an even number of elements, got {pad}")
    count, ndim = len(pad) // 2, len(shape)
    if count > ndim:
        raise ValueError(f"{op}: pad must have at most {2 * ndim} elements for an input of shape {shape}, got {pad}")
    if mode != "constant":
        if not 1 <= count <= 3 or ndim - count not in (1, 2):
            raise ValueError(f"{op}: mode={mode!r} needs a pad of 2, 4 or 6 elements, for all axes of the input but "
                             f"channels and batch, got {pad} for shape {shape}")
        if mode != "circular" and 0 in shape[ndim - count - 1:]:
            raise ValueError(f"{op}: mode={mode!r}: no axis but the batch of input may be empty, got shape {shape}")
    # Before any table is made.
    around = [sum(pad[2 * i:2 * i + 2]) for i in reversed(range(count))]
    check_total(op, (*shape[:ndim - count], *(max(n + more, 0) for n, more in zip(shape[ndim - count:], around,
                                                                                  strict=True))))
    axes = [sampling.padded(op, shape[axis], pad[2 * (ndim - 1 - axis)], pad[2 * (ndim - 1 - axis) + 1], mode,
                            AXES[3 - ndim + axis] if ndim - axis <= 3 else f"axis {axis}")
            for axis in range(ndim - count, ndim)]
    if mode in ("reflect", "replicate") and not any(axis.outputs for axis in axes):
        raise ValueError(f"{op}: mode={mode!r} must leave at least 1 element along some axis, got pad={pad} for shape "
                         f"{shape}")
    return axes


def _operand(op, name, x):
    xp, found = portable_any(op, name, x)
    if xp is np and found.dtype.kind in "biu":
        return np, contiguous(found)
    if xp is not np and xp.isdtype(found.dtype, ("bool", "integral")):
        return xp, found
    return portable(op, name, x)


def _ints(op, pad):
    if isinstance(pad, (tuple, list)) or getattr(pad, "ndim", 0) == 1:
        pad = tuple(pad)
        if all(type(n) is int for n in pad):
            return pad
        if not any(isinstance(n, (bool, np.bool_)) for n in pad) and all(hasattr(n, "__index__") for n in pad):
            return tuple(map(operator.index, pad))
    raise TypeError(f"{op}: pad must be a sequence of ints, got {pad!r}")


def _fill(op, xp, x, mode, value):
    if value is None:
        return 0
    if isinstance(value, (str, bytes)) or not hasattr(value, "__float__") or getattr(value, "ndim", 0):
        raise TypeError(f"{op}: value must be a number, got {value!r}")
    if mode != "constant":
        if value:
            raise ValueError(f"{op}: value must be left out in mode={mode!r}, got {value!r}")
        return 0
    if xp.isdtype(x.dtype, "real floating"):
        return float(value)
    if xp.isdtype(x.dtype, "bool"):
        return bool(value)
    limits = xp.iinfo(x.dtype)
    if not limits.min <= value <= limits.max:
        raise ValueError(f"{op}: value must fit {x.dtype}, got {value!r}")
    return int(value)
