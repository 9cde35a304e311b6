"""Convolution with learned filters: torch's, which slides the kernel without flipping it."""

from fastconv import backends, geometry
from fastconv.checks import contiguous, empty, floating, matching


def conv1d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate batches of 1-D maps with a bank of filters.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    weight : array (K, C / groups, S), of the input's type
    bias : array (K,), optional
    stride, dilation : int or tuple of 1 int
    padding : int, tuple of 1 int, 'same' or 'valid'
    groups : int

    Returns
    -------
    array (N, K, Q) or (K, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate batches of 2-D maps with a bank of filters.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    weight : array (K, C / groups, R, S), of the input's type
    bias : array (K,), optional
    stride, dilation : int or tuple of 2 ints
    padding : int, tuple of 2 ints, 'same' or 'valid'
        Zeros on both sides of an axis. 'same' needs stride 1 and puts the odd one behind.
    groups : int
        Input and output channels are split into as many independent convolutions.

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate batches of 3-D maps with a bank of filters.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    weight : array (K, C / groups, T, R, S), of the input's type
    bias : array (K,), optional
    stride, dilation : int or tuple of 3 ints
    padding : int, tuple of 3 ints, 'same' or 'valid'
    groups : int

    Returns
    -------
    array (N, K, O, P, Q) or (K, O, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _conv(op, nd, input, weight, bias, stride, padding, dilation, groups):
    x = floating(op, "input", input)
    w = matching(op, "weight", weight, x)
    g, y_shape = geometry.conv_call(op, nd, x.shape, w.shape, stride, padding, dilation, groups)
    if bias is not None:
        bias = contiguous(matching(op, "bias", bias, x))
        if bias.shape != g.bias_shape:
            geometry.check_shape(op, "bias", bias.shape, g.bias_shape)
    y = empty(y_shape, x)
    if g.n:
        backends.serving(x).conv_forward(contiguous(x), contiguous(w), bias, y, g)
    return y
