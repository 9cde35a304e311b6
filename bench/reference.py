"""What every implementation is given, and what it must answer before it is timed."""

from __future__ import annotations

import math
import zlib

import numpy as np

from bench.cases import Conv
from bench.operations import Operation

DIRECTIONS = ("forward", "backward")


class Invalid(AssertionError):
    """An implementation's answer differs from the reference."""


def result_names(case, direction):
    """The names of what a call computes, in the order of its results."""
    if isinstance(case, Operation):
        return ("y",) if direction == "forward" else case.differentiable
    if isinstance(case, Conv):
        return ("y",) if direction == "forward" else ("dx", "dw", "db")
    if direction == "backward":
        return ("dx",)
    return ("y", "indices") if case.op == "max" else ("y",)


def y_shape(case):
    """The shape of the output, with the case's own number of axes."""
    g = case.geometry()
    transposed = isinstance(case, Conv) and case.transposed
    n, channels, *size = g.x_shape if transposed else g.y_shape
    return (n, channels, *size[3 - case.dims:])


def arrays(case, dtype=np.float32):
    """{'x', 'dy', and of a convolution 'w' and 'b': array}, the same numbers in every process and type.

    Of an operation 'dy' and its arguments by name, in float32, of which some may be None or hold integers.
    """
    if isinstance(case, Operation):
        dy = np.random.default_rng(0).standard_normal(case.result, dtype=np.float32)
        return case.inputs(large=True) | {"dy": np.asarray(dy, np.float32)}
    random = np.random.default_rng(zlib.crc32(case.name.encode()))
    y = y_shape(case)
    shapes = {"x": case.input, "dy": y}
    if isinstance(case, Conv):
        shapes |= {"w": case.weight, "b": (y[1],)}
    return {name: random.standard_normal(shape, dtype=np.float32).astype(dtype, copy=False)
            for name, shape in shapes.items()}


def expected(case):
    """{name: array} of all results in both directions, computed by torch in float64."""
    import torch

    if isinstance(case, Operation):
        return _expected_of_operation(case)
    given = {name: torch.from_numpy(array).double().requires_grad_(name != "dy") for name, array in
             arrays(case).items()}
    operation = torch_operation(case)
    if isinstance(case, Conv):
        leaves = {"dx": given["x"], "dw": given["w"], "db": given["b"]}
        y, results = operation(given["x"], given["w"], given["b"]), {}
    else:
        leaves = {"dx": given["x"]}
        y = operation(given["x"])
        y, results = (y[0], {"indices": y[1].numpy()}) if case.op == "max" else (y, {})
    gradients = torch.autograd.grad(y, tuple(leaves.values()), given["dy"])
    results |= dict(zip(leaves, (gradient.numpy() for gradient in gradients), strict=True))
    return results | {"y": y.detach().numpy()}


def _expected_of_operation(case):
    import torch

    given = arrays(case)
    dy = given.pop("dy")
    if not case.exact:  # of random results, those of the elements that stay
        (x,) = given.values()
        return {"y": x / (1 - case.options["p"]), "input": dy / np.float32(1 - case.options["p"])}
    tensors = {name: None if array is None else torch.from_numpy(array) for name, array in given.items()}
    tensors = {name: tensor.double().requires_grad_(name in case.differentiable)
               if tensor is not None and tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    y = case.torch_forward(torch, tensors)
    gradients = torch.autograd.grad(y, [tensors[name] for name in case.differentiable], torch.from_numpy(dy).double())
    results = dict(zip(case.differentiable, (gradient.float().numpy() for gradient in gradients), strict=True))
    return results | {"y": y.detach().float().numpy()}


def torch_operation(case):
    """torch's function for `case`, of (x, w, b) or of x."""
    import torch.nn.functional as F

    if isinstance(case, Conv):
        function = getattr(F, case.op)
        if case.transposed:
            return lambda x, w, b: function(x, w, b, case.stride, case.padding, case.output_padding, case.groups,
                                            case.dilation)
        return lambda x, w, b: function(x, w, b, case.stride, case.padding, case.dilation, case.groups)
    function = getattr(F, f"{case.op}_pool{case.dims}d")
    if case.op == "max":
        return lambda x: function(x, case.kernel, case.stride, case.padding, case.dilation, case.ceil_mode,
                                  return_indices=True)
    return lambda x: function(x, case.kernel, case.stride, case.padding, case.ceil_mode, case.count_include_pad,
                              case.divisor)


def tolerance(case, name, dtype=np.float32):
    """The largest error allowed, as a part of the largest result.

    1e-5 is what float32 convolution promises at its default precision; sums of more than 4096 products, as in a
    weight's gradient, may lose more, by the square root of their length. float64 may lose a ten-millionth of that.
    """
    if isinstance(case, Operation):
        return 5e-5
    if np.dtype(dtype) == np.float64:
        return 1e-7 * tolerance(case, name)
    if not isinstance(case, Conv):
        return 1e-6
    g = case.geometry()
    length = g.n * math.prod(g.output) if name in ("dw", "db") else g.k * math.prod(g.kernel)
    return 1e-5 * max(1.0, math.sqrt(length / 4096))


def errors(case, direction, results, reference, dtype=np.float32):
    """{name: largest error, as a part of the largest element} of each of `results` but indices.

    Parameters
    ----------
    case : Conv or Pool
    direction : {'forward', 'backward'}
    results : sequence of arrays
        In the order of `result_names`; an implementation may leave out the last ones (onnxruntime's indices).
    reference : mapping of str to array
        What `expected` returns.
    dtype : float32 or float64
        What the results are of.

    Raises
    ------
    Invalid
        If an array differs in shape or type, or an index at all.
    """
    found = {}
    for name, got in zip(result_names(case, direction), results, strict=False):
        want = reference[name]
        got = np.asarray(got)
        if got.shape != want.shape:
            raise Invalid(f"{case.name} {direction}: {name} has shape {got.shape}, expected {want.shape}")
        if got.dtype != (want.dtype if name == "indices" else dtype):
            raise Invalid(f"{case.name} {direction}: {name} is of {got.dtype}, expected {np.dtype(dtype)}")
        if name == "indices":
            if not np.array_equal(got, want):
                raise Invalid(f"{case.name} {direction}: {np.count_nonzero(got != want)} of {want.size} indices differ")
            continue
        if isinstance(case, Operation) and not case.exact:
            stays = got != 0
            share = np.mean(stays)
            if abs(share - (1 - case.options["p"])) > 0.01:
                raise Invalid(f"{case.name} {direction}: {share:.1%} of the elements stay")
            want = np.where(stays, want, 0)
        found[name] = float(np.max(np.abs(got - want), initial=0.0) / np.max(np.abs(want), initial=1e-30))
    return found


def check(case, direction, results, reference, dtype=np.float32):
    """The largest of the `errors`; raises Invalid also where one is larger than its `tolerance`."""
    found = errors(case, direction, results, reference, dtype)
    for name, error in found.items():
        allowed = tolerance(case, name, dtype)
        if not error <= allowed:  # written so that NaN fails
            raise Invalid(f"{case.name} {direction}: the error of {name} is {error:.1e} of its largest element; "
                          f"{allowed:.1e} is allowed")
    return max(found.values(), default=0.0)
