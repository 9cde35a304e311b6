"""Convolution and correlation of plain signals, images and volumes, without batch and channels.

Correlation slides the kernel as it is; convolution flips it first. Modes are those of ``numpy.convolve`` and
``scipy.signal``. The centre of 'same' is theirs as well: along an axis of an even kernel the result starts at element
``S / 2 - 1`` of the full one, but at ``S / 2`` in `correlate2d`, as in ``scipy.signal.correlate2d``.
"""

import math
from dataclasses import replace
from functools import lru_cache

from fastconv import backends, geometry
from fastconv.checks import arithmetic, contiguous, empty, floating, matching

MODES = ("valid", "same", "full")


def correlate1d(input, kernel, mode="full"):
    """Correlate a signal (W,) with a kernel (S,); see `correlate2d`."""
    return _correlate("correlate1d", 1, input, kernel, mode, flip=False)


def correlate2d(input, kernel, mode="full"):
    """Slide a kernel over an image and sum the products.

    Parameters
    ----------
    input : array (H, W), float32 or float64
    kernel : array (R, S), of the input's type
    mode : {'full', 'same', 'valid'}
        'full': wherever kernel and input, with zeros around it, overlap: (H + R - 1, W + S - 1). 'same': its central
        part, of the input's shape. 'valid': where the kernel lies within the input: (H - R + 1, W - S + 1).

    Returns
    -------
    array of two axes

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, arrays of other types and other modes.
    """
    return _correlate("correlate2d", 2, input, kernel, mode, flip=False)


def correlate3d(input, kernel, mode="full"):
    """Correlate a volume (D, H, W) with a kernel (T, R, S); see `correlate2d`."""
    return _correlate("correlate3d", 3, input, kernel, mode, flip=False)


def convolve1d(input, kernel, mode="full"):
    """Convolve a signal (W,) with a kernel (S,); see `convolve2d`."""
    return _correlate("convolve1d", 1, input, kernel, mode, flip=True)


def convolve2d(input, kernel, mode="full"):
    """Slide a kernel, flipped along both axes, over an image and sum the products.

    Parameters
    ----------
    input : array (H, W), float32 or float64
    kernel : array (R, S), of the input's type
    mode : {'full', 'same', 'valid'}
        As of `correlate2d`.

    Returns
    -------
    array of two axes

    Raises
    ------
    ValueError, TypeError
        For shapes that do not fit, arrays of other types and other modes.
    """
    return _correlate("convolve2d", 2, input, kernel, mode, flip=True)


def convolve3d(input, kernel, mode="full"):
    """Convolve a volume (D, H, W) with a kernel (T, R, S); see `convolve2d`."""
    return _correlate("convolve3d", 3, input, kernel, mode, flip=True)


def _correlate(op, nd, input, kernel, mode, flip):
    x = floating(op, "input", input)
    w = matching(op, "kernel", kernel, x)
    g = signal_geometry(op, nd, {"input": tuple(x.shape), "kernel": tuple(w.shape)}, mode)
    if flip:
        w = arithmetic(op, "kernel", w).flip(w)
    y = empty(g.output[3 - nd:], x)
    backends.serving(x).conv_forward(contiguous(x), contiguous(w), None, y, g)
    return y


def signal_geometry(op, nd, shapes, mode):
    """The geometry of a correlation; `shapes` are those of signal and kernel, by the names of the arguments."""
    for name, shape in shapes.items():
        if len(shape) != nd:
            raise ValueError(f"{op}: {name} must have {nd} dimensions, got shape {shape}")
        if not math.prod(shape):
            raise ValueError(f"{op}: {name} must not be empty, got shape {shape}")
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    return _geometry(op, *shapes.values(), mode)


@lru_cache(maxsize=4096)
def _geometry(op, size, kernel, mode):
    padding = 0 if mode == "valid" else tuple(f - 1 for f in kernel)
    g = geometry.conv(op, (1, 1, *size), (1, 1, *kernel), padding=padding)
    if mode != "same":
        return g
    padding = tuple((f // 2, (f - 1) // 2) for f in g.kernel)
    if op.startswith("correlate2d"):
        padding = tuple((before, after) for after, before in padding)
    return replace(g, output=g.input, padding=padding)
