"""Convolution on halves by the matrix unit, or by tiles that are emulated where there is none."""

import json

import numpy as np
import pytest
from test_numba_isa import WIDEN

import fastconv
from fastconv import geometry, set_num_threads
from fastconv.backends import numba as engine
from fastconv.backends import plan_halves, plan_halves_cost, plan_halves_weight
from fastconv.backends.numba import isa

# x's shape, w's shape, stride, padding, dilation, groups.
CASES = {
    "padded": ((2, 64, 10, 10), (64, 64, 3, 3), 1, 1, 1, 1),
    "valid_small_maps_joined": ((9, 64, 5, 5), (64, 64, 3, 3), 1, 0, 1, 1),
    "pointwise_odd_plane": ((2, 70, 6, 7), (50, 70, 1, 1), 1, 0, 1, 1),
    "pointwise_many_channels": ((3, 300, 7, 9), (36, 300, 1, 1), 1, 0, 1, 1),
    "pointwise_strided": ((2, 64, 15, 14), (130, 64, 1, 1), 2, 0, 1, 1),
    "strided": ((2, 20, 17, 19), (36, 20, 3, 3), 2, 1, 1, 1),
    "strided_even_taps": ((2, 64, 14, 15), (40, 64, 4, 4), 2, 2, 1, 1),
    "strided_by_3": ((2, 33, 7, 300), (40, 33, 1, 5), 3, (0, 2), 1, 1),
    "stride_beyond_taps": ((2, 32, 11, 13), (32, 32, 2, 2), 4, 0, 1, 1),
    "dilated": ((1, 32, 20, 20), (48, 32, 3, 3), 1, 2, 2, 1),
    "dilated_strided": ((1, 40, 19, 22), (33, 40, 3, 3), 2, 3, 3, 1),
    "groups": ((1, 34, 9, 8), (18, 17, 3, 2), 1, 1, 1, 2),
    "folded": ((2, 3, 30, 44), (24, 3, 7, 7), 2, 3, 1, 1),
    "folded_long_rows": ((1, 6, 3, 530), (20, 6, 1, 5), 1, (0, 2), 1, 1),
    "half_a_block_of_channels": ((2, 48, 9, 40), (16, 48, 3, 3), 1, 1, 1, 1),
    "few_channels": ((3, 16, 12, 12), (32, 16, 5, 5), 1, 0, 1, 1),
    "padded_unevenly": ((2, 40, 21, 30), (50, 40, 3, 3), 1, (1, 2), 1, 1),
    "padded_beyond_taps": ((2, 20, 8, 8), (20, 20, 3, 3), 1, 4, 1, 1),
    "one_column": ((2, 16, 40, 1), (20, 16, 3, 1), 1, (5, 0), 1, 1),
    "one_position": ((40, 32, 1, 1), (32, 32, 1, 1), 1, 0, 1, 1),
    "blocks_of_rows": ((1, 64, 70, 33), (40, 64, 3, 3), 1, 1, 1, 1),
    "weights_in_ranges": ((2, 200, 6, 6), (230, 200, 3, 3), 1, 1, 1, 1),
    "long_rows": ((1, 20, 1, 9001), (24, 20, 1, 3), 1, (0, 1), 1, 1),
    "long_rows_strided": ((1, 18, 2, 18500), (20, 18, 1, 5), (1, 2), (0, 2), 1, 1),
    "volume": ((2, 32, 4, 9, 10), (40, 32, 3, 3, 3), 1, 1, 1, 1),
    "volume_strided_dilated": ((1, 20, 9, 9, 10), (40, 10, 2, 3, 3), (2, 1, 2), (0, 1, 2), (3, 1, 1), 2),
    "volume_of_few_channels": ((2, 16, 5, 12, 13), (16, 16, 3, 1, 1), 1, (2, 0, 0), 1, 1),
    "volume_in_phases": ((1, 33, 3, 11, 12), (34, 33, 2, 3, 4), (1, 2, 2), (1, 1, 2), (2, 1, 1), 1),
    "large_kernel": ((1, 18, 20, 24), (17, 18, 11, 11), 1, 5, 1, 1),
}
# One product errs by up to 2^-17 for each factor, as its second half is rounded, and by 2^-16 for the product of the
# low halves, which is left out: 3e-5 at worst. In sums these errors are of either sign.
TOLERANCE = 1e-5
NAMES = ("y", "dx", "dw", "db")


def passes(name):
    """(geometry, [(function, arrays, shapes of the results, results in float64)])."""
    from fastconv.backends import tensordot

    x_shape, w_shape, *options = CASES[name]
    g = geometry.conv(f"conv{len(x_shape) - 2}d", x_shape, w_shape, *options)
    rng = np.random.default_rng(len(name))
    x, w, b, dy = (rng.standard_normal(shape, np.float32) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape))
    calls = []
    for function, arrays, shapes in (("conv_forward", [x, w, b], [g.y_shape]),
                                     ("conv_backward_input", [dy, w], [g.x_shape]),
                                     ("conv_backward_weight", [x, dy], [g.w_shape, (g.k,)])):
        wanted = [np.empty(shape) for shape in shapes]
        getattr(tensordot, function)(*(a.astype(np.float64) for a in arrays), *wanted, g)
        calls.append((function, arrays, shapes, wanted))
    return g, calls


def errors(name, backend):
    """{result: its largest error over its largest element}, found between guard cells."""
    from references import call

    g, calls = passes(name)
    found = []
    for function, arrays, shapes, wanted in calls:
        results = call(getattr(backend, function), arrays, [(shape, np.float32) for shape in shapes], g)
        found += [float(np.abs(a - e).max() / np.abs(e).max()) for a, e in zip(results, wanted, strict=True)]
    return dict(zip(NAMES, found, strict=True))


@pytest.fixture
def always(monkeypatch, steps):
    """Halves wherever they can be; the list of what kernels ran."""
    monkeypatch.setattr(plan_halves_cost, "pays", lambda *args: True)
    return steps(engine)


needs_a_unit = pytest.mark.skipif(not isa.HALVES, reason="no matrix unit; see test_emulated")


@pytest.fixture(params=[0, plan_halves.NEAR], ids=["ahead", "near"])
def near(request, monkeypatch):
    """How many bytes of weights are laid out when they are used, not ahead: none, or those of a panel."""
    def forget():
        plan_halves.forward.cache_clear()
        plan_halves.backward_input.cache_clear()

    monkeypatch.setattr(plan_halves, "NEAR", request.param)
    forget()
    yield request.param
    forget()


@needs_a_unit
@pytest.mark.parametrize("name", CASES)
def test_unit(name, near, always):
    assert max(errors(name, engine).values()) < TOLERANCE
    ran = {kernel for kernel, *_ in always}
    assert ran >= {"multiply_halves", "add_halves"}
    assert near or "pack_halves" in ran
    # The input gradient of volumes with strides from slice to slice is computed otherwise.
    assert name == "volume_strided_dilated" or ran <= {"pack_halves", "multiply_halves", "add_halves", "add_up"}


EMULATED = """
isa.HALVES = True
sys.path.insert(0, "tests")
import json, test_halves
test_halves.plan_halves_cost.pays = lambda *args: True
print(json.dumps({name: test_halves.errors(name, test_halves.engine) for name in test_halves.CASES}))
"""


def test_emulated(fresh, tmp_path):
    """What is laid out for a matrix unit, and what it makes of that, whatever the CPU."""
    found = json.loads(fresh("INTEL = True" + WIDEN + EMULATED, NUMBA_CACHE_DIR=str(tmp_path)))
    assert found.keys() == CASES.keys()
    assert [name for name, of_name in found.items() if not max(of_name.values()) < TOLERANCE] == []


def check_pieces(form):
    """Whether the pieces of a block of the first columns, or the last ones, are the results of a filter, each once."""
    a = form.ahead
    assert form.pieces.shape[2] <= plan_halves_weight.MOST_PIECES
    for table, columns in zip(form.pieces, (form.wide, (a.positions[1] - 1) % form.wide + 1), strict=True):
        places = [place + i for vector in table for place, mask in vector for i in range(int(mask).bit_count())]
        images = range(form.block[1] if form.joined else 1)
        size = a.positions[0] * a.positions[1] * a.slices[0]
        assert places == [n * a.groups * a.filters * size + row * a.positions[1] + column for n in images
                          for row in range(form.block[0]) for column in range(columns)]


@pytest.mark.parametrize("name", CASES)
def test_offsets_lie_inside(name):
    """No tile of a plan is read from outside of the halves, and none of the weights' rows is missing."""
    x_shape, w_shape, *options = CASES[name]
    g = geometry.conv(f"conv{len(x_shape) - 2}d", x_shape, w_shape, *options)
    for form in filter(None, (plan_halves.forward(g), plan_halves.backward_input(g))):
        offsets = form.columns.array[len(form.taps):len(form.taps) + form.steps]
        last = (form.block[1] - 1) * form.image + (plan_halves.TILE * form.tiles - 1) * form.apart
        block = plan_halves.DEPTH * form.plane
        assert offsets.min() >= 0
        assert (offsets % block // plan_halves.TILE + last).max() < form.plane
        assert sum(form.columns.array[:len(form.taps)]) == len(offsets) == form.steps
        rows = form.places.array.reshape(-1, plan_halves.DEPTH + 2)[:, 2:]
        assert rows.max() <= plan_halves.DEPTH * form.kernel
    form = plan_halves_weight.backward_weight(g)
    last = (0 if form.joined else (form.block[1] - 1) * form.image) + plan_halves.DEPTH * form.steps * form.ahead.apart
    assert max(form.offsets) + last <= form.plane - form.front
    assert form.sections == tuple(sorted(form.sections))
    check_pieces(form)


@needs_a_unit
@pytest.mark.parametrize("name", ["padded", "strided", "weights_in_ranges", "valid_small_maps_joined"])
def test_same_bits_on_any_number_of_threads(name, always):
    g, calls = passes(name)
    found = []
    for count in (1, 2):
        set_num_threads(count)
        results = [np.empty(shape, np.float32) for _, _, shapes, _ in calls for shape in shapes]
        for (function, arrays, *_), own in zip(calls, (results[:1], results[1:2], results[2:]), strict=True):
            getattr(engine, function)(*arrays, *own, g)
        found.append([a.tobytes() for a in results])
    assert found[0] == found[1]


@needs_a_unit
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, np.uint32(0x7FFFFFFF).view(np.float32), 3.4e38, -3.4e38,
                                   3.39e38])
def test_large_numbers_and_none(value, always):
    """What is infinite or no number is so where the direct sum says so, and a number too large for a half is not."""
    from fastconv.backends import tensordot

    g = geometry.conv("conv2d", (1, 32, 6, 7), (32, 32, 3, 3), 1, 1, 1, 1)
    rng = np.random.default_rng(3)
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in (g.x_shape, g.w_shape, (g.k,)))
    w *= np.float32(0.01)
    x[0, 5, 0, 2, 3] = value
    y, wanted = np.empty(g.y_shape, np.float32), np.empty(g.y_shape)
    engine.conv_forward(x, w, b, y, g)
    with np.errstate(invalid="ignore"):
        tensordot.conv_forward(*(a.astype(np.float64) for a in (x, w, b)), wanted, g)
    finite = np.isfinite(wanted)
    assert np.array_equal(np.isnan(y), np.isnan(wanted))
    assert np.array_equal(y[np.isinf(wanted)], wanted[np.isinf(wanted)])
    # Of a single product the errors of the factors and of what is left out may add up.
    assert np.abs(y[finite] - wanted[finite]).max() <= 2 * TOLERANCE * np.abs(wanted[finite]).max()


@needs_a_unit
@pytest.mark.parametrize("threads", [1, 2])
def test_torch_uses_the_unit_by_turns(threads, always):
    """Its registers are shaped by each for itself: what the other one left is not taken for one's own."""
    import torch

    g, calls = passes("padded")
    left, right = (torch.randn(96, 96, generator=torch.Generator().manual_seed(seed)).bfloat16() for seed in (1, 2))
    set_num_threads(threads)
    found, products = [], []
    for _ in range(4):
        for function, arrays, shapes, _ in calls:
            results = [np.empty(shape, np.float32) for shape in shapes]
            getattr(engine, function)(*arrays, *results, g)
            found.append([a.tobytes() for a in results])
            products.append(left @ right)
    assert all(torch.equal(product, products[0]) for product in products)
    assert all(found[i] == found[i % 3] for i in range(len(found)))


@pytest.mark.parametrize("channels", [2, 16, 47, 48])
def test_sums_of_few_terms_are_direct(channels, monkeypatch):
    monkeypatch.setattr(plan_halves_cost, "product", lambda form: 0)
    g = geometry.conv("conv2d", (8, channels, 56, 56), (96, channels, 1, 1))
    assert plan_halves.forward(g).terms == channels
    assert plan_halves.backward_input(g).terms == 96
    assert plan_halves_weight.backward_weight(g).terms == 8 * 56 * 56
    assert plan_halves_cost.pays(g, plan_halves.forward(g), False) == (channels == 48)


@needs_a_unit
def test_highest_rules_halves_out(steps):
    ran = steps(engine)
    x, w = np.ones((4, 64, 28, 28), np.float32), np.ones((64, 64, 3, 3), np.float32)
    fastconv.functional.conv2d(x, w)
    assert "multiply_halves" in {kernel for kernel, *_ in ran}
    ran.clear()
    fastconv.set_float32_precision("highest")
    fastconv.functional.conv2d(x, w)
    fastconv.functional.conv2d(x.astype(np.float64), w.astype(np.float64))
    assert "multiply_halves" not in {kernel for kernel, *_ in ran}
