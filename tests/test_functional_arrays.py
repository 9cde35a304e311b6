"""Whatever the layout of an argument: the same bits, a new array, and nothing written to."""

import inspect

import numpy as np
import pytest
from torch_twins import TYPES, random

from fastconv import functional as F
from fastconv import grad as G

INDICES = np.array([[[[0, 3], [7, 34]]] * 3] * 2)
LABELS = np.array([1, 0])

# name: (function of the arrays, their shapes, or the arrays themselves where they are integers)
CALLS = {
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, padding=1), (2, 3, 6), (4, 3, 3), (4,)),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), (2, 3, 6, 5), (4, 3, 3, 3), (4,)),
    "conv2d unbatched": (lambda x, w, b: F.conv2d(x, w, b, stride=2), (3, 6, 5), (4, 3, 3, 3), (4,)),
    "conv3d": (lambda x, w, b: F.conv3d(x, w, b), (2, 3, 4, 5, 6), (4, 3, 1, 2, 3), (4,)),
    "conv_transpose2d bias": (lambda x, w, b: F.conv_transpose2d(x, w, b), (1, 1, 1, 1), (1, 2, 1, 1), (2,)),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, 2), (2, 3, 4, 5), (3, 4, 3, 3), (4,)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (2, 3, 6, 5)),
    "max_pool2d 1": (lambda x: F.max_pool2d(x, 1), (2, 3, 6, 5)),
    "max_pool2d indices": (lambda x: F.max_pool2d(x, 2, return_indices=True)[1], (2, 3, 6, 5)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (2, 3, 6, 5)),
    "avg_pool2d 1": (lambda x: F.avg_pool2d(x, 1), (3, 6, 5)),
    "unfold": (lambda x: F.unfold(x, 2), (2, 3, 6, 5)),
    "unfold 1": (lambda x: F.unfold(x, 1), (2, 3, 6, 5)),
    "fold": (lambda x: F.fold(x, (3, 4), 2), (2, 12, 6)),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 1), "reflect"), (2, 3, 6, 5)),
    "pad of every axis": (lambda x: F.pad(x, (1, 0, 0, 1, 1, 1, 0, 2), value=2), (2, 3, 6, 5)),
    "pad of nothing": (lambda x: F.pad(x, ()), (2, 3, 6, 5)),
    "interpolate": (lambda x: F.interpolate(x, (9, 7), mode="bicubic"), (2, 3, 6, 5)),
    "interpolate to the same size": (lambda x: F.interpolate(x, (6, 5)), (2, 3, 6, 5)),
    "interpolate over an area": (lambda x: F.interpolate(x, (4, 7), mode="area"), (2, 3, 6, 5)),
    "pixel_shuffle": (lambda x: F.pixel_shuffle(x, 2), (2, 8, 3, 2)),
    "pixel_shuffle 1": (lambda x: F.pixel_shuffle(x, 1), (2, 8, 3, 2)),
    "pixel_unshuffle": (lambda x: F.pixel_unshuffle(x, 2), (2, 3, 6, 4)),
    "zero_insert2d": (lambda x: F.zero_insert2d(x, 3), (2, 3, 6, 5)),
    "zero_insert2d 1": (lambda x: F.zero_insert2d(x, 1), (2, 3, 6, 5)),
    "downsample2d": (lambda x: F.downsample2d(x, 2), (2, 3, 6, 5)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (4, 2)), (2, 3, 6, 5)),
    "adaptive_avg_pool2d, equal windows": (lambda x: F.adaptive_avg_pool2d(x, (3, 5)), (2, 3, 6, 5)),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (4, 2)), (2, 3, 6, 5)),
    "adaptive_max_pool2d indices": (lambda x: F.adaptive_max_pool2d(x, (4, 2), True)[1], (2, 3, 6, 5)),
    "max_unpool2d": (lambda x, i: F.max_unpool2d(x, i, 4), (2, 3, 2, 2), INDICES),
    "linear": (F.linear, (2, 4, 5), (3, 5), (3,)),
    "correlate1d": (F.correlate1d, (9,), (3,)),
    "convolve2d": (F.convolve2d, (6, 5), (3, 2)),
    "relu": (F.relu, (2, 3, 6, 5)),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), (2, 3, 6, 5)),
    "prelu": (F.prelu, (2, 3, 6, 5), (3,)),
    "prelu of one slope": (F.prelu, (6,), (1,)),
    "sigmoid": (F.sigmoid, (2, 3, 6, 5)),
    "tanh": (F.tanh, (2, 3, 6, 5)),
    "dropout": (lambda x: F.dropout(x, generator=0), (2, 3, 6, 5)),
    "dropout of nothing": (lambda x: F.dropout(x, training=False), (2, 3, 6, 5)),
    "dropout_with_mask": (lambda x: F.dropout_with_mask(x, generator=0)[0], (2, 3, 6, 5)),
    "embedding": (lambda w, i: F.embedding(i, w), (7, 4), LABELS),
    "batch_norm": (lambda x, m, w, b: F.batch_norm(x, m, np.abs(w) + w.dtype.type(1), w, b), (2, 3, 6, 5), (3,), (3,),
                   (3,)),
    "batch_norm in training": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (2, 3, 6, 5), (3,), (3,)),
    "batch_norm of short planes": (lambda x: F.batch_norm(x, None, None, training=True), (4, 3)),
    "softmax": (lambda x: F.softmax(x, 1), (2, 3, 6, 5)),
    "softmax of the same type": (lambda x: F.softmax(x, 1, dtype=x.dtype), (2, 3, 6, 5)),
    "softmax of one class": (lambda x: F.log_softmax(x, 1), (2, 1)),
    "log_softmax": (lambda x: F.log_softmax(x, -1), (2, 3, 6, 5)),
    "cross_entropy": (lambda x, w, t: F.cross_entropy(x, t, w, reduction="none"), (2, 4), (4,), LABELS),
    "cross_entropy of probabilities": (F.cross_entropy, (2, 4, 3), (2, 4, 3)),
    "cross_entropy smoothed": (lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=0.5), (2, 4, 3), (2, 4, 3),
                               (4,)),
    "mse_loss": (lambda x, t: F.mse_loss(x, t, reduction="none"), (2, 4, 3), (2, 4, 3)),
    "conv2d_input": (lambda w, dy: G.conv2d_input((2, 3, 6, 5), w, dy), (4, 3, 3, 3), (2, 4, 4, 3)),
    "conv2d_weight": (lambda x, dy: G.conv2d_weight(x, (4, 3, 3, 3), dy), (2, 3, 6, 5), (2, 4, 4, 3)),
    "conv2d_parameters": (lambda x, dy: G.conv2d_parameters(x, (4, 3, 3, 3), dy)[1], (2, 3, 6, 5), (2, 4, 4, 3)),
    "conv_transpose1d_input": (lambda w, dy: G.conv_transpose1d_input((2, 3, 5), w, dy), (3, 4, 3), (2, 4, 7)),
    "conv_transpose1d_weight": (lambda x, dy: G.conv_transpose1d_weight(x, (3, 4, 3), dy), (2, 3, 5), (2, 4, 7)),
    "conv_transpose1d_parameters": (lambda x, dy: G.conv_transpose1d_parameters(x, (3, 4, 3), dy)[1], (2, 3, 5),
                                    (2, 4, 7)),
    "max_pool2d_input": (lambda dy, i: G.max_pool2d_input((2, 3, 7, 5), i, dy), (2, 3, 2, 2), INDICES),
    "avg_pool2d_input": (lambda dy: G.avg_pool2d_input((2, 3, 6, 5), dy, 2), (2, 3, 3, 2)),
    "unfold_input": (lambda dy: G.unfold_input((2, 3, 3, 4), dy, 2), (2, 12, 6)),
    "fold_input": (lambda dy: G.fold_input(dy, 2), (2, 3, 6, 5)),
    "pad_input": (lambda dy: G.pad_input((2, 3, 5, 3), dy, (1, 1, 0, 1), "circular"), (2, 3, 6, 5)),
    "interpolate_input": (lambda dy: G.interpolate_input((2, 3, 4, 9), dy, (6, 5), mode="bilinear"), (2, 3, 6, 5)),
    "pixel_shuffle_input": (lambda dy: G.pixel_shuffle_input(dy, 2), (2, 3, 6, 4)),
    "pixel_unshuffle_input": (lambda dy: G.pixel_unshuffle_input(dy, 2), (2, 8, 3, 2)),
    "zero_insert2d_input": (lambda dy: G.zero_insert2d_input((2, 3, 3, 3), dy, 2), (2, 3, 5, 5)),
    "downsample2d_input": (lambda dy: G.downsample2d_input((2, 3, 6, 9), dy, 2), (2, 3, 3, 5)),
    "adaptive_avg_pool2d_input": (lambda dy: G.adaptive_avg_pool2d_input((2, 3, 7, 5), dy), (2, 3, 4, 2)),
    "adaptive_max_pool2d_input": (lambda dy, i: G.adaptive_max_pool2d_input((2, 3, 7, 5), i, dy), (2, 3, 2, 2),
                                  INDICES),
    "max_unpool2d_input": (lambda dy, i: G.max_unpool2d_input(i, dy), (2, 3, 7, 5), INDICES),
    "linear_input": (lambda w, dy: G.linear_input((2, 4, 5), w, dy), (3, 5), (2, 4, 3)),
    "linear_weight": (lambda x, dy: G.linear_weight(x, (3, 5), dy), (2, 4, 5), (2, 4, 3)),
    "linear_parameters": (lambda x, dy: G.linear_parameters(x, (3, 5), dy)[1], (2, 4, 5), (2, 4, 3)),
    "relu_input": (G.relu_input, (2, 3, 4), (2, 3, 4)),
    "leaky_relu_input": (G.leaky_relu_input, (2, 3, 4), (2, 3, 4)),
    "prelu_input": (G.prelu_input, (2, 3, 4), (3,), (2, 3, 4)),
    "prelu_weight": (lambda x, dy: G.prelu_weight(x, (3,), dy), (2, 3, 4), (2, 3, 4)),
    "sigmoid_input": (G.sigmoid_input, (2, 3, 4), (2, 3, 4)),
    "tanh_input": (G.tanh_input, (2, 3, 4), (2, 3, 4)),
    "dropout_input": (lambda dy: G.dropout_input(np.arange(24).reshape(2, 3, 4) % 3 > 0, dy), (2, 3, 4)),
    "embedding_weight": (lambda dy, i: G.embedding_weight(i, (7, 4), dy), (2, 4), LABELS),
    "batch_norm_input": (lambda x, dy, w: G.batch_norm_input(x, dy, None, None, w, True), (2, 3, 6, 5), (2, 3, 6, 5),
                         (3,)),
    "batch_norm_input of running statistics": (
        lambda x, dy, m: G.batch_norm_input(x, dy, m, np.ones(3, m.dtype)), (2, 3, 4), (2, 3, 4), (3,)),
    "batch_norm_backward": (lambda x, dy, w: G.batch_norm_backward(x, dy, None, None, w, True)[0], (2, 3, 6, 5),
                            (2, 3, 6, 5), (3,)),
    "batch_norm_parameters": (lambda x, dy: G.batch_norm_parameters(x, dy, None, None, True)[0], (2, 3, 6, 5),
                              (2, 3, 6, 5)),
    "correlate1d_input": (lambda k, dy: G.correlate1d_input((9,), k, dy), (3,), (11,)),
    "correlate2d_kernel": (lambda x, dy: G.correlate2d_kernel(x, (2, 3), dy, "same"), (6, 5), (6, 5)),
    "convolve3d_input": (lambda k, dy: G.convolve3d_input((4, 3, 5), k, dy, "valid"), (2, 1, 3), (3, 3, 3)),
    "convolve2d_kernel": (lambda x, dy: G.convolve2d_kernel(x, (3, 2), dy), (6, 5), (8, 6)),
    "softmax_input": (lambda y, dy: G.softmax_input(y, dy, 1), (2, 3, 4), (2, 3, 4)),
    "softmax_input of one element": (lambda y, dy: G.softmax_input(y, dy, 0), (), ()),
    "log_softmax_input of one element": (lambda y, dy: G.log_softmax_input(y, dy, 0), (), ()),
    "log_softmax_input": (lambda y, dy: G.log_softmax_input(y, dy, 1), (2, 3, 4), (2, 3, 4)),
    "cross_entropy_input": (lambda x, w, t: G.cross_entropy_input(x, t, 2.0, w), (2, 4), (4,), LABELS),
    "cross_entropy_input of probabilities": (lambda x, t: G.cross_entropy_input(x, t), (2, 4, 3), (2, 4, 3)),
    "mse_loss_input": (lambda x, t: G.mse_loss_input(x, t), (2, 4, 3), (2, 4, 3)),
}


class Subclass(np.ndarray):
    """As memmap is one: an array all the same."""


class Held:
    """As a layer's Parameter is one: what holds an array."""

    def __init__(self, data):
        self.data = data

    dtype = property(lambda self: self.data.dtype)

    def __array__(self, dtype=None, copy=None):
        return self.data


def unaligned(a):
    buffer = np.zeros(a.nbytes + 1, np.uint8)
    result = buffer[1:].view(a.dtype).reshape(a.shape)
    result[...] = a
    assert not result.flags.aligned
    return result


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def spread(a):
    wide = np.zeros([2 * n for n in a.shape], a.dtype)
    result = wide[(..., *(slice(None, None, 2),) * a.ndim)]
    result[...] = a
    return result


LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": lambda a: np.flip(np.flip(a).copy()),
    "spread": spread,
    "broadcast": lambda a: np.broadcast_to(a[..., :1] if a.ndim else a, a.shape),
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")) if a.dtype.kind == "f" else a,
    "subclass": lambda a: a.view(Subclass),
    "held": Held,
}


def arguments(call, dtype):
    function, *specs = CALLS[call]
    return function, [spec if isinstance(spec, np.ndarray) else np.asarray(random(seed, spec, dtype))
                      for seed, spec in enumerate(specs)]


def plain(a):
    return np.array(a.data if isinstance(a, Held) else a, dtype=np.dtype(a.dtype).newbyteorder("="), order="C",
                    subok=False)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call", CALLS)
def test_layouts(call, layout, dtype):
    function, arrays = arguments(call, dtype)
    odd = [LAYOUTS[layout](a) for a in arrays]
    before = [plain(a) for a in odd]
    found, expected = function(*odd), function(*before)
    assert type(found) is np.ndarray
    assert found.dtype == expected.dtype and found.dtype.isnative
    assert found.dtype == (np.int64 if call.endswith(" indices") else dtype)
    assert found.flags.c_contiguous and found.flags.owndata and found.flags.writeable
    assert found.tobytes() == expected.tobytes()
    for given, saved in zip(odd, before, strict=True):
        data = given.data if isinstance(given, Held) else given
        np.testing.assert_array_equal(data, saved)
        assert not np.shares_memory(found, data)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("call", CALLS)
def test_infinities_and_overflow_raise_no_warning(call, dtype):
    function, arrays = arguments(call, dtype)
    big = np.finfo(dtype).max
    for a in arrays:
        if a.dtype.kind == "f":
            a.flat[:] = np.resize(np.array([np.inf, -big, 0, -np.inf, big, np.nan, big], dtype), a.size)
    with np.errstate(all="raise"):
        assert function(*arrays).dtype == (np.int64 if call.endswith(" indices") else dtype)


def test_a_cast_that_overflows_raises_no_warning():
    with np.errstate(all="raise"):
        result = F.softmax(np.array([1e300, 0.0]), 0, dtype=np.float32)
    np.testing.assert_array_equal(result, [np.nan, np.nan])


def test_every_function_is_here():
    """In one of its forms: those of one, two and three axes share their code."""
    without_axes = str.maketrans("", "", "123")
    families = {call.split()[0].translate(without_axes) for call in CALLS}
    for name in (*F.__all__, *G.__all__):
        assert name.removesuffix("_with_indices").translate(without_axes) in families, name


@pytest.mark.parametrize("module", [F, G])
def test_every_public_function_has_a_docstring_that_names_its_arguments(module):
    for name in module.__all__:
        function = getattr(module, name)
        text = inspect.getdoc(function)
        assert text, name
        if "Parameters\n" in text:
            for argument in inspect.signature(function).parameters:
                assert argument in text or argument == "_stacklevel", (name, argument)
