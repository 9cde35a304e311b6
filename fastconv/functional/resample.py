"""What padding, interpolation and adaptive averaging share: an `Axis` applied along each axis of an array."""

import math

import array_api_compat
import numpy as np

from fastconv import backends, sampling
from fastconv.checks import contiguous, empty


def resample(xp, x, axes, fill=0):
    """The array that `axes` make of `x`, along its last axes.

    Parameters
    ----------
    xp : array namespace
    x : array of it
    axes : sequence of `fastconv.sampling.Axis`
    fill : number
        Where an element is made of nothing. It must be 0 unless all of `axes` only pick elements.

    Returns
    -------
    array
        A new one, C-contiguous if it is NumPy's.
    """
    lead = x.ndim - len(axes)
    shape = (*x.shape[:lead], *(axis.outputs for axis in axes))
    first = next((i for i, axis in enumerate(axes) if not axis.identity), len(axes))
    kernel = backends.extra("resample", x) if math.prod(shape) else None
    if kernel is not None and x.dtype in (np.float32, np.float64):
        # The kernel knows three axes; padding alone may have more.
        split = max(first, len(axes) - 3)
        x = _one_by_one(xp, x, axes[:split], lead, fill)
        three = [*axes[split:]]
        three = [sampling.identity(1)] * (3 - len(three)) + three
        y = empty(shape, x)
        sizes = [axis.size for axis in three]
        kernel(contiguous(x).reshape(-1, *sizes), y.reshape(-1, *(axis.outputs for axis in three)), three, fill)
        return y
    y = _one_by_one(xp, x, axes, lead, fill)
    return xp.asarray(y, copy=True) if y is x else y


def divided(xp, x, divisors):
    """`x` divided by the product of a number for each place along its last axes."""
    total = 1
    for i, numbers in enumerate(divisors):
        total = total * xp.reshape(xp.asarray(numbers, dtype=x.dtype, device=array_api_compat.device(x)),
                                   (-1,) + (1,) * (len(divisors) - 1 - i))
    with np.errstate(all="ignore"):
        return x / total


def _one_by_one(xp, x, axes, lead, fill):
    # What makes an axis shorter comes first.
    for i in sorted(range(len(axes)), key=lambda i: axes[i].outputs / max(axes[i].size, 1)):
        if not axes[i].identity:
            x = _along(xp, x, axes[i], lead + i, fill)
    return x


def _along(xp, x, axis, dim, fill):
    shape = [1] * x.ndim
    shape[dim] = axis.outputs

    def table(values, dtype=None):
        return xp.asarray(values, dtype=dtype, device=array_api_compat.device(x))

    def column(values, dtype=None):
        return xp.reshape(table(values, dtype), tuple(shape))

    if axis.size == 0 or axis.outputs == 0 or not len(axis.index):
        size = (*x.shape[:dim], axis.outputs, *x.shape[dim + 1:])
        return xp.full(size, fill, dtype=x.dtype, device=array_api_compat.device(x))
    filler = xp.asarray(fill, dtype=x.dtype, device=array_api_compat.device(x))
    result = None
    for t in range(int(axis.counts.max())):
        has = axis.counts > t
        place = np.where(has, axis.start[:-1] + t, 0)
        term = xp.take(x, table(axis.index[place]), axis=dim)
        with np.errstate(all="ignore"):
            if axis.weight is not None:
                term = term * column(axis.weight[place], x.dtype)
            if not has.all():
                # Not a product with 0, which a NaN or an infinity would survive.
                term = xp.where(column(has), term, filler)
            result = term if result is None else result + term
    return result
