"""The kernel contract: every backend, type and case, against the plain loops; the loops themselves against torch.

Kernels are called directly, as `references.call` does it: results poisoned, guard cells around every array, inputs
read-only.
"""

import hashlib
import math
import zlib
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from references import (
    UNWRITTEN,
    WINOGRAD_ERROR,
    assert_close,
    assert_same_bits,
    call,
    conv_of_case,
    conv_of_geometry,
    patches_of_geometry,
    pool_of_case,
    sum_bound,
)

import fastconv
from bench.cases import CONV_CORNERS, POOL_CORNERS, SUITE, Conv, Pool
from fastconv import backends
from fastconv.backends import KERNELS, loops, tensordot, threads
from fastconv.geometry import Geometry

DTYPES = ("float32", "float64")
# float64 is never transformed, so that the level of precision says nothing there.
MODES = (("float32", "highest"), ("float32", "high"), ("float64", "highest"))
MAX_POOLS = [case for case in POOL_CORNERS if case.op == "max"]
AVG_POOLS = [case for case in POOL_CORNERS if case.op == "avg"]

# The performance suite with few images, but for what even one image makes long.
LARGER = [case.with_batch(min(case.input[0], 3)) if math.prod(case.input[1:]) < 10_000 else case.with_batch(1)
          for case in SUITE if case.with_batch(1).geometry().multiply_adds < 150e6]

# The geometry that a gradient of max-pooling alone builds: only n, c, input and output mean anything.
BARE = Geometry(2, 3, 3, input=(2, 5, 7), kernel=(2, 5, 7), output=(1, 9, 11))

over_cases = pytest.mark.parametrize("case", CONV_CORNERS, ids=str)
over_larger = pytest.mark.parametrize("case", LARGER, ids=str)
over_max_pools = pytest.mark.parametrize("case", MAX_POOLS, ids=str)
over_avg_pools = pytest.mark.parametrize("case", AVG_POOLS, ids=str)
over_dtypes = pytest.mark.parametrize("dtype", DTYPES)
over_modes = pytest.mark.parametrize(("dtype", "precision"), MODES)


# The inputs of a case and what the oracle makes of them, computed once: values that float32 holds, in float64

def draw(case, *shapes):
    """Normal numbers of the given shapes, the same for a case at every call."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    return [rng.standard_normal(shape, np.float32).astype(np.float64) for shape in shapes]


@cache
def conv_data(case):
    """(x, w, bias, dy)"""
    g = case.geometry()
    return draw(case, g.x_shape, g.w_shape, (g.k,), g.y_shape)


@cache
def patch_data(case):
    """(x, cols)"""
    g = case.geometry()
    return draw(case, g.x_shape, g.cols_shape)


@cache
def pool_data(case):
    """(x, dy)"""
    g = case.geometry()
    return draw(case, g.x_shape, g.y_shape)


@cache
def conv_oracle(case):
    """(y, dx, dw, db) by the loops."""
    return conv(loops, conv_data(case), np.float64, case.geometry())


@cache
def conv_torch(case):
    """(y, dx, dw, db) by torch."""
    return conv_of_case(case, *conv_data(case))


@cache
def conv_magnitudes(case):
    """(y, dx, dw, db) of the absolute values, which bound the rounding errors."""
    return conv_of_case(case, *(np.abs(a) for a in conv_data(case)))


@cache
def patches_oracle(case):
    """(cols, dx) by the loops."""
    return patches(loops, patch_data(case), np.float64, case.geometry())


@cache
def pool_oracle(case):
    """(y, indices, dx) by the loops; no indices of an average pooling."""
    return pool(loops, case.op, pool_data(case), np.float64, case.geometry())


# All kernels of one kind in a row

def conv(module, data, dtype, g):
    """[y, dx, dw, db] by the kernels of one backend."""
    x, w, bias, dy = (a.astype(dtype) for a in data)
    (y,) = call(module.conv_forward, [x, w, bias], [(g.y_shape, dtype)], g)
    (dx,) = call(module.conv_backward_input, [dy, w], [(g.x_shape, dtype)], g)
    dw, db = call(module.conv_backward_weight, [x, dy], [(g.w_shape, dtype), ((g.k,), dtype)], g)
    return [y, dx, dw, db]


def patches(module, data, dtype, g):
    """[cols, dx] by the kernels of one backend."""
    x, dcols = (a.astype(dtype) for a in data)
    (cols,) = call(module.im2col, [x], [(g.cols_shape, dtype)], g)
    (dx,) = call(module.col2im, [dcols], [(g.x_shape, dtype)], g)
    return [cols, dx]


def pool(module, op, data, dtype, g):
    """[y, indices or None, dx] by the kernels of one backend."""
    x, dy = (a.astype(dtype) for a in data)
    if op == "avg":
        (y,) = call(module.avg_pool_forward, [x], [(g.y_shape, dtype)], g)
        (dx,) = call(module.avg_pool_backward, [dy], [(g.x_shape, dtype)], g)
        return [y, None, dx]
    y, indices = call(module.max_pool_forward, [x], [(g.y_shape, dtype), (g.y_shape, np.int64)], g)
    assert (indices != UNWRITTEN).all(), "indices were left unwritten"
    (dx,) = call(module.max_pool_backward, [dy, indices], [(g.x_shape, dtype)], g)
    return [y, indices, dx]


# How far a result may be from the reference

def conv_terms(g):
    """How many products y, dx, dw and db are sums of, at most."""
    taps, outputs = math.prod(g.kernel), g.n * math.prod(g.output)
    return [g.c // g.groups * taps + 1, g.k // g.groups * taps, outputs, outputs]


def check_conv(found, expected, magnitudes, dtype, precision, g):
    """Compare [y, dx, dw, db] with a reference, under what `precision` promises."""
    names = "y", "dx", "dw", "db"
    for name, a, e, magnitude, terms in zip(names, found, expected, magnitudes, conv_terms(g), strict=True):
        bound = sum_bound(magnitude, terms, dtype)
        if dtype == "float32" and precision == "high":
            bound = np.maximum(bound, WINOGRAD_ERROR * np.abs(e).max())
        assert_close(a, e, bound, name)


# The oracle against torch

@over_cases
def test_loops_conv_is_torch_s(case):
    check_conv(conv_oracle(case), conv_torch(case), conv_magnitudes(case), "float64", "highest", case.geometry())


@over_cases
def test_loops_patches_are_torch_s(case):
    g = case.geometry()
    cols, dx = patches_of_geometry(g, *patch_data(case))
    found = patches_oracle(case)
    assert_close(found[0], cols, 0, "cols")
    assert_close(found[1], dx, sum_bound(magnitude_of_patches(case), math.prod(g.kernel), "float64"), "dx")


@pytest.mark.parametrize("case", POOL_CORNERS, ids=str)
def test_loops_pool_is_torch_s(case):
    y, indices, dx = pool_of_case(case, *pool_data(case))
    found = pool_oracle(case)
    y_bound, dx_bound = pool_bounds(case, "float64")
    assert_close(found[0], y, y_bound, "y")
    assert_close(found[2], dx, dx_bound, "dx")
    if case.op == "max":
        np.testing.assert_array_equal(found[1], indices)


@over_dtypes
@pytest.mark.parametrize("name", ["2d_same_even", "3d_groups"])
def test_loops_round_once(dtype, name):
    """A float32 result is the float64 one, rounded."""
    case = next(case for case in CONV_CORNERS if case.name == name)
    found = conv(loops, conv_data(case), dtype, case.geometry())
    for a, e in zip(found, conv_oracle(case), strict=True):
        np.testing.assert_array_equal(a, e.astype(dtype))


# Every backend against the oracle

def test_every_backend_has_every_kernel(backend):
    assert [name for name in KERNELS if not callable(getattr(backend, name, None))] == []


@over_modes
@over_cases
def test_conv(backend, dtype, precision, case):
    fastconv.set_float32_precision(precision)
    g = case.geometry()
    found = conv(backend, conv_data(case), dtype, g)
    check_conv(found, conv_oracle(case), conv_magnitudes(case), dtype, precision, g)


@over_modes
@over_cases
def test_conv_without_bias(backend, dtype, precision, case):
    """Without bias the result is y - bias, and without db the same dw."""
    fastconv.set_float32_precision(precision)
    g = case.geometry()
    x, w, _, dy = (a.astype(dtype) for a in conv_data(case))
    (y,) = call(backend.conv_forward, [x, w, None], [(g.y_shape, dtype)], g)
    dw, _ = call(backend.conv_backward_weight, [x, dy], [(g.w_shape, dtype), None], g)
    expected, dx, expected_dw, db = conv_oracle(case)
    expected = expected - conv_data(case)[2].reshape(-1, 1, 1, 1)
    check_conv([y, dx, dw, db], [expected, dx, expected_dw, db], conv_magnitudes(case), dtype, precision, g)


@over_modes
@over_larger
def test_conv_on_larger_shapes(backend, dtype, precision, case):
    fastconv.set_float32_precision(precision)
    g = case.geometry()
    found = conv(backend, conv_data(case), dtype, g)
    check_conv(found, conv_torch(case), conv_magnitudes(case), dtype, precision, g)


@over_dtypes
@over_cases
def test_im2col(backend, dtype, case):
    g = case.geometry()
    x, _ = patch_data(case)
    (cols,) = call(backend.im2col, [x.astype(dtype)], [(g.cols_shape, dtype)], g)
    assert_close(cols, patches_oracle(case)[0], 0, "cols")


@over_dtypes
@over_cases
def test_col2im(backend, dtype, case):
    g = case.geometry()
    _, cols = patch_data(case)
    (dx,) = call(backend.col2im, [cols.astype(dtype)], [(g.x_shape, dtype)], g)
    bound = sum_bound(magnitude_of_patches(case), math.prod(g.kernel), dtype)
    assert_close(dx, patches_oracle(case)[1], bound, "dx")


@cache
def magnitude_of_patches(case):
    """col2im of the absolute values."""
    return patches(loops, [np.abs(a) for a in patch_data(case)], np.float64, case.geometry())[1]


@over_dtypes
@over_max_pools
def test_max_pool(backend, dtype, case):
    g = case.geometry()
    found = pool(backend, "max", pool_data(case), dtype, g)
    y, indices, dx = pool_oracle(case)
    assert_close(found[0], y, 0, "y")
    np.testing.assert_array_equal(found[1], indices)
    assert_close(found[2], dx, pool_bounds(case, dtype)[1], "dx")
    (alone, _) = call(backend.max_pool_forward, [pool_data(case)[0].astype(dtype)], [(g.y_shape, dtype), None], g)
    assert_same_bits(alone, found[0], "y without indices")


@over_dtypes
@over_avg_pools
def test_avg_pool(backend, dtype, case):
    found = pool(backend, "avg", pool_data(case), dtype, case.geometry())
    y, _, dx = pool_oracle(case)
    y_bound, dx_bound = pool_bounds(case, dtype)
    assert_close(found[0], y, y_bound, "y")
    assert_close(found[2], dx, dx_bound, "dx")


@cache
def pool_bounds(case, dtype):
    """The largest errors of y and dx; those of a maximum's y are 0."""
    g, (x, dy) = case.geometry(), pool_data(case)
    if case.op == "max":
        # Which elements win depends on the values: the gradient's absolute values go where these sent it.
        (dx,) = call(loops.max_pool_backward, [np.abs(dy), pool_oracle(case)[1]], [(g.x_shape, np.float64)], g)
        return 0, sum_bound(dx, math.prod(g.kernel), dtype)
    y, _, dx = pool(loops, "avg", (np.abs(x), np.abs(dy)), np.float64, g)
    return [sum_bound(a, math.prod(g.kernel) + 1, dtype) for a in (y, dx)]


# What is no ordinary number

def not_numbers(kind, shape):
    """float64 values that try a maximum's rules; none is rounded by float32."""
    rng = np.random.default_rng(7)
    ties = rng.integers(-1, 2, shape).astype(np.float64)
    if kind == "ties":
        return ties
    if kind == "signed zeros":
        return np.where(rng.random(shape) < 0.5, -0.0, 0.0)
    if kind == "mixed":
        return np.where(rng.random(shape) < 0.4, rng.choice([np.nan, np.inf, -np.inf], shape), ties)
    return np.full(shape, float(kind))


@over_dtypes
@pytest.mark.parametrize("kind", ["ties", "signed zeros", "mixed", "nan", "inf", "-inf"])
@over_max_pools
def test_max_pool_rules(backend, dtype, kind, case):
    """A NaN wins, the last of several, as in torch; ties go to the first; padding is never chosen."""
    g = case.geometry()
    x = not_numbers(kind, g.x_shape)
    y, indices = call(loops.max_pool_forward, [x], [(g.y_shape, np.float64), (g.y_shape, np.int64)], g)
    expected, expected_indices, _ = pool_of_case(case, x, np.zeros(g.y_shape))
    np.testing.assert_array_equal(indices, expected_indices)
    np.testing.assert_array_equal(y, expected)
    found, found_indices = call(backend.max_pool_forward, [x.astype(dtype)],
                                [(g.y_shape, dtype), (g.y_shape, np.int64)], g)
    np.testing.assert_array_equal(found_indices, indices)
    np.testing.assert_array_equal(found, y)
    np.testing.assert_array_equal(np.signbit(found[~np.isnan(y)]), np.signbit(y[~np.isnan(y)]))


@over_dtypes
@over_avg_pools
def test_avg_pool_of_nan_and_infinities(backend, dtype, case):
    g = case.geometry()
    x, dy = not_numbers("mixed", g.x_shape), not_numbers("mixed", g.y_shape)
    expected = pool(loops, "avg", (x, dy), np.float64, g)
    found = pool(backend, "avg", (x, dy), dtype, g)
    ones = pool(loops, "avg", (np.ones(g.x_shape), np.ones(g.y_shape)), np.float64, g)
    for name, i in (("y", 0), ("dx", 2)):
        assert_close(found[i], expected[i], sum_bound(ones[i], math.prod(g.kernel) + 1, dtype), name)


@over_dtypes
def test_max_pool_backward_needs_no_window(backend, dtype):
    """Any indices, many times the same: a sum by index, from the sizes of the maps alone."""
    g = BARE
    rng = np.random.default_rng(11)
    dy = rng.standard_normal(g.y_shape, np.float32)
    indices = rng.integers(0, math.prod(g.input), g.y_shape)
    indices[:, :, :, 4] = 3
    (expected,) = call(loops.max_pool_backward, [dy, indices], [(g.x_shape, np.float64)], g)
    (magnitude,) = call(loops.max_pool_backward, [np.abs(dy), indices], [(g.x_shape, np.float64)], g)
    (dx,) = call(backend.max_pool_backward, [dy.astype(dtype), indices], [(g.x_shape, dtype)], g)
    assert_close(dx, expected, sum_bound(magnitude, math.prod(g.output), dtype), "dx")


@over_dtypes
@pytest.mark.parametrize(("planes", "height", "width"), [(4, 2, 2), (5, 8, 8), (4, 9, 35), (3, 7, 66), (1, 1500, 1501)])
@pytest.mark.parametrize("stray", [False, True])
def test_max_pool_backward_of_windows_side_by_side(backend, dtype, planes, height, width, stray):
    """Windows of 2 x 2, as a kernel may guess from the sizes; with `stray` one index of the last map is elsewhere."""
    g = Geometry(planes, 1, 1, input=(1, height, width), kernel=(1, height, width),
                 output=(1, height // 2, width // 2))
    rng = np.random.default_rng(height)
    rows, columns = np.indices(g.output[1:])
    indices = ((2 * rows + rng.integers(0, 2, g.y_shape)) * width + 2 * columns + rng.integers(0, 2, g.y_shape))
    if stray:
        indices[-1, 0, 0, -1, -1] = 0 if height > 2 else width + 1
    dy = rng.standard_normal(g.y_shape).astype(dtype)
    dy[0, 0, 0, 0, 0] = -0.0
    expected = np.zeros((planes, height * width), dtype)
    np.add.at(expected, (np.arange(planes)[:, None], indices.reshape(planes, -1)), dy.reshape(planes, -1))
    (dx,) = call(backend.max_pool_backward, [dy, indices], [(g.x_shape, dtype)], g)
    assert_same_bits(dx, expected.reshape(g.x_shape), "dx")


@over_dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf])
@over_cases
def test_conv_keeps_an_infinity_to_itself(backend, dtype, value, case):
    """Directly multiplied, one element that is not finite reaches the results that are summed from it, and no other.

    Not so an infinite dy in dw, nor an infinite weight: they may meet the zeros of the padding, and make them NaN.
    """
    fastconv.set_float32_precision("highest")
    g = case.geometry()
    x, w, bias, dy = conv_data(case)
    kernels = [("conv_forward", [x, w, bias], [g.y_shape]), ("conv_backward_input", [dy, w], [g.x_shape]),
               ("conv_backward_weight", [x, dy], [g.w_shape, (g.k,)])]
    for name, inputs, shapes in kernels:
        inputs = [a.astype(dtype) for a in inputs]
        inputs[0].flat[inputs[0].size // 2] = value
        expected = call(getattr(loops, name), inputs, [(shape, np.float64) for shape in shapes], g)
        found = call(getattr(backend, name), inputs, [(shape, dtype) for shape in shapes], g)
        for a, e in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.isfinite(a), np.isfinite(e), err_msg=name)


def test_overflow_is_infinite_and_silent(backend):
    fastconv.set_float32_precision("highest")
    g = Conv("overflow", (1, 1, 3, 3), (1, 1, 2, 2)).geometry()
    x, w = np.full(g.x_shape, 1e30, np.float32), np.full(g.w_shape, -1e30, np.float32)
    for module in (loops, backend):
        (y,) = call(module.conv_forward, [x, w, None], [(g.y_shape, np.float32)], g)
        assert (y == -np.inf).all()


@over_modes
@over_cases
def test_nothing_is_left_of_an_earlier_call(backend, dtype, precision, case):
    """A call with NaN in every input does not reach the next one through a workspace that both use."""
    fastconv.set_float32_precision(precision)
    g = case.geometry()
    data = conv_data(case)
    before = conv(backend, data, dtype, g)
    conv(backend, [np.full(a.shape, np.nan) for a in data], dtype, g)
    for a, b, name in zip(conv(backend, data, dtype, g), before, ("y", "dx", "dw", "db"), strict=True):
        assert_same_bits(a, b, name)


# The same bits for any number of threads, and from call to call

def same_bits(compute):
    """Whatever `compute` returns must not depend on the number of threads, nor change when it is called again."""
    fastconv.set_num_threads(1)
    expected = compute()
    for n in (1, min(2, threads.cores())):
        fastconv.set_num_threads(n)
        for number, (a, e) in enumerate(zip(compute(), expected, strict=True)):
            assert_same_bits(a, e, f"result {number} with {n} threads")


@over_modes
@pytest.mark.parametrize("case", [*CONV_CORNERS, *LARGER], ids=str)
def test_conv_repeats_its_bits(backend, dtype, precision, case):
    fastconv.set_float32_precision(precision)
    same_bits(lambda: conv(backend, conv_data(case), dtype, case.geometry()))


def digests(name):
    """A digest of each result of some convolutions by the backend `name`: of each form that has one at each level."""
    found = []
    for level in ("highest", "high"):
        fastconv.set_float32_precision(level)
        for case in LARGER:
            results = conv(backends.hosting(name), conv_data(case), "float32", case.geometry())
            found += [hashlib.sha256(result.tobytes()).hexdigest() for result in results]
    return found


def test_conv_has_the_same_bits_in_another_process(fresh, request, backend):
    name = request.node.callspec.params["backend"]
    code = f"import sys; sys.path.insert(0, 'tests'); import test_contract; print(test_contract.digests({name!r}))"
    assert fresh(code) == str(digests(name))


@over_dtypes
@over_cases
def test_patches_repeat_their_bits(backend, dtype, case):
    same_bits(lambda: patches(backend, patch_data(case), dtype, case.geometry()))


@over_dtypes
@pytest.mark.parametrize("case", [*POOL_CORNERS, Pool("larger_max", "max", (3, 5, 57, 63), 3, stride=2, padding=1),
                                  Pool("larger_avg", "avg", (3, 5, 57, 63), 3, stride=2, padding=1)], ids=str)
def test_pool_repeats_its_bits(backend, dtype, case):
    same_bits(lambda: pool(backend, case.op, pool_data(case), dtype, case.geometry()))


@over_dtypes
def test_max_pool_backward_repeats_its_bits(backend, dtype):
    rng = np.random.default_rng(5)
    dy, indices = rng.standard_normal(BARE.y_shape), rng.integers(0, 4, BARE.y_shape)
    same_bits(lambda: call(backend.max_pool_backward, [dy.astype(dtype), indices], [(BARE.x_shape, dtype)], BARE))


# Any geometry at all

thorough = settings(deadline=None, derandomize=True, database=None, max_examples=60)


@st.composite
def axes(draw):
    """(input, kernel, stride, dilation, before, after) along one axis, with room for at least one window."""
    kernel, dilation = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    before, after = draw(st.integers(0, 4)), draw(st.integers(0, 4))
    window = (kernel - 1) * dilation + 1
    size = draw(st.integers(max(1, window - before - after), window + 9))
    return size, kernel, draw(st.integers(1, 4)), dilation, before, after


@st.composite
def convolutions(draw):
    """The Geometry of any convolution of one to three dimensions, with padding of its own on either side."""
    dims = draw(st.integers(1, 3))
    drawn = [(1, 1, 1, 1, 0, 0)] * (3 - dims) + [draw(axes()) for _ in range(dims)]
    size, kernel, stride, dilation, before, after = zip(*drawn, strict=True)
    output = tuple((i + a + b - (f - 1) * d - 1) // s + 1
                   for i, f, s, d, a, b in zip(size, kernel, stride, dilation, before, after, strict=True))
    groups = draw(st.integers(1, 4))
    c, k = draw(st.integers(1, 9)) * groups, draw(st.integers(1, 9)) * groups
    return Geometry(draw(st.integers(1, 3)), c, k, size, kernel, output, stride,
                    tuple(zip(before, after, strict=True)), dilation, groups)


@st.composite
def poolings(draw, op):
    """Any pooling of one to three dimensions."""
    dims = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 3)) if op == "max" else 1 for _ in range(dims))
    stride = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    # With more than half of a window, or less input than it reaches over, the padding could be all that it sees.
    padding = tuple(draw(st.integers(0, f // 2)) for f in kernel)
    size = tuple((f - 1) * d + 1 + draw(st.integers(0, 9)) for f, d in zip(kernel, dilation, strict=True))
    more = {} if op == "max" else {"count_include_pad": draw(st.booleans())}
    if op == "avg" and dims > 1:
        more["divisor"] = draw(st.none() | st.integers(1, 7))
    return Pool("drawn", op, (draw(st.integers(1, 2)), draw(st.integers(1, 5)), *size), kernel, stride, padding,
                dilation if op == "max" else 1, draw(st.booleans()), **more)


def small_integers(seed, *shapes):
    """Arrays of few different values, whose products and sums are exact in float32."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-3, 4, shape).astype(np.float64) for shape in shapes]


def test_drawn_convolutions(backend):
    @thorough
    @given(convolutions(), st.integers(0, 2**32))
    def check(g, seed):
        rng = np.random.default_rng(seed)
        data = [rng.standard_normal(shape, np.float32) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape)]
        expected = conv_of_geometry(g, *data)
        magnitudes = conv_of_geometry(g, *(np.abs(a) for a in data))
        for dtype, precision in MODES:
            fastconv.set_float32_precision(precision)
            check_conv(conv(backend, data, dtype, g), expected, magnitudes, dtype, precision, g)
    check()


def test_drawn_convolutions_of_integers(backend):
    """Where nothing rounds, two backends agree to the bit."""
    fastconv.set_float32_precision("highest")

    @thorough
    @given(convolutions(), st.integers(0, 2**32))
    def check(g, seed):
        data = small_integers(seed, g.x_shape, g.w_shape, (g.k,), g.y_shape)
        expected = conv(tensordot, data, np.float64, g)
        for dtype in DTYPES:
            for a, e in zip(conv(backend, data, dtype, g), expected, strict=True):
                np.testing.assert_array_equal(a, e)
    check()


def test_drawn_patches(backend):
    @thorough
    @given(convolutions(), st.integers(0, 2**32))
    def check(g, seed):
        data = small_integers(seed, g.x_shape, g.cols_shape)
        expected = patches_of_geometry(g, *data)
        for dtype in DTYPES:
            for a, e in zip(patches(backend, data, dtype, g), expected, strict=True):
                np.testing.assert_array_equal(a, e)
    check()


@pytest.mark.parametrize("op", ["max", "avg"])
def test_drawn_poolings(backend, op):
    @thorough
    @given(poolings(op), st.integers(0, 2**32))
    def check(case, seed):
        g = case.geometry()
        data = small_integers(seed, g.x_shape, g.y_shape)
        y, indices, dx = pool_of_case(case, *data)
        y_magnitude, _, dx_magnitude = pool_of_case(case, *(np.abs(a) for a in data))
        for dtype in DTYPES:
            found = pool(backend, op, data, dtype, g)
            # Maxima and sums of integers are exact; only a division rounds.
            terms = math.prod(g.kernel) + 1
            assert_close(found[0], y, sum_bound(y_magnitude, terms, dtype) if op == "avg" else 0, "y")
            assert_close(found[2], dx, sum_bound(dx_magnitude, terms, dtype) if op == "avg" else 0, "dx")
            if op == "max":
                np.testing.assert_array_equal(found[1], indices)
    check()
