"""Padding, interpolation, shuffles, adaptive pooling and unpooling: against torch, forward and backward."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as T
from torch_twins import TYPES, assert_near, ident, random, tensor

import fastconv
from fastconv import backends, layers
from fastconv import functional as F
from fastconv import grad as G
from fastconv.inspection import check_gradients

PADS = [
    ((2, 3, 5, 6), (1, 2, 3, 0), "constant"), ((2, 3, 5, 6), (-1, 2, 3, -2), "constant"), ((2, 3), (), "constant"),
    ((3,), (0, 2), "constant"), ((2, 3, 4), (1, 1, 0, 2, 3, 1), "constant"), ((), (), "constant"),
    ((2, 2, 3, 2, 2), (1, 1, 1, 0, 0, 1, 2, 1, 1, 1), "constant"), ((2, 3, 4), (-2, -2), "constant"),
    ((2, 0, 4), (1, 1, 2, 1), "constant"), ((0, 3), (1, 1), "constant"),
] + [case for mode in ("reflect", "replicate", "circular") for case in (
    ((2, 3, 5), (4, 4), mode), ((3, 5), (1, 0), mode), ((2, 3, 5, 6), (1, 2, 3, 4), mode),
    ((3, 5, 6), (0, 5, 2, 0), mode), ((2, 3, 5, 6), (-1, 2, 1, -2), mode), ((2, 3, 9, 40), (3, 3, 3, 3), mode),
    ((2, 2, 3, 4, 5), (1, 2, 3, 0, 2, 1), mode), ((2, 3, 4, 5), (1, 1, 0, 0, 2, 1), mode),
    ((0, 3, 5, 6), (1, 2, 3, 4), mode), ((2, 3, 5), (-3, -2) if mode == "circular" else (-3, -1), mode))
] + [((2, 3, 5), (-6, 4), "replicate"), ((2, 3, 5), (9, 11), "replicate"), ((2, 0, 5), (1, 1), "circular")]

INTERPOLATIONS = [
    ((2, 3, 5), dict(size=9)), ((2, 3, 5), dict(scale_factor=2.3)), ((2, 3, 5, 6), dict(scale_factor=2)),
    ((2, 3, 9, 6), dict(scale_factor=(0.5, 0.4))), ((2, 3, 4, 5, 6), dict(size=(2, 7, 6))),
    ((2, 3, 5, 6), dict(scale_factor=1.7, mode="nearest-exact")), ((2, 3, 7), dict(size=3, mode="nearest-exact")),
    ((1, 2, 3, 4, 5), dict(scale_factor=2.0, mode="nearest-exact", recompute_scale_factor=True)),
    ((2, 3, 5), dict(scale_factor=2.3, mode="linear")), ((2, 3, 5), dict(size=11, mode="linear", align_corners=True)),
    ((2, 3, 5), dict(size=1, mode="linear", align_corners=True)),
    ((2, 3, 5, 6), dict(scale_factor=2, mode="bilinear")), ((2, 3, 9, 8), dict(scale_factor=0.5, mode="bilinear")),
    ((2, 3, 5, 6), dict(scale_factor=2.6, mode="bilinear", recompute_scale_factor=True)),
    ((2, 3, 5, 6), dict(size=(7, 3), mode="bilinear", align_corners=True)),
    ((2, 3, 9, 11), dict(size=(4, 17), mode="bilinear", antialias=True)),
    ((2, 3, 9, 11), dict(size=(4, 17), mode="bilinear", antialias=True, align_corners=True)),
    ((1, 2, 3, 4, 5), dict(scale_factor=1.5, mode="trilinear")),
    ((1, 2, 3, 4, 5), dict(size=(2, 7, 5), mode="trilinear", align_corners=True)),
    ((2, 3, 5, 6), dict(scale_factor=2, mode="bicubic")), ((2, 3, 5, 6), dict(size=3, mode="bicubic")),
    ((2, 3, 5, 6), dict(size=(9, 2), mode="bicubic", align_corners=True)),
    ((2, 3, 9, 11), dict(scale_factor=0.4, mode="bicubic", antialias=True)),
    ((2, 3, 9, 11), dict(size=(4, 17), mode="lanczos", antialias=True)),
    ((2, 3, 9, 11), dict(size=(4, 17), mode="area")), ((2, 3, 9), dict(scale_factor=0.5, mode="area")),
    ((1, 2, 3, 4, 5), dict(size=(2, None, 3)[0], mode="area")), ((0, 3, 5, 6), dict(size=(7, 3), mode="bilinear")),
]

ADAPTIVE = [
    (1, (2, 3, 9), 4), (1, (3, 9), (3,)), (1, (2, 3, 9), 1), (1, (2, 3, 5), 8), (2, (2, 3, 9, 8), (4, 3)),
    (2, (3, 9, 8), (3, 4)), (2, (2, 3, 9, 8), 1), (2, (2, 3, 9, 8), (None, 3)), (2, (2, 3, 9, 8), (2, None)),
    (2, (2, 3, 4, 5), (7, 9)), (2, (2, 3, 9, 8), (0, 3)), (2, (0, 3, 9, 8), (4, 3)), (2, (2, 2, 30, 70), (7, 9)),
    (2, (1, 1, 3, 1100), (2, 3)), (3, (2, 2, 4, 5, 6), (2, 3, 4)), (3, (2, 4, 5, 6), 2),
    (3, (2, 2, 4, 5, 6), (1, None, 1)), (3, (2, 2, 4, 6, 8), (2, 3, 2)),
]

UNPOOLS = [
    (1, (2, 3, 9), dict(kernel_size=2), None), (1, (3, 9), dict(kernel_size=3, stride=2), None),
    (2, (2, 3, 8, 9), dict(kernel_size=2), (8, 9)), (2, (3, 8, 9), dict(kernel_size=(2, 3), stride=(2, 2)), None),
    (2, (2, 3, 8, 9), dict(kernel_size=3, stride=2, padding=1), (2, 3, 8, 9)),
    (2, (0, 3, 8, 8), dict(kernel_size=2), None), (3, (2, 2, 4, 6, 5), dict(kernel_size=2), (4, 6, 5)),
    (3, (2, 4, 6, 4), dict(kernel_size=(1, 2, 2)), None),
]


@pytest.fixture(params=("numba", "tensordot"))
def engine(request):
    """A backend with kernels for these functions, and one without."""
    with backends.use_backend(request.param):
        yield


def compare(ours, gradient, theirs, x, dtype):
    """`ours` and `gradient`, of x and of (dy,), against the function `theirs` of a tensor."""
    y, leaf = ours(x), tensor(x, True)
    expected = theirs(leaf)
    assert_near(y, expected, dtype)
    dy = np.asarray(random(9, y.shape, dtype))
    # torch refuses some gradients of nothing.
    dx = torch.autograd.grad(expected, leaf, tensor(dy))[0] if y.size else np.zeros(x.shape)
    assert_near(gradient(dy), dx, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", PADS, ids=ident)
def test_pad(case, dtype, engine):
    shape, pads, mode = case
    x = np.asarray(random(1, shape, dtype))
    value = 2.5 if mode == "constant" else None
    compare(lambda x: F.pad(x, pads, mode, value), lambda dy: G.pad_input(shape, dy, pads, mode),
            lambda x: T.pad(x, pads, mode, value), x, dtype)


@pytest.mark.parametrize("dtype", (np.int64, np.int8, np.uint8, np.bool_))
@pytest.mark.parametrize("mode", ("constant", "reflect", "replicate", "circular"))
def test_pad_of_integers(mode, dtype):
    x = np.arange(24).reshape(1, 2, 3, 4).astype(dtype)
    if mode in ("reflect", "replicate") and dtype == np.bool_:
        expected = T.pad(torch.from_numpy(x.astype(int)), (1, 2, 0, 1), mode).numpy().astype(bool)
    else:
        expected = T.pad(torch.from_numpy(x), (1, 2, 0, 1), mode).numpy()
    found = F.pad(x, (1, 2, 0, 1), mode)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, expected)


def test_value_of_a_pad():
    assert F.pad(np.zeros(1, np.int32), (1, 0), value=1.5).tolist() == [1, 0]
    assert F.pad(np.zeros(1, bool), (1, 0), value=2).tolist() == [True, False]
    assert F.pad(np.zeros(1), (1, 0), value=True).tolist() == [1, 0]
    assert np.isnan(F.pad(np.zeros(1), [1, np.int64(0)], value=np.float32(np.nan))).tolist() == [True, False]
    assert F.pad(np.zeros((1, 2)), (1, 1), "reflect", 0).shape == (1, 4)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", INTERPOLATIONS, ids=ident)
def test_interpolate(case, dtype, engine):
    shape, arguments = case
    x = random(1, shape, dtype)
    compare(lambda x: F.interpolate(x, **arguments), lambda dy: G.interpolate_input(shape, dy, **arguments),
            lambda x: T.interpolate(x, **arguments), x, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("mode", ("nearest", "nearest-exact"))
def test_nearest_elements_are_torchs(mode, dtype):
    """Of positions that fall on integers too, where rounding decides."""
    for size in range(1, 40, 3):
        x = np.arange(4 * size, dtype=dtype).reshape(1, 2, 2, size)
        for arguments in [dict(size=(2, n)) for n in range(1, 99, 3)] + [dict(scale_factor=(1.0, f)) for f in (
                0.3, 0.7, 1.1, 3.3)]:
            if size * arguments.get("scale_factor", (1, 1))[1] >= 1:
                expected = T.interpolate(torch.from_numpy(x), mode=mode, **arguments).numpy()
                np.testing.assert_array_equal(F.interpolate(x, mode=mode, **arguments), expected)


def test_large_interpolation_is_torchs():
    """A map that is not resampled along its rows first, as smaller ones are."""
    x = random(1, (1, 1, 900, 700), np.float32)
    found = F.interpolate(x, scale_factor=(0.5, 1.5), mode="bilinear")
    assert_near(found, T.interpolate(tensor(x), scale_factor=(0.5, 1.5), mode="bilinear"), np.float32)


@pytest.mark.parametrize("value", (np.nan, np.inf, -np.inf))
@pytest.mark.parametrize("arguments", [dict(scale_factor=2), dict(size=(4, 7), mode="nearest-exact"),
                                       dict(scale_factor=2, mode="bilinear"), dict(size=(4, 7), mode="area"),
                                       dict(size=(9, 11), mode="bilinear", align_corners=True)], ids=str)
def test_a_nan_or_infinity_reaches_what_it_reaches_in_torch(arguments, value, engine):
    x = random(1, (1, 2, 6, 8), np.float32)
    x[0, 0, 2, 3] = value
    expected = T.interpolate(torch.from_numpy(x), **arguments).numpy()
    np.testing.assert_allclose(F.interpolate(x, **arguments), expected, atol=1e-6, equal_nan=True)
    dy = random(2, expected.shape, np.float32)
    dy[0, 1, 2, 3] = value
    leaf = torch.from_numpy(x).requires_grad_()
    T.interpolate(leaf, **arguments).backward(torch.from_numpy(dy))
    np.testing.assert_allclose(G.interpolate_input(x.shape, dy, **arguments), leaf.grad.numpy(), atol=1e-5,
                               equal_nan=True)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(2, 8, 3, 2), (18, 4, 6), (2, 1, 8, 2, 6)])
def test_shuffles(shape, dtype):
    x = random(1, shape, dtype)
    for r in (1, 2, 3):
        if not shape[-3] % (r * r):
            compare(lambda x, r=r: F.pixel_shuffle(x, r), lambda dy, r=r: G.pixel_shuffle_input(dy, r),
                    lambda x, r=r: T.pixel_shuffle(x, r), x, dtype)
        if not shape[-2] % r and not shape[-1] % r:
            compare(lambda x, r=r: F.pixel_unshuffle(x, r), lambda dy, r=r: G.pixel_unshuffle_input(dy, r),
                    lambda x, r=r: T.pixel_unshuffle(x, r), x, dtype)


def test_shuffles_of_nothing():
    """Have the shape that they would have of something; torch returns an empty input as it is."""
    assert F.pixel_shuffle(np.ones((0, 8, 3, 2)), 2).shape == (0, 2, 6, 4)
    assert F.pixel_unshuffle(np.ones((2, 0, 6, 4)), 2).shape == (2, 0, 3, 2)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", ADAPTIVE, ids=ident)
@pytest.mark.parametrize("kind", ("avg", "max"))
def test_adaptive_pool(kind, case, dtype, engine):
    nd, shape, size = case
    name = f"adaptive_{kind}_pool{nd}d"
    # Few different values, so that there are ties.
    x = np.round(random(1, shape, dtype))
    ours, theirs, gradient = (getattr(module, full) for module, full in (
        (F, name), (T, name), (G, name + "_input")))
    if kind == "avg":
        compare(lambda x: ours(x, size), lambda dy: gradient(shape, dy), lambda x: theirs(x, size), x, dtype)
        return
    values, indices = ours(x, size, return_indices=True)
    _, places = theirs(tensor(x), size, return_indices=True)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, places.numpy())
    for other in getattr(F, name + "_with_indices")(x, size), (ours(x, size), indices):
        np.testing.assert_array_equal(other[0], values)
        np.testing.assert_array_equal(other[1], indices)
    compare(lambda x: ours(x, size), lambda dy: gradient(shape, indices, dy), lambda x: theirs(x, size), x, dtype)


def test_adaptive_max_pool_of_nan_and_infinities(engine):
    x = np.full((1, 1, 5, 7), -np.inf, np.float32)
    x[0, 0, 1, 2:4] = np.nan
    x[0, 0, 4, 2] = np.nan
    x[0, 0, 2, 6] = np.inf
    for size in ((2, 3), 1, (5, 7), (3, 2)):
        values, indices = F.adaptive_max_pool2d(x, size, return_indices=True)
        expected, places = T.adaptive_max_pool2d(torch.from_numpy(x), size, return_indices=True)
        np.testing.assert_array_equal(values, expected.numpy())
        np.testing.assert_array_equal(indices, places.numpy())


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", UNPOOLS, ids=ident)
def test_max_unpool(case, dtype, engine):
    nd, shape, arguments, size = case
    x, indices = getattr(F, f"max_pool{nd}d")(random(1, shape, dtype), **arguments, return_indices=True)
    name = f"max_unpool{nd}d"
    places = torch.from_numpy(indices)
    compare(lambda x: getattr(F, name)(x, indices, **arguments, output_size=size),
            lambda dy: getattr(G, name + "_input")(indices, dy),
            lambda x: getattr(T, name)(x, places, **arguments, output_size=size), x, dtype)


def test_the_last_of_several_for_a_place_stays(engine):
    x, indices = np.arange(1.0, 5).reshape(1, 1, 2, 2), np.array([[[[3, 0], [3, 3]]]])
    found = F.max_unpool2d(x, indices, 2)
    np.testing.assert_array_equal(found, T.max_unpool2d(torch.from_numpy(x), torch.from_numpy(indices), 2).numpy())
    assert found[0, 0, 0].tolist() == [2, 0, 0, 4]


# As seed 004 defines them: (W - 1) k + 1 elements, and a gradient of the input's own size.
def test_upsampling_by_zeros():
    layer = layers.Upsample1d(3)
    x = np.arange(1.0, 5).reshape(1, 1, 4)
    assert layer(x).tolist() == [[[1, 0, 0, 2, 0, 0, 3, 0, 0, 4]]]
    assert layer.backward(np.arange(10.0).reshape(1, 1, 10)).tolist() == [[[0, 3, 6, 9]]]
    assert layers.Upsample2d(2)(np.ones((2, 3, 4, 5), np.float32)).shape == (2, 3, 7, 9)
    assert F.zero_insert3d(np.ones((1, 2, 2, 3)), (1, 2, 3)).shape == (1, 2, 3, 7)


@pytest.mark.parametrize("width", (7, 8, 9, 10))
def test_downsampling_remembers_the_size(width):
    layer = layers.Downsample1d(3)
    x = np.arange(float(width)).reshape(1, 1, width)
    y = layer(x)
    np.testing.assert_array_equal(y, x[..., ::3])
    expected = np.zeros_like(x)
    expected[..., ::3] = y + 1
    np.testing.assert_array_equal(layer.backward(y + 1), expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("nd", (1, 2, 3))
def test_resampling_by_a_factor_is_slicing(nd, dtype, engine):
    shape, factors = (2, 3, 5, 4, 6)[:nd + 2], (2, 3, 1)[:nd]
    x = random(1, shape, dtype)
    steps = (..., *(slice(None, None, f) for f in factors))
    down = getattr(F, f"downsample{nd}d")(x, factors)
    np.testing.assert_array_equal(down, x[steps])
    up = getattr(F, f"zero_insert{nd}d")(x, factors)
    assert up.shape == (2, 3, *((n - 1) * f + 1 for n, f in zip(shape[2:], factors, strict=True)))
    np.testing.assert_array_equal(up[steps], x)
    assert np.count_nonzero(up) == np.count_nonzero(x)
    np.testing.assert_array_equal(getattr(G, f"zero_insert{nd}d_input")(shape, up, factors), x)
    back = getattr(G, f"downsample{nd}d_input")(shape, down, factors)
    np.testing.assert_array_equal(back[steps], down)
    assert back.shape == shape and np.count_nonzero(back) == np.count_nonzero(down)


def test_other_libraries_arrays():
    """One of torch's stands for those of every library."""
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    dy = torch.randn(2, 4, 9, 10, dtype=torch.float64)
    for ours, expected in [
        (F.pad(x, (1, 2, 3, 0), value=2), T.pad(x, (1, 2, 3, 0), value=2)),
        (F.pad(x.int(), (1, 2, 3, 0), "reflect"), T.pad(x.int(), (1, 2, 3, 0), "reflect")),
        (G.pad_input(x.shape, dy, (1, 1, 1, 2), "circular"), None),
        (F.interpolate(x, (9, 10), mode="bicubic"), T.interpolate(x, (9, 10), mode="bicubic")),
        (F.interpolate(x, (4, 10), mode="area"), T.interpolate(x, (4, 10), mode="area")),
        (G.interpolate_input(x.shape, dy, (9, 10), mode="bilinear"), None),
        (F.pixel_shuffle(x, 2), T.pixel_shuffle(x, 2)),
        (F.pixel_unshuffle(x, 2), T.pixel_unshuffle(x, 2)),
        (F.downsample2d(x, 2), x[..., ::2, ::2]),
        (F.adaptive_avg_pool2d(x, (4, 2)), T.adaptive_avg_pool2d(x, (4, 2))),
        (F.adaptive_avg_pool2d(x, (3, 2)), T.adaptive_avg_pool2d(x, (3, 2))),
        (G.adaptive_avg_pool2d_input(x.shape, dy[..., :5, :5]), None),
    ]:
        assert type(ours) is torch.Tensor
        if expected is not None:
            torch.testing.assert_close(ours, expected)


LAYERS = [
    (layers.Upsample1d(3), (2, 3, 5)), (layers.Upsample2d((2, 3)), (3, 4, 5)), (layers.Upsample3d(2), (1, 2, 3, 2, 3)),
    (layers.Downsample1d(3), (2, 3, 8)), (layers.Downsample2d(2), (2, 3, 5, 6)), (layers.Downsample3d(2), (2, 3, 2, 3)),
    (layers.Conv2d(2, 3, 3, padding=2, padding_mode="reflect", generator=0), (2, 2, 5, 6)),
    (layers.Upsample(scale_factor=1.5, mode="bilinear"), (2, 2, 5, 6)), (layers.PixelShuffle(2), (1, 4, 3, 2)),
]


@pytest.mark.parametrize("layer, shape", LAYERS, ids=repr)
def test_gradients_of_layers(layer, shape):
    report = check_gradients(layer, random(1, shape, np.float64))
    assert report, str(report)


@pytest.mark.parametrize("nd", (1, 2, 3))
def test_layers_of_unpooling(nd):
    pool, layer = getattr(layers, f"MaxPool{nd}d")(2, return_indices=True), getattr(layers, f"MaxUnpool{nd}d")(2)
    x = random(1, (2, 3, 6, 4, 8)[:nd + 2], np.float64)
    y, indices = pool(x)
    theirs = getattr(torch.nn, f"MaxUnpool{nd}d")(2)
    assert repr(layer) == repr(theirs)
    np.testing.assert_array_equal(layer(y, indices), theirs(torch.from_numpy(y), torch.from_numpy(indices)).numpy())
    assert check_gradients(layer, [y, indices])
    with pytest.raises(ValueError, match="grad_output must have shape"):
        layer.backward(layer(y, indices)[..., :-1])


def test_any_number_of_threads_gives_the_same_bits():
    x, dy = random(1, (3, 5, 40, 44), np.float32), random(2, (3, 5, 60, 66), np.float32)
    pooled, indices = F.max_pool2d(x, 3, return_indices=True)

    def results():
        yield F.pad(x, (3, 4, 5, 1), "reflect")
        yield G.pad_input((3, 5, 57, 58), dy, (4, 4, 3, 0), "circular")
        yield F.interpolate(x, scale_factor=1.5, mode="bicubic")
        yield G.interpolate_input(x.shape, dy, scale_factor=1.5, mode="bilinear")
        yield F.adaptive_avg_pool2d(x, (7, 9))
        yield F.adaptive_avg_pool2d(x, 1)
        yield G.adaptive_avg_pool2d_input((3, 5, 100, 70), dy)
        yield G.avg_pool2d_input((3, 5, 60, 66), dy, 3, 1, 1)
        yield F.avg_pool2d(x, 4, 3)
        yield from F.adaptive_max_pool2d(x, (7, 9), return_indices=True)
        yield F.max_unpool2d(pooled, indices, 3, output_size=(40, 44))
        yield G.max_unpool2d_input(indices, x)
        yield F.pixel_unshuffle(x, 2)

    fastconv.set_num_threads(1)
    alone = [result.tobytes() for result in results()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # on a machine of one core
        fastconv.set_num_threads(2)
    assert [result.tobytes() for result in results()] == alone
