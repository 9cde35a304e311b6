"""Gradients of the fully connected layer."""

from fastconv import backends, geometry
from fastconv.checks import contiguous, empty, floating, matching, size, total, zeros
from fastconv.functional.linear import linear_geometry


def linear_input(input_size, weight, grad_output):
    """Gradient of `linear` with respect to its input.

    Parameters
    ----------
    input_size : tuple of int
        (..., C)
    weight : array (K, C) or (C,), float32 or float64
    grad_output : array (..., K) or, with a weight of one axis, (...), of the weight's type

    Returns
    -------
    array of shape `input_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    op = "linear_input"
    w = floating(op, "weight", weight)
    dy = matching(op, "grad_output", grad_output, w, "weight")
    x_shape = size(op, "input_size", input_size)
    g, y_shape = linear_geometry(op, x_shape, w.shape, input_name="input_size")
    geometry.check_shape(op, "grad_output", dy.shape, y_shape)
    if g is None:
        return zeros(x_shape, dy)
    dx = empty(x_shape, dy)
    backends.serving(dy).conv_backward_input(contiguous(dy), contiguous(w), dx, g)
    return dx


def linear_weight(input, weight_size, grad_output):
    """Gradient of `linear` with respect to its weight.

    Parameters
    ----------
    input : array (..., C), float32 or float64
    weight_size : tuple of int
        (K, C) or (C,)
    grad_output : array (..., K) or, with a weight of one axis, (...), of the input's type

    Returns
    -------
    array of shape `weight_size`

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit and arrays of other types.
    """
    return _parameters("linear_weight", input, weight_size, grad_output, False)[0]


def linear_parameters(input, weight_size, grad_output):
    """Gradients of `linear` with respect to its weight and its bias; arguments are those of `linear_weight`.

    Returns
    -------
    grad_weight : array of shape `weight_size`
    grad_bias : array (K,) or, with a weight of one axis, ()
    """
    return _parameters("linear_parameters", input, weight_size, grad_output, True)


def _parameters(op, input, weight_size, grad_output, with_bias):
    x = floating(op, "input", input)
    dy = matching(op, "grad_output", grad_output, x)
    w_shape = size(op, "weight_size", weight_size)
    g, y_shape = linear_geometry(op, x.shape, w_shape, weight_name="weight_size")
    geometry.check_shape(op, "grad_output", dy.shape, y_shape)
    if g is None:
        # Without features there is still a bias, and its gradient.
        lead = tuple(range(dy.ndim - len(w_shape[:-1])))
        return zeros(w_shape, x), total(op, "grad_output", dy, lead) if with_bias else None
    dw = empty(w_shape, x)
    db = empty(w_shape[:-1], x) if with_bias else None
    backends.serving(x).conv_backward_weight(contiguous(x), contiguous(dy), dw, db, g)
    return dw, db
