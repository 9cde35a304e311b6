"""Shape arithmetic: sizes and refusals against torch's own, messages, caching."""

import copy
import dataclasses
import itertools
import pickle
import random
import re
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from bench.cases import CORNERS, POOLS, SUITE, Conv, Pool, by_name
from fastconv import geometry
from fastconv.geometry import Geometry, check_shape, conv, conv_transpose, pool, sizes, unfold, with_batch

torch.set_num_threads(1)


def attempt(function, *args, **options):
    """What a call gives, or None if it is refused with ValueError (or torch's RuntimeError)."""
    try:
        return function(*args, **options)
    except (ValueError, RuntimeError):
        return None


def by_torch(name, input_shape, *args, **options):
    """The shape of what torch gives for an input of that shape, or None if it refuses it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
        result = attempt(getattr(F, name), torch.empty(input_shape), *args, **options)
    return None if result is None else tuple(result.shape)


def not_empty(shape):
    """`shape`, or None if it has an empty axis: torch's transposed convolution may come to nothing, ours refuses to."""
    return None if shape and 0 in shape else shape


def shape_of(g, nd):
    """y's shape without the unit axes."""
    return g and (g.n, g.k, *g.output[3 - nd:])


def sees_something(size, output, kernel, stride, padding, dilation):
    """Whether each window has an element: torch lets one that has none through, with an index outside the input."""
    return all(any(0 <= o * stride - padding + tap * dilation < size for tap in range(kernel)) for o in range(output))


# Sizes

def test_conv_sizes_in_one_dimension_are_torch_s():
    for size, kernel, stride, padding, dilation in itertools.product(
            range(1, 8), range(1, 5), range(1, 4), range(4), range(1, 4)):
        args = stride, padding, dilation
        expected = by_torch("conv1d", (1, 1, size), torch.empty(1, 1, kernel), None, *args)
        g = attempt(conv, "conv1d", (1, 1, size), (1, 1, kernel), *args)
        assert shape_of(g, 1) == expected, (size, kernel, *args)


def test_conv_transpose_sizes_in_one_dimension_are_torch_s():
    for size, kernel, stride, padding, extra, dilation in itertools.product(
            range(1, 5), range(1, 4), range(1, 4), range(3), range(4), range(1, 4)):
        args = stride, padding, extra, 1, dilation
        expected = not_empty(by_torch("conv_transpose1d", (1, 1, size), torch.empty(1, 1, kernel), None, *args))
        g = attempt(conv_transpose, "conv_transpose1d", (1, 1, size), (1, 1, kernel), *args)
        assert (g and (g.n, g.c, *g.input[2:])) == expected, (size, kernel, *args)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool_sizes_in_one_dimension_are_torch_s(ceil_mode):
    for size, kernel, stride, padding, dilation in itertools.product(
            range(1, 9), range(1, 5), range(1, 5), range(3), range(1, 4)):
        args = kernel, stride, padding, dilation, ceil_mode
        expected = by_torch("max_pool1d", (1, 1, size), *args)
        if expected and not sees_something(size, expected[2], kernel, stride, padding, dilation):
            expected = None
        assert shape_of(attempt(pool, "max_pool1d", (1, 1, size), *args), 1) == expected, (size, *args)


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_avg_pool_sizes_in_one_dimension_are_torch_s(ceil_mode):
    for size, kernel, stride, padding in itertools.product(range(1, 9), range(1, 6), range(1, 6), range(4)):
        args = kernel, stride, padding
        expected = by_torch("avg_pool1d", (1, 1, size), *args, ceil_mode)
        g = attempt(pool, "avg_pool1d", (1, 1, size), *args, ceil_mode=ceil_mode)
        assert shape_of(g, 1) == expected, (size, *args)


def test_unfold_sizes_are_torch_s():
    for size, kernel, dilation, padding, stride in itertools.product(
            range(1, 7), range(1, 4), range(1, 4), range(3), range(1, 4)):
        args = kernel, dilation, padding, stride
        expected = by_torch("unfold", (2, 3, size, 7), *args)
        g = attempt(unfold, "unfold", (2, 3, size, 7), *args)
        assert (g and g.cols_shape) == expected, (size, *args)


@pytest.mark.parametrize("nd", [1, 2, 3])
def test_same_and_valid_are_torch_s(nd):
    for kernel, dilation, padding in itertools.product(range(1, 6), range(1, 4), ("same", "valid")):
        shape, weight = (2, 4, *[13] * nd), (6, 2, *[kernel] * nd)
        expected = by_torch(f"conv{nd}d", shape, torch.empty(weight), None, 1, padding, dilation, 2)
        g = conv(f"conv{nd}d", shape, weight, 1, padding, dilation, 2)
        assert shape_of(g, nd) == expected
        total = dilation * (kernel - 1) if padding == "same" else 0
        assert g.padding == ((0, 0),) * (3 - nd) + ((total // 2, total - total // 2),) * nd


@pytest.mark.parametrize("nd", [1, 2, 3])
@pytest.mark.parametrize("op", ["conv", "conv_transpose", "max_pool", "avg_pool"])
def test_drawn_sizes_are_torch_s(op, nd):
    """Arguments drawn at random, of which torch accepts some: the same, with the same result."""
    rng = random.Random(nd)
    accepted = 0
    for _ in range(150):
        def some(low, high):
            return rng.choice([rng.randint(low, high), tuple(rng.randint(low, high) for _ in range(nd))])

        groups = rng.randint(1, 3)
        name = f"{op}{nd}d"
        shape = (rng.randint(1, 2), groups * rng.randint(1, 2), *(rng.randint(1, 8) for _ in range(nd)))
        kernel, stride, padding, dilation = some(1, 4), some(1, 3), some(0, 2), some(1, 2)
        if op.startswith("conv"):
            ends = kernel if isinstance(kernel, tuple) else (kernel,) * nd
            channels = shape[1] // groups if rng.random() < 0.8 else rng.randint(1, 4)
            if op == "conv":
                weight = (groups * rng.randint(1, 2) + (rng.random() < 0.1), channels, *ends)
                args = stride, padding, dilation, groups
                g = attempt(conv, name, shape, weight, *args)
                found = shape_of(g, nd)
            else:
                weight = (shape[1] + (rng.random() < 0.1), channels, *ends)
                args = stride, padding, some(0, 2), groups, dilation
                g = attempt(conv_transpose, name, shape, weight, *args)
                found = g and (g.n, g.c, *g.input[3 - nd:])
            expected = not_empty(by_torch(name, shape, torch.empty(weight), None, *args))
        elif op == "max_pool":
            args = kernel, stride, padding, dilation, rng.random() < 0.5
            expected = by_torch(name, shape, *args)
            found = shape_of(attempt(pool, name, shape, *args), nd)
            along = zip(shape[2:], expected[2:], *(sizes(name, "", a, nd) for a in args[:4]), strict=True) \
                if expected else ()
            if not all(sees_something(*axis) for axis in along):
                expected = None
        else:
            args = kernel, rng.choice([None, stride]), padding
            ceil_mode = rng.random() < 0.5
            expected = by_torch(name, shape, *args, ceil_mode)
            found = shape_of(attempt(pool, name, shape, *args, ceil_mode=ceil_mode), nd)
            if nd == 3 and expected is None and any(f > i for f, i in zip(sizes(name, "", kernel, nd), shape[2:],
                                                                         strict=True)):
                # In three dimensions alone torch holds the kernel against the input without its padding.
                found = None
        assert found == expected, (name, shape, args)
        accepted += expected is not None
    assert accepted > 20


@pytest.mark.parametrize("case", [*SUITE, *POOLS, *CORNERS], ids=str)
def test_the_registry_is_torch_s(case):
    """Every shape of the benchmarks is the one that torch gives, on its device without memory."""
    x = torch.empty(case.input, device="meta")
    if isinstance(case, Pool):
        args = (case.dilation, case.ceil_mode) if case.op == "max" else (case.ceil_mode,)
        y = getattr(F, f"{case.op}_pool{case.dims}d")(x, case.kernel, case.stride, case.padding, *args)
        assert case.geometry().y_shape == lifted(y.shape)
        return
    w = torch.empty(case.weight, device="meta")
    args = ((case.output_padding, case.groups, case.dilation) if case.transposed else (case.dilation, case.groups))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel lengths", UserWarning)
        y = getattr(F, case.op)(x, w, None, case.stride, case.padding, *args)
    g = case.geometry()
    assert (g.x_shape if case.transposed else g.y_shape) == lifted(y.shape)
    assert g.w_shape == lifted(w.shape)


def test_the_registry_names_each_case_once():
    names = [case.name for case in (*SUITE, *POOLS, *CORNERS)]
    assert len(set(names)) == len(names)
    assert by_name("lab7_2") is SUITE[1]


def lifted(shape):
    """`shape` with the unit axes that make it five-dimensional."""
    return (*shape[:2], *[1] * (5 - len(shape)), *shape[2:])


def test_shapes_of_a_geometry():
    g = conv("conv2d", (2, 6, 9, 8), (4, 3, 3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2)
    assert (g.n, g.c, g.k, g.groups) == (2, 6, 4, 2)
    assert (g.input, g.kernel, g.output) == ((1, 9, 8), (1, 3, 2), (1, 5, 6))
    assert (g.stride, g.padding, g.dilation) == ((1, 2, 1), ((0, 0), (1, 1), (0, 0)), (1, 1, 2))
    assert (g.x_shape, g.w_shape, g.y_shape) == ((2, 6, 1, 9, 8), (4, 3, 1, 3, 2), (2, 4, 1, 5, 6))
    assert g.cols_shape == (2, 6 * 3 * 2, 5 * 6)
    assert g.multiply_adds == 2 * 4 * 5 * 6 * 3 * 3 * 2


def test_average_pooling_s_own():
    g = pool("avg_pool2d", (1, 3, 8, 8), 2, count_include_pad=False, divisor_override=3)
    assert (g.c, g.k, g.groups) == (3, 3, 3)
    assert (g.stride, g.count_include_pad, g.divisor) == ((1, 2, 2), False, 3)
    assert pool("avg_pool2d", (1, 3, 8, 8), 2).divisor == 0


def test_a_batch_may_be_empty():
    assert conv("conv1d", (0, 3, 5), (2, 3, 3)).y_shape == (0, 2, 1, 1, 3)
    assert conv_transpose("conv_transpose1d", (0, 3, 5), (3, 2, 3)).x_shape == (0, 2, 1, 1, 7)
    assert pool("max_pool1d", (0, 3, 5), 2).y_shape == (0, 3, 1, 1, 2)
    assert unfold("unfold", (0, 3, 5, 5), 2).cols_shape == (0, 12, 16)


# Identity

def test_equal_arguments_give_the_same_object():
    g = conv("conv2d", (1, 2, 5, 5), (3, 2, 3, 3), stride=(1, 1), padding=[1, 1])
    assert conv("conv2d", [1, 2, 5, 5], torch.Size((3, 2, 3, 3)), stride=[1, 1], padding=(1, 1)) is g
    assert conv("conv2d", (1, 2, 5, 5), (3, 2, 3, 3), np.int64(1), np.array([1, 1])) == g
    assert pool("max_pool1d", (1, 2, 5), 2) is pool("max_pool1d", (1, 2, 5), 2)
    assert unfold("unfold", (1, 2, 5, 5), 2) is unfold("unfold", (1, 2, 5, 5), 2)
    args = "conv_transpose1d", (1, 2, 5), (2, 2, 3)
    assert conv_transpose(*args) is conv_transpose(*args)


def test_the_cache_does_not_take_1_0_or_true_for_1():
    """They are equal as keys, so that an earlier call with 1 must not answer one that is to be refused."""
    conv("conv1d", (1, 2, 5), (3, 2, 3), (1,), (1,), (1,), 1)
    for position, name in enumerate(("stride", "padding", "dilation")):
        for wrong in ((1.0,), (True,), 1.0, True):
            args = [(1,), (1,), (1,)]
            args[position] = wrong
            with pytest.raises(TypeError, match=f"conv1d: {name} must be an int"):
                conv("conv1d", (1, 2, 5), (3, 2, 3), *args)
    for wrong in (1.0, True):
        with pytest.raises(TypeError, match="conv1d: groups must be an int"):
            conv("conv1d", (1, 2, 5), (3, 2, 3), (1,), (1,), (1,), wrong)


def test_a_geometry_is_a_value():
    g = conv("conv2d", (1, 2, 5, 5), (3, 2, 3, 3), padding=1)
    same = Geometry(1, 2, 3, (1, 5, 5), (1, 3, 3), (1, 5, 5), padding=((0, 0), (1, 1), (1, 1)))
    assert same == g
    assert hash(same) == hash(g)
    assert len({same, g}) == 1
    for twin in (copy.deepcopy(g), pickle.loads(pickle.dumps(g))):
        assert twin == g
        assert hash(twin) == hash(g)
    with pytest.raises(dataclasses.FrozenInstanceError):
        g.n = 2
    changes = {"n": 2, "c": 4, "k": 5, "input": (1, 6, 5), "kernel": (1, 3, 2), "output": (1, 5, 6),
               "stride": (1, 1, 2), "padding": ((0, 0), (1, 1), (1, 2)), "dilation": (1, 2, 1), "groups": 2,
               "count_include_pad": False, "divisor": 7}
    assert set(changes) == {f.name for f in dataclasses.fields(g) if f.init}
    changed = [dataclasses.replace(g, **{name: value}) for name, value in changes.items()]
    assert len({g, *changed}) == len(changed) + 1
    assert len({hash(other) for other in (g, *changed)}) == len(changed) + 1


# Refusals

CONV = {"op": "conv2d", "input_shape": (1, 4, 5, 6), "weight_shape": (6, 4, 3, 3)}
TRANSPOSED = {"op": "conv_transpose2d", "input_shape": (1, 4, 5, 6), "weight_shape": (4, 6, 3, 3)}
POOL = {"op": "max_pool2d", "input_shape": (1, 4, 5, 6), "kernel_size": 2}
UNFOLD = {"op": "unfold", "input_shape": (1, 4, 5, 6), "kernel_size": 2}
HUGE = 2**62

# (function, its arguments, what is wrong with them, the error, what the message says)
REFUSED = [
    (conv, CONV, {"weight_shape": (6, 4, 3)}, ValueError, "weight must have 4 dimensions, got shape (6, 4, 3)"),
    (conv, CONV, {"weight_shape": (6, 4, 3, 3, 3)}, ValueError, "weight must have 4 dimensions"),
    (conv, CONV, {"weight_shape": (6, 3, 3, 3)}, ValueError,
     "input of shape (1, 4, 5, 6) has 4 channels, but weight of shape (6, 3, 3, 3) with groups=1 takes 3"),
    (conv, CONV, {"groups": 2}, ValueError, "has 4 channels, but weight of shape (6, 4, 3, 3) with groups=2 takes 8"),
    (conv, CONV, {"groups": 4, "weight_shape": (6, 1, 3, 3)}, ValueError,
     "weight of shape (6, 1, 3, 3) has 6 output channels, which groups=4 does not divide"),
    (conv, CONV, {"groups": 0}, ValueError, "groups must be at least 1, got 0"),
    (conv, CONV, {"groups": -1}, ValueError, "groups must be at least 1, got -1"),
    (conv, CONV, {"groups": 1.0}, TypeError, "groups must be an int, got 1.0"),
    (conv, CONV, {"groups": True}, TypeError, "groups must be an int, got True"),
    (conv, CONV, {"groups": [1]}, TypeError, "groups must be an int, got"),
    (conv, CONV, {"groups": None}, TypeError, "groups must be an int, got None"),
    (conv, CONV, {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    (conv, CONV, {"stride": (1, -2)}, ValueError, "stride must be at least 1, got -2"),
    (conv, CONV, {"stride": (1, 2, 3)}, ValueError, "stride must be an int or a tuple of 2 ints, got (1, 2, 3)"),
    (conv, CONV, {"stride": ()}, ValueError, "stride must be an int or a tuple of 2 ints, got ()"),
    (conv, CONV, {"stride": 1.5}, TypeError, "stride must be an int"),
    (conv, CONV, {"stride": "1"}, TypeError, "stride must be an int or a tuple of 2 ints, got '1'"),
    (conv, CONV, {"stride": None}, TypeError, "stride must be an int or a tuple of 2 ints, got None"),
    (conv, CONV, {"stride": (1, None)}, TypeError, "stride must be an int, got None"),
    (conv, CONV, {"stride": ([1], 1)}, TypeError, "stride must be an int, got [1]"),
    (conv, CONV, {"stride": {1: 1}}, TypeError, "stride must be an int"),
    (conv, CONV, {"stride": np.array([1.0, 1.0])}, TypeError, "stride must be an int"),
    (conv, CONV, {"stride": np.ones((2, 2), int)}, TypeError, "stride must be an int"),
    (conv, CONV, {"stride": 2**63}, ValueError, "stride must fit a 64-bit integer, got 9223372036854775808"),
    (conv, CONV, {"dilation": 0}, ValueError, "dilation must be at least 1, got 0"),
    (conv, CONV, {"dilation": (1, 2.0)}, TypeError, "dilation must be an int, got 2.0"),
    (conv, CONV, {"dilation": 3}, ValueError,
     "the kernel's extent 7 (kernel size 3, dilation 3) exceeds the padded input's 5 (input 5, padding 0 + 0)"),
    (conv, CONV, {"dilation": HUGE}, ValueError, "exceeds the padded input's 5"),
    (conv, CONV, {"padding": -1}, ValueError, "padding must be at least 0, got -1"),
    (conv, CONV, {"padding": "full"}, ValueError,
     "padding must be an int, a tuple of ints, 'same' or 'valid', got 'full'"),
    (conv, CONV, {"padding": "same", "stride": 2}, ValueError, "padding='same' needs stride=1, got stride=(2, 2)"),
    (conv, CONV, {"padding": (1, 1, 1)}, ValueError, "padding must be an int or a tuple of 2 ints"),
    (conv, CONV, {"padding": ((1, 1), (1, 1))}, TypeError, "padding must be an int, got (1, 1)"),
    (conv, CONV, {"padding": HUGE}, ValueError, "has more bytes than a 64-bit integer can count"),
    (conv, CONV, {"padding": 2**32}, ValueError, "has more bytes than a 64-bit integer can count"),
    (conv, CONV, {"weight_shape": (6, 4, 6, 3)}, ValueError, "the kernel's extent 6"),
    (conv, CONV, {"input_shape": (1, 0, 5, 6)}, ValueError,
     "no axis but the batch of input may be empty, got shape (1, 0, 5, 6)"),
    (conv, CONV, {"input_shape": (1, 4, 0, 6)}, ValueError, "no axis but the batch of input may be empty"),
    (conv, CONV, {"weight_shape": (0, 4, 3, 3)}, ValueError, "no axis of weight may be empty, got shape (0, 4, 3, 3)"),
    (conv, CONV, {"weight_shape": (6, 4, 0, 3)}, ValueError, "no axis of weight may be empty"),
    (conv, CONV, {"input_shape": (2**40, 4, 2**10, 2**10)}, ValueError,
     "an array of shape (1099511627776, 4, 1, 1024, 1024) has more bytes than a 64-bit integer can count"),
    (conv, CONV, {"input_shape": (2**30, 4, 2**10, 2**10), "weight_shape": (2**20, 4, 3, 3)}, ValueError,
     "has more bytes than a 64-bit integer can count"),
    (conv_transpose, TRANSPOSED, {"weight_shape": (4, 6, 3)}, ValueError, "weight must have 4 dimensions"),
    (conv_transpose, TRANSPOSED, {"weight_shape": (3, 6, 3, 3)}, ValueError,
     "input of shape (1, 4, 5, 6) has 4 channels, but weight of shape (3, 6, 3, 3) takes 3"),
    (conv_transpose, TRANSPOSED, {"groups": 3}, ValueError, "has 4 channels, which groups=3 does not divide"),
    (conv_transpose, TRANSPOSED, {"output_padding": 1}, ValueError,
     "output_padding must be smaller than stride or dilation, got 1 with stride=1 and dilation=1 along height"),
    (conv_transpose, TRANSPOSED, {"output_padding": (0, 2), "stride": 2}, ValueError, "along width"),
    (conv_transpose, TRANSPOSED, {"output_padding": -1}, ValueError, "output_padding must be at least 0, got -1"),
    (conv_transpose, TRANSPOSED, {"padding": 4}, ValueError,
     "the output would have -1 elements along height (input 5, kernel 3, stride 1, padding 4); expected at least 1"),
    (conv_transpose, TRANSPOSED, {"padding": "same"}, TypeError, "padding must be an int or a tuple of 2 ints"),
    (conv_transpose, TRANSPOSED, {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    (conv_transpose, TRANSPOSED, {"stride": HUGE}, ValueError, "has more bytes than a 64-bit integer can count"),
    (conv_transpose, TRANSPOSED, {"input_shape": (1, 4, 0, 6)}, ValueError, "may be empty"),
    (conv_transpose, TRANSPOSED, {"weight_shape": (4, 0, 3, 3)}, ValueError, "no axis of weight may be empty"),
    (pool, POOL, {"kernel_size": 0}, ValueError, "kernel_size must be at least 1, got 0"),
    (pool, POOL, {"kernel_size": 2.0}, TypeError, "kernel_size must be an int"),
    (pool, POOL, {"kernel_size": (2, 2, 2)}, ValueError, "kernel_size must be an int or a tuple of 2 ints"),
    (pool, POOL, {"kernel_size": None}, TypeError, "kernel_size must be an int or a tuple of 2 ints, got None"),
    (pool, POOL, {"kernel_size": 7}, ValueError, "the kernel's extent 7"),
    (pool, POOL, {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    (pool, POOL, {"stride": -2}, ValueError, "stride must be at least 1, got -2"),
    (pool, POOL, {"padding": 2}, ValueError,
     "padding must be at most half of kernel_size=2, got 2 along height"),
    (pool, POOL, {"padding": (1, 2), "dilation": 3, "kernel_size": 3}, ValueError,
     "padding must be at most half of kernel_size=3, got 2 along width"),
    (pool, POOL, {"padding": -1}, ValueError, "padding must be at least 0, got -1"),
    (pool, POOL, {"padding": 1, "dilation": 3, "input_shape": (1, 1, 2, 9)}, ValueError,
     "a window of 2 taps with dilation=3 and padding=1 holds no element of an input of 2 along height"),
    (pool, POOL, {"divisor_override": 0}, ValueError, "divisor_override must be at least 1, got 0"),
    (pool, POOL, {"divisor_override": 1.5}, TypeError, "divisor_override must be an int, got 1.5"),
    (pool, POOL, {"divisor_override": True}, TypeError, "divisor_override must be an int, got True"),
    (pool, POOL, {"input_shape": (1, 4, 0, 6)}, ValueError, "may be empty"),
    (pool, POOL, {"kernel_size": 2**40, "padding": 2**39}, ValueError,
     "has more bytes than a 64-bit integer can count"),
    (pool, POOL, {"kernel_size": 9, "stride": 3, "ceil_mode": True}, ValueError, "the kernel's extent 9"),
    (unfold, UNFOLD, {"kernel_size": 6}, ValueError, "the kernel's extent 6"),
    (unfold, UNFOLD, {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
    (unfold, UNFOLD, {"dilation": -1}, ValueError, "dilation must be at least 1, got -1"),
    (unfold, UNFOLD, {"padding": 1.0}, TypeError, "padding must be an int"),
    (unfold, UNFOLD, {"input_shape": (1, 0, 5, 6)}, ValueError, "may be empty"),
    (unfold, UNFOLD, {"input_shape": (2**26, 4, 2**12, 2**12), "kernel_size": 64}, ValueError,
     "has more bytes than a 64-bit integer can count"),
]


@pytest.mark.parametrize(("function", "arguments", "wrong", "error", "message"), REFUSED)
def test_refused(function, arguments, wrong, error, message):
    with pytest.raises(error, match=re.escape(message)) as caught:
        function(**{**arguments, **wrong})
    assert str(caught.value).startswith(arguments["op"] + ": ")
    assert type(caught.value) is error


@pytest.mark.parametrize(("function", "arguments"), [(conv, CONV), (conv_transpose, TRANSPOSED), (pool, POOL),
                                                     (unfold, UNFOLD)])
def test_the_arguments_that_they_vary_are_right(function, arguments):
    assert isinstance(function(**arguments), Geometry)


def test_one_number_in_a_tuple_stands_for_every_axis():
    assert conv(**CONV, stride=(2,)) == conv(**CONV, stride=2)


def test_pool_stride_defaults_to_the_kernel():
    assert pool(**POOL) == pool(**POOL, stride=2) == pool(**POOL, stride=None) == pool(**POOL, stride=())


def test_a_long_kernel_in_padding_is_answered_at_once():
    """Nothing in the checks walks a padding of half a million million elements."""
    g = pool("avg_pool1d", (1, 1, 5), 2**40, 1, 2**39)
    assert g.output == (1, 1, 6)


def test_with_batch():
    assert with_batch("conv2d", "input", [2, 3, 4, 5], 2) == ((2, 3, 4, 5), True)
    assert with_batch("conv2d", "input", (3, 4, 5), 2) == ((1, 3, 4, 5), False)
    for shape in ((4, 5), (1, 2, 3, 4, 5), ()):
        with pytest.raises(ValueError, match=re.escape(
                f"conv2d: input must have 4 dimensions (or 3, unbatched), got shape {shape}")):
            with_batch("conv2d", "input", shape, 2)


def test_check_shape():
    check_shape("conv2d", "bias", [3], (3,))
    with pytest.raises(ValueError, match=re.escape("conv2d: bias must have shape (3,), got (4,)")):
        check_shape("conv2d", "bias", (4,), (3,))


def test_sizes():
    assert sizes("fold", "output_size", 3, 2) == (3, 3)
    assert sizes("fold", "output_size", [3, 4], 2) == (3, 4)
    with pytest.raises(ValueError, match="fold: output_size must be at least 1, got 0"):
        sizes("fold", "output_size", (3, 0), 2, minimum=1)
    with pytest.raises(TypeError, match="fold: output_size must be an int"):
        sizes("fold", "output_size", 3.0, 2)


def test_the_cases_reach_their_corners():
    """What the registry says that it covers."""
    convs = [case for case in CORNERS if isinstance(case, Conv)]
    pools = [case for case in CORNERS if isinstance(case, Pool)]
    assert {case.dims for case in convs} == {case.dims for case in pools} == {1, 2, 3}
    geometries = [case.geometry() for case in convs]
    assert {s for g in geometries for s in g.stride} >= {1, 2, 3, 4}
    assert any(before != after for g in geometries for before, after in g.padding)
    assert {1, 3, 5, 7, 13, 17, 33, 65} <= {g.c for g in geometries}
    assert {1, 3, 5, 7, 13, 17, 33, 65} <= {g.k for g in geometries}
    assert any(case.transposed and case.output_padding for case in convs)
    assert any(g.groups == g.c < g.k for g in geometries)
    assert any(case.ceil_mode for case in pools)
    assert geometry.MAX_BYTES == 2**63 - 1
