"""Gradients of transposed convolution: a convolution, and that convolution's weight gradient."""

from fastconv import backends, geometry
from fastconv.checks import contiguous, empty, floating, matching, packed, size, total, zeros


def conv_transpose1d_input(input_size, weight, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                           dilation=1):
    """Gradient of `conv_transpose1d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, W) or (C, W)
    weight : array (C, K / groups, S), float32 or float64
    grad_output : array (N, K, Q) or (K, Q), of the weight's type
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose1d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _input("conv_transpose1d_input", 1, input_size, weight, grad_output, stride, padding, output_padding,
                  groups, dilation)


def conv_transpose1d_weight(input, weight_size, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                            dilation=1):
    """Gradient of `conv_transpose1d` with respect to its weight.

    Parameters
    ----------
    input : array (N, C, W) or (C, W), float32 or float64
    weight_size : tuple of int
        (C, K / groups, S)
    grad_output : array (N, K, Q) or (K, Q), of the input's type
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose1d`.

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _weight("conv_transpose1d_weight", 1, input, weight_size, grad_output, stride, padding, output_padding,
                   groups, dilation)[0]


def conv_transpose1d_parameters(input, weight_size, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                                dilation=1):
    """Gradients of `conv_transpose1d` with respect to its weight and its bias.

    Arguments are those of `conv_transpose1d_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,)
    """
    grad_weight, dy = _weight("conv_transpose1d_parameters", 1, input, weight_size, grad_output, stride, padding,
                              output_padding, groups, dilation)
    return grad_weight, _bias("conv_transpose1d_parameters", dy)


def conv_transpose2d_input(input_size, weight, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                           dilation=1):
    """Gradient of `conv_transpose2d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, H, W) or (C, H, W)
    weight : array (C, K / groups, R, S), float32 or float64
    grad_output : array (N, K, P, Q) or (K, P, Q), of the weight's type
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose2d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _input("conv_transpose2d_input", 2, input_size, weight, grad_output, stride, padding, output_padding,
                  groups, dilation)


def conv_transpose2d_weight(input, weight_size, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                            dilation=1):
    """Gradient of `conv_transpose2d` with respect to its weight.

    Parameters
    ----------
    input : array (N, C, H, W) or (C, H, W), float32 or float64
    weight_size : tuple of int
        (C, K / groups, R, S)
    grad_output : array (N, K, P, Q) or (K, P, Q), of the input's type
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose2d`.

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _weight("conv_transpose2d_weight", 2, input, weight_size, grad_output, stride, padding, output_padding,
                   groups, dilation)[0]


def conv_transpose2d_parameters(input, weight_size, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                                dilation=1):
    """Gradients of `conv_transpose2d` with respect to its weight and its bias.

    Arguments are those of `conv_transpose2d_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,)
    """
    grad_weight, dy = _weight("conv_transpose2d_parameters", 2, input, weight_size, grad_output, stride, padding,
                              output_padding, groups, dilation)
    return grad_weight, _bias("conv_transpose2d_parameters", dy)


def conv_transpose3d_input(input_size, weight, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                           dilation=1):
    """Gradient of `conv_transpose3d` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (N, C, D, H, W) or (C, D, H, W)
    weight : array (C, K / groups, T, R, S), float32 or float64
    grad_output : array (N, K, O, P, Q) or (K, O, P, Q), of the weight's type
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose3d`.

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _input("conv_transpose3d_input", 3, input_size, weight, grad_output, stride, padding, output_padding,
                  groups, dilation)


def conv_transpose3d_weight(input, weight_size, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                            dilation=1):
    """Gradient of `conv_transpose3d` with respect to its weight.

    Parameters
    ----------
    input : array (N, C, D, H, W) or (C, D, H, W), float32 or float64
    weight_size : tuple of int
        (C, K / groups, T, R, S)
    grad_output : array (N, K, O, P, Q) or (K, O, P, Q), of the input's type
    stride, padding, output_padding, groups, dilation
        As of `conv_transpose3d`.

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _weight("conv_transpose3d_weight", 3, input, weight_size, grad_output, stride, padding, output_padding,
                   groups, dilation)[0]


def conv_transpose3d_parameters(input, weight_size, grad_output, stride=1, padding=0, output_padding=0, groups=1,
                                dilation=1):
    """Gradients of `conv_transpose3d` with respect to its weight and its bias.

    Arguments are those of `conv_transpose3d_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,)
    """
    grad_weight, dy = _weight("conv_transpose3d_parameters", 3, input, weight_size, grad_output, stride, padding,
                              output_padding, groups, dilation)
    return grad_weight, _bias("conv_transpose3d_parameters", dy)


def _input(op, nd, input_size, weight, grad_output, stride, padding, output_padding, groups, dilation):
    w = floating(op, "weight", weight)
    dy = matching(op, "grad_output", grad_output, w, "weight")
    shape, batched = geometry.with_batch(op, "input_size", size(op, "input_size", input_size), nd)
    g = geometry.conv_transpose(op, shape, w.shape, stride, padding, output_padding, groups, dilation)
    geometry.check_shape(op, "grad_output", dy.shape, geometry.user_shape(g.x_shape, nd, batched))
    dx = empty(geometry.user_shape(g.y_shape, nd, batched), dy)
    if g.n:
        backends.serving(dy).conv_forward(contiguous(dy), contiguous(w), None, dx, g)
    return dx


def _weight(op, nd, input, weight_size, grad_output, stride, padding, output_padding, groups, dilation):
    x = floating(op, "input", input)
    dy = matching(op, "grad_output", grad_output, x)
    shape, batched = geometry.with_batch(op, "input", x.shape, nd)
    w_shape = size(op, "weight_size", weight_size)
    g = geometry.conv_transpose(op, shape, w_shape, stride, padding, output_padding, groups, dilation)
    geometry.check_shape(op, "grad_output", dy.shape, geometry.user_shape(g.x_shape, nd, batched))
    dy = packed(dy, g.x_shape)
    if not g.n:
        return zeros(w_shape, x), dy
    dw = empty(w_shape, x)
    # In the convolution that is transposed here, input and output change places.
    backends.serving(dy).conv_backward_weight(dy, contiguous(x), dw, None, g)
    return dw, dy


def _bias(op, dy):
    # Map by map: NumPy adds a contiguous axis pairwise, so that the error stays small on large maps.
    return total(op, "grad_output", total(op, "grad_output", dy, (2, 3, 4)), (0,))
