"""Short sums for many results: the columns of the im2col matrix, a tile of them at a time, in the first-level cache.

A first layer, or a group of few channels, has some dozens of terms a result. With vectors of output channels results
must be turned on the way out, which takes as long however few terms there are; with vectors along the rows a tile is
set up for every few of them. Here positions of a whole plane of results, whatever their rows, are lowered: a tile of
them meets one column of the im2col matrix for each term, is gone through by all output channels, and goes straight to
its planes.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from math import prod

from fastconv.backends import plan
from fastconv.backends.plan import Planes, Table, table
from fastconv.backends.plan_rows import RUN, up

# Positions of a plane from which on this form serves: the last tile of a plane overlaps the one before.
LEAST = 128
# Elements of a padded plane from which on those of the next work item are asked for, as of 1 x 1 kernels: 3.3 ms in
# place of 3.7 for 3 to 32 channels of 8 x 224 x 224 with a stride of 2, but 1.6 in place of 1.4 for 32 groups of 8 to 8
# of 8 x 14 x 14.
FAR = 4096
# Elements of the lowered positions of a work item: they stay in the first-level cache.
LOWERED = 4096


@dataclass(frozen=True)
class Lowered:
    """The forward pass, or an input gradient with a stride of 1, in this form."""

    planes: Planes
    plane: int              # results of a plane
    terms: Table            # where those of a result lie in the padded planes, from its first one on
    weights: Table | None   # where they lie in a channel's weights; None where these follow each other
    items: int
    args: tuple
    laid: tuple             # how weights are laid out: terms, rows a group, and steps between groups and rows


def _pays(g, lanes, steps, rows):
    """Whether it is the faster way, in cycles a position as measured on Zen 3 for 168 shapes of 8 x 30 x 30.

    The other tile has two vectors of columns, or wastes a part of them, and turns its results. Of few rows, it has
    another form to compete with, see `fastconv.backends.plan_rows`: 3 to 6 channels of 8 x 30 x 30 and 3 x 3 taps take
    0.07 ms in place of 0.11, but 8 to 6 0.15 in place of 0.13. Of 192 terms, 24 to 56 channels of 16 x 4096 and 8 taps
    of stride 4, this form takes 6.2 ms in place of 4.9.
    """
    stride = g.stride[2]
    lowered = 0.3 if steps == g.c // g.groups and stride == 1 else {1: 0.45, 2: 0.6, 4: 0.8}.get(stride, 1.3)
    here = steps * (rows / (2 * lanes) + lowered * 8 / lanes) + 2.4 * rows / lanes
    there = 1.08 * steps * -(-rows // (2 * lanes)) + 3.6 * rows / lanes + 8
    return (rows >= 8 or (rows >= 5 and steps <= 32)) and here < there


def _form(g, lanes, tiles, weights, strides):
    steps, rows, plane = g.c // g.groups * prod(g.kernel), g.k // g.groups, prod(g.output)
    even = up(steps, 2)
    tiles = [(high, vectors) for high, vectors in tiles
             if high <= rows and vectors * lanes <= plane and even * vectors * lanes <= LOWERED]
    if steps > RUN or plane < LEAST or not tiles or not _pays(g, lanes, steps, rows):
        return None

    def done(tile):
        high, vectors = tile
        return up(rows, high) * up(plane, vectors * lanes)

    high, vectors = min(tiles, key=done)
    across = vectors * lanes
    count = -(-plane // across)
    blocks = -(-count // (LOWERED // (even * across)))
    together = -(-count // blocks)
    blocks = -(-count // together)
    planes, [batch], _ = plan.forward(g, across, clip=False)
    [ahead] = batch.products
    size, position = g.output, ahead.position_strides
    if position == plan.strides_of(size):  # the rows are one
        size, position = (1, 1, plane), (plane, plane, 1)
    far = prod(g.kernel) == 1 or prod(planes.padded) >= FAR
    args = (g.groups, steps, rows, *size, ahead.image_stride, ahead.group_stride, *position, planes.elements, blocks,
            together, high, vectors, together * across * position[2] if far else 0)
    if weights is None and even != steps:
        weights = range(steps)
    if weights is not None:
        weights = table([*weights, *[-1] * (even - steps)])
    return Lowered(planes, plane, ahead.col_a, weights, g.n * g.groups * blocks, args, (even, rows, *strides))


@lru_cache(maxsize=512)
def forward(g, lanes, tiles):
    """The forward pass as `Lowered`, or None; `tiles` are the (rows, vectors) of those there is code for."""
    steps = g.c // g.groups * prod(g.kernel)
    return _form(g, lanes, tiles, None, (g.k // g.groups * steps, steps)) if tiles else None


@lru_cache(maxsize=512)
def backward_input(g, lanes, tiles):
    """The input gradient as `Lowered`, or None: of stride 1 it is a forward pass whose taps come last to first."""
    reach = [(r - 1) * d for r, d in zip(g.kernel, g.dilation, strict=True)]
    padding = [(far - before, i - o + before)
               for i, o, (before, _), far in zip(g.input, g.output, g.padding, reach, strict=True)]
    if not tiles or g.stride != (1, 1, 1) or min(map(min, padding)) < 0:
        return None
    rows, filters, taps = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    weights = [k * rows * taps + taps - 1 - tap for k, tap in product(range(filters), range(taps))]
    turned = replace(g, c=g.k, k=g.c, input=g.output, output=g.input, padding=tuple(padding))
    return _form(turned, lanes, tiles, weights, (filters * rows * taps, taps))
