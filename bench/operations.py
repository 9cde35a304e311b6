"""Every function of `fastconv.functional`, once: small, to be held against torch; large, to be timed.

An `Operation` is one way to call a function. `tests/test_conformance.py` runs all of them on small arrays; those with a
`large` form are timed by `bench/bench_functional.py` and `python -m bench.report --operations`. One more row of every
table is one more entry of `OPERATIONS`.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

MAPS = (8, 64, 56, 56)


@dataclass(frozen=True)
class Labels:
    """Whole numbers from 0 to `count` - 1."""

    shape: tuple
    count: int


@dataclass(frozen=True)
class Positive:
    """Numbers of at least 1/2."""

    shape: tuple


@dataclass(frozen=True)
class Indices:
    """Indices that maximum pooling of windows of two elements along each axis could give."""

    shape: tuple  # of what is pooled


@dataclass(frozen=True, eq=False)
class Operation:
    """One way to call a function.

    Attributes
    ----------
    function : str
        Its name in `fastconv.functional`.
    arrays : dict
        {argument: shape of normally distributed numbers, or `Labels`, `Positive`, `Indices`, None}, in the order of
        the function.
    options : dict
        Its other arguments.
    form : str
        What sets it apart from other operations of the function.
    large : dict or None
        The `arrays` to time it with.
    result : tuple of int
        The shape of what it returns for those.
    twin : callable or None
        ``twin(torch, *tensors)`` computes the same where torch has no function of the name and arguments.
    differentiable : tuple of str
        Arguments whose gradients `backward` gives.
    exact : bool
        Whether torch computes the same numbers (random ones differ).
    """

    function: str
    arrays: Mapping
    options: Mapping = field(default_factory=dict)
    form: str = ""
    large: Mapping | None = None
    result: tuple = MAPS
    twin: Callable | None = None
    differentiable: tuple = ("input",)
    exact: bool = True

    @property
    def name(self):
        """The function, and its form."""
        return f"{self.function} {self.form}".strip()

    def inputs(self, dtype=np.float32, large=False, empty=False):
        """The arrays, by argument, the same in every process; `empty` gives a batch without examples."""
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        specs = self.large if large else self.arrays
        made = {}
        for i, (name, spec) in enumerate(specs.items()):
            batched = i == 0 or name in ("target", "indices")
            made[name] = _array(spec, rng, np.dtype(dtype), empty and batched)
        return made

    def forward(self, functional, inputs):
        """The result of ours: of its first array where it returns several."""
        result = getattr(functional, self.function)(*inputs.values(), **self.options)
        return result[0] if isinstance(result, tuple) else result

    def torch_forward(self, torch, tensors):
        """The result of torch's."""
        if self.twin is not None:
            return self.twin(torch, *tensors.values())
        result = getattr(torch.nn.functional, self.function)(*tensors.values(), **self.options)
        return result[0] if isinstance(result, tuple) else result

    def backward(self, functional, grad, inputs):
        """A function of the result's gradient that returns those of the `differentiable` arguments.

        What a layer would keep from its forward pass is computed here, before.
        """
        family = re.sub("[123]d", "", self.function.removesuffix("_with_indices"))
        return _BACKWARD[family](self, functional, grad, inputs)


def _array(spec, rng, dtype, empty):
    def shaped(shape):
        return (0, *shape[1:]) if empty else shape

    if spec is None:
        return None
    if isinstance(spec, Labels):
        return np.asarray(rng.integers(0, spec.count, shaped(spec.shape)))
    if isinstance(spec, Positive):
        return (rng.random(spec.shape) + 0.5).astype(dtype)
    if isinstance(spec, Indices):
        return _indices(rng, shaped(spec.shape))
    drawn = rng.standard_normal(shaped(spec), dtype=np.float32 if dtype == np.float32 else np.float64)
    return np.asarray(drawn, dtype)


def _indices(rng, shape):
    n, c, *size = shape
    index = np.zeros((1,), np.int64)
    for axis, length in enumerate(size):
        windows = np.arange(length // 2).reshape((-1,) + (1,) * (len(size) - 1 - axis))
        taps = rng.integers(0, 2, (n, c, *(length // 2 for length in size)))
        index = index * length + 2 * windows + taps
    return index


def _weighted(op, F, G, inputs):
    x, w, *_ = inputs.values()
    of_input, of_both = getattr(G, f"{op.function}_input"), getattr(G, f"{op.function}_parameters")
    return lambda dy: (of_input(x.shape, w, dy, **op.options), *of_both(x, w.shape, dy, **op.options))


def _max_pool(op, F, G, inputs):
    (x,) = inputs.values()
    name = op.function.removesuffix("_with_indices")
    _, indices = getattr(F, name)(x, **{**op.options, "return_indices": True})
    of_input = getattr(G, f"{name}_input")
    return lambda dy: (of_input(x.shape, indices, dy),)


def _of_size(op, F, G, inputs):
    (x,) = inputs.values()
    of_input = getattr(G, f"{op.function}_input")
    return lambda dy: (of_input(x.shape, dy, **op.options),)


def _of_size_alone(op, F, G, inputs):
    (x,) = inputs.values()
    of_input = getattr(G, f"{op.function}_input")
    return lambda dy: (of_input(x.shape, dy),)


def _of_gradient(op, F, G, inputs):
    of_input = getattr(G, f"{op.function}_input")
    options = {name: value for name, value in op.options.items() if name != "output_size"}
    return lambda dy: (of_input(dy, **options),)


def _unpool(op, F, G, inputs):
    of_input = getattr(G, f"{op.function}_input")
    return lambda dy: (of_input(inputs["indices"], dy),)


def _of_input(op, F, G, inputs):
    (x,) = inputs.values()
    of_input = getattr(G, f"{op.function}_input")
    return lambda dy: (of_input(x, dy, **op.options),)


def _of_output(op, F, G, inputs):
    y = op.forward(F, inputs)
    of_input = getattr(G, f"{op.function}_input")
    return lambda dy: (of_input(y, dy, **op.options),)


def _prelu(op, F, G, inputs):
    x, w = inputs.values()
    return lambda dy: (G.prelu_input(x, w, dy), G.prelu_weight(x, w.shape, dy))


def _loss(op, F, G, inputs):
    x, target, *weight = inputs.values()
    of_input = getattr(G, f"{op.function}_input")
    return lambda dy: (of_input(x, target, dy, *weight, **op.options),)


def _batch_norm(op, F, G, inputs):
    x, mean, var, w, _ = inputs.values()
    training, axes = op.options["training"], (0, *range(2, x.ndim))
    moments = tuple(f(x, axis=axes, dtype=np.float64) for f in (np.mean, np.var)) if training else None
    return lambda dy: G.batch_norm_backward(x, dy, mean, var, w, training, moments=moments)


def _embedding(op, F, G, inputs):
    rows, table = inputs.values()
    return lambda dy: (G.embedding_weight(rows, table.shape, dy, op.options.get("padding_idx")),)


def _dropout(op, F, G, inputs):
    (x,) = inputs.values()
    p = op.options["p"]
    _, mask = F.dropout_with_mask(x, p, generator=0)
    return lambda dy: (G.dropout_input(mask, dy, p),)


def _signal(op, F, G, inputs):
    x, kernel = inputs.values()
    of_input, of_kernel = (getattr(G, f"{op.function}_{argument}") for argument in ("input", "kernel"))
    return lambda dy: (of_input(x.shape, kernel, dy, **op.options), of_kernel(x, kernel.shape, dy, **op.options))


_BACKWARD = {
    "conv": _weighted, "conv_transpose": _weighted, "linear": _weighted,
    "max_pool": _max_pool, "adaptive_max_pool": _max_pool,
    "avg_pool": _of_size, "unfold": _of_size, "pad": _of_size, "interpolate": _of_size, "zero_insert": _of_size,
    "downsample": _of_size, "adaptive_avg_pool": _of_size_alone,
    "fold": _of_gradient, "pixel_shuffle": _of_gradient, "pixel_unshuffle": _of_gradient, "max_unpool": _unpool,
    "relu": _of_input, "leaky_relu": _of_input, "sigmoid": _of_output, "tanh": _of_output, "softmax": _of_output,
    "log_softmax": _of_output, "prelu": _prelu, "cross_entropy": _loss, "mse_loss": _loss,
    "batch_norm": _batch_norm, "embedding": _embedding, "dropout": _dropout, "dropout_with_mask": _dropout,
    "convolve": _signal, "correlate": _signal,
}


def _sizes(nd, *leading):
    """A small array's shape with `nd` spatial axes."""
    return (*leading, *(5, 6, 7)[3 - nd:])


def _by_torch(mode, flip, late):
    """Correlation of a signal by torch's convolution of maps; `late` is where the centre of an even kernel lies."""
    def twin(torch, x, kernel):
        around = {"valid": lambda f: (0, 0), "full": lambda f: (f - 1, f - 1),
                  "same": lambda f: ((f - 1) // 2, f // 2) if late else (f // 2, (f - 1) // 2)}[mode]
        x = torch.nn.functional.pad(x, [n for f in reversed(kernel.shape) for n in around(f)])
        kernel = kernel.flip(*range(kernel.ndim)) if flip else kernel
        return getattr(torch.nn.functional, f"conv{x.ndim}d")(x[None, None], kernel[None, None])[0, 0]
    return twin


def _zeros_between(torch, x, factor=2):
    made = x.new_zeros(*x.shape[:2], *((n - 1) * factor + 1 for n in x.shape[2:]))
    made[(..., *(slice(None, None, factor),) * (x.ndim - 2))] = x
    return made


def _every_other(torch, x, factor=2):
    return x[(..., *(slice(None, None, factor),) * (x.ndim - 2))].contiguous()


def _per_axes():
    """Functions that come for one, two and three axes."""
    for nd in (1, 2, 3):
        x, two = _sizes(nd, 2, 4), nd == 2
        weights = ("input", "weight", "bias")
        yield Operation(f"conv{nd}d", {"input": x, "weight": (6, 2, *(3,) * nd), "bias": (6,)},
                        {"stride": 2, "padding": 1, "groups": 2}, differentiable=weights)
        yield Operation(f"conv_transpose{nd}d", {"input": x, "weight": (4, 3, *(3,) * nd), "bias": (6,)},
                        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, differentiable=weights)
        pool = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
        yield Operation(f"max_pool{nd}d", {"input": x}, pool)
        yield Operation(f"max_pool{nd}d_with_indices", {"input": x}, pool)
        yield Operation(f"avg_pool{nd}d", {"input": x}, {**pool, "count_include_pad": False})
        whole = (2, 4, *(8,) * nd)
        yield Operation(f"max_unpool{nd}d", {"input": (2, 4, *(4,) * nd), "indices": Indices(whole)},
                        {"kernel_size": 2}, large={"input": (8, 64, 28, 28), "indices": Indices(MAPS)} if two else None)
        yield Operation(f"adaptive_avg_pool{nd}d", {"input": x}, {"output_size": 3})
        yield Operation(f"adaptive_max_pool{nd}d", {"input": x}, {"output_size": 3})
        yield Operation(f"adaptive_max_pool{nd}d_with_indices", {"input": x}, {"output_size": 3})
        if two:
            for kind in ("avg", "max"):
                yield Operation(f"adaptive_{kind}_pool2d", {"input": (2, 4, 14, 14)}, {"output_size": 7}, "to 7",
                                large={"input": MAPS}, result=(8, 64, 7, 7))
                yield Operation(f"adaptive_{kind}_pool2d", {"input": (2, 4, 9, 8)}, {"output_size": (5, 6)}, "to 5 x 6",
                                large={"input": MAPS}, result=(8, 64, 5, 6))
        signal, kernel = (9, 8, 7)[:nd], (3, 2, 2)[:nd]
        for name, mode in itertools.product(("correlate", "convolve"), ("valid", "same", "full")):
            twin = _by_torch(mode, name == "convolve", two and name == "correlate")
            yield Operation(f"{name}{nd}d", {"input": signal, "kernel": kernel}, {"mode": mode},
                            "" if mode == "valid" else mode, twin=twin, differentiable=("input", "kernel"))
        yield Operation(f"zero_insert{nd}d", {"input": x}, {"factor": 2}, twin=_zeros_between,
                        large={"input": MAPS} if two else None, result=(8, 64, 111, 111))
        yield Operation(f"downsample{nd}d", {"input": x}, {"factor": 2}, twin=_every_other,
                        large={"input": MAPS} if two else None, result=(8, 64, 28, 28))


def _on_maps():
    """Functions of maps, and element by element."""
    x, maps = (2, 4, 6, 8), {"input": MAPS}
    yield Operation("unfold", {"input": x}, {"kernel_size": 3, "padding": 1}, large=maps, result=(8, 576, 56 * 56))
    yield Operation("fold", {"input": (2, 36, 48)}, {"output_size": (6, 8), "kernel_size": 3, "padding": 1})
    yield Operation("fold", {"input": (2, 36, 56 * 56)}, {"output_size": 56, "kernel_size": 3, "padding": 1}, "to 56",
                    large={"input": (8, 576, 56 * 56)})
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield Operation("pad", {"input": x}, {"pad": (1, 2, 3, 0), "mode": mode}, mode, large=maps,
                        result=(8, 64, 59, 59))
    yield Operation("pad", {"input": x}, {"pad": (-1, 2, 1, -2), "value": 1.5}, "and crop")
    for mode, options in (("nearest", {}), ("nearest-exact", {}), ("bilinear", {"align_corners": False}),
                          ("bilinear", {"align_corners": True})):
        form = f"{mode} aligned" if options.get("align_corners") else mode
        yield Operation("interpolate", {"input": x}, {"scale_factor": 2, "mode": mode, **options}, form, large=maps,
                        result=(8, 64, 112, 112))
    yield Operation("interpolate", {"input": x}, {"size": (9, 5), "mode": "bilinear"}, "to a size")
    yield Operation("interpolate", {"input": (2, 3, 7)}, {"size": 11, "mode": "linear"}, "linear")
    yield Operation("pixel_shuffle", {"input": x}, {"upscale_factor": 2}, large=maps, result=(8, 16, 112, 112))
    yield Operation("pixel_unshuffle", {"input": x}, {"downscale_factor": 2}, large=maps, result=(8, 256, 28, 28))
    for name in ("relu", "sigmoid", "tanh"):
        yield Operation(name, {"input": x}, large=maps)
    yield Operation("leaky_relu", {"input": x}, {"negative_slope": 0.2}, large=maps)
    yield Operation("prelu", {"input": x, "weight": (4,)}, large={"input": MAPS, "weight": (64,)},
                    differentiable=("input", "weight"))
    for name in ("softmax", "log_softmax"):
        yield Operation(name, {"input": x}, {"dim": 1}, large=maps)
        yield Operation(name, {"input": x}, {"dim": -1}, "of rows", large=maps)
    yield Operation("dropout", {"input": x}, {"p": 0.0}, "of nothing")
    yield Operation("dropout_with_mask", {"input": x}, {"p": 0.0}, "of nothing",
                    twin=lambda torch, x: torch.nn.functional.dropout(x, 0.0))
    yield Operation("dropout", {"input": x}, {"p": 0.5, "generator": 0}, exact=False, large=maps,
                    twin=lambda torch, x: torch.nn.functional.dropout(x, 0.5))
    stats = {"running_mean": (4,), "running_var": Positive((4,)), "weight": (4,), "bias": (4,)}
    large = {"input": MAPS, "running_mean": (64,), "running_var": Positive((64,)), "weight": (64,), "bias": (64,)}
    none = {"running_mean": None, "running_var": None}
    scaled = ("input", "weight", "bias")
    yield Operation("batch_norm", {"input": x, **stats}, {"training": False}, "evaluating", large=large,
                    differentiable=scaled)
    yield Operation("batch_norm", {"input": x, **stats, **none}, {"training": True}, "training",
                    large={**large, **none}, differentiable=scaled)


def _of_rows():
    """Functions of rows of features, and losses."""
    yield Operation("linear", {"input": (5, 7), "weight": (3, 7), "bias": (3,)},
                    large={"input": (8 * 56 * 56, 64), "weight": (128, 64), "bias": (128,)},
                    result=(8 * 56 * 56, 128), differentiable=("input", "weight", "bias"))
    yield Operation("embedding", {"input": Labels((3, 5), 9), "weight": (9, 4)},
                    large={"input": Labels((8, 56 * 56), 10_000), "weight": (10_000, 64)},
                    result=(8, 56 * 56, 64), differentiable=("weight",))
    yield Operation("embedding", {"input": Labels((3, 5), 9), "weight": (9, 4)}, {"padding_idx": 2}, "with padding",
                    differentiable=("weight",))
    yield Operation("cross_entropy", {"input": (5, 4), "target": Labels((5,), 4)}, {"label_smoothing": 0.1})
    yield Operation("cross_entropy", {"input": (2, 4, 3, 5), "target": Labels((2, 3, 5), 4)}, {}, "of maps",
                    large={"input": MAPS, "target": Labels((8, 56, 56), 64)}, result=())
    yield Operation("mse_loss", {"input": (3, 4, 2), "target": (3, 4, 2)}, large={"input": MAPS, "target": MAPS},
                    result=())


OPERATIONS = {operation.name: operation for operation in (*_per_axes(), *_on_maps(), *_of_rows())}
TIMED = {name: operation for name, operation in OPERATIONS.items() if operation.large is not None}
