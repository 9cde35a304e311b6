"""Gradients of convolution and correlation of plain signals."""

from fastconv import backends
from fastconv.checks import arithmetic, contiguous, copied, empty, floating, matching, size
from fastconv.functional.signal import signal_geometry
from fastconv.geometry import check_shape


def correlate1d_input(input_size, kernel, grad_output, mode="full"):
    """Gradient of `correlate1d` with respect to its input; see `correlate2d_input`."""
    return _input("correlate1d_input", 1, input_size, kernel, grad_output, mode, flip=False)


def correlate2d_input(input_size, kernel, grad_output, mode="full"):
    """Gradient of `correlate2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (H, W)
    kernel : array (R, S), float32 or float64
    grad_output : array of the output's shape, of the kernel's type
    mode : {'full', 'same', 'valid'}
        As of `correlate2d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, arrays of other types and other modes.
    """
    return _input("correlate2d_input", 2, input_size, kernel, grad_output, mode, flip=False)


def correlate3d_input(input_size, kernel, grad_output, mode="full"):
    """Gradient of `correlate3d` with respect to its input; see `correlate2d_input`."""
    return _input("correlate3d_input", 3, input_size, kernel, grad_output, mode, flip=False)


def correlate1d_kernel(input, kernel_size, grad_output, mode="full"):
    """Gradient of `correlate1d` with respect to its kernel; see `correlate2d_kernel`."""
    return _kernel("correlate1d_kernel", 1, input, kernel_size, grad_output, mode, flip=False)


def correlate2d_kernel(input, kernel_size, grad_output, mode="full"):
    """Gradient of `correlate2d` with respect to its kernel.

    Parameters
    ----------
    input : array (H, W), float32 or float64
    kernel_size : tuple of int
        (R, S)
    grad_output : array of the output's shape, of the input's type
    mode : {'full', 'same', 'valid'}
        As of `correlate2d`.

    Returns
    -------
    array of shape `kernel_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, arrays of other types and other modes.
    """
    return _kernel("correlate2d_kernel", 2, input, kernel_size, grad_output, mode, flip=False)


def correlate3d_kernel(input, kernel_size, grad_output, mode="full"):
    """Gradient of `correlate3d` with respect to its kernel; see `correlate2d_kernel`."""
    return _kernel("correlate3d_kernel", 3, input, kernel_size, grad_output, mode, flip=False)


def convolve1d_input(input_size, kernel, grad_output, mode="full"):
    """Gradient of `convolve1d` with respect to its input; see `correlate2d_input`."""
    return _input("convolve1d_input", 1, input_size, kernel, grad_output, mode, flip=True)


def convolve2d_input(input_size, kernel, grad_output, mode="full"):
    """Gradient of `convolve2d` with respect to its input; see `correlate2d_input`."""
    return _input("convolve2d_input", 2, input_size, kernel, grad_output, mode, flip=True)


def convolve3d_input(input_size, kernel, grad_output, mode="full"):
    """Gradient of `convolve3d` with respect to its input; see `correlate2d_input`."""
    return _input("convolve3d_input", 3, input_size, kernel, grad_output, mode, flip=True)


def convolve1d_kernel(input, kernel_size, grad_output, mode="full"):
    """Gradient of `convolve1d` with respect to its kernel; see `correlate2d_kernel`."""
    return _kernel("convolve1d_kernel", 1, input, kernel_size, grad_output, mode, flip=True)


def convolve2d_kernel(input, kernel_size, grad_output, mode="full"):
    """Gradient of `convolve2d` with respect to its kernel; see `correlate2d_kernel`."""
    return _kernel("convolve2d_kernel", 2, input, kernel_size, grad_output, mode, flip=True)


def convolve3d_kernel(input, kernel_size, grad_output, mode="full"):
    """Gradient of `convolve3d` with respect to its kernel; see `correlate2d_kernel`."""
    return _kernel("convolve3d_kernel", 3, input, kernel_size, grad_output, mode, flip=True)


def _input(op, nd, input_size, kernel, grad_output, mode, flip):
    w = floating(op, "kernel", kernel)
    dy = matching(op, "grad_output", grad_output, w, "kernel")
    shape = size(op, "input_size", input_size)
    g = signal_geometry(op, nd, {"input_size": shape, "kernel": tuple(w.shape)}, mode)
    check_shape(op, "grad_output", tuple(dy.shape), g.output[3 - nd:])
    if flip:
        w = arithmetic(op, "kernel", w).flip(w)
    dx = empty(shape, dy)
    backends.serving(dy).conv_backward_input(contiguous(dy), contiguous(w), dx, g)
    return dx


def _kernel(op, nd, input, kernel_size, grad_output, mode, flip):
    x = floating(op, "input", input)
    dy = matching(op, "grad_output", grad_output, x)
    shape = size(op, "kernel_size", kernel_size)
    g = signal_geometry(op, nd, {"input": tuple(x.shape), "kernel_size": shape}, mode)
    check_shape(op, "grad_output", tuple(dy.shape), g.output[3 - nd:])
    x, dy, dw = contiguous(x), contiguous(dy), empty(shape, x)
    backends.serving(x).conv_backward_weight(x, dy, dw, None, g)
    return copied(arithmetic(op, "input", dw).flip(dw)) if flip else dw
