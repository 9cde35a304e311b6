"""Gradients of convolution."""

from fastconv import backends, geometry
from fastconv.checks import contiguous, empty, floating, matching, size, zeros


def conv1d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradient of `conv1d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W) or (C, W)
    weight : array (K, C / groups, S), float32 or float64
    grad_output : array (N, K, Q) or (K, Q), of the weight's type
    stride, padding, dilation, groups
        As of `conv1d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _input("conv1d_input", 1, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradient of `conv1d` with respect to its weight.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    weight_size : tuple of int
        (K, C / groups, S)
    grad_output : array (N, K, Q) or (K, Q), of the input's type
    stride, padding, dilation, groups
        As of `conv1d`.

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _weight("conv1d_weight", 1, input, weight_size, grad_output, stride, padding, dilation, groups, False)[0]


def conv1d_parameters(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradients of `conv1d` with respect to its weight and its bias; arguments are those of `conv1d_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,)
    """
    return _weight("conv1d_parameters", 1, input, weight_size, grad_output, stride, padding, dilation, groups, True)


def conv2d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    weight : array (K, C / groups, R, S), float32 or float64
    grad_output : array (N, K, P, Q) or (K, P, Q), of the weight's type
    stride, padding, dilation, groups
        As of `conv2d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _input("conv2d_input", 2, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradient of `conv2d` with respect to its weight.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    weight_size : tuple of int
        (K, C / groups, R, S)
    grad_output : array (N, K, P, Q) or (K, P, Q), of the input's type
    stride, padding, dilation, groups
        As of `conv2d`.

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _weight("conv2d_weight", 2, input, weight_size, grad_output, stride, padding, dilation, groups, False)[0]


def conv2d_parameters(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradients of `conv2d` with respect to its weight and its bias; arguments are those of `conv2d_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,)
    """
    return _weight("conv2d_parameters", 2, input, weight_size, grad_output, stride, padding, dilation, groups, True)


def conv3d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradient of `conv3d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, D, H, W) or (C, D, H, W)
    weight : array (K, C / groups, T, R, S), float32 or float64
    grad_output : array (N, K, O, P, Q) or (K, O, P, Q), of the weight's type
    stride, padding, dilation, groups
        As of `conv3d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _input("conv3d_input", 3, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradient of `conv3d` with respect to its weight.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    weight_size : tuple of int
        (K, C / groups, T, R, S)
    grad_output : array (N, K, O, P, Q) or (K, O, P, Q), of the input's type
    stride, padding, dilation, groups
        As of `conv3d`.

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _weight("conv3d_weight", 3, input, weight_size, grad_output, stride, padding, dilation, groups, False)[0]


def conv3d_parameters(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """Gradients of `conv3d` with respect to its weight and its bias; arguments are those of `conv3d_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,)
    """
    return _weight("conv3d_parameters", 3, input, weight_size, grad_output, stride, padding, dilation, groups, True)


def _input(op, nd, input_size, weight, grad_output, stride, padding, dilation, groups):
    w = floating(op, "weight", weight)
    dy = matching(op, "grad_output", grad_output, w, "weight")
    shape, batched = geometry.with_batch(op, "input_size", size(op, "input_size", input_size), nd)
    g = geometry.conv(op, shape, w.shape, stride, padding, dilation, groups)
    geometry.check_shape(op, "grad_output", dy.shape, geometry.user_shape(g.y_shape, nd, batched))
    dx = empty(geometry.user_shape(g.x_shape, nd, batched), dy)
    if g.n:
        backends.serving(dy).conv_backward_input(contiguous(dy), contiguous(w), dx, g)
    return dx


def _weight(op, nd, input, weight_size, grad_output, stride, padding, dilation, groups, with_bias):
    x = floating(op, "input", input)
    dy = matching(op, "grad_output", grad_output, x)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    w_shape = size(op, "weight_size", weight_size)
    g = geometry.conv(op, shape, w_shape, stride, padding, dilation, groups)
    geometry.check_shape(op, "grad_output", dy.shape, geometry.user_shape(g.y_shape, nd, batched))
    if not g.n:
        return zeros(w_shape, x), zeros((g.k,), x) if with_bias else None
    dw = empty(w_shape, x)
    db = empty((g.k,), x) if with_bias else None
    backends.serving(x).conv_backward_weight(contiguous(x), contiguous(dy), dw, db, g)
    return dw, db
