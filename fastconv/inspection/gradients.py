"""Analytic gradients held against finite differences."""

import copy
import importlib
import inspect
from dataclasses import dataclass

import numpy as np

STEP = 1e-6
# Elements whose gradient is smaller than this share of the argument's largest are measured against that share:
# rounding leaves a finite difference about 1e-9 of the largest, whatever the element itself is.
FLOOR = 1e-3


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found.

    Attributes
    ----------
    errors : dict of str to float
        The worst relative error of each argument and parameter.
    tolerance : float
    """

    errors: dict
    tolerance: float

    @property
    def worst(self):
        """The largest of `errors`."""
        return max(self.errors.values())

    @property
    def passed(self):
        """Whether no error is above `tolerance`; a NaN is."""
        return all(error <= self.tolerance for error in self.errors.values())

    def __bool__(self):
        return self.passed

    def __str__(self):
        width = max(map(len, self.errors))
        return "\n".join(f"{name:{width}s}  {error:8.1e}  {'ok' if error <= self.tolerance else 'WRONG'}"
                         for name, error in self.errors.items())


def check_gradients(layer_or_function, inputs, gradient=None, tolerance=1e-5, samples=100, seed=0, **keywords):
    """Compare gradients with central differences in float64.

    The result is projected on a fixed random direction, and the gradient of that number by each element is compared
    with ``(f(x + h) - f(x - h)) / 2h``, h = 1e-6 max(1, abs(x)). Near a kink (a ReLU's input at 0, a tie in a pooling
    window) the two differ rightly.

    Parameters
    ----------
    layer_or_function : Layer or callable
        A layer or loss: its ``backward`` is checked, for its inputs and all its parameters that require a gradient,
        on a copy of it in float64 on the host. Or a function of arrays.
    inputs : ndarray or sequence of ndarray
        The arguments. Those of floating type are checked, in float64; others, such as class indices, and None are
        passed on as they are.
    gradient : callable, optional
        Of a function: ``gradient(grad_output, *inputs, **keywords)`` returns the gradient by each input, or None for
        one not to be checked. The functions of `fastconv.functional` that have gradients of the same name in
        `fastconv.grad` need none.
    tolerance : float
        Of a relative error.
    samples : int
        How many elements of an argument are tried at most, drawn at random.
    seed : int
    **keywords
        Passed to the function.

    Returns
    -------
    GradientReport

    Raises
    ------
    ValueError
        If two equal calls differ (dropout, say): there is nothing to compare then.
    """
    inputs = [_widened(x) for x in (inputs if isinstance(inputs, list | tuple) else [inputs])]
    rng = np.random.default_rng(seed)
    if hasattr(layer_or_function, "backward"):
        if gradient is not None or keywords:
            raise TypeError("check_gradients: gradient and further keywords are for functions; a layer has its own")
        arguments, compute, analytic = _of_layer(layer_or_function, inputs)
    else:
        arguments, compute, analytic = _of_function(layer_or_function, inputs, gradient, keywords)

    output = np.array(compute())
    if not np.array_equal(output, compute(), equal_nan=True):
        raise ValueError("check_gradients: two calls with equal arguments gave different results")
    direction = rng.standard_normal(output.shape)
    errors = {}
    for (name, array), found in zip(arguments, analytic(direction), strict=True):
        if found is None or array is None:
            continue
        found = np.asarray(found)
        if found.shape != array.shape:
            raise ValueError(f"check_gradients: the gradient by {name} must have shape {array.shape}, "
                             f"got {found.shape}")
        errors[name] = _worst_error(compute, array, found, direction, samples, rng)
    if not errors:
        raise ValueError("check_gradients: found no argument of floating type with a gradient")
    return GradientReport(errors, tolerance)


def _of_layer(layer, inputs):
    layer = copy.deepcopy(layer)
    layer.to(np.float64).to("cpu")
    parameters = [(name, p) for name, p in layer.named_parameters() if p.requires_grad]

    def compute():
        return _joined(layer.forward(*inputs))

    def analytic(direction):
        found = layer.backward(_parted(direction, layer.forward(*inputs)))
        found = list(found) if isinstance(found, tuple) else [found]
        found += [None] * (len(inputs) - len(found))
        return found + [p.grad for _, p in parameters]

    names = _names(layer.forward, len(inputs))
    return [*zip(names, map(_floating, inputs), strict=True), *((name, p.data) for name, p in parameters)], \
        compute, analytic


def _of_function(function, inputs, gradient, keywords):
    if gradient is None:
        gradient = _known_gradient(function)

    def compute():
        return function(*inputs, **keywords)

    def analytic(direction):
        found = gradient(direction if direction.ndim else float(direction), *inputs, **keywords)
        found = found if isinstance(found, tuple | list) else (found,)
        if len(found) > len(inputs):
            raise ValueError(f"check_gradients: gradient returned {len(found)} arrays for {len(inputs)} inputs")
        return [*found, *[None] * (len(inputs) - len(found))]

    return list(zip(_names(function, len(inputs)), map(_floating, inputs), strict=True)), compute, analytic


def _known_gradient(function):
    grad = importlib.import_module("fastconv.grad")
    name = getattr(function, "__name__", repr(function))
    own = getattr(function, "__module__", "").startswith("fastconv.functional")
    if own and name == "batch_norm":
        def gradient(grad_output, x, mean, var, weight=None, bias=None, training=False, eps=1e-5, **keywords):
            by_input, by_weight, by_bias = grad.batch_norm_backward(x, grad_output, mean, var, weight, training, eps)
            if bias is not None:
                return by_input, None, None, by_weight, by_bias
            return by_input if weight is None else (by_input, None, None, by_weight)
    elif own and name == "prelu":
        def gradient(grad_output, x, weight):
            return grad.prelu_input(x, weight, grad_output), grad.prelu_weight(x, weight.shape, grad_output)
    elif own and name == "embedding":
        def gradient(grad_output, rows, weight, padding_idx=None, scale_grad_by_freq=False, **keywords):
            return None, grad.embedding_weight(rows, weight.shape, grad_output, padding_idx, scale_grad_by_freq)
    elif own and name == "dropout":
        def gradient(grad_output, x, p=0.5, training=True, inplace=False, generator=None):
            _, mask = importlib.import_module("fastconv.functional").dropout_with_mask(x, p, training,
                                                                                       generator=generator)
            return grad.dropout_input(mask, grad_output, p if training else 0)
    elif own and hasattr(grad, f"{name}_kernel"):
        def gradient(grad_output, x, kernel, mode="full"):
            return (getattr(grad, f"{name}_input")(x.shape, kernel, grad_output, mode),
                    getattr(grad, f"{name}_kernel")(x, kernel.shape, grad_output, mode))
    elif own and hasattr(grad, f"{name}_parameters"):
        def gradient(grad_output, x, weight, bias=None, **keywords):
            by_input = getattr(grad, f"{name}_input")(x.shape, weight, grad_output, **keywords)
            by_weight, by_bias = getattr(grad, f"{name}_parameters")(x, weight.shape, grad_output, **keywords)
            return (by_input, by_weight) if bias is None else (by_input, by_weight, by_bias)
    elif own and name.startswith(("max_pool", "adaptive_max_pool")):
        def gradient(grad_output, x, *arguments, **keywords):
            _, indices = function(x, *arguments, **{**keywords, "return_indices": True})
            return getattr(grad, f"{name}_input")(x.shape, indices, grad_output)
    elif own and name.startswith("adaptive_avg_pool"):
        def gradient(grad_output, x, *arguments, **keywords):
            return getattr(grad, f"{name}_input")(x.shape, grad_output)
    elif own and name.startswith("max_unpool"):
        def gradient(grad_output, x, indices, *arguments, **keywords):
            return getattr(grad, f"{name}_input")(indices, grad_output)
    elif own and (name in ("unfold", "pad", "interpolate") or name.startswith(("avg_pool", "zero_insert",
                                                                               "downsample"))):
        def gradient(grad_output, x, *arguments, **keywords):
            return getattr(grad, f"{name}_input")(x.shape, grad_output, *arguments, **keywords)
    elif own and name in ("pixel_shuffle", "pixel_unshuffle"):
        def gradient(grad_output, x, *arguments, **keywords):
            return getattr(grad, f"{name}_input")(grad_output, *arguments, **keywords)
    elif own and name in ("sigmoid", "softmax", "log_softmax", "tanh"):
        def gradient(grad_output, x, *arguments, **keywords):
            output = function(x, *arguments, **keywords)
            return getattr(grad, f"{name}_input")(output, grad_output, *arguments, **keywords)
    elif own and name in ("cross_entropy", "mse_loss"):
        def gradient(grad_output, x, target, **keywords):
            return getattr(grad, f"{name}_input")(x, target, grad_output, **keywords)
    elif own and name in ("leaky_relu", "relu"):
        def gradient(grad_output, x, *arguments, **keywords):
            return getattr(grad, f"{name}_input")(x, grad_output, *arguments, **keywords)
    else:
        raise TypeError(f"check_gradients: {name} needs a gradient= function: none is known for it")
    return gradient


def _worst_error(compute, array, found, direction, samples, rng):
    size = array.size
    places = rng.choice(size, min(samples, size), replace=False)
    flat = array.reshape(-1)
    numeric = np.empty(len(places))
    for i, place in enumerate(places):
        original = flat[place]
        step = STEP * max(1.0, abs(original))
        flat[place] = original + step
        above = np.array(compute())
        flat[place] = original - step
        below = np.array(compute())
        flat[place] = original
        # Subtracted before they are summed: elements that do not depend on this one add no rounding.
        numeric[i] = np.sum(direction * (above - below)) / (2 * step)
    if not size:
        return 0.0
    analytic = found.reshape(-1)[places]
    size_of_each = np.maximum(np.abs(analytic), np.abs(numeric))
    scale = np.maximum(size_of_each, FLOOR * size_of_each.max())
    # Where all are zero they agree.
    return float(np.max(np.abs(analytic - numeric) / np.where(scale == 0, 1, scale)))


def _widened(x):
    """A contiguous float64 copy of an array of floats, which can be nudged in place; anything else as it is."""
    if getattr(x, "dtype", None) is not None and x.dtype.kind == "f":
        return np.array(x, np.float64, order="C")
    return x


def _joined(output):
    """The outputs of a layer of several, such as a recurrent one, in one array."""
    return np.concatenate([np.ravel(part) for part in output]) if isinstance(output, tuple) else output


def _parted(direction, output):
    """`direction` in the form of `output`; a float where that is a number, as the backward of a loss takes it."""
    if not isinstance(output, tuple):
        return direction if direction.ndim else float(direction)
    ends = np.cumsum([part.size for part in output])[:-1]
    return tuple(part.reshape(like.shape) for part, like in zip(np.split(direction, ends), output, strict=True))


def _floating(x):
    return x if getattr(x, "dtype", None) == np.float64 else None


def _names(function, count):
    names = [p.name for p in inspect.signature(function).parameters.values()
             if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return (names + [f"argument {i}" for i in range(len(names), count)])[:count]
