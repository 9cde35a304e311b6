"""Winograd's blocking: which convolutions it takes, its blocks of tiles, and the layout of its workspace."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from math import prod

from fastconv.backends.plan import Panels, piece, table
from fastconv.geometry import Geometry

# Taps across and down of the kernels that six points serve.
KERNELS = (2, 3, 4, 5)
# How many times as fast as the direct product the transform must be expected to be, for strides of 1, 2 and more, as
# measured on Zen 4: where 1.3 times were expected, 3 x 3 taps of stride 2 took 8.0 ms in place of 9.6 for 64 to
# 128 channels of 8 x 56 x 56, and where 1.14 were, 2.3 in place of 2.1 for 32 to 64.
NEEDED = {1: 1.15, 2: 1.15, 3: 1.7}
# Channels of a phase from which on each phase has products of its own, which leave out points that are zeros.
SEPARATE = 32
# Tiles of a block, at least and at most. More tiles share a reading of the weights: 24.8 ms in place of 28.0 for 64 to
# 128 channels of 8 x 112 x 112. Their points and products should pass through the second-level cache.
TILES, MOST_TILES = 48, 84
BLOCK = 2600 << 10
# Tiles at least where the weights do not stay in the cache: 9.6 ms in place of 11.1 on Zen 3 for 256 channels of
# 8 x 14 x 14, in two blocks instead of four.
MORE_TILES = 64
# Work items below which blocks of tiles are also shared out by panels, at the price of transforming them again.
ITEMS = 8
# Columns of panels side by side, whose products share a reading of the points: one narrow panel after the other would
# read them all again, which takes 7.9 ms in place of 7.5 on Zen 3 for 128 channels of 8 x 28 x 28.
BESIDE = 64
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

    @property
    def whole(self):
        """Whether a block has all tiles of an image."""
        return (self.rows, self.columns) == self.tiles


def _blocks(images, height, width, channels, tile, least=TILES):
    """Blocks for points of so many channels, those of the products included; a tile is `tile` positions wide.

    They have `least` tiles if there is room, or TILES, even where that makes too few of them.
    """
    tiles_h, tiles_w = -(-height // tile), -(-width // tile)
    # Few blocks are hard to share out.
    room = BLOCK // (36 * 4 * channels)
    most = min(MOST_TILES, room, images * tiles_h * tiles_w // (2 * ITEMS))
    most = max(TILES, min(least, room), most)
    columns = -(-tiles_w // -(-tiles_w // most))
    rows = max(1, min(tiles_h, most // columns))
    rows = -(-tiles_h // -(-tiles_h // rows))
    whole = rows == tiles_h and columns == tiles_w
    together = min(images, max(1, most // (rows * columns))) if whole else 1
    together = -(-images // -(-images // together))
    if together < images:
        # Two threads share an even number of blocks: 3 of 8 images would be 6 for one of them.
        together = next((n for n in range(together, together // 2, -1) if -(-images // n) % 2 == 0), together)
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
class Taps:
    """Which taps of a kernel of `size` rows and columns its phases have, and the `kernel` x `kernel` transform's.

    A phase has the taps that are equal modulo `step`, in whose place the last row or column may be missing. Then the
    points at infinity of its kernel are zeros, and where it is flipped, those at zero.
    """

    kernel: int
    size: tuple
    step: tuple = (1, 1)

    @property
    def phases(self):
        return prod(self.step)

    @property
    def args(self):
        return (self.kernel, *self.size, *self.step)

    def products(self, separate):
        """Products of all phases together, which without `separate` include those with zeros."""
        points = [5 + (-(-(r - i) // s) == self.kernel) for r, s in zip(self.size, self.step, strict=True)
                  for i in range(s)]
        down, across = points[:self.step[0]], points[self.step[0]:]
        return sum(down) * sum(across) if separate else 36 * self.phases


def _separate(phases, channels):
    """Into how many products, a phase or all of them each, the channels of all phases go."""
    return phases if channels >= SEPARATE * phases else 1


def _separate_columns(phases, columns, width):
    """The same of columns: those of all phases share a panel where they and a vector fit into it."""
    return phases if columns + 16 > width else 1


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
        return self.depth.taps * _up(self.channels)

    @cached_property
    def steps(self):
        """Of the reduction at a point: (channel, tap)."""
        return self.channels * self.depth.taps

    @cached_property
    def sets(self):
        """Into how many products the channels go, and the filters: a phase each, or all together."""
        if self.flipped:
            return 1, _separate_columns(self.taps.phases, self.filters, self.panels.width)
        return _separate(self.taps.phases, self.channels), 1

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
        slab = _up((tile * b.rows + beyond) * (tile * b.columns + beyond) * 16 + 256)
        points = slab + _up(36 * self.point)
        beside = 1 if self.fused else max(1, min(self.panel_count, BESIDE // width))
        products = points + beside * _up(36 * self.product_point)
        rows = 6 * (tile * b.columns + beyond + self.output[1]) if self.adjoint else tile * tile * b.columns
        outputs = products + _up((rows + 16) * width)
        if not self.fused:
            return slab, points, products, outputs, outputs, outputs
        own = outputs + _up(36 * self.weight_point)
        return slab, points, products, outputs, own, own + _up((self.chunk + 16) * prod(self.taps.size) * width)

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
        return 64 if self.fused else piece(self.each[0])

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
        return _separate(self.taps.phases, self.channels)

    @cached_property
    def set_rows(self):
        """Rows of a set's products: whole tiles, as what one has beyond would be the next set's."""
        return _up(self.steps // self.sets) + 8

    @cached_property
    def panel_blocks(self):
        return -(-self.filters // self.width)

    @cached_property
    def pitch(self):
        # A multiple of 1 KiB apart, tiles would share a few sets of the cache: 12.0 ms in place of 13.1 on Zen 3 for
        # 256 channels of 8 x 14 x 14.
        pitch = self.depth.taps * _up(self.channels)
        return pitch + 16 if pitch % 256 == 0 else pitch

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
                *self.depth.args, *self.taps.args, self.sets, self.set_rows)

    @cached_property
    def rows(self):
        return self.depth.columns(self.channels)


def _taps(g):
    return Taps(g.kernel[1], g.kernel[1:])


def _fits(g, kernels):
    """Whether there is a transform: rows and columns of as many taps, one of `kernels`; stride 1, no dilation."""
    return (g.kernel[1] == g.kernel[2] and g.kernel[1] in kernels and g.stride[1:] == (1, 1)
            and g.dilation[1:] == (1, 1))


def _pays(images, groups, channels, filters, depth, taps, output, width=0, again=0):
    """Whether it is the faster way, by cycles counted for 16-lane vectors; `depth` is the kernel's.

    The phases are those of the channels or, given the `width` of a panel, of the filters. Channels are transformed
    `again` times.

    A transform of a tile costs about as much as 200 multiply-adds of a vector for every 16 channels, turning the
    planes included; the weights' costs 150 for every 16 of their channel pairs.
    """
    phases = taps.phases
    separate = (_separate_columns(phases, filters, width) if width else _separate(phases, channels)) > 1
    columns = phases * _up(filters // phases) if width and separate else _up(filters)
    tiles = images * _tiles(output, taps)
    direct = images * prod(output) * channels * depth * columns * prod(taps.size) / phases / 32
    products = taps.products(separate) / phases * channels * depth * columns / 32
    winograd = tiles * (products + 250 * (max(again, 1) * depth * _up(channels) + _up(filters)) / 16)
    pairs = channels * depth * _up(filters)
    weights = 150 * pairs / 16
    # The products of all phases leave the cache: 8.9 ms direct and 11.8 by them for 128 to 256 channels of
    # 8 x 28 x 28 and a stride of 2.
    if again and phases > 1 and 36 * 4 * pairs > CACHED:
        weights += 22 * pairs
    needed = NEEDED[min(max(taps.step), 3)]
    return (min(channels, filters) >= (8 if phases > 1 else 16)
            and groups * needed * (winograd + weights) < groups * direct)


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


def transform(planner, g, width, kernels=KERNELS):
    """(Apart or None, plan or None) of a pass, whose `planner` is one of the three functions below."""
    found = apart(g)
    if found is None:
        return None, planner(g, width, kernels)
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
    return Apart(inner, _taps(g), Phases(g.n, g.c, g.input[1:], step, before, size),
                 Phases(g.n, g.k, g.output[1:], step, (0, 0), output))


@lru_cache(maxsize=512)
def forward(g, width, kernels=KERNELS, taps=None):
    """The Winograd of the forward pass, or None where the direct product serves better.

    `kernels` are the sizes R for which there is code; `taps` those of an Apart.
    """
    channels, filters, images, taps = g.c // g.groups, g.k // g.groups, g.n * g.output[0], taps or _taps(g)
    if not _fits(g, kernels) or not _pays(images, g.groups, channels, filters, g.kernel[0], taps, g.output[1:]):
        return None
    steps = channels // taps.phases * g.kernel[0] * prod(taps.size)
    panels = Panels(g.groups, filters, 1, steps, filters * steps, 0, steps, width)
    padding = (g.padding[1][0], g.padding[2][0])
    return _build(images, g.groups, channels, filters, _depth(g), g.input[1:], padding, g.output[1:], False, panels,
                  taps)


@lru_cache(maxsize=512)
def backward_input(g, width, kernels=KERNELS, taps=None):
    """The Winograd of the input gradient: a convolution of dy with the flipped kernel; or None."""
    channels, filters, images, taps = g.c // g.groups, g.k // g.groups, g.n * g.input[0], taps or _taps(g)
    if not _fits(g, kernels) or g.stride[0] > 1:
        return None
    columns, steps = channels // taps.phases, g.kernel[0] * prod(taps.size)
    panels = Panels(g.groups, columns, filters, steps, filters * columns * steps, columns * steps, steps, width)
    front = (g.kernel[0] - 1) * g.dilation[0] - g.padding[0][0]
    depth = Depth(g.kernel[0], g.output[0], g.input[0], front, 1, g.dilation[0], reverse=True)

    def build(padding, tiled, adjoint):
        if min(padding) < 0 or not _pays(images, g.groups, filters, channels, g.kernel[0], taps, tiled, width):
            return None
        return _build(images, g.groups, filters, channels, depth, g.output[1:], padding, g.input[1:], True, panels,
                      taps, tiled, adjoint)

    if g.kernel[0] == 1 and not any(g.padding[0]) and _tiles(g.output[1:], taps) < _tiles(g.input[1:], taps):
        padding = g.padding[1][0], g.padding[2][0]
        form = build(padding, g.output[1:], adjoint=True)
        # What the tiles of one block add to is no other's, and they reach all there is.
        if form is not None and form.blocks.whole and all(
                (7 - form.kernel) * n + form.kernel - 1 >= p + i
                for n, p, i in zip(form.blocks.tiles, padding, g.input[1:], strict=True)):
            return form
    return build((g.kernel[1] - 1 - g.padding[1][0], g.kernel[2] - 1 - g.padding[2][0]), g.input[1:], adjoint=False)


def _tiles(size, taps):
    return prod(-(-n // (7 - taps.kernel)) for n in size)


def _build(images, groups, channels, filters, depth, size, padding, output, flipped, panels, taps, tiled=None,
           adjoint=False):
    """The tiles are those of a map of `tiled` positions, if not of the output."""
    least = MORE_TILES if 36 * 4 * depth.taps * channels * filters > CACHED else TILES
    blocks = _blocks(images, *(tiled or output), depth.taps * _up(channels) + panels.width, 7 - taps.kernel, least)
    return Winograd(images, groups, channels, filters, depth, size, padding, output, flipped, panels, blocks, taps,
                    adjoint)


@lru_cache(maxsize=512)
def backward_weight(g, width, kernels=KERNELS, taps=None):
    """The Winograd of the weight gradient, or None."""
    channels, filters, images, taps = g.c // g.groups, g.k // g.groups, g.n * g.output[0], taps or _taps(g)
    panel_blocks = -(-filters // width)
    run = max(1, min(panel_blocks, PRODUCTS // (36 * 4 * _up(channels * g.kernel[0]) * width)))
    if not _fits(g, kernels) or not _pays(images, g.groups, channels, filters, g.kernel[0], taps, g.output[1:],
                                          again=-(-panel_blocks // run)):
        return None
    blocks = _blocks(images, *g.output[1:], g.kernel[0] * _up(channels) + _up(filters), 7 - g.kernel[1])
    single = g.groups * -(-panel_blocks // run)
    # Two threads share two blocks; of more, a part has two at least, as each part is carried back from the points.
    splits = max(1, min(-(-ITEMS // single), max(blocks.count // 2, min(blocks.count, 2))))
    return WinogradWeight(images, g.groups, channels, filters, _depth(g), g.input[1:],
                          (g.padding[1][0], g.padding[2][0]), g.output[1:], blocks, width, run, splits, taps)
