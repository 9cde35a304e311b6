"""Dilated and strided convolutions as ones without, on phases of their planes, which Winograd then takes."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

from fastconv.backends import plan
from fastconv.backends.plan_transform import KERNELS, Taps, taps_of
from fastconv.geometry import Geometry

# Share of the products of a dilated convolution that must meet the map, and not padding, for its phases to pay: of 12
# steps on 33 x 33, 57 %, 256 channels of 2 images take 25 ms directly and 28 by phases, of 6 steps, 77 %, 51 and 34.
INSIDE = 0.65


@dataclass(frozen=True)
class Phases:
    """How planes (images, channels, H, W) are taken apart: `step` phases along each axis, after `before` zeros.

    A phase of an image is an image, or, what is the same, channels that follow those of the phase before.
    """

    images: int
    channels: int
    size: tuple
    step: tuple
    before: tuple
    apart: tuple

    @cached_property
    def elements(self):
        # Whole vectors are read of the last row.
        return self.images * self.channels * prod(self.step) * prod(self.apart) + 16

    @cached_property
    def args(self):
        return (self.channels, *self.size, *self.step, *self.before, *self.apart)


@dataclass(frozen=True)
class Apart:
    """A convolution as one without dilation and of stride 1, `inner`, on the phases of x, and of y.

    Of a dilated one all phases go through the same kernel, each to a phase of y. Of a strided one each goes through the
    taps of its own, and all to y: the phases of a channel are channels.
    """

    inner: Geometry
    taps: Taps
    x: Phases
    y: Phases = None


@lru_cache(maxsize=512)
def apart(g):
    """The Apart of a dilated or strided convolution, or None."""
    if g.kernel[0] > 1 or g.input[0] > 1 or g.output[0] > 1:
        return None
    return _undilated(g) if g.stride[1:] == (1, 1) else _unstrided(g)


def transform(planner, g, width, kernels=KERNELS, clips=True):
    """(Apart or None, plan or None) of a pass, whose `planner` is one of the three functions below.

    `clips` says whether the direct product leaves out what meets padding.
    """
    found = apart(g)
    if found is None:
        return None, planner(g, width, kernels)
    if clips and g.dilation != (1, 1, 1) and plan.inside(g) < INSIDE:
        return None, None
    form = planner(found.inner, width, kernels, found.taps)
    return (None, None) if form is None else (found, form)


def _inner_size(g, step, kernel, before, padding, output):
    """Rows and columns of a phase of x: as many as hold its elements, and as the windows reach."""
    return tuple(max(o + r - 1 - p, -(-(i + b) // s))
                 for o, r, p, i, b, s in zip(output, kernel, padding, g.input[1:], before, step, strict=True))


def _unstrided(g):
    """Rows and columns of taps that a phase's kernel is too short for are zeros."""
    step, pads = g.stride[1:], [before for before, _ in g.padding[1:]]
    kernel = tuple(-(-r // s) for r, s in zip(g.kernel[1:], step, strict=True))
    if g.dilation[1:] != (1, 1) or any(r < s for r, s in zip(g.kernel[1:], step, strict=True)):
        return None
    before = tuple(p % s for p, s in zip(pads, step, strict=True))
    padding = tuple(p // s for p, s in zip(pads, step, strict=True))
    size = _inner_size(g, step, kernel, before, padding, g.output[1:])
    inner = replace(g, c=g.c * prod(step), input=(1, *size), kernel=(1, *kernel), stride=(1, 1, 1),
                    padding=((0, 0), *((p, 0) for p in padding)))
    # The channels of a group's phases follow each other: groups count as images here.
    x = Phases(g.n * g.groups, g.c // g.groups, g.input[1:], step, before, size)
    return Apart(inner, Taps(kernel[0], g.kernel[1:], step), x)


def _undilated(g):
    step, pads = g.dilation[1:], [before for before, _ in g.padding[1:]]
    if step == (1, 1):
        return None
    # With this many zeros in front, window and output lie in the same phase.
    before = tuple(p % d for p, d in zip(pads, step, strict=True))
    padding = tuple(p // d for p, d in zip(pads, step, strict=True))
    output = tuple(-(-o // d) for o, d in zip(g.output[1:], step, strict=True))
    size = _inner_size(g, step, g.kernel[1:], before, padding, output)
    inner = replace(g, n=g.n * prod(step), input=(1, *size), output=(1, *output), dilation=(1, 1, 1),
                    padding=((0, 0), *((p, 0) for p in padding)))
    return Apart(inner, taps_of(g), Phases(g.n, g.c, g.input[1:], step, before, size),
                 Phases(g.n, g.k, g.output[1:], step, (0, 0), output))
