"""The compiled kernels of CUDA, with the block sizes of a GPU, run from their PTX on the host.

Where there is no CUDA toolkit to compile with, these tests have nothing to try, and pass. A tile takes a second or more
to compile and to run: FASTCONV_EVERY_TILE=1 tries all of those that the table of blocks has, else a few stand for them.
"""

import os
from functools import cache, partial
from types import SimpleNamespace

import numpy as np
import ptx
import pytest
from references import assert_close, assert_same_bits, sum_bound
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

import fastconv
from bench.cases import Conv, Pool, by_name
from fastconv.backends import KERNELS, loops
from fastconv.backends.cuda import blocks, calls, compiled, memory, tables

PLANS = (calls._conv, calls._weight, calls._im2col, calls._col2im, calls._maps, calls._pool)
TOOLKIT = compiled.toolkit()
EVERY = os.environ.get("FASTCONV_EVERY_TILE") == "1"


@cache
def kernel_of(function, count):
    return ptx.Kernel(compiled.ptx(function, count, (8, 0)))


class Device:
    """Stands for what `fastconv.backends.cuda.calls` asks of a GPU."""

    offset = 0  # bytes from a multiple of 256 to where arguments begin

    def __init__(self):
        self.memory, self.arrays, self.launched = ptx.Memory(), {}, []

    def address(self, array):
        if array is None:
            return 0
        if id(array) not in self.arrays:
            self.arrays[id(array)] = array, self.memory.add(array, self.offset)
        return self.arrays[id(array)][1]

    def aligned(self, array):
        return self.offset % min(16, 4 * array.itemsize) == 0

    def workspace(self, count, dtype, what, number):
        return self.memory.add(np.full(count, np.nan, dtype))

    def table(self, array, what):
        # Made anew for each run: plans outlive the memory of one.
        return SimpleNamespace(address=self.memory.add(array))

    def launch(self, kernel, count, threads, *arguments):
        self.launched.append(kernel)
        kernel_of(kernel, len(arguments) + 1).run(count, threads, (*arguments, 0), self.memory)

    def launch_over(self, kernel, elements, threads, *arguments):
        kernel_of(kernel, len(arguments)).run(min(-(-elements // threads), 2), threads, arguments, self.memory)


@pytest.fixture
def device(monkeypatch):
    """The contract's functions on NumPy arrays, by PTX; `device.launched` lists their kernels."""
    found = SimpleNamespace(launched=[])

    def run(name, *arguments):
        here = Device()
        here.offset = found.offset
        for plan in PLANS:
            plan.cache_clear()
        for attribute, value in (("address", here.address), ("aligned", here.aligned), ("device", lambda: 0),
                                 ("workspace", here.workspace), ("Table", here.table), ("launch", here.launch),
                                 ("launch_over", here.launch_over)):
            monkeypatch.setattr(calls, attribute, value)
        monkeypatch.setattr(memory, "capability", lambda: (8, 0))
        getattr(calls, name)(*arguments)
        for array, address in here.arrays.values():
            now = here.memory.get(address, array.shape, array.dtype)
            if array.flags.writeable:
                array[...] = now
            else:
                assert now.tobytes() == array.tobytes(), "an input was changed"
        found.launched += here.launched

    for name in KERNELS:
        setattr(found, name, partial(run, name))
    found.offset = 0
    yield found
    for plan in PLANS:
        plan.cache_clear()


def check(device, case, dtype):
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


CASES = [by_name(name) for name in (
    "1d_dilated_groups", "2d_depthwise_stride_2", "transposed_2d_gaps", "max_2d_overlap", "max_3d_mixed",
    "avg_2d_ceil_pad_not_counted", "avg_2d_divisor", "avg_3d")]
# More than a step of taps, pixels and channels; a multiple of four pixels, and not.
WHOLE = Conv("tile_whole", (2, 3, 6, 6), (20, 3, 3, 3), padding=1)
POINTWISE = Conv("tile_pointwise", (2, 19, 6, 6), (23, 19, 1, 1))
RAGGED = Conv("tile_ragged", (2, 18, 5, 7), (34, 9, 2, 3), stride=(2, 1), padding=1, groups=2)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_single(device, case):
    if TOOLKIT:
        check(device, case, "float32")


@pytest.mark.parametrize("case", [CASES[2], CASES[-3]], ids=str)
def test_double(device, case):
    if TOOLKIT:
        check(device, case, "float64")


TILES = sorted({tile for _, tile in blocks.GATHER[4]}) if EVERY else [(64, 64, 8, 8, 4)]
WEIGHT_TILES = sorted({tile for *_, tile in blocks.WEIGHT[4]}) if EVERY else [(32, 64, 16, 4, 4)]
TENSOR_TILES = range(len(blocks.TENSOR)) if EVERY else [3]


@pytest.mark.parametrize("offset", [0, 4] if EVERY else [0])
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_tiles(device, monkeypatch, tile, offset):
    """Every tile of the table, on arrays that stand at a multiple of 16 bytes and ones that do not."""
    if TOOLKIT:
        monkeypatch.setitem(blocks.GATHER, 4, ((1, tile),))
        monkeypatch.setattr(blocks, "FEW", 2)
        device.offset = offset
        forward_and_backward(device, RAGGED if offset else WHOLE)


@pytest.mark.parametrize("offset", [0, 4] if EVERY else [0])
@pytest.mark.parametrize("tile", TILES, ids=str)
def test_pointwise_tiles(device, monkeypatch, tile, offset):
    if TOOLKIT:
        monkeypatch.setitem(blocks.GATHER, 4, ((1, tile),))
        device.offset = offset
        forward_and_backward(device, POINTWISE)


def forward_and_backward(device, case):
    """Compare y and dx with the loops."""
    g = case.geometry()
    x, w, bias, dy = (a.astype(np.float32) for a in conv_data(case))
    y, dx = np.full(g.y_shape, np.nan, np.float32), np.full(g.x_shape, np.nan, np.float32)
    device.conv_forward(x, w, bias, y, g)
    device.conv_backward_input(dy, w, dx, g)
    expected, magnitudes = conv_oracle(case), conv_magnitudes(case)
    for name, a, e, m in (("y", y, expected[0], magnitudes[0]), ("dx", dx, expected[1], magnitudes[1])):
        assert_close(a, e, sum_bound(m, 200, "float32"), name)


@pytest.mark.parametrize("tile", WEIGHT_TILES, ids=str)
def test_weight_tiles(device, monkeypatch, tile):
    if TOOLKIT:
        monkeypatch.setitem(blocks.WEIGHT, 4, ((1, 1, tile),))
        monkeypatch.setattr(blocks, "FEW", 2)
        monkeypatch.setattr(blocks, "LEAST_STEPS", 2)
        for case in (WHOLE, RAGGED):
            g = case.geometry()
            x, _, _, dy = (a.astype(np.float32) for a in conv_data(case))
            dw, db = np.full(g.w_shape, np.nan, np.float32), np.full(g.k, np.nan, np.float32)
            device.conv_backward_weight(x, dy, dw, db, g)
            assert_close(dw, conv_oracle(case)[2], sum_bound(conv_magnitudes(case)[2], 72, "float32"), "dw")
            assert_close(db, conv_oracle(case)[3], sum_bound(conv_magnitudes(case)[3], 72, "float32"), "db")


def test_tiles_of_doubles(device, monkeypatch):
    if TOOLKIT and EVERY:
        monkeypatch.setattr(blocks, "FEW", 2)
        check(device, RAGGED, "float64")


@pytest.mark.parametrize("case", [WHOLE, RAGGED, POINTWISE] if EVERY else [RAGGED], ids=str)
@pytest.mark.parametrize("which", TENSOR_TILES)
def test_tensor_cores(device, monkeypatch, which, case):
    """Their products of halves are exact, and of float32 those of its first 11 bits."""
    if TOOLKIT:
        monkeypatch.setattr(blocks, "FEW", 2)
        monkeypatch.setattr(blocks, "TENSOR", ((1, blocks.TENSOR[which][1]),))
        monkeypatch.setattr(blocks, "WEIGHT_TENSOR", ((1, 1, blocks.WEIGHT_TENSOR[which % 3][2]),))
        g = case.geometry()
        if EVERY:
            data = [a.astype(np.float16).astype(np.float64) for a in conv_data(case)]
            expected, magnitudes = (conv(loops, d, "float64", g) for d in (data, [np.abs(a) for a in data]))
            for name, a, e, m in zip(("y", "dx", "dw", "db"), conv(device, data, "float16", g), expected, magnitudes,
                                     strict=True):
                assert_close(a, e, np.abs(e) * 2.0**-11 + sum_bound(m, 200, "float32") + 2.0**-24, name)
        fastconv.set_float32_precision("medium")
        found = conv(device, conv_data(case), "float32", g)
        for name, a, e, m in zip(("y", "dx", "dw", "db"), found, conv_oracle(case), conv_magnitudes(case), strict=True):
            assert_close(a, e, m * 2.0**-10, name)
        errors = np.abs(found[0] - conv_oracle(case)[0]).max()
        assert errors > 1e-5 * np.abs(found[0]).max(), "not by tensor cores"


@pytest.mark.parametrize("case", [CASES[0]], ids=str)
def test_patches(device, case):
    if TOOLKIT:
        cols, dx = patches(device, patch_data(case), "float32", case.geometry())
        assert_close(cols, patches_oracle(case)[0], 0, "cols")
        assert_close(dx, patches_oracle(case)[1], 1e-5, "dx")


def test_max_pool_rules(device):
    if TOOLKIT:
        g = CASES[3].geometry()
        x = not_numbers("mixed", g.x_shape)
        y, indices = np.zeros(g.y_shape, np.float32), np.zeros(g.y_shape, np.int64)
        expected = np.zeros(g.y_shape), np.zeros(g.y_shape, np.int64)
        loops.max_pool_forward(x, *expected, g)
        device.max_pool_forward(x.astype(np.float32), y, indices, g)
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_array_equal(indices, expected[1])
        alone = np.zeros(g.y_shape, np.float32)
        device.max_pool_forward(x.astype(np.float32), alone, None, g)
        assert_same_bits(alone, y, "y without indices")


@pytest.mark.parametrize("case", [RAGGED, CASES[2], *CASES[4:6]] if EVERY else CASES[2:6:3], ids=str)
def test_wide_offsets(device, monkeypatch, case):
    if TOOLKIT:
        monkeypatch.setattr(tables, "INT32", 10)
        check(device, case, "float32")
