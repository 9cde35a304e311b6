"""The weight gradient on halves, see `fastconv.backends.plan_halves`: its reduction goes over positions.

A tile of dy is 16 filters of 32 positions. One of x is 16 channels of 16 pairs of positions, of which the second is 16
further on: every tap finds its pairs in rows that follow each other, of which each is a line of the cache::

    pairs[16 channels][high, low][image][phase][row][column][16][2]     x at a position, and at the 16th from there
    grads[32 positions][16 filters][high, low][16][16][2]               of 32 filters, and of STEPS times 32 positions
    sums[32 filters][32 channels][tap][32][32]

Positions are counted along rows with their padding, as in the forward pass; dy is zero at those in the padding. Its
rows are read where they lie: of each 16 positions a table says which lanes the elements from which place on fill.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

import numpy as np

from fastconv.backends import plan_halves
from fastconv.backends.plan import table
from fastconv.backends.plan_halves import DEPTH, MOST, PAIR, TILE, Halves, columns_of
from fastconv.backends.plan_transform import up

# Of 32 positions, which are laid out and added up for all channels and taps before the next ones, while they are near:
# 3.8 ms in place of 4.4 for 3 x 3 taps and 64 channels of 8 x 56 x 56, 3.6 in place of 6.0 for 32 to 64 channels of
# 256 x 13 x 13, where all steps of a block were laid out first, in lines of their own with the zeros between rows.
STEPS = 8
GRADS = 4 * TILE * TILE     # elements of a step of 32 filters of dy
MOST_PIECES = 3     # of 16 positions: parts of images that are counted on
# Bytes of the sums of a work item, and of them and its pairs together.
SUMS, BLOCK = 640 << 10, 1280 << 10
LEAST = 256         # positions of a block, if there is room for them
LEAST_STEPS = 24    # of 32 positions, of a part of the reduction
ITEMS = 8           # work items below which the reduction is split, in an order that the shapes alone decide


@dataclass(frozen=True)
class HalvesWeight:
    """`ahead` is the forward pass."""

    ahead: Halves

    @property
    def taps(self):
        return self.ahead.every

    @property
    def terms(self):
        return self.ahead.images * prod(self.ahead.positions)

    @cached_property
    def columns(self):
        """Channels, of which there are some for each folded tap."""
        return self.ahead.channels * self.ahead.fold

    @cached_property
    def ranges(self):
        """(filters, channels) of a work item: multiples of 32."""
        taps, filters, columns = len(self.taps), up(self.ahead.filters, PAIR), up(self.columns, PAIR)
        most = max(1, SUMS // (4 * PAIR * PAIR * taps))     # pairs of tiles
        down, across = filters // PAIR, columns // PAIR
        # Both are converted again for each range of the other: squares are best.
        while down * across > most:
            if down >= across and down > 1:
                down = -(-down // 2)
            else:
                across = -(-across // 2)
        return down * PAIR, across * PAIR

    @cached_property
    def counts(self):
        return -(-self.ahead.filters // self.ranges[0]), -(-self.columns // self.ranges[1])

    @cached_property
    def most(self):
        """Positions of a block, if there are as many."""
        a, (filters, columns) = self.ahead, self.ranges
        room = BLOCK - 4 * filters * columns * len(self.taps)
        position = 8 * columns * a.phases * a.apart
        return max(min(LEAST, MOST // (2 * position)), room // position)

    @cached_property
    def wide(self):
        """Columns of a block: all, or whole tiles of a long row."""
        return columns_of(self.ahead.positions[1], self.most)

    @cached_property
    def pitch(self):
        return self.ahead.pitch_of(self.wide)

    @cached_property
    def source_pitch(self):
        return self.pitch * self.ahead.apart

    @cached_property
    def block(self):
        """(rows of a block, images of one)."""
        a, most = self.ahead, self.most
        rows, pitch = a.positions[0], self.pitch
        if rows * pitch > most:
            return -(-rows // min(rows, -(-rows * pitch // most))), 1
        together = max(1, min(a.images, most // (rows * pitch), -(-a.images // self._wanted)))
        return rows, -(-a.images // -(-a.images // together))

    @cached_property
    def _wanted(self):
        """Parts of the reduction that there should be: each takes the time to write its sums out."""
        down, across = self.counts
        steps = self.ahead.images * self.ahead.positions[0] * self.ahead.positions[1] // DEPTH
        return max(1, min(-(-ITEMS // (self.ahead.groups * down * across)), steps // LEAST_STEPS))

    @cached_property
    def blocks(self):
        return (-(-self.ahead.images // self.block[1]) * -(-self.ahead.positions[0] // self.block[0])
                * -(-self.ahead.positions[1] // self.wide))

    @cached_property
    def splits(self):
        return min(self._wanted, self.blocks)

    @cached_property
    def items(self):
        return self.ahead.groups * self.counts[0] * self.counts[1] * self.splits

    @cached_property
    def source_rows(self):
        return self.block[0] + self.ahead.rows

    @cached_property
    def image(self):
        return self.ahead.phases * self.source_rows * self.source_pitch

    @cached_property
    def joined(self):
        """Whether the positions of all images of a block are counted on: small maps would waste most of a step."""
        return (self.block[1] > 1 and self.ahead.phases == 1 and self.ahead.slices[0] == 1
                and 2 * self.source_rows * self.pitch >= TILE)

    @cached_property
    def length(self):
        """Positions from an image of a block to the next."""
        return (self.source_rows if self.joined else self.block[0]) * self.pitch

    @cached_property
    def steps(self):
        """Of 32 positions, of a block or of each of its images."""
        return -(-self.length * (self.block[1] if self.joined else 1) // DEPTH)

    @cached_property
    def offsets(self):
        return [(i * self.source_rows + row) * self.source_pitch + column
                for i, row, column, _ in self.taps]

    @cached_property
    def plane(self):
        """Columns of all images of a block, and what the last step reaches beyond."""
        images = self.block[1]
        reach = DEPTH * self.steps * self.ahead.apart + max(self.offsets)
        if not self.joined:
            reach += (images - 1) * self.image
        return max(reach, images * self.image) + TILE + self.front

    @cached_property
    def front(self):
        """Columns from a position to the one it makes a pair with, of which as many lie before the first one."""
        return TILE * self.ahead.apart

    @cached_property
    def sections(self):
        """Where in the workspace of a thread, in elements, the parts begin, and its end.

        They are pairs, gradients, sums, and sums of gradients.
        """
        filters, columns = self.ranges
        grads = 2 * columns * (self.front + self.plane)
        sums = grads + STEPS * GRADS
        totals = sums + filters * columns * len(self.taps)
        return grads, sums, totals, totals + filters * TILE

    @cached_property
    def pieces(self):
        """How the lanes of each 16 positions are filled: where elements of dy lie, and a mask of the lanes they fill.

        An array (blocks, vectors, pieces, 2): of a block, then of one of the last columns, which may be fewer.
        """
        last = (self.ahead.positions[1] - 1) % self.wide + 1
        found = [self._pieces(columns) for columns in (self.wide, last)]
        most = max(lanes.max() + 1 for _, lanes, *_ in found)
        result = np.zeros((2, 2 * self.steps, most, 2), np.int64)
        for block, (vectors, lanes, places, masks) in zip(result, found, strict=True):
            block[vectors, lanes] = np.stack([places, masks], -1)
        return result

    def _pieces(self, columns):
        """Of each piece of a block with so many columns the vector, which of its pieces it is, place and mask."""
        a, (rows, images) = self.ahead, self.block
        positions = np.arange(DEPTH * self.steps)
        image, rest = np.divmod(positions, self.length) if self.joined else (0 * positions, positions)
        row, column = np.divmod(rest, self.pitch)
        met = np.flatnonzero((row < rows) & (column < columns) & (image < images))
        area = prod(a.positions) * a.slices[0]
        places = (image * (a.groups * a.filters * area) + row * a.positions[1] + column)[met]
        vectors, lanes = np.divmod(met, TILE)
        begins = np.flatnonzero(np.diff(vectors, prepend=-1) | (np.diff(places, prepend=-2) != 1))
        masks = np.add.reduceat(1 << lanes, begins)
        places, vectors = places[begins], vectors[begins]
        return vectors, np.arange(len(vectors)) - np.searchsorted(vectors, vectors), places, masks

    @cached_property
    def places(self):
        """Offset of the pairs of each tap, where its gradient lies from that of a filter and channel on, and pieces."""
        return table([*(TILE * offset for offset in self.offsets), *(tap[3] for tap in self.taps),
                      *self.pieces.reshape(-1)])

    @cached_property
    def together(self):
        """Whether the taps of a filter and channel lie side by side."""
        return self.ahead.fold == 1 and [tap[3] for tap in self.taps] == list(range(len(self.taps)))

    def args(self, parts):
        a = self.ahead
        return (a.images, a.groups, a.channels, a.filters, *a.size, *a.positions, *a.stride, *a.before, a.phases,
                a.apart, a.fold, a.step, *self.block, self.source_rows, self.pitch, self.source_pitch, self.image,
                self.steps, self.plane, len(self.taps), STEPS, *self.ranges, *self.counts, self.splits, self.blocks,
                parts, self.items, *self.sections, self.pieces.shape[2], *a.weight_strides, self.together, self.joined,
                self.length, self.wide, *a.slices, a.row_phases)


@lru_cache(maxsize=512)
def backward_weight(g):
    """The HalvesWeight of a weight gradient, or None for one that is not served."""
    ahead = plan_halves.forward(g)
    form = ahead and HalvesWeight(ahead)
    return form if form and 4 * form.sections[-1] <= MOST else None
