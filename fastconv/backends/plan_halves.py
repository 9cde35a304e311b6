"""Convolution on halves: float32 as the sum of two bfloat16 numbers, whose products a matrix unit adds up in float32.

x is ``high + low``, each of 8 significant bits, to 2^-17 of its size, and a product is ``high * high + high * low +
low * high``: three products of bfloat16 tiles, of 16 x 32 times 32 x 16 numbers, in place of one of float32. What is
left out of a product is at most 2^-16 of it, of either sign by turns: the largest error is 4e-6 to 9e-6 of the largest
result.

The source is laid out position after position, with zeros around, and 32 channels of one side by side::

    halves[block of 32 channels][high, low][image][phase][row][column][32]

so that a tile is 16 positions of a row, 64 aligned bytes each, whatever tap of the kernel meets them, and each `stride`
columns apart. (With 16 positions side by side instead, nothing would have to be turned, but the rows of most taps would
cross cache lines: a tile then takes 16 ns to load in place of 2.4.) Rows that are equal modulo the stride are a phase:
they follow each other at `pitch` positions, padding included, and positions are counted along them. A tap is one
offset, and what is computed at positions in the padding is left out at the end. Where channels are few, the taps of a
row are channels too (`fold`). Slices of a volume are images, and the slices that one meets are phases of it.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod

from fastconv.backends.plan import phases_along, table

TILE = 16           # positions, filters, and pairs of channels of a tile
DEPTH = 2 * TILE    # channels of a step
PAIR = 2 * TILE     # filters, or channels, or positions, of which two tiles are multiplied together
BESIDE = 2          # tiles of filters that share the positions' tile
STEPS = 12          # of the reduction that are done for all positions of a block before the next ones
# Bytes of a block's halves and sums: they and the weights of some steps share the second-level cache.
BLOCK = 1 << 20
LEAST = 256         # positions of a block, if there are as many, and room for them
MOST = 5 << 20      # bytes of the workspace of a thread
MOST_TAPS = 1024    # of a kernel
NEAR = 1 << 20      # bytes of the weights of a panel that are laid out when they are used
ITEMS = 8           # work items below which blocks are also shared out by filters
ENTRY = DEPTH * TILE * BESIDE   # elements of the weights of a step: 2 tiles, high and low


@dataclass(frozen=True)
class Halves:
    """A product whose columns are positions: the forward pass or the input gradient.

    The results fall into phases, `out_apart` down and across, as those of a strided convolution's input gradient do. At
    each of the `positions` there is a result of every phase, with taps of its own. Those are (phase of the source, row,
    column) of the halves and the place of the weight.
    """

    images: int
    groups: int
    channels: int           # of a group, of the source
    filters: int
    size: tuple             # (H, W) of the source
    positions: tuple        # rows and columns
    stride: tuple           # of the source
    before: tuple           # rows and columns of zeros before those of the source
    taps: tuple             # of each phase of the results
    fold: int               # columns of taps that are channels
    step: int               # columns from one of those to the next
    weight_strides: tuple   # of a group, a filter, a channel
    out_size: tuple
    out_apart: tuple = (1, 1)
    slices: tuple = (1, 1, 1, 1, 0)     # of the result, of the source, apart, of taps apart, of zeros before
    row_phases: int = 1     # of a slice of the source

    @cached_property
    def every(self):
        """The taps of all phases."""
        return [tap for phase in self.taps for tap in phase]

    @cached_property
    def terms(self):
        """Of the sum of a result that meets the most taps."""
        return self.channels * self.fold * max(map(len, self.taps))

    @cached_property
    def phases(self):
        return 1 + max(tap[0] for tap in self.every)

    @cached_property
    def rows(self):
        """Rows of a phase that the positions of one row meet, less one."""
        return max(tap[1] for tap in self.every)

    @cached_property
    def apart(self):
        """Columns of the halves from a position to the next: 1 where those that no tap meets are left out."""
        return 1 if self.fold > 1 or not any(tap[2] for tap in self.every) else self.stride[1]

    def pitch_of(self, columns):
        """Positions from a row of so many of them to the next; whole rows may share the zeros between them."""
        reach = (columns - 1) * self.apart + max(tap[2] for tap in self.every) + 1
        before, size = self.before[1], self.size[1]
        if (columns == self.positions[1] and self.stride[1] == 1 and self.fold == 1
                and 0 < reach - size - before <= before):
            return max(columns, size + before)
        return -(-reach // self.apart)

    @cached_property
    def most(self):
        """Positions of a block, if there are as many."""
        position = 4 * (DEPTH * self.blocks * self.phases * self.apart + PAIR * self.out_apart[1])
        return max(min(LEAST, MOST // (2 * position)), BLOCK // position)

    @cached_property
    def wide(self):
        """Columns of a block: all, or whole tiles of a long row."""
        return columns_of(self.positions[1], self.most)

    @cached_property
    def pitch(self):
        return self.pitch_of(self.wide)

    @cached_property
    def source_pitch(self):
        return self.pitch * self.apart

    @cached_property
    def blocks(self):
        """Steps of the reduction of a tap."""
        return -(-self.channels * self.fold // DEPTH)

    @cached_property
    def steps(self):
        return self.blocks * len(self.every)

    @cached_property
    def block(self):
        """(rows of a block, images of one)."""
        rows, pitch = self.positions[0], self.pitch
        most = min(self.most, max(LEAST, self.images * rows * self.positions[1] // (2 * ITEMS)))
        if rows * pitch > most:
            return -(-rows // min(rows, -(-rows * pitch // most))), 1
        together = max(1, min(self.images, most // (rows * pitch)))
        return rows, -(-self.images // -(-self.images // together))

    @cached_property
    def source_rows(self):
        return self.block[0] + self.rows

    @cached_property
    def image(self):
        """Columns of all rows of an image of a block."""
        return self.phases * self.source_rows * self.source_pitch

    @cached_property
    def tiles(self):
        """Tiles of positions of an image of a block."""
        return -(-self.block[0] * self.pitch // TILE)

    def offsets(self, taps):
        return [(i * self.source_rows + row) * self.source_pitch + column for i, row, column, _ in taps]

    @cached_property
    def plane(self):
        """Columns of all images of a block, and what the last tile reaches beyond."""
        images = self.block[1]
        reach = (images - 1) * self.image + max(self.offsets(self.every)) + TILE * self.tiles * self.apart
        return max(reach, images * self.image) + TILE

    @cached_property
    def runs(self):
        """Parts that the filters are shared out in."""
        return min(self.panels, -(-ITEMS // (self.groups * self.places_of_blocks)))

    @cached_property
    def places_of_blocks(self):
        """Blocks of a group."""
        return (-(-self.images // self.block[1]) * -(-self.positions[0] // self.block[0])
                * -(-self.positions[1] // self.wide))

    @cached_property
    def items(self):
        return self.places_of_blocks * self.groups * self.runs

    @cached_property
    def panels(self):
        return -(-self.filters // (TILE * BESIDE))

    @cached_property
    def weights(self):
        """Elements of the weights' halves."""
        return self.groups * self.panels * self.steps * ENTRY

    @cached_property
    def fused(self):
        """Whether weights are used once, and laid out when they are.

        512 to 512 channels of a single 7 x 7 take 1.1 ms in place of 1.6.
        """
        return self.places_of_blocks == 1 and 4 * self.steps * ENTRY <= NEAR

    @cached_property
    def laid_out(self):
        """Elements of a thread's halves and sums: whole tiles are read of the last row's sums too."""
        return self.blocks * DEPTH * self.plane + self.out_apart[1] * self.sums + TILE * TILE * BESIDE

    @cached_property
    def space(self):
        """Elements of the workspace of a thread."""
        return self.laid_out + self.fused * (self.steps * ENTRY + self.weight_space(1))

    @cached_property
    def sums(self):
        """Elements of the sums of a phase."""
        return TILE * BESIDE * TILE * self.block[1] * self.tiles

    @cached_property
    def columns(self):
        """Steps of each phase, then the offset of the halves of each step, then `places`."""
        return table([*(self.blocks * len(phase) for phase in self.taps),
                      *(b * DEPTH * self.plane + TILE * offset for phase in self.taps for b in range(self.blocks)
                        for offset in self.offsets(phase)), *self._places()])

    @cached_property
    def kernel(self):
        """Taps of the kernel, of which this product may meet some."""
        return min(self.weight_strides[1:])

    @cached_property
    def places(self):
        """`_places` by themselves."""
        return table(self._places())

    def _places(self):
        """For each tap its first step, the steps from a block of channels to the next, and where its weights are.

        That is, for each channel of a block, which of the rows (channel, tap of the kernel) of a block.
        """
        result, begun = [], 0
        for phase in self.taps:
            for i, (*_, tap) in enumerate(phase):
                result += [begun + i, len(phase)]
                for v in range(DEPTH):
                    c, t = v // self.fold, v % self.fold
                    result.append(c * self.kernel + tap + t if v < self.channels * self.fold else DEPTH * self.kernel)
            begun += self.blocks * len(phase)
        return result

    @cached_property
    def weight_items(self):
        return self.groups * -(-self.filters // TILE) * self.blocks

    def weight_space(self, parts):
        return parts * (DEPTH * self.kernel + 1) * TILE

    def weight_args(self, parts):
        return (self.groups, self.filters, self.channels, self.blocks, len(self.every), self.kernel,
                *self.weight_strides, parts, self.weight_items)

    def args(self, parts, past):
        return (self.images, self.groups, self.channels, self.filters, *self.size, *self.positions, *self.stride,
                *self.before, self.phases, self.apart, self.fold, self.step, *self.block, self.source_rows, self.pitch,
                self.source_pitch, self.image, self.tiles, self.plane, self.blocks, self.steps, self.sums, self.runs,
                self.panels, parts, self.items, self.space, *self.out_size, *self.out_apart, STEPS, self.wide,
                *self.slices, self.row_phases, past, len(self.taps) + self.steps, self.fused, *self.weight_args(parts),
                self.laid_out)


def columns_of(columns, most):
    """Columns of a block of `most` positions, about: those of all rows, or whole tiles of long ones."""
    return columns if columns <= 2 * most else -(-columns // (-(-columns // most) * TILE)) * TILE


@lru_cache(maxsize=512)
def forward(g):
    """The Halves of a forward pass, or None for one that they do not serve."""
    if prod(g.kernel) > MOST_TAPS:
        return None
    channels, filters, kernel = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    before = tuple(b for b, _ in g.padding[1:])
    (step_h, _), (down, across) = g.stride[1:], g.dilation[1:]
    fold = g.kernel[2] if channels * g.kernel[2] <= DEPTH else 1
    columns = [0] if fold > 1 else range(g.kernel[2])
    phases = 1 + max(r * down % step_h for r in range(g.kernel[1]))
    taps = tuple((t * phases + r * down % step_h, r * down // step_h, s * across,
                  (t * g.kernel[1] + r) * g.kernel[2] + s)
                 for t in range(g.kernel[0]) for r in range(g.kernel[1]) for s in columns)
    form = Halves(g.n * g.output[0], g.groups, channels, filters, g.input[1:], g.output[1:], g.stride[1:], before,
                  (taps,), fold, across, (filters * channels * kernel, channels * kernel, kernel), g.output[1:],
                  slices=(g.output[0], g.input[0], g.stride[0], g.dilation[0], g.padding[0][0]), row_phases=phases)
    return form if 4 * form.space <= MOST else None


@lru_cache(maxsize=512)
def backward_input(g):
    """The Halves of an input gradient, or None, as for a volume with strides from slice to slice."""
    if prod(g.kernel) > MOST_TAPS or g.stride[0] > 1:
        return None
    channels, filters, kernel = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    depth, *axes = (phases_along(*axis) for axis in zip(g.input, g.kernel, g.stride, g.padding, g.dilation,
                                                        strict=True))
    [(_, _, slices)] = depth
    front, *before = (-min((s for _, _, found in axis for _, s in found), default=0) for axis in (depth, *axes))
    taps = tuple(tuple(sorted(((s + front) // g.dilation[0], u + before[0], v + before[1],
                               (t * g.kernel[1] + r) * g.kernel[2] + c)
                              for t, s in slices for r, u in down for c, v in across))
                 for (_, _, down), (_, _, across) in product(*axes))
    if not any(taps):
        return None
    form = Halves(g.n * g.input[0], g.groups, filters, channels, g.output[1:], tuple(axis[0][1] for axis in axes),
                  (1, 1), tuple(before), taps, 1, 1, (filters * channels * kernel, kernel, channels * kernel),
                  g.input[1:], tuple(map(len, axes)), (g.input[0], g.output[0], 1, g.dilation[0], front))
    return form if 4 * form.space <= MOST else None
