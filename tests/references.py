"""What the contract's tests compare with: torch, error bounds, and arrays that notice what a kernel should not do."""

import math
import warnings

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)

GUARD = 67  # cells before and after each array: more than a vector, and odd, so that no array is aligned to one
FENCE = -12345.0
UNWRITTEN = -(2**40)

WINOGRAD_ERROR = 1e-5  # over the largest output: what set_float32_precision('high') promises


# Arrays that notice

def call(kernel, inputs, results, g):
    """Run one kernel of the contract between guard cells.

    Parameters
    ----------
    kernel : function
    inputs : list of (array or None)
    results : list of ((shape, dtype) or None)
    g : Geometry

    Returns
    -------
    list of (array or None)
        The results. They were NaN (or a negative number, where they are integers) beforehand. What stands around them
        and the inputs, read-only and with NaN around them, were found unchanged.
    """
    frozen = [None if array is None else _fenced(array.shape, array.dtype, np.nan) for array in inputs]
    for array, place in zip(inputs, frozen, strict=True):
        if place is not None:
            place[1][...] = array
            place[1].setflags(write=False)
    fenced = [None if result is None else _fenced(*result, FENCE) for result in results]
    kernel(*(place and place[1] for place in frozen), *(place and place[1] for place in fenced), g)
    for number, (array, place) in enumerate(zip(inputs, frozen, strict=True)):
        assert place is None or array.tobytes() == place[1].tobytes(), f"input {number} was changed"
    for number, place in enumerate(fenced):
        if place is not None:
            around = np.concatenate((place[0][:GUARD], place[0][-GUARD:]))
            assert (around == FENCE).all(), f"written outside of result {number}"
    return [place and place[1] for place in fenced]


def _fenced(shape, dtype, fence):
    """A (buffer, array within it): the array C-contiguous, poisoned, and with guard cells on both sides."""
    dtype = np.dtype(dtype)
    size = math.prod(shape)
    integer = dtype.kind == "i"
    # An index read beyond an array must not become an address.
    around = 0 if integer and math.isnan(fence) else fence
    buffer = np.full(size + 2 * GUARD, around, dtype)
    buffer[GUARD:GUARD + size] = UNWRITTEN if integer else np.nan
    return buffer, buffer[GUARD:GUARD + size].reshape(shape)


# Error bounds

def sum_bound(magnitude, terms, dtype):
    """The largest error of sums of `terms` products, computed in `dtype` in any order, with or without FMA.

    Higham, Accuracy and Stability of Numerical Algorithms, section 3.1: with the unit roundoff u, it is at most
    n u / (1 - n u) times `magnitude`, the sum of the products' absolute values. One operation more is allowed for the
    rounding of a result, and twice the whole, for a reference that is computed in float64 too.
    """
    info = np.finfo(dtype)
    return (terms + 1) * (info.eps * np.abs(magnitude) + info.smallest_subnormal)


def assert_close(found, expected, bound, what):
    """Raise AssertionError unless |found - expected| <= bound everywhere; a NaN or an infinity must be the same."""
    expected = np.asarray(expected, np.float64)
    found = np.asarray(found, np.float64)
    assert found.shape == expected.shape, what
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(found - expected))
    wrong = ~(error <= bound)
    if wrong.any():
        ratio = np.where(wrong, error / np.maximum(bound, np.finfo(np.float64).tiny), 0)
        ratio = np.where(np.isnan(ratio), np.inf, ratio)
        worst = np.unravel_index(ratio.argmax(), ratio.shape)
        raise AssertionError(f"{what}: {wrong.sum()} of {wrong.size} elements are wrong, worst at "
                             f"{tuple(map(int, worst))}: {found[worst]!r} for {expected[worst]!r}, "
                             f"{ratio[worst]:.3g} times the bound")


def assert_same_bits(found, expected, what):
    """Raise AssertionError unless the two arrays hold the same bytes."""
    if found is None and expected is None:
        return
    if found.tobytes() != expected.tobytes():
        differ = found.view(f"u{found.itemsize}") != expected.view(f"u{found.itemsize}")
        raise AssertionError(f"{what}: {differ.sum()} of {differ.size} elements differ")


# torch, in float64, on the shapes of the contract

def conv_of_case(case, x, w, bias, dy):
    """(y, dx, dw, db) of a `bench.cases.Conv` by the function of torch that it names, and by autograd."""
    g = case.geometry()
    if not case.transposed:
        function = getattr(F, f"conv{case.dims}d")
        x, w, bias = leaf(x, case.input), leaf(w, case.weight), leaf(bias)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
            y = function(x, w, bias, case.stride, case.padding, case.dilation, case.groups)
        dx, dw, db = torch.autograd.grad(y, (x, w, bias), tensor(dy).reshape(y.shape))
    else:
        # What it takes is y and what it gives is x, so that its input's gradient is the convolution forward.
        function = getattr(F, f"conv_transpose{case.dims}d")
        taken, w = leaf(dy, case.input), leaf(w, case.weight)
        dx = function(taken, w, None, case.stride, case.padding, case.output_padding, case.groups, case.dilation)
        y, dw = torch.autograd.grad(dx, (taken, w), tensor(x).reshape(dx.shape))
        y = y + tensor(bias).reshape(1, -1, *[1] * case.dims)
        db = taken.transpose(0, 1).flatten(1).sum(1)
    shapes = g.y_shape, g.x_shape, g.w_shape, (g.k,)
    return [array(t, shape) for t, shape in zip((y, dx, dw, db), shapes, strict=True)]


def conv_of_geometry(g, x, w, bias, dy):
    """(y, dx, dw, db) of any convolution's Geometry by conv3d on a padded input, and by autograd."""
    x, w, bias = leaf(x), leaf(w), leaf(bias)
    y = F.conv3d(F.pad(x, _pads(g)), w, bias, g.stride, 0, g.dilation, g.groups)
    dx, dw, db = torch.autograd.grad(y, (x, w, bias), tensor(dy))
    return [array(t) for t in (y, dx, dw, db)]


def patches_of_geometry(g, x, dcols):
    """(cols, dx) of im2col and col2im: a convolution of each channel with every kernel of a single one."""
    taps = math.prod(g.kernel)
    one_hot = torch.eye(taps, dtype=torch.float64).reshape(taps, 1, *g.kernel)
    x = leaf(x)
    alone = F.pad(x, _pads(g)).reshape(g.n * g.c, 1, *(i + a + b for i, (a, b) in zip(g.input, g.padding, strict=True)))
    seen = F.conv3d(alone, one_hot, None, g.stride, 0, g.dilation)
    cols = seen[:, :, :g.output[0], :g.output[1], :g.output[2]].reshape(g.cols_shape)
    (dx,) = torch.autograd.grad(cols, x, tensor(dcols))
    return array(cols), array(dx)


def pool_of_case(case, x, dy):
    """(y, indices or None, dx) of a `bench.cases.Pool` by the function of torch that it names, and by autograd."""
    g = case.geometry()
    function = getattr(F, f"{case.op}_pool{case.dims}d")
    x = leaf(x, case.input)
    indices = None
    if case.op == "max":
        y, indices = function(x, case.kernel, case.stride, case.padding, case.dilation, case.ceil_mode,
                              return_indices=True)
        indices = indices.numpy().reshape(g.y_shape)
    else:
        divisor = () if case.divisor is None else (case.divisor,)
        y = function(x, case.kernel, case.stride, case.padding, case.ceil_mode, case.count_include_pad, *divisor)
    (dx,) = torch.autograd.grad(y, x, tensor(dy).reshape(y.shape))
    return array(y, g.y_shape), indices, array(dx, g.x_shape)


def tensor(a):
    """A float64 tensor with the values of an array."""
    return torch.from_numpy(np.array(a, np.float64))


def leaf(a, shape=None):
    """A float64 tensor that wants a gradient, reshaped if `shape` is given."""
    return (tensor(a) if shape is None else tensor(a).reshape(shape)).requires_grad_()


def array(t, shape=None):
    """The values of a tensor, reshaped if `shape` is given."""
    a = t.detach().numpy()
    return a if shape is None else a.reshape(shape)


def _pads(g):
    """``g.padding`` in the order of torch's pad: the last axis first."""
    return [p for before_after in reversed(g.padding) for p in before_after]
