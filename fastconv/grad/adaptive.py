"""Gradients of adaptive pooling."""

from fastconv import backends, geometry, sampling
from fastconv.checks import contiguous, empty, has_kernels, portable, size
from fastconv.functional.adaptive import equal_windows, regions, volumes
from fastconv.functional.resample import divided, resample
from fastconv.grad.pool import scatter_add


def adaptive_avg_pool1d_input(input_size, grad_output):
    """Gradient of `adaptive_avg_pool1d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W) or (C, W)
    grad_output : array (N, C, Q) or (C, Q), float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_avg_input("adaptive_avg_pool1d_input", 1, input_size, grad_output)


def adaptive_avg_pool2d_input(input_size, grad_output):
    """Gradient of `adaptive_avg_pool2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    grad_output : array (N, C, P, Q) or (C, P, Q), float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_avg_input("adaptive_avg_pool2d_input", 2, input_size, grad_output)


def adaptive_avg_pool3d_input(input_size, grad_output):
    """Gradient of `adaptive_avg_pool3d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, D, H, W) or (C, D, H, W)
    grad_output : array (N, C, O, P, Q) or (C, O, P, Q), float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _adaptive_avg_input("adaptive_avg_pool3d_input", 3, input_size, grad_output)


def adaptive_max_pool1d_input(input_size, indices, grad_output):
    """Gradient of `adaptive_max_pool1d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W) or (C, W)
    indices : array of int64 (N, C, Q) or (C, Q)
        As `adaptive_max_pool1d` returns them. Every one is checked.
    grad_output : array of the shape of `indices`, float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return scatter_add("adaptive_max_pool1d_input", 1, input_size, indices, grad_output)


def adaptive_max_pool2d_input(input_size, indices, grad_output):
    """Gradient of `adaptive_max_pool2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    indices : array of int64 (N, C, P, Q) or (C, P, Q)
        As `adaptive_max_pool2d` returns them. Every one is checked.
    grad_output : array of the shape of `indices`, float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return scatter_add("adaptive_max_pool2d_input", 2, input_size, indices, grad_output)


def adaptive_max_pool3d_input(input_size, indices, grad_output):
    """Gradient of `adaptive_max_pool3d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, D, H, W) or (C, D, H, W)
    indices : array of int64 (N, C, O, P, Q) or (C, O, P, Q)
        As `adaptive_max_pool3d` returns them. Every one is checked.
    grad_output : array of the shape of `indices`, float32 or float64

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return scatter_add("adaptive_max_pool3d_input", 3, input_size, indices, grad_output)


def _adaptive_avg_input(op, nd, input_size, grad_output):
    xp, dy = portable(op, "grad_output", grad_output)
    given = size(op, "input_size", input_size)
    shape, batched = geometry.with_batch(op, "input_size", given, nd)
    dy_shape, _ = geometry.with_batch(op, "grad_output", tuple(dy.shape), nd)
    outputs = geometry.adaptive(op, shape, dy_shape[2:])
    geometry.check_shape(op, "grad_output", dy.shape, (shape[:2] if batched else shape[1:2]) + outputs)
    g = equal_windows(op, shape, outputs) if has_kernels(dy) and shape[0] else None
    if g is not None:
        dx = empty(given, dy)
        backends.serving(dy).avg_pool_backward(contiguous(dy), dx, g)
        return dx
    kernel = backends.extra("adaptive_avg_backward", dy)
    if kernel is not None:
        dx = empty(given, dy)
        kernel(volumes(dy, nd), volumes(dx, nd), regions(shape[2:], outputs))
        return dx
    axes = [sampling.windows(*along) for along in zip(shape[2:], outputs, strict=True)]
    return resample(xp, divided(xp, dy, [axis.counts for axis in axes]), [axis.transposed for axis in axes])
