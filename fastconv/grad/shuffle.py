"""Gradients of shuffles and of resampling by an integer factor: each is its counterpart's operation."""

from fastconv import sampling
from fastconv.checks import portable, size
from fastconv.functional.resample import resample
from fastconv.functional.shuffle import factor_axes, shuffled, unshuffled
from fastconv.geometry import check_shape


def pixel_shuffle_input(grad_output, upscale_factor):
    """Gradient of `pixel_shuffle` with respect to its input.

    Parameters
    ----------
    grad_output : array (..., C, H * r, W * r), float32 or float64
    upscale_factor : int
        r

    Returns
    -------
    array (..., C * r * r, H, W)

    Raises
    ------
    ValueError, TypeError
        For sizes that r does not divide and arrays of other types.
    """
    return unshuffled("pixel_shuffle_input", "grad_output", grad_output, upscale_factor, "upscale_factor")


def pixel_unshuffle_input(grad_output, downscale_factor):
    """Gradient of `pixel_unshuffle` with respect to its input.

    Parameters
    ----------
    grad_output : array (..., C * r * r, H, W), float32 or float64
    downscale_factor : int
        r

    Returns
    -------
    array (..., C, H * r, W * r)

    Raises
    ------
    ValueError, TypeError
        For channels that r * r does not divide and arrays of other types.
    """
    return shuffled("pixel_unshuffle_input", "grad_output", grad_output, downscale_factor, "downscale_factor")


def zero_insert1d_input(input_size, grad_output, factor):
    """Gradient of `zero_insert1d` with respect to its input; see `zero_insert2d_input`."""
    return _gradient("zero_insert1d_input", 1, input_size, grad_output, factor, sampling.spread)


def zero_insert2d_input(input_size, grad_output, factor):
    """Gradient of `zero_insert2d` with respect to its input: what stands where the elements had come to.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    grad_output : array of the output's shape, float32 or float64
    factor : int or tuple of 2 ints

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _gradient("zero_insert2d_input", 2, input_size, grad_output, factor, sampling.spread)


def zero_insert3d_input(input_size, grad_output, factor):
    """Gradient of `zero_insert3d` with respect to its input; see `zero_insert2d_input`."""
    return _gradient("zero_insert3d_input", 3, input_size, grad_output, factor, sampling.spread)


def downsample1d_input(input_size, grad_output, factor):
    """Gradient of `downsample1d` with respect to its input; see `downsample2d_input`."""
    return _gradient("downsample1d_input", 1, input_size, grad_output, factor, sampling.every)


def downsample2d_input(input_size, grad_output, factor):
    """Gradient of `downsample2d` with respect to its input: zeros where elements were left out.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    grad_output : array of the output's shape, float32 or float64
    factor : int or tuple of 2 ints

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _gradient("downsample2d_input", 2, input_size, grad_output, factor, sampling.every)


def downsample3d_input(input_size, grad_output, factor):
    """Gradient of `downsample3d` with respect to its input; see `downsample2d_input`."""
    return _gradient("downsample3d_input", 3, input_size, grad_output, factor, sampling.every)


def _gradient(op, nd, input_size, grad_output, factor, table):
    xp, dy = portable(op, "grad_output", grad_output)
    shape = size(op, "input_size", input_size)
    axes = factor_axes(op, "input_size", shape, nd, factor, table)
    check_shape(op, "grad_output", dy.shape, (*shape[:-nd], *(axis.outputs for axis in axes)))
    return resample(xp, dy, [axis.transposed for axis in axes])
