"""Dropout: one implementation for NumPy arrays and those of other libraries; the random numbers are NumPy's."""

import array_api_compat
import numpy as np

from fastconv.checks import as_generator, portable, real
from fastconv.functional.elementwise import BLOCK


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


def kept_scale(p):
    """What the elements that stay are multiplied by."""
    return 1 / (1 - p) if p < 1 else 0.0


def _dropout(op, input, p, training, generator):
    xp, x = portable(op, "input", input)
    p = check_probability(op, p)
    generator = as_generator(op, generator)
    if not training or not p:
        return xp.asarray(x, copy=True), xp.ones_like(x, dtype=xp.bool)
    if xp is not np:
        mask = xp.asarray(_mask(x.shape, p, generator), device=array_api_compat.device(x))
        return x * (xp.asarray(mask, dtype=x.dtype) * kept_scale(p)), mask
    y, mask = np.empty_like(x), np.empty(x.shape, np.bool_)
    # In blocks, so that the random numbers never leave the cache.
    parts = [a.reshape(-1) for a in (x, y, mask)]
    with np.errstate(all="ignore"):
        for i in range(0, x.size, BLOCK):
            source, target, keep = (a[i:i + BLOCK] for a in parts)
            _draw(keep, p, generator)
            np.multiply(keep, x.dtype.type(kept_scale(p)), out=target)
            target *= source
    return y, mask


def _draw(keep, p, generator):
    np.greater_equal(generator.random(keep.size, dtype=np.float32), p, out=keep)


def _mask(shape, p, generator):
    mask = np.empty(shape, np.bool_)
    flat = mask.reshape(-1)
    for i in range(0, mask.size, BLOCK):
        _draw(flat[i:i + BLOCK], p, generator)
    return mask
