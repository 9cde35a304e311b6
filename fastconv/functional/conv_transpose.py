"""Transposed convolution: the input gradient of the convolution with the same arguments."""

import numpy as np

from fastconv import backends, geometry
from fastconv.checks import arithmetic, contiguous, empty, floating, matching


def conv_transpose1d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution of batches of 1-D maps.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    weight : array (C, K / groups, S), of the input's type
    bias : array (K,), optional
    stride, padding, output_padding, dilation : int or tuple of 1 int
    groups : int

    Returns
    -------
    array (N, K, Q) or (K, Q)
        ``Q = (W - 1) * stride - 2 * padding + dilation * (S - 1) + output_padding + 1``

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _conv_transpose("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups,
                           dilation)


def conv_transpose2d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution of batches of 2-D maps.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    weight : array (C, K / groups, R, S), of the input's type
    bias : array (K,), optional
    stride, dilation : int or tuple of 2 ints
    padding : int or tuple of 2 ints
        Elements cut off both sides of the output.
    output_padding : int or tuple of 2 ints
        Elements added behind; smaller than the stride or the dilation.
    groups : int

    Returns
    -------
    array (N, K, P, Q) or (K, P, Q)
        ``P = (H - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1``, and so Q.

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _conv_transpose("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups,
                           dilation)


def conv_transpose3d(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Transposed convolution of batches of 3-D maps.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    weight : array (C, K / groups, T, R, S), of the input's type
    bias : array (K,), optional
    stride, padding, output_padding, dilation : int or tuple of 3 ints
    groups : int

    Returns
    -------
    array (N, K, O, P, Q) or (K, O, P, Q)

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _conv_transpose("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups,
                           dilation)


def _conv_transpose(op, nd, input, weight, bias, stride, padding, output_padding, groups, dilation):
    x = floating(op, "input", input)
    w = matching(op, "weight", weight, x)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    # The convolution that maps this operation's output to its input: what goes in here is that one's y.
    g = geometry.conv_transpose(op, shape, w.shape, stride, padding, output_padding, groups, dilation)
    if bias is not None:
        bias = matching(op, "bias", bias, x)
        geometry.check_shape(op, "bias", bias.shape, (g.c,))
        bias = arithmetic(op, "bias", bias).reshape(bias, (-1, *(1,) * nd))
    y = empty(geometry.user_shape(g.x_shape, nd, batched), x)
    if g.n:
        backends.serving(x).conv_backward_input(contiguous(x), contiguous(w), y, g)
        if bias is not None:
            with np.errstate(all="ignore"):
                y += bias
    return y
