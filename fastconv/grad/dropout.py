"""Gradient of dropout."""

import numpy as np

from fastconv.checks import check_library, contiguous, portable, portable_any
from fastconv.functional.dropout import check_probability, thinned
from fastconv.geometry import check_shape


def dropout_input(mask, grad_output, p=0.5):
    """Gradient of `dropout` with respect to its input.

    Parameters
    ----------
    mask : array of bool
        What `dropout_with_mask` returned.
    grad_output : array of the mask's shape, float32 or float64
    p : float
        As of `dropout`; 0 where it was not training.

    Returns
    -------
    array of the mask's shape

    Raises
    ------
    ValueError, TypeError
        For different shapes, another `p` and arrays of other types.
    """
    op = "dropout_input"
    xp, dy = portable(op, "grad_output", grad_output)
    _, mask = portable_any(op, "mask", mask)
    check_library(op, "mask", mask, dy, "grad_output")
    if mask.dtype != xp.bool:
        raise TypeError(f"{op}: mask must be of bool, as dropout_with_mask returns it, got {mask.dtype}")
    check_shape(op, "grad_output", dy.shape, mask.shape)
    return thinned(xp, dy, contiguous(mask) if xp is np else mask, check_probability(op, p))
