"""Winograd's weight gradient: which convolutions it takes, and the layout of its workspace."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod

from fastconv.backends.plan_transform import (
    ITEMS,
    KERNELS,
    Blocks,
    Depth,
    Taps,
    blocks_of,
    depth_of,
    fits,
    panel_width,
    pays,
    sets_of,
    taps_of,
    up,
)

# Bytes of the weight gradient's products that one work item may hold.
PRODUCTS = 4 << 20


@dataclass(frozen=True)
class WinogradWeight:
    """The weight gradient of the same convolutions."""

    images: int
    groups: int
    channels: int
    filters: int
    depth: Depth
    size: tuple
    padding: tuple
    output: tuple
    blocks: Blocks
    width: int
    run: int
    splits: int
    taps: Taps

    @property
    def kernel(self):
        return self.taps.kernel

    @cached_property
    def sets(self):
        """Into how many products the channels go: a phase each, or all together."""
        return sets_of(self.taps.phases, self.channels)

    @cached_property
    def set_rows(self):
        """Rows of a set's products: whole tiles, as what one has beyond would be the next set's."""
        return up(self.steps // self.sets) + 8

    @cached_property
    def panel_blocks(self):
        return -(-self.filters // self.width)

    @cached_property
    def slice_pitch(self):
        # A multiple of 1 KiB apart, tiles would share a few sets of the cache: 12.0 ms in place of 13.1 on Zen 3 for
        # 256 channels of 8 x 14 x 14.
        pitch = up(self.channels)
        return pitch + 16 if self.depth.taps * pitch % 256 == 0 else pitch

    @cached_property
    def pitch(self):
        return self.depth.taps * self.slice_pitch

    @cached_property
    def steps(self):
        """Of the reduction at a point: (channel, tap)."""
        return self.channels * self.depth.taps

    @cached_property
    def point(self):
        return self.blocks.most * self.pitch + 16

    @cached_property
    def grad_point(self):
        return self.blocks.most * self.run * self.width + 16

    @cached_property
    def product_point(self):
        return self.sets * self.set_rows * self.run * self.width + 16

    @cached_property
    def sections(self):
        b = self.blocks
        tile, beyond = 7 - self.kernel, self.kernel - 1
        slab = max((tile * b.rows + beyond) * (tile * b.columns + beyond) * 16 + 256,
                   (prod(self.taps.size) * 16 + 16) * self.run * self.width)
        points = up(slab) + up(36 * self.point + 16)
        grads = points + up(36 * self.grad_point + 64)
        return up(slab), points, grads, grads + up(36 * self.product_point)

    @cached_property
    def items(self):
        return self.splits * self.groups * -(-self.panel_blocks // self.run)

    def args(self, parts):
        b = self.blocks
        slab, points, grads, size = self.sections
        return (self.images, self.groups, self.channels, self.filters, *self.size, *self.padding, *self.output,
                *b.tiles, b.rows, b.columns, b.together, self.width, self.run, self.pitch, self.point,
                self.product_point, self.splits, slab, points, self.grad_point, grads, size, parts, self.items,
                *self.depth.args, *self.taps.args, self.sets, self.set_rows)

    @cached_property
    def rows(self):
        return self.depth.columns(self.channels, self.slice_pitch)


@lru_cache(maxsize=512)
def backward_weight(g, width, kernels=KERNELS, taps=None, strided=None, products=PRODUCTS):
    """The Winograd of the weight gradient, or None; the parameters are as of `plan_winograd.forward` and `Engine`."""
    channels, filters, images, taps = g.c // g.groups, g.k // g.groups, g.n * g.output[0], taps or taps_of(g)
    width = panel_width(filters, width)
    panel_blocks = -(-filters // width)
    run = max(1, min(panel_blocks, products // (36 * 4 * up(channels * g.kernel[0]) * width)))
    if not fits(g, kernels) or not pays(images, g.groups, channels, filters, g.kernel[0], taps, g.output[1:],
                                          again=-(-panel_blocks // run), strided=strided):
        return None
    blocks = blocks_of(images, *g.output[1:], g.kernel[0] * up(channels) + up(filters), 7 - g.kernel[1])
    single = g.groups * -(-panel_blocks // run)
    # Two threads share two blocks; of more, a part has two at least, as each part is carried back from the points.
    splits = max(1, min(-(-ITEMS // single), max(blocks.count // 2, min(blocks.count, 2))))
    return WinogradWeight(images, g.groups, channels, filters, depth_of(g), g.input[1:],
                          (g.padding[1][0], g.padding[2][0]), g.output[1:], blocks, width, run, splits, taps)
