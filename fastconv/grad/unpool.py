"""Gradients of max_unpool."""

import math

from fastconv import backends, geometry
from fastconv.checks import arithmetic, check_place, empty, floating, packed
from fastconv.checks import indices as checked_indices


def max_unpool1d_input(indices, grad_output):
    """Gradient of `max_unpool1d` with respect to its input; see `max_unpool2d_input`."""
    return _max_unpool_input("max_unpool1d_input", 1, indices, grad_output)


def max_unpool2d_input(indices, grad_output):
    """Gradient of `max_unpool2d` with respect to its input: what stands at `indices`.

    Parameters
    ----------
    indices : array of int64 (N, C, P, Q) or (C, P, Q)
        Those of the call. Every one is checked.
    grad_output : array (N, C, H, W) or (C, H, W), float32 or float64

    Returns
    -------
    array of the shape of `indices`
        Each of several elements for a place gets the whole of its gradient, as in torch.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, indices outside the map and arrays of other types.
    """
    return _max_unpool_input("max_unpool2d_input", 2, indices, grad_output)


def max_unpool3d_input(indices, grad_output):
    """Gradient of `max_unpool3d` with respect to its input; see `max_unpool2d_input`."""
    return _max_unpool_input("max_unpool3d_input", 3, indices, grad_output)


def _max_unpool_input(op, nd, indices, grad_output):
    dy = floating(op, "grad_output", grad_output)
    shape, _ = geometry.with_batch(op, "grad_output", dy.shape, nd)
    indices = checked_indices(op, "indices", indices, math.prod(shape[2:]), "the size of a map of grad_output")
    lead = dy.ndim - nd
    if indices.ndim != dy.ndim or indices.shape[:lead] != dy.shape[:lead]:
        raise ValueError(f"{op}: indices must have the batch and channels of grad_output, {dy.shape[:lead]}, and as "
                         f"many axes, got shape {indices.shape}")
    check_place(op, "indices", indices, dy, "grad_output")
    dx = empty(indices.shape, dy)
    if math.prod(dx.shape):
        planes = math.prod(dy.shape[:lead])
        kernel = backends.extra("max_unpool_backward", dy) or _gather
        kernel(packed(dy, (planes, -1)), indices.reshape((planes, -1)), dx.reshape((planes, -1)))
    return dx


def _gather(dy, indices, dx):
    """``dx[plane, i] = dy[plane, indices[plane, i]]``"""
    dx[...] = arithmetic("max_unpool", "grad_output", dy).take_along_axis(dy, indices, axis=1)
