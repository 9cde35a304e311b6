"""What the tests of `fastconv.functional` and `fastconv.grad` share: parameter sets, and the comparison with torch.

Torch always computes in float64; what it is compared with is computed in float32 or float64.
"""

import itertools

import numpy as np
import torch

import fastconv.functional as F

torch.set_num_threads(1)

TYPES = (np.float32, np.float64)

# Over the largest element expected. Winograd may err by 1e-5 of it in float32.
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}

# (axes, input, weight, arguments by torch's names)
CONVS = [
    (1, (2, 3, 9), (4, 3, 3), {}),
    (1, (2, 4, 11), (6, 2, 4), dict(stride=2, padding=3, dilation=2, groups=2)),
    (1, (1, 2, 8), (2, 2, 4), dict(padding="same", dilation=2)),
    (1, (3, 9), (4, 3, 3), dict(stride=(2,), padding=[1])),
    (2, (2, 3, 7, 8), (4, 3, 3, 3), {}),
    (2, (2, 3, 12, 12), (4, 3, 3, 3), dict(padding=1)),
    (2, (2, 4, 7, 9), (6, 2, 3, 2), dict(stride=(2, 3), padding=(2, 1), dilation=(1, 2), groups=2)),
    (2, (1, 6, 6, 6), (6, 1, 3, 3), dict(padding="same", groups=6)),
    (2, (2, 3, 5, 6), (2, 3, 4, 2), dict(padding="same", dilation=(1, 2))),
    (2, (2, 3, 5, 6), (2, 3, 1, 1), dict(padding="valid", stride=np.int64(2))),
    (2, (2, 3, 5, 6), (2, 3, 5, 6), dict(padding=(4, 5))),
    (2, (1, 1, 3, 3), (1, 1, 1, 1), dict(padding=2, stride=4)),
    (2, (3, 7, 8), (4, 3, 3, 3), dict(padding=1)),
    (3, (2, 2, 4, 5, 6), (3, 2, 3, 2, 3), {}),
    (3, (1, 4, 5, 4, 6), (4, 2, 2, 3, 2), dict(stride=(1, 2, 3), padding=(0, 1, 2), dilation=(2, 1, 1), groups=2)),
    (3, (2, 3, 4, 5), (2, 2, 2, 3, 3), dict(padding="same")),
]

CONV_TRANSPOSES = [
    (1, (2, 3, 5), (3, 4, 3), {}),
    (1, (2, 4, 5), (4, 2, 4), dict(stride=3, padding=1, output_padding=2, groups=2, dilation=2)),
    (1, (4, 5), (4, 1, 2), dict(stride=2, groups=4)),
    (2, (2, 3, 4, 5), (3, 4, 3, 3), {}),
    (2, (2, 4, 4, 3), (4, 3, 3, 2), dict(stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2)),
    (2, (2, 4, 4, 3), (4, 3, 3, 2), dict(stride=1, padding=2, output_padding=1, groups=1, dilation=(2, 3))),
    (2, (3, 4, 5), (3, 2, 2, 2), dict(stride=2)),
    (3, (2, 2, 3, 2, 3), (2, 3, 2, 3, 2), dict(stride=(2, 1, 2), padding=(1, 0, 1), output_padding=(1, 0, 0))),
    (3, (4, 2, 3, 2), (4, 1, 2, 2, 2), dict(stride=2, groups=2)),
]

# (axes, input, arguments)
MAX_POOLS = [
    (1, (2, 3, 9), dict(kernel_size=3)),
    (1, (3, 10), dict(kernel_size=4, stride=3, padding=2, dilation=2, ceil_mode=True)),
    (2, (2, 3, 8, 9), dict(kernel_size=2)),
    (2, (2, 3, 7, 9), dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 1), dilation=(1, 2))),
    (2, (2, 3, 7, 7), dict(kernel_size=3, stride=3, padding=1, ceil_mode=True)),
    (2, (3, 6, 5), dict(kernel_size=2, stride=1, ceil_mode=True)),
    (3, (2, 2, 5, 6, 7), dict(kernel_size=2, ceil_mode=True)),
    (3, (2, 5, 6, 7), dict(kernel_size=(2, 3, 2), stride=(1, 2, 3), padding=(1, 1, 0))),
]

AVG_POOLS = [
    (1, (2, 3, 9), dict(kernel_size=3)),
    (1, (3, 10), dict(kernel_size=4, stride=3, padding=2, ceil_mode=True, count_include_pad=False)),
    (2, (2, 3, 8, 9), dict(kernel_size=2)),
    (2, (2, 3, 7, 9), dict(kernel_size=(3, 2), stride=(2, 1), padding=(1, 1))),
    (2, (2, 3, 7, 7), dict(kernel_size=3, stride=3, padding=1, ceil_mode=True)),
    (2, (2, 3, 7, 7), dict(kernel_size=3, stride=3, padding=1, ceil_mode=True, count_include_pad=False)),
    (2, (3, 6, 5), dict(kernel_size=3, stride=2, padding=1, divisor_override=5)),
    (3, (2, 2, 5, 6, 7), dict(kernel_size=2, ceil_mode=True)),
    (3, (2, 5, 6, 7), dict(kernel_size=(2, 3, 2), stride=(1, 2, 3), padding=(1, 1, 0), count_include_pad=False)),
]

UNFOLDS = [
    ((2, 3, 5, 6), dict(kernel_size=2)),
    ((2, 2, 7, 6), dict(kernel_size=(3, 2), dilation=(2, 1), padding=(1, 2), stride=(2, 3))),
    ((3, 5, 6), dict(kernel_size=3, padding=1)),
]

# (target kind, input shape, arguments by name; 'weight' holds True for random weights)
CROSS_ENTROPIES = [
    (kind, shape, dict(weight=weight, reduction=reduction, label_smoothing=smoothing))
    for kind, shape, weight, reduction, smoothing in itertools.product(
        ("index", "probability"), ((5, 4), (4,), (2, 3, 4), (2, 3, 2, 2, 2)), (None, True), ("mean", "sum", "none"),
        (0.0, 0.3))
] + [
    ("index", (5, 4), dict(ignore_index=2)),
    ("index", (5, 4), dict(ignore_index=1, weight=True, label_smoothing=0.2)),
    ("index", (2, 4, 3, 2), dict(ignore_index=0, reduction="none", label_smoothing=1.0)),
    ("ignored", (5, 4), {}),
    ("ignored", (5, 4), dict(weight=True, label_smoothing=0.2)),
    ("ignored", (5, 4), dict(reduction="sum")),
    ("ignored", (4,), dict(reduction="none")),
]


def ident(case):
    """The name of a parameter set in pytest's output."""
    return "-".join(str(part).replace(" ", "") for part in case)


def random(seed, shape, dtype):
    """Normally distributed numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def tensor(a, grad=False):
    """A tensor with the values of `a`, in float64 if those are floats."""
    a = np.array(a)
    return torch.from_numpy(a.astype(np.float64) if a.dtype.kind == "f" else a).requires_grad_(grad)


def assert_near(found, expected, dtype):
    """Raise AssertionError unless `found` is a plain new array with the values of the tensor or array `expected`."""
    if isinstance(expected, torch.Tensor):
        expected = expected.detach().numpy()
    assert type(found) is np.ndarray
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert found.flags.c_contiguous
    assert not isinstance(found.base, np.ndarray)  # large ones have an owner of another kind
    finite = expected[np.isfinite(expected)]
    limit = TOLERANCE[dtype] * (np.abs(finite).max() if finite.size else 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit, equal_nan=True)


def cross_entropy_arguments(case, dtype):
    """(input, target, keyword arguments) of a cross-entropy."""
    kind, shape, arguments = case
    arguments = dict(arguments)
    rng = np.random.default_rng(11)
    x = rng.standard_normal(shape).astype(dtype)
    classes = shape[0] if len(shape) == 1 else shape[1]
    labels = shape[:0] if len(shape) == 1 else (shape[0], *shape[2:])
    if arguments.get("weight"):
        arguments["weight"] = rng.random(classes).astype(dtype) + dtype(0.5)
    if kind == "probability":
        return x, rng.random(shape).astype(dtype), arguments
    if kind == "ignored":
        return x, np.full(labels, -100), arguments
    return x, np.asarray(rng.integers(0, classes, labels)), arguments


def torch_arguments(arguments):
    """Keyword arguments with tensors for arrays, and ints for NumPy's."""
    return {name: tensor(value) if isinstance(value, np.ndarray) else
            int(value) if isinstance(value, np.integer) else value for name, value in arguments.items()}


def function(name, nd=None):
    """`fastconv.functional`'s function for `nd` axes."""
    return getattr(F, name if nd is None else f"{name}{nd}d")
