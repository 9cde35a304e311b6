"""Dropout: one implementation for NumPy arrays and those of other libraries; the random numbers are NumPy's."""

import array_api_compat
import numpy as np

from fastconv import backends
from fastconv.checks import as_generator, empty, portable, real
from fastconv.functional.elementwise import BLOCK, blockwise


def dropout(input, p=0.5, training=True, inplace=False, *, generator=None):
    """Each element with probability `p` times 0, else times ``1 / (1 - p)``.

    Parameters
    ----------
    input : array of any shape, float32 or float64
    p : float
        From 0 to 1.
    training : bool
        False returns a copy of the input.
    inplace : bool
        Taken for torch's sake and ignored: inputs are never written to.
    generator : numpy.random.Generator or seed, optional
        Decides which elements are dropped: equal states drop the same ones.

    Returns
    -------
    array of the input's shape
        NaN where an infinity is dropped, as in torch.

    Raises
    ------
    ValueError, TypeError
        For another `p` and arrays of other types.
    """
    return _dropout("dropout", input, p, training, generator)[0]


def dropout_with_mask(input, p=0.5, training=True, *, generator=None):
    """As `dropout`; returns the mask too, which the gradient needs.

    Parameters
    ----------
    input, p, training, generator
        As of `dropout`.

    Returns
    -------
    output : array of the input's shape
    mask : array of bool of that shape
        True where an element is kept. Without training that is everywhere.
    """
    return _dropout("dropout_with_mask", input, p, training, generator)


def check_probability(op, p):
    """`p` as a float, refused unless it is from 0 to 1."""
    return float(p) if isinstance(p, (bool, np.bool_)) else real(op, "p", p, 0, 1)


def thinned(xp, x, mask, p):
    """`x` times 1 / (1 - p) where the mask is True, and times 0 elsewhere."""
    scale = 1 / (1 - p) if p < 1 else 0.0
    if xp is not np:
        return x * (xp.asarray(mask, dtype=x.dtype) * scale)
    factor = np.array([scale], x.dtype)
    kernel = backends.extra("dropout", x)
    if kernel is None:
        return blockwise(lambda y, x, mask: np.multiply(np.multiply(mask, factor, out=y), x, out=y), x, mask)
    y = empty(x.shape, x)
    kernel(x.reshape(-1), mask.reshape(-1), factor, y.reshape(-1))
    return y


def _dropout(op, input, p, training, generator):
    xp, x = portable(op, "input", input)
    p = check_probability(op, p)
    generator = as_generator(op, generator)
    if not training or not p:
        return xp.asarray(x, copy=True), xp.ones_like(x, dtype=xp.bool)
    mask = _mask(x.shape, p, generator)
    if xp is not np:
        mask = xp.asarray(mask, device=array_api_compat.device(x))
    return thinned(xp, x, mask, p), mask


def _mask(shape, p, generator):
    """True where a random number is at least `p`. In blocks, so that the numbers never leave the cache."""
    mask = np.empty(shape, np.bool_)
    flat = mask.reshape(-1)
    for i in range(0, mask.size, BLOCK):
        keep = flat[i:i + BLOCK]
        np.greater_equal(generator.random(keep.size, dtype=np.float32), p, out=keep)
    return mask
