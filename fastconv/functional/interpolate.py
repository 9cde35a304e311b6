"""Maps resampled to another size."""

import math

from fastconv import geometry, sampling
from fastconv.checks import portable
from fastconv.functional.resample import divided, resample
from fastconv.geometry import AXES

# The modes, and for how many axes each is.
MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "linear": (1,), "bilinear": (2,), "trilinear": (3,),
         "bicubic": (2,), "lanczos": (2,), "area": (1, 2, 3)}
CORNERS = ("linear", "bilinear", "trilinear", "bicubic", "lanczos")
ANTIALIASED = ("bilinear", "bicubic", "lanczos")


def interpolate(input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None,
                antialias=False):
    """Resample maps to another size.

    Parameters
    ----------
    input : array (N, C, W), (N, C, H, W) or (N, C, D, H, W), float32 or float64
    size : int or tuple of ints, optional
        The output's. Either this or `scale_factor` is needed.
    scale_factor : float or tuple of floats, optional
        Its size is ``floor(input size * scale_factor)``.
    mode : str
        'nearest' takes the element below the exact position, as torch and OpenCV do, 'nearest-exact' the nearest one;
        'linear', 'bilinear' and 'trilinear' weight the 2, 4 or 8 elements around, 'bicubic' 16, by cubic convolution
        with a = -3/4; 'area' is adaptive averaging; 'lanczos' needs `antialias`.
    align_corners : bool, optional
        For the modes from 'linear' to 'lanczos': the centers of the outermost elements of input and output coincide,
        rather than the borders.
    recompute_scale_factor : bool, optional
        Let the two sizes and not `scale_factor` itself decide on positions.
    antialias : bool
        For 'bilinear', 'bicubic' and 'lanczos': stretch the kernel where the output is smaller.

    Returns
    -------
    array (N, C, Q), (N, C, P, Q) or (N, C, O, P, Q)
        An element reaches only the outputs that are made of it, but a NaN or infinity also those whose weight for it
        is 0.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not go together, sizes below 1 and arrays of other types.
    """
    op = "interpolate"
    xp, x = portable(op, "input", input)
    axes, divisors = interpolation(op, "input", tuple(x.shape), size, scale_factor, mode, align_corners,
                                   recompute_scale_factor, antialias)
    y = resample(xp, x, axes)
    return y if divisors is None else divided(xp, y, divisors)


def interpolation(op, name, shape, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias):
    """(one `fastconv.sampling.Axis` for each spatial axis, by what to divide along each or None)."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(map(repr, MODES))}, got {mode!r}")
    nd = len(shape) - 2
    if nd not in MODES[mode]:
        ranks = " or ".join(str(n + 2) for n in MODES[mode])
        raise ValueError(f"{op}: {name} must have {ranks} dimensions for mode={mode!r}, got shape {shape}")
    if 0 in shape[1:]:
        raise ValueError(f"{op}: no axis but the batch of {name} may be empty, got shape {shape}")
    if align_corners is not None and mode not in CORNERS:
        raise ValueError(f"{op}: align_corners must be None for mode={mode!r}, got {align_corners!r}")
    if antialias and mode not in ANTIALIASED:
        raise ValueError(f"{op}: antialias must be False for mode={mode!r}, got {antialias!r}")
    if mode == "lanczos" and (not antialias or align_corners):
        raise ValueError(f"{op}: mode='lanczos' needs antialias=True and no align_corners, got antialias={antialias!r} "
                         f"and align_corners={align_corners!r}")
    outputs, factors = _outputs(op, shape[2:], size, scale_factor, int(mode != "area"))
    if recompute_scale_factor and size is not None:
        raise ValueError(f"{op}: recompute_scale_factor must not be set together with size, got "
                         f"{recompute_scale_factor!r}")
    if recompute_scale_factor:
        factors = (None,) * nd
    geometry.check_total(op, (*shape[:2], *outputs))
    if mode == "area":
        axes = [sampling.windows(*sizes) for sizes in zip(shape[2:], outputs, strict=True)]
        return axes, [axis.counts for axis in axes]
    return [_axis(mode, bool(align_corners), bool(antialias), *along)
            for along in zip(shape[2:], outputs, factors, strict=True)], None


def _axis(mode, align_corners, antialias, size, outputs, factor):
    if mode in sampling.NEAREST:
        return sampling.nearest(size, outputs, mode, factor)
    if antialias:
        return sampling.antialiased(size, outputs, mode, align_corners, factor)
    if mode == "bicubic":
        return sampling.cubic(size, outputs, align_corners, factor)
    return sampling.linear(size, outputs, align_corners, factor)


def _outputs(op, spatial, size, scale_factor, minimum):
    """(output sizes not below `minimum`, scale factors or Nones)"""
    nd = len(spatial)
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: either size or scale_factor must be given, got size={size!r} and "
                         f"scale_factor={scale_factor!r}")
    if size is not None:
        return geometry.sizes(op, "size", size, nd, minimum), (None,) * nd
    factors = tuple(scale_factor) if isinstance(scale_factor, (tuple, list)) or getattr(scale_factor, "ndim", 0) else (
        (scale_factor,) * nd)
    if any(isinstance(f, (str, bytes, bool)) or not hasattr(f, "__float__") for f in factors):
        raise TypeError(f"{op}: scale_factor must be a number or a tuple of {nd} numbers, got {scale_factor!r}")
    if len(factors) != nd:
        raise ValueError(f"{op}: scale_factor must be a number or a tuple of {nd} numbers, got {scale_factor!r}")
    factors = tuple(map(float, factors))
    return tuple(_output(op, minimum, *along) for along in zip(spatial, factors, AXES[3 - nd:], strict=True)), factors


def _output(op, minimum, size, factor, axis):
    exact = size * factor
    if not math.isfinite(exact) or exact < minimum:
        raise ValueError(f"{op}: scale_factor must make at least {minimum} elements of the {size} along {axis}, got "
                         f"{factor}")
    return math.floor(exact)
