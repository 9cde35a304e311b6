"""Winograd's forward pass and input gradient: which convolutions it takes, and the layout of its workspace."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from fastconv.backends.plan import Panels, piece, table
from fastconv.backends.plan_transform import (
    CACHED,
    KERNELS,
    MORE_TILES,
    TILES,
    Blocks,
    Depth,
    Taps,
    blocks_of,
    column_sets_of,
    depth_of,
    fits,
    panel_width,
    pays,
    sets_of,
    taps_of,
    tiles_of,
    up,
)

# Columns of panels side by side, whose products share a reading of the points: one narrow panel after the other would
# read them all again, which takes 7.9 ms in place of 7.5 on Zen 3 for 128 channels of 8 x 28 x 28.
BESIDE = 64


@dataclass(frozen=True)
class Winograd:
    """A convolution of (N, groups * channels, D, H, W) volumes by T x R x R kernels: forward pass or input gradient.

    `images` counts the slices of the results. The channels, or of the input gradient the filters, are those of all
    phases, one phase after the other. `adjoint`, its tiles are those of dy, and what they make of dx overlaps.
    """

    images: int
    groups: int
    channels: int
    filters: int
    depth: Depth
    size: tuple
    padding: tuple
    output: tuple
    flipped: bool
    panels: Panels
    blocks: Blocks
    taps: Taps
    adjoint: bool = False

    @property
    def kernel(self):
        return self.taps.kernel

    @cached_property
    def pitch(self):
        return self.depth.taps * up(self.channels)

    @cached_property
    def steps(self):
        """Of the reduction at a point: (channel, tap)."""
        return self.channels * self.depth.taps

    @cached_property
    def sets(self):
        """Into how many products the channels go, and the filters: a phase each, or all together."""
        if self.flipped:
            return 1, column_sets_of(self.taps.phases, self.filters, self.panels.width)
        return sets_of(self.taps.phases, self.channels), 1

    @property
    def turned(self):
        """Whether the kernel's taps come last to first."""
        return self.flipped and not self.adjoint

    @cached_property
    def each(self):
        """Steps of the first of these, and panels of the second."""
        steps, columns = self.sets
        return self.steps // steps, -(-self.filters // columns // self.panels.width)

    @cached_property
    def panel_count(self):
        return self.sets[1] * self.each[1]

    @cached_property
    def sections(self):
        """Offsets of the parts of a workspace: slab, points, products, outputs, own weights, packed ones; its size."""
        b, width = self.blocks, self.panels.width
        tile, beyond = 7 - self.kernel, self.kernel - 1
        slab = up((tile * b.rows + beyond) * (tile * b.columns + beyond) * 16 + 256)
        points = slab + up(36 * self.point)
        beside = 1 if self.fused else max(1, min(self.panel_count, BESIDE // width))
        products = points + beside * up(36 * self.product_point)
        rows = 6 * (tile * b.columns + beyond + self.output[1]) if self.adjoint else tile * tile * b.columns
        outputs = products + up((rows + 16) * width)
        if not self.fused:
            return slab, points, products, outputs, outputs, outputs
        own = outputs + up(36 * self.weight_point)
        return slab, points, products, outputs, own, own + up((self.chunk + 16) * prod(self.taps.size) * width)

    @cached_property
    def fused(self):
        """Whether the weights are transformed part by part where they are used.

        Points that do not stay in the cache cost about 50 cycles a pair of channels to write and read back (39 MB for
        512 x 512 channels), transforming a pair 10: so up to 4 blocks of tiles may each do it again.
        """
        return (36 * 4 * self.steps * self.filters > CACHED and self.blocks.count <= 4
                and self.taps.phases == max(self.sets))

    @cached_property
    def chunk(self):
        """Steps of a product at a time; 64 channels' points of a panel are 590 KiB, for the second-level cache."""
        return 64 if self.fused else piece(self.each[0], self.panels.width)

    @cached_property
    def point(self):
        # 16 more than the tiles need: a multiple of 4 KiB apart, the 36 stores of a tile fall into one cache set; for
        # the weights of 512 x 512 channels that takes three times as long.
        return self.blocks.most * self.pitch + 16

    @cached_property
    def product_point(self):
        return (self.blocks.most + 8) * self.panels.width + 16

    def run(self, threads):
        """Panels of a work item: all of them, unless that makes too few items to share out.

        Each run transforms its tiles again: 1.1 of 11 ms for 512 channels of 8 x 7 x 7 in 8 runs.
        """
        wanted = 1 if threads == 1 else 2 * threads
        return max(1, self.panel_count // -(-wanted // (self.groups * self.blocks.count)))

    def items(self, run):
        return self.groups * self.blocks.count * -(-self.panel_count // run)

    @cached_property
    def col_a(self):
        return self.depth.columns(self.channels)

    @cached_property
    def col_b(self):
        return table(range(0, self.each[0] * self.panels.width, self.panels.width))

    @cached_property
    def weights(self):
        """Elements of the transformed weights."""
        return self.groups * self.panel_count * 36 * self.weight_point

    @cached_property
    def weight_args(self):
        """Of the kernel that transforms the weights, a work item of which is a step of a panel of a phase."""
        steps = self.panels.steps // prod(self.taps.size)
        panel = 36 * self.weight_point
        if not self.flipped:  # a phase's steps follow those of the one before
            to_phase = steps * self.panels.width
        elif self.sets[1] > 1:  # a phase's panels do
            to_phase = self.panels.blocks * panel
        else:  # a phase's columns do
            to_phase = self.panels.columns
        return (steps, self.panels.width, self.turned, self.weight_point, self.panels.blocks, to_phase, panel,
                self.panel_count * panel, *self.taps.args)

    @property
    def weight_items(self):
        return self.groups * self.panels.blocks * self.panels.steps // prod(self.taps.size)

    @cached_property
    def weight_point(self):
        return (self.chunk if self.fused else self.steps) * self.panels.width + 16

    def args(self, parts, run):
        b = self.blocks
        slab, points, products, outputs, packed, size = self.sections
        p, taps = self.panels, prod(self.taps.size)
        strides = p.group_stride, p.outer_stride if self.flipped else taps, p.column_stride
        return (self.images, self.groups, self.channels, self.filters, *self.size, *self.padding, *self.output,
                *b.tiles, b.rows, b.columns, b.together, self.panels.width, run, self.pitch, self.point,
                self.product_point, self.chunk, slab, points, products, size, parts, self.items(run), self.weight_point,
                self.fused, self.turned, outputs, *self.depth.args, *self.taps.args, *self.sets, *self.each,
                self.adjoint, *strides, packed)


@lru_cache(maxsize=512)
def forward(g, width, kernels=KERNELS, taps=None, strided=None):
    """The Winograd of the forward pass, or None where the direct product serves better.

    `kernels` are the sizes R for which there is code; `taps` those of an Apart; `strided` is as of `Engine`.
    """
    channels, filters, images, taps = g.c // g.groups, g.k // g.groups, g.n * g.output[0], taps or taps_of(g)
    if not fits(g, kernels) or not pays(images, g.groups, channels, filters, g.kernel[0], taps, g.output[1:],
                                        strided=strided):
        return None
    steps = channels // taps.phases * g.kernel[0] * prod(taps.size)
    panels = Panels(g.groups, filters, 1, steps, filters * steps, 0, steps, panel_width(filters, width))
    padding = (g.padding[1][0], g.padding[2][0])
    return _build(images, g.groups, channels, filters, depth_of(g), g.input[1:], padding, g.output[1:], False, panels,
                  taps)


@lru_cache(maxsize=512)
def backward_input(g, width, kernels=KERNELS, taps=None):
    """The Winograd of the input gradient: a convolution of dy with the flipped kernel; or None."""
    channels, filters, images, taps = g.c // g.groups, g.k // g.groups, g.n * g.input[0], taps or taps_of(g)
    if not fits(g, kernels) or g.stride[0] > 1:
        return None
    columns, steps = channels // taps.phases, g.kernel[0] * prod(taps.size)
    width = panel_width(columns, width)
    panels = Panels(g.groups, columns, filters, steps, filters * columns * steps, columns * steps, steps, width)
    front = (g.kernel[0] - 1) * g.dilation[0] - g.padding[0][0]
    depth = Depth(g.kernel[0], g.output[0], g.input[0], front, 1, g.dilation[0], reverse=True)

    def build(padding, tiled, adjoint):
        if min(padding) < 0 or not pays(images, g.groups, filters, channels, g.kernel[0], taps, tiled, width):
            return None
        return _build(images, g.groups, filters, channels, depth, g.output[1:], padding, g.input[1:], True, panels,
                      taps, tiled, adjoint)

    if g.kernel[0] == 1 and not any(g.padding[0]) and tiles_of(g.output[1:], taps) < tiles_of(g.input[1:], taps):
        padding = g.padding[1][0], g.padding[2][0]
        form = build(padding, g.output[1:], adjoint=True)
        # What the tiles of one block add to is no other's, and they reach all there is.
        if form is not None and form.blocks.whole and all(
                (7 - form.kernel) * n + form.kernel - 1 >= p + i
                for n, p, i in zip(form.blocks.tiles, padding, g.input[1:], strict=True)):
            return form
    return build((g.kernel[1] - 1 - g.padding[1][0], g.kernel[2] - 1 - g.padding[2][0]), g.input[1:], adjoint=False)


def _build(images, groups, channels, filters, depth, size, padding, output, flipped, panels, taps, tiled=None,
           adjoint=False):
    """The tiles are those of a map of `tiled` positions, if not of the output."""
    least = MORE_TILES if 36 * 4 * depth.taps * channels * filters > CACHED else TILES
    blocks = blocks_of(images, *(tiled or output), depth.taps * up(channels) + panels.width, 7 - taps.kernel, least)
    return Winograd(images, groups, channels, filters, depth, size, padding, output, flipped, panels, blocks, taps,
                    adjoint)
