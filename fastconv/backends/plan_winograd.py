"""Winograd's blocking: which convolutions it takes, its blocks of tiles, and the layout of its workspace."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

from fastconv.backends.plan import Panels, piece, table
from fastconv.geometry import Geometry

# Taps across and down of the kernels that six points serve.
KERNELS = (2, 3, 4, 5)
# How many times as fast the transform should be to pay for taking a strided convolution apart. With 4 times the
# channels it leaves the caches sooner: 1.2 times in theory, 128 channels of 8 x 56 x 56 and 3 x 3 taps took 28 ms in
# place of 19; 2 times in theory, 64 to 32 channels of 8 x 28 x 28, transposed and 4 x 4 taps, take 3.5 in place of 4.3.
STRIDED = 1.5
# Tiles of a block, at least and at most. More tiles share a reading of the weights: 24.8 ms in place of 28.0 for 64 to
# 128 channels of 8 x 112 x 112. Their points and products should pass through the second-level cache.
TILES, MOST_TILES = 48, 84
BLOCK = 1600 << 10
# Work items below which blocks of tiles are also shared out by panels, at the price of transforming them again.
ITEMS = 8
# Bytes of transformed weights that stay in the cache between two blocks of tiles.
CACHED = 4 << 20
# Bytes of the weight gradient's products that one work item may hold.
PRODUCTS = 4 << 20


@dataclass(frozen=True)
class Blocks:
    """Blocks of tiles of a (P, Q) map: `rows` x `columns` tiles of one image, or `together` whole images."""

    tiles: tuple
    rows: int
    columns: int
    together: int
    count: int

    @cached_property
    def most(self):
        return self.together * self.rows * self.columns


def _blocks(images, height, width, channels, tile):
    """Blocks for points of so many channels, those of the products included; a tile is `tile` positions wide."""
    tiles_h, tiles_w = -(-height // tile), -(-width // tile)
    # Few blocks are hard to share out.
    most = min(MOST_TILES, BLOCK // (36 * 4 * channels), images * tiles_h * tiles_w // (2 * ITEMS))
    most = max(TILES, most)
    columns = -(-tiles_w // -(-tiles_w // most))
    rows = max(1, min(tiles_h, most // columns))
    rows = -(-tiles_h // -(-tiles_h // rows))
    whole = rows == tiles_h and columns == tiles_w
    together = min(images, max(1, most // (rows * columns))) if whole else 1
    together = -(-images // -(-images // together))
    count = -(-images // together) * -(-tiles_h // rows) * -(-tiles_w // columns)
    return Blocks((tiles_h, tiles_w), rows, columns, together, count)


def _up(value, unit=16):
    return -(-value // unit) * unit


@dataclass(frozen=True)
class Depth:
    """The third dimension: slice o of the result meets slice ``o * stride - front + t * step`` under tap t.

    Each tap is another set of input channels to the two-dimensional transform; a volume's slices are images.
    """

    taps: int
    size: int           # slices of the source and of the result
    output: int
    front: int
    stride: int
    step: int
    reverse: bool = False   # whether the kernel's taps come last to first

    @property
    def args(self):
        return (self.taps, self.size, self.output, self.front, self.stride, self.step)

    def columns(self, channels):
        """Where (channel, tap of the kernel) lies among a tile's channels, which are in order of the slices."""
        pitch = _up(channels)
        order = range(self.taps)[::-1] if self.reverse else range(self.taps)
        return table([t * pitch + c for c in range(channels) for t in order])


def _depth(g):
    return Depth(g.kernel[0], g.input[0], g.output[0], g.padding[0][0], g.stride[0], g.dilation[0])


@dataclass(frozen=True)
class Winograd:
    """A convolution of (N, groups * channels, D, H, W) volumes by T x R x R kernels: forward pass or input gradient.

    `images` counts the slices of the results, `kernel` is R.
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
    kernel: int

    @cached_property
    def pitch(self):
        return self.depth.taps * _up(self.channels)

    @cached_property
    def steps(self):
        """Of the reduction at a point: (channel, tap)."""
        return self.channels * self.depth.taps

    @cached_property
    def sections(self):
        """Offsets of the parts of a workspace, and its size: slab, points, products, outputs."""
        b, width = self.blocks, self.panels.width
        tile, beyond = 7 - self.kernel, self.kernel - 1
        slab = _up((tile * b.rows + beyond) * (tile * b.columns + beyond) * 16 + 256)
        points = slab + _up(36 * self.point)
        products = points + _up(36 * self.product_point)
        outputs = products + _up((tile * tile * b.columns + 16) * width)
        return slab, points, products, outputs, outputs + (_up(36 * self.weight_point) if self.fused else 0)

    @cached_property
    def fused(self):
        """Whether the weights are transformed part by part where they are used.

        Points that do not stay in the cache cost about 50 cycles a pair of channels to write and read back (39 MB for
        512 x 512 channels), transforming a pair 10: so up to 4 blocks of tiles may each do it again.
        """
        return 36 * 4 * self.steps * self.filters > CACHED and self.blocks.count <= 4

    @cached_property
    def chunk(self):
        """Steps of a product at a time; 64 channels' points of a panel are 590 KiB, for the second-level cache."""
        return 64 if self.fused else piece(self.steps)

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
        return max(1, self.panels.blocks // -(-wanted // (self.groups * self.blocks.count)))

    def items(self, run):
        return self.groups * self.blocks.count * -(-self.panels.blocks // run)

    @cached_property
    def col_a(self):
        return self.depth.columns(self.channels)

    @cached_property
    def col_b(self):
        return table(range(0, self.steps * self.panels.width, self.panels.width))

    @cached_property
    def weights(self):
        """Elements of the transformed weights."""
        return self.groups * self.panels.blocks * 36 * self.weight_point

    @cached_property
    def weight_point(self):
        return (self.chunk if self.fused else self.steps) * self.panels.width + 16

    def args(self, parts, run):
        b = self.blocks
        slab, points, products, outputs, size = self.sections
        return (self.images, self.groups, self.channels, self.filters, *self.size, *self.padding, *self.output,
                *b.tiles, b.rows, b.columns, b.together, self.panels.width, run, self.pitch, self.point,
                self.product_point, self.chunk, slab, points, products, size, parts, self.items(run), self.weight_point,
                self.fused, self.flipped, outputs, *self.depth.args, self.kernel)


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
    kernel: int

    @cached_property
    def panel_blocks(self):
        return -(-self.filters // self.width)

    @cached_property
    def pitch(self):
        return self.depth.taps * _up(self.channels)

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
        return (_up(self.steps) + 8) * self.run * self.width + 16

    @cached_property
    def sections(self):
        b = self.blocks
        tile, beyond = 7 - self.kernel, self.kernel - 1
        slab = max((tile * b.rows + beyond) * (tile * b.columns + beyond) * 16 + 256,
                   (self.kernel**2 * 16 + 16) * self.run * self.width)
        points = _up(slab) + _up(36 * self.point + 16)
        grads = points + _up(36 * self.grad_point + 64)
        return _up(slab), points, grads, grads + _up(36 * self.product_point)

    @cached_property
    def items(self):
        return self.splits * self.groups * -(-self.panel_blocks // self.run)

    def args(self, parts):
        b = self.blocks
        slab, points, grads, size = self.sections
        return (self.images, self.groups, self.channels, self.filters, *self.size, *self.padding, *self.output,
                *b.tiles, b.rows, b.columns, b.together, self.width, self.run, self.pitch, self.point,
                self.product_point, self.splits, slab, points, self.grad_point, grads, size, parts, self.items,
                *self.depth.args, self.kernel)

    @cached_property
    def rows(self):
        return self.depth.columns(self.channels)


def _fits(g, kernels):
    """Whether there is a transform: rows and columns of as many taps, one of `kernels`; stride 1, no dilation."""
    return (g.kernel[1] == g.kernel[2] and g.kernel[1] in kernels and g.stride[1:] == (1, 1)
            and g.dilation[1:] == (1, 1))


def _pays(images, groups, channels, filters, taps, kernel, output, direct=None):
    """Whether it is the faster way, by cycles counted for 16-lane vectors; `taps` are those of the depth.

    The direct product has `direct` taps across and down, if not all of the kernel.

    A transform of a tile costs about as much as 200 multiply-adds of a vector for every 16 channels, turning the
    planes included; the weights' costs 150 for every 16 of their channel pairs.
    """
    tiles = images * prod(-(-size // (7 - kernel)) for size in output)
    direct = images * prod(output) * channels * taps * _up(filters) * (direct or kernel**2) / 32
    winograd = tiles * (36 * channels * taps * _up(filters) / 32 + 250 * (taps * _up(channels) + _up(filters)) / 16)
    weights = 150 * channels * taps * _up(filters) / 16
    return channels >= 16 and filters >= 16 and groups * 1.15 * (winograd + weights) < groups * direct


@dataclass(frozen=True)
class Phases:
    """How planes (images, channels, H, W) are taken apart: `step` phases along each axis, after `before` zeros.

    A phase of an image is an image, or with `inner` a phase of a channel is a channel.
    """

    images: int
    channels: int
    size: tuple
    step: tuple
    before: tuple
    apart: tuple
    inner: bool = False

    @cached_property
    def elements(self):
        return self.images * self.channels * prod(self.step) * prod(self.apart)

    @cached_property
    def args(self):
        down, across = self.step
        strides = (1, down * across) if self.inner else (self.channels, 1)
        return (self.channels, *self.size, *self.step, *self.before, *self.apart, *strides)


@dataclass(frozen=True)
class Apart:
    """A convolution as one without dilation and of stride 1, `inner`, on the phases of x, and of y or w.

    Of a dilated one all phases go through the same kernel, each to a phase of y. Of a strided one each goes through the
    taps of its own, and all to y: the phases of a channel are channels.
    """

    inner: Geometry
    x: Phases
    y: Phases = None
    w: Phases = None


@lru_cache(maxsize=512)
def apart(g, width, kernels=KERNELS):
    """The Apart of a dilated or strided convolution, or None where the direct product serves better."""
    if g.kernel[0] > 1 or g.input[0] > 1 or g.output[0] > 1:
        return None
    found = _undilated(g) if g.stride[1:] == (1, 1) else _unstrided(g, kernels)
    if found is None or any(planner(found.inner, width, kernels) is None
                            for planner in (forward, backward_input, backward_weight)):
        return None
    return found


def _inner_size(g, step, kernel, before, padding, output):
    """Rows and columns of a phase of x: as many as hold its elements, and as the windows reach."""
    return tuple(max(o + r - 1 - p, -(-(i + b) // s))
                 for o, r, p, i, b, s in zip(output, kernel, padding, g.input[1:], before, step, strict=True))


def _unstrided(g, kernels):
    """Taps of a phase that the kernel is too short for are zeros: 9 of 16, in 3 x 3 of stride 2."""
    step, pads = g.stride[1:], [before for before, _ in g.padding[1:]]
    if g.dilation[1:] != (1, 1):
        return None
    kernel = tuple(-(-r // s) for r, s in zip(g.kernel[1:], step, strict=True))
    before = tuple(p % s for p, s in zip(pads, step, strict=True))
    padding = tuple(p // s for p, s in zip(pads, step, strict=True))
    size = _inner_size(g, step, kernel, before, padding, g.output[1:])
    inner = replace(g, c=g.c * prod(step), input=(1, *size), kernel=(1, *kernel), stride=(1, 1, 1),
                    padding=((0, 0), *((p, 0) for p in padding)))
    channels, filters, taps = inner.c // g.groups, g.k // g.groups, prod(g.kernel) / prod(step) / STRIDED
    if (not _fits(inner, kernels) or not _pays(g.n, g.groups, channels, filters, 1, kernel[0], g.output[1:], taps)
            or not _pays(g.n, g.groups, filters, channels, 1, kernel[0], size, taps)):
        return None
    return Apart(inner, Phases(g.n, g.c, g.input[1:], step, before, size, inner=True),
                 w=Phases(g.k, g.c // g.groups, g.kernel[1:], step, (0, 0), kernel, inner=True))


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
    return Apart(inner, Phases(g.n, g.c, g.input[1:], step, before, size),
                 Phases(g.n, g.k, g.output[1:], step, (0, 0), output))


@lru_cache(maxsize=512)
def forward(g, width, kernels=KERNELS):
    """The Winograd of the forward pass, or None where the direct product serves better.

    `kernels` are the sizes R for which there is code.
    """
    channels, filters, images = g.c // g.groups, g.k // g.groups, g.n * g.output[0]
    if not _fits(g, kernels) or not _pays(images, g.groups, channels, filters, *g.kernel[:2], g.output[1:]):
        return None
    taps = channels * prod(g.kernel)
    panels = Panels(g.groups, filters, 1, taps, filters * taps, 0, taps, width)
    padding = (g.padding[1][0], g.padding[2][0])
    return _build(images, g.groups, channels, filters, _depth(g), g.input[1:], padding, g.output[1:], False, panels,
                  g.kernel[1])


@lru_cache(maxsize=512)
def backward_input(g, width, kernels=KERNELS):
    """The Winograd of the input gradient: a convolution of dy with the flipped kernel; or None."""
    channels, filters, images = g.c // g.groups, g.k // g.groups, g.n * g.input[0]
    padding = (g.kernel[1] - 1 - g.padding[1][0], g.kernel[2] - 1 - g.padding[2][0])
    if (not _fits(g, kernels) or g.stride[0] > 1 or min(padding) < 0
            or not _pays(images, g.groups, filters, channels, *g.kernel[:2], g.input[1:])):
        return None
    taps = prod(g.kernel)
    panels = Panels(g.groups, channels, filters, taps, filters * channels * taps, channels * taps, taps, width)
    front = (g.kernel[0] - 1) * g.dilation[0] - g.padding[0][0]
    depth = Depth(g.kernel[0], g.output[0], g.input[0], front, 1, g.dilation[0], reverse=True)
    return _build(images, g.groups, filters, channels, depth, g.output[1:], padding, g.input[1:], True, panels,
                  g.kernel[1])


def _build(images, groups, channels, filters, depth, size, padding, output, flipped, panels, kernel):
    blocks = _blocks(images, *output, depth.taps * _up(channels) + panels.width, 7 - kernel)
    return Winograd(images, groups, channels, filters, depth, size, padding, output, flipped, panels, blocks, kernel)


@lru_cache(maxsize=512)
def backward_weight(g, width, kernels=KERNELS):
    """The Winograd of the weight gradient, or None."""
    channels, filters, images = g.c // g.groups, g.k // g.groups, g.n * g.output[0]
    if not _fits(g, kernels) or not _pays(images, g.groups, channels, filters, *g.kernel[:2], g.output[1:]):
        return None
    blocks = _blocks(images, *g.output[1:], g.kernel[0] * _up(channels) + _up(filters), 7 - g.kernel[1])
    panel_blocks = -(-filters // width)
    run = max(1, min(panel_blocks, PRODUCTS // (36 * 4 * _up(channels * g.kernel[0]) * width)))
    single = g.groups * -(-panel_blocks // run)
    splits = max(1, min(-(-ITEMS // single), blocks.count // 2))
    return WinogradWeight(images, g.groups, channels, filters, _depth(g), g.input[1:],
                          (g.padding[1][0], g.padding[2][0]), g.output[1:], blocks, width, run, splits, g.kernel[1])
