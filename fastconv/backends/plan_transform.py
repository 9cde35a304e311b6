"""What the passes of Winograd share: their blocks of tiles, depth and taps, and when a transform pays."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

from fastconv.backends.plan import table

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
# Bytes of transformed weights that stay in the cache between two blocks of tiles.
CACHED = 4 << 20


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


def blocks_of(images, height, width, channels, tile, least=TILES):
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


def up(value, unit=16):
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

    def columns(self, channels, pitch=None):
        """Where (channel, tap of the kernel) lies in a tile, whose slices are `pitch` or up(channels) apart."""
        pitch = pitch or up(channels)
        order = range(self.taps)[::-1] if self.reverse else range(self.taps)
        return table([t * pitch + c for c in range(channels) for t in order])


def depth_of(g):
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


def taps_of(g):
    return Taps(g.kernel[1], g.kernel[1:])


def sets_of(phases, channels):
    """Into how many products, a phase or all of them each, the channels of all phases go."""
    return phases if channels >= SEPARATE * phases else 1


def column_sets_of(phases, columns, width):
    """The same of columns: those of all phases share a panel where they and a vector fit into it."""
    return phases if columns + 16 > width else 1


def panel_width(columns, width):
    """The width of panels for so many columns: `width`, or two vectors of three where more would be left empty.

    Of 128 columns panels of 24 would take 12 % more memory, and no less time.
    """
    narrow = width - width // 3
    return width if width % 3 or 16 * up(columns, width) <= 17 * up(columns, narrow) else narrow


def fits(g, kernels):
    """Whether there is a transform: rows and columns of as many taps, one of `kernels`; stride 1, no dilation."""
    return (g.kernel[1] == g.kernel[2] and g.kernel[1] in kernels and g.stride[1:] == (1, 1)
            and g.dilation[1:] == (1, 1))


def pays(images, groups, channels, filters, depth, taps, output, width=0, again=0, strided=None):
    """Whether it is the faster way, by cycles counted for 16-lane vectors; `depth` is the kernel's.

    The phases are those of the channels or, given the `width` of a panel, of the filters. Channels are transformed
    `again` times. `strided` takes the place of ``NEEDED[2]`` where the phases have products of their own.

    A transform of a tile costs about as much as 200 multiply-adds of a vector for every 16 channels, turning the
    planes included; the weights' costs 150 for every 16 of their channel pairs.
    """
    phases = taps.phases
    separate = (column_sets_of(phases, filters, width) if width else sets_of(phases, channels)) > 1
    columns = phases * up(filters // phases) if width and separate else up(filters)
    tiles = images * tiles_of(output, taps)
    direct = images * prod(output) * channels * depth * columns * prod(taps.size) / phases / 32
    products = taps.products(separate) / phases * channels * depth * columns / 32
    winograd = tiles * (products + 250 * (max(again, 1) * depth * up(channels) + up(filters)) / 16)
    pairs = channels * depth * up(filters)
    weights = 150 * pairs / 16
    # The products of all phases leave the cache: 8.9 ms direct and 11.8 by them for 128 to 256 channels of
    # 8 x 28 x 28 and a stride of 2.
    if again and phases > 1 and 36 * 4 * pairs > CACHED:
        weights += 22 * pairs
    needed = NEEDED[min(max(taps.step), 3)]
    if strided and max(taps.step) == 2 and sets_of(phases, channels) > 1:
        needed = strided
    return (min(channels, filters) >= (8 if phases > 1 else 16)
            and groups * needed * (winograd + weights) < groups * direct)


def tiles_of(size, taps):
    return prod(-(-n // (7 - taps.kernel)) for n in size)
