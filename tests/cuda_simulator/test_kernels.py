"""The contract on the simulator: every kernel with blocks of a few threads, on small cases of every kind.

A simulated thread takes 20 us to start and 1 us an operation, so that the cases are few. Memory is the host's: guard
cells, read-only inputs and results that start as NaN tell of a kernel what they tell of the others.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cuda
from references import UNWRITTEN, assert_close, assert_same_bits, call, sum_bound
from test_contract import (
    check_conv,
    conv,
    conv_data,
    conv_magnitudes,
    conv_oracle,
    not_numbers,
    patch_data,
    patches,
    patches_oracle,
    pool,
    pool_bounds,
    pool_data,
    pool_oracle,
)

from bench.cases import Conv, Pool, by_name
from fastconv.backends import KERNELS, loops
from fastconv.backends import cuda as kernels
from fastconv.backends.cuda import calls, launch, memory, tables
from fastconv.geometry import Geometry

PLANS = (calls._conv, calls._weight, calls._im2col, calls._col2im, calls._maps, calls._pool)


def on_device(kernel):
    """`kernel` for NumPy arrays, whose memory it is given as device memory."""
    def run(*arguments):
        *arrays, g = arguments
        kernel(*(None if a is None else cuda.cudadrv.devicearray.FakeCUDAArray(a) for a in arrays), g)
    return run


device = SimpleNamespace(**{name: on_device(getattr(kernels, name)) for name in KERNELS})

CONVS = [by_name(name) for name in (
    "1d_same_dilated", "1d_dilated_groups", "2d_one_column", "2d_taps_in_padding", "2d_depthwise_stride_2",
    "3d_mixed", "transposed_1d_extra", "transposed_2d_gaps", "transposed_2d_extra_dilated", "transposed_3d")]
# Eight channels and pixels in fours: blocks of a tile in all three directions, with accesses of 16 bytes.
TILES = [Conv("tile", (2, 5, 4, 4), (6, 5, 3, 3), padding=1), Conv("tile_pointwise", (1, 8, 2, 6), (9, 8, 1, 1)),
         Conv("tile_groups_strides", (1, 10, 5, 3), (12, 5, 2, 3), stride=2, padding=1, groups=2)]
POOLS = [by_name(name) for name in (
    "max_2d_ceil_padded", "max_2d_gaps", "max_2d_ceil_over_input", "max_1d", "max_3d_mixed", "avg_1d_ceil",
    "avg_2d_ceil_pad_not_counted", "avg_2d_divisor", "avg_3d_mixed", "avg_3d")]
MAX_POOLS = [case for case in POOLS if case.op == "max"]


def check(case, dtype):
    """Compare all kernels of a case with the loops."""
    g = case.geometry()
    if isinstance(case, Pool):
        found, (y, indices, dx) = pool(device, case.op, pool_data(case), dtype, g), pool_oracle(case)
        y_bound, dx_bound = pool_bounds(case, dtype)
        assert_close(found[0], y, y_bound, "y")
        assert_close(found[2], dx, dx_bound, "dx")
        if indices is not None:
            np.testing.assert_array_equal(found[1], indices)
    else:
        check_conv(conv(device, conv_data(case), dtype, g), conv_oracle(case), conv_magnitudes(case), dtype, "highest",
                   g)


# Padding and dilation of more than any array's size, of one axis and of planes: taps that reach beyond 32 bits.
FAR = [Conv("far", (1, 6, 10), (5, 6, 2), stride=2**27, padding=2**29, dilation=2**29),
       Conv("far_few", (1, 2, 10), (3, 2, 2), stride=2**29, padding=2**30, dilation=2**30),
       Conv("far_planes", (1, 2, 2, 8, 8), (2, 2, 2, 1, 1), stride=(2**24, 8, 8), padding=(2**25, 0, 0),
            dilation=(2**25, 1, 1))]


@pytest.mark.parametrize("case", CONVS + TILES + FAR + POOLS, ids=str)
def test_single(case):
    check(case, "float32")


@pytest.mark.parametrize("case", [TILES[1], CONVS[0], POOLS[5], POOLS[-1]], ids=str)
def test_double(case):
    check(case, "float64")


@pytest.mark.parametrize("case", [TILES[2], CONVS[7]], ids=str)
def test_half_is_rounded_once(case):
    """Sums of float16 are float32: the result is the exact one, rounded, but for float32's own error."""
    g = case.geometry()
    data = [a.astype(np.float16).astype(np.float64) for a in conv_data(case)]
    expected, magnitudes = conv(loops, data, "float64", g), conv(loops, [np.abs(a) for a in data], "float64", g)
    for name, a, e, m in zip(("y", "dx", "dw", "db"), conv(device, data, "float16", g), expected, magnitudes,
                             strict=True):
        assert a.dtype == np.float16
        assert_close(a, e, np.abs(e) * 2.0**-11 + sum_bound(m, 200, "float32") + 2.0**-24, name)


@pytest.mark.parametrize("case", POOLS[1:6:4], ids=str)
def test_half_pools(case):
    g = case.geometry()
    data = [a.astype(np.float16).astype(np.float64) for a in pool_data(case)]
    expected = pool(loops, case.op, data, "float64", g)
    found = pool(device, case.op, data, "float16", g)
    # The gradient of a maximum adds up in the result's own type.
    assert_close(found[0], expected[0], np.abs(expected[0]) * 2.0**-10, "y")
    assert_close(found[2], expected[2], 2.0**-9, "dx")


@pytest.mark.parametrize("case", [CONVS[1], CONVS[7], CONVS[5]], ids=str)
def test_patches(case):
    g = case.geometry()
    cols, dx = patches(device, patch_data(case), "float32", g)
    assert_close(cols, patches_oracle(case)[0], 0, "cols")
    magnitude = patches(loops, [np.abs(a) for a in patch_data(case)], np.float64, g)[1]
    assert_close(dx, patches_oracle(case)[1], sum_bound(magnitude, math.prod(g.kernel), "float32"), "dx")


def test_without_bias_and_its_gradient():
    g = CONVS[0].geometry()
    x, w, bias, dy = (a.astype("float32") for a in conv_data(CONVS[0]))
    (y,) = call(device.conv_forward, [x, w, None], [(g.y_shape, "float32")], g)
    (zero,) = call(device.conv_forward, [x, w, 0 * bias], [(g.y_shape, "float32")], g)
    assert_same_bits(y, zero, "y")
    dw, db = call(device.conv_backward_weight, [x, dy], [(g.w_shape, "float32"), None], g)
    both, _ = call(device.conv_backward_weight, [x, dy], [(g.w_shape, "float32"), ((g.k,), "float32")], g)
    assert db is None
    assert_same_bits(dw, both, "dw")


@pytest.mark.parametrize("kind", ["ties", "mixed", "-inf"])
@pytest.mark.parametrize("case", MAX_POOLS[1:3], ids=str)
def test_max_pool_rules(case, kind):
    g = case.geometry()
    x = not_numbers(kind, g.x_shape)
    results = [(g.y_shape, np.float64), (g.y_shape, np.int64)]
    expected, found = call(loops.max_pool_forward, [x], results, g), call(device.max_pool_forward, [x], results, g)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    (alone, _) = call(device.max_pool_forward, [x], [results[0], None], g)
    assert_same_bits(alone, found[0], "y without indices")


def test_max_pool_backward_adds_in_order():
    """Of a gradient's geometry only the sizes mean anything; where many outputs chose one input, the first adds first.

    The addends differ so much in size that another order would round to something else.
    """
    g = Geometry(1, 2, 2, input=(1, 3, 4), kernel=(1, 3, 4), output=(1, 4, 5))
    rng = np.random.default_rng(5)
    indices = rng.integers(0, 12, g.y_shape)
    indices[0, 0] = 4
    dy = (rng.standard_normal(g.y_shape) * 10.0 ** rng.integers(-4, 5, g.y_shape)).astype(np.float32)
    expected = np.zeros((2, 12), np.float32)
    for c in range(2):
        for index, value in zip(indices[0, c].ravel(), dy[0, c].ravel(), strict=True):
            expected[c, index] += value
    (dx,) = call(device.max_pool_backward, [dy, indices], [(g.x_shape, np.float32)], g)
    assert_same_bits(dx.reshape(2, 12), expected, "dx")


@pytest.fixture
def _new_plans():
    yield
    for plan in PLANS:
        plan.cache_clear()


@pytest.mark.usefixtures("_new_plans")
@pytest.mark.parametrize("case", [TILES[1], CONVS[6], POOLS[2], POOLS[8]], ids=str)
def test_wide_offsets(case, monkeypatch):
    """The kernels with 64-bit offsets, which only arrays of more than 2**31 elements call for."""
    monkeypatch.setattr(tables, "INT32", 10)
    for plan in PLANS:
        plan.cache_clear()
    check(case, "float32")
    if isinstance(case, Conv):
        test_patches(case)


@pytest.mark.usefixtures("_new_plans")
@pytest.mark.parametrize("case", [TILES[1], CONVS[7], POOLS[1], POOLS[6]], ids=str)
def test_more_blocks_than_a_grid_takes(case, monkeypatch):
    """What is over the limit comes in further launches; kernels over all elements take several each."""
    monkeypatch.setattr(launch, "LIMIT", 2)
    check(case, "float32")
    if isinstance(case, Conv):
        test_patches(case)


def test_an_error_leaves_the_next_call_right(monkeypatch):
    case = TILES[1]
    g = case.geometry()

    def fails(*arguments):
        raise RuntimeError("no launch")

    x, w, bias, _ = (a.astype("float32") for a in conv_data(case))
    with monkeypatch.context() as patch:
        patch.setattr(calls, "launch", fails)
        with pytest.raises(RuntimeError, match="no launch"):
            device.conv_forward(x, w, bias, np.empty(g.y_shape, "float32"), g)
    check(case, "float32")


def test_no_memory_for_a_workspace(monkeypatch):
    class Context:
        def get_memory_info(self):
            return 12_345, 67_890

    def no_room(*arguments):
        raise RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY")

    monkeypatch.setattr(memory, "_workspaces", {})
    monkeypatch.setattr(cuda, "device_array", no_room)
    monkeypatch.setattr(cuda, "current_context", Context)
    case = TILES[1]
    g = case.geometry()
    x, w, bias, _ = (a.astype("float32") for a in conv_data(case))
    with pytest.raises(MemoryError, match=r"^conv_forward: [\d,]+ bytes of device memory are needed, 12,345 of 67,890 "
                                          "are free$"):
        device.conv_forward(x, w, bias, np.empty(g.y_shape, "float32"), g)
    monkeypatch.undo()
    check(case, "float32")


def test_the_stream_in_force():
    assert launch.current_stream() == 0
    token = launch.set_stream(7)
    assert launch.current_stream() == 7
    check(POOLS[5], "float32")
    launch.reset_stream(token)
    assert launch.current_stream() == 0


def test_indices_are_written():
    g = MAX_POOLS[1].geometry()
    y, indices = call(device.max_pool_forward, [pool_data(MAX_POOLS[1])[0]],
                      [(g.y_shape, np.float64), (g.y_shape, np.int64)], g)
    assert (indices != UNWRITTEN).all() and not np.isnan(y).any()
