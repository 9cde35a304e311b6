"""How a convolution becomes products of tiles: offset tables, panels, blocking and work items, in plain Python.

All three passes are one product, ``out[row, column] = sum over t of a[row, t] * b[t, column]``, in which ``a`` is
never built: its element is found at ``source[row offset + col_a[t]]`` of a zero-padded copy of the input.

=================  ================================  ==========================  =======================
pass               rows                              columns                     reduction t
=================  ================================  ==========================  =======================
forward            positions of y (n, o, p, q)       output channels k           taps (c, t, r, s)
backward input     positions of x of one phase       input channels c            taps (k, t, r, s)
backward weight    taps (c, t, r, s)                 output channels k           positions (n, o, p, q)
=================  ================================  ==========================  =======================

``b`` is packed into panels, ``panel[group][block of NR columns][t][NR]``, so that the tile reads it in order. A
strided convolution's input gradient falls apart into phases: the positions of x that are equal modulo the stride meet
the same taps of the kernel, and each phase is a convolution of stride 1 over dy.
"""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate, product
from math import prod

import numpy as np

# Steps of the reduction that a tile does at a time, at most, and of panels so wide that their rows have 256 B. Of these
# 128 steps are 32 KiB, which stay in a first-level cache of 48: on Zen 5 3.35 ms in place of 3.50 for 1024 to 256
# channels of 8 x 14 x 14, and 3.40 in place of 3.54 for 512.
STEPS = 192
WIDE, WIDE_STEPS = 32, 128
# Rows of a block: its results, 196 x 64 floats, are 49 KiB of the second-level cache. They are a map of 14 x 14, or
# four of 7 x 7, which in blocks of 192 take 1% longer on Zen 5.
ROWS = 196
# Cycles that one product more of a batch costs, roughly, and the offsets that a batch may list, which take 30 ms to
# make. The input gradient may be cut into products that meet no padding, 25 in place of one for 64 x 64 x 5 x 5 and
# 3 x 3 kernels: 36% of the multiply-adds remain.
CALL = 1000
# Rows whose multiplication takes as long as reading the weights anew, where these are larger than NEAR bytes: 256
# channels of 8 x 14 x 14, 3 x 3 taps, in nine products take 30 ms in place of 28 on Zen 3, 512 of 7 x 7 41 in place of
# 30; but 64 of 14 x 14 1.38 in place of 1.45, and 128 to 256 of 32 x 4 x 4 4.1 in place of 4.7.
STREAM, NEAR = 24, 1 << 18
MOST = 1 << 17
# Work items below which the weight gradient also splits its reduction, in an order that the shapes alone decide.
ITEMS = 16


@dataclass(frozen=True)
class Table:
    """Offsets that a kernel reads, with their address: asking NumPy for it at every call takes 0.8 us."""

    array: np.ndarray
    address: int

    def __len__(self):
        return len(self.array)


def piece(steps, width):
    """Steps of a reduction that are done at a time: equal pieces, as a short last one would waste a tile's start."""
    return -(-steps // -(-steps // (WIDE_STEPS if width >= WIDE else STEPS)))


def table(offsets):
    """A Table of int64."""
    array = np.array(offsets, np.int64)
    return Table(array, array.ctypes.data)


@dataclass(frozen=True)
class Planes:
    """A zero-padded copy of (count, D, H, W) planes; `copy` is False where the planes serve as they are."""

    count: int
    size: tuple
    before: tuple
    padded: tuple

    @cached_property
    def copy(self):
        return self.size != self.padded or any(self.before)

    @cached_property
    def elements(self):
        return self.count * prod(self.padded)

    @cached_property
    def args(self):
        return (self.count, *self.size, *self.before, *self.padded)


@dataclass(frozen=True)
class Panels:
    """How ``b`` is packed from an array of (groups, outer, columns, inner) elements, or (..., inner, columns)."""

    groups: int
    columns: int
    outer: int
    inner: int
    group_stride: int
    outer_stride: int
    column_stride: int
    width: int

    @cached_property
    def steps(self):
        return self.outer * self.inner

    @cached_property
    def blocks(self):
        return -(-self.columns // self.width)

    @cached_property
    def elements(self):
        return self.groups * self.blocks * self.steps * self.width

    @cached_property
    def args(self):
        return (self.groups, self.columns, self.outer, self.inner, self.group_stride, self.outer_stride,
                self.column_stride, self.width)


@dataclass(frozen=True)
class Product:
    """Rows that are positions: the forward pass, or one phase of the input gradient."""

    panels: Panels
    images: int
    groups: int
    positions: tuple        # of one image, (O, P, Q)
    image_stride: int       # in the padded source
    group_stride: int
    position_strides: tuple
    col_a: Table
    col_b: Table
    columns: int
    out_image: int          # strides of the result
    out_column: int
    out_positions: tuple
    out_offset: int

    @cached_property
    def args(self):
        length = prod(self.positions)
        together = max(1, ROWS // length)
        return (self.images, self.groups, *self.positions, self.image_stride, self.group_stride,
                *self.position_strides, len(self.col_a), self.columns, self.panels.steps, self.panels.width,
                self.out_image, self.out_column, *self.out_positions, self.out_offset, -(-length // ROWS),
                min(length, ROWS), together, piece(len(self.col_a), self.panels.width))

    @cached_property
    def items(self):
        length = prod(self.positions)
        together = max(1, ROWS // length)
        return self.groups * self.panels.blocks * -(-self.images // together) * -(-length // ROWS)


@dataclass(frozen=True)
class Batch:
    """Products with the same panels, whose work items are counted one after the other.

    A product is a row of a table, so that small ones are shared out among the threads together.
    """

    products: tuple

    @property
    def panels(self):
        return self.products[0].panels

    @cached_property
    def items(self):
        return sum(product.items for product in self.products)

    @cached_property
    def table(self):
        """For each product its first work item, the addresses of col_a and col_b, and `Product.args`."""
        begun = accumulate((product.items for product in self.products), initial=0)
        return table([[first, product.col_a.address, product.col_b.address, *product.args]
                      for first, product in zip(begun, self.products, strict=False)])


@dataclass(frozen=True)
class Pair:
    """Two phases of the input gradient, of a stride of 2, whose results take turns along rows of `width` elements.

    Of an odd number the last position of `odd` is one too many.
    """

    even: Product
    odd: Product
    width: int

    @property
    def panels(self):
        return self.even.panels


@dataclass(frozen=True)
class WeightProduct:
    """Rows that are taps: the weight gradient."""

    panels: Panels
    images: int
    groups: int
    positions: tuple
    image_stride: int
    group_stride: int
    position_strides: tuple
    rows: Table
    columns: int
    splits: int

    @cached_property
    def args(self):
        return (self.images, self.groups, *self.positions, self.image_stride, self.group_stride,
                *self.position_strides, len(self.rows), self.columns, self.panels.blocks, self.panels.width,
                self.splits, self.row_blocks,
                piece(-(-self.images * prod(self.positions) // self.splits), self.panels.width), ROWS)

    @cached_property
    def row_blocks(self):
        return -(-len(self.rows) // ROWS)

    @cached_property
    def items(self):
        return self.splits * self.groups * self.panels.blocks * self.row_blocks


def strides_of(size):
    """Strides, in elements, of C-contiguous (D, H, W)."""
    return (size[1] * size[2], size[2], 1)


def _taps(kernel):
    return product(*map(range, kernel))


def _dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def _input_planes(g):
    before = tuple(b for b, _ in g.padding)
    reach = tuple((o - 1) * s + d * (f - 1) + 1
                  for o, s, d, f in zip(g.output, g.stride, g.dilation, g.kernel, strict=True))
    # Planes that no window leaves are read in place, even if the last rows or columns meet no window.
    if not any(before) and all(r <= i for r, i in zip(reach, g.input, strict=True)):
        return Planes(g.n * g.c, g.input, before, g.input)
    return Planes(g.n * g.c, g.input, before, reach)


@lru_cache(maxsize=512)
def taps(g):
    """Offsets of a window's taps in its map, in the order (t, r, s)."""
    strides = strides_of(g.input)
    return table([_dot([t * d for t, d in zip(tap, g.dilation, strict=True)], strides) for tap in _taps(g.kernel)])


@lru_cache(maxsize=512)
def forward(g, width, clip=True):
    """(Planes, [Batch], whether it writes every element) of the forward pass; a tile has NR = `width` columns.

    One product on padded planes, or with `clip` perhaps several on the input as it is, that meet no padding.
    """
    planes = _input_planes(g)
    axes = [[(0, count, [(r, r * step) for r in range(kernel)])]
            for count, kernel, step in zip(g.output, g.kernel, g.dilation, strict=True)]
    if clip and planes.copy:
        clipped = [_inside(*axis) for axis in zip(g.output, g.kernel, g.input, g.stride, g.padding, g.dilation,
                                                  strict=True)]
        if (_offsets(clipped) * g.c // g.groups <= MOST
                and _cycles(g, clipped) + prod(g.y_shape) / 4 < _cycles(g, axes) + planes.elements / 4):
            planes, axes = Planes(g.n * g.c, g.input, (0, 0, 0), g.input), clipped
    strides, plane = strides_of(planes.padded), prod(planes.padded)
    channels, filters, taps = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    depth, out, out_strides = channels * taps, prod(g.output), strides_of(g.output)
    panels = Panels(g.groups, filters, 1, depth, filters * depth, 0, depth, width)
    products = []
    for part in product(*axes):
        # The first position's taps, and that position's element of the first one: offsets count from there.
        found = [list(inside) for _, _, inside in part]
        if not all(found):
            continue
        tapped = [(_dot([r for r, _ in tap], strides_of(g.kernel)), _dot([s for _, s in tap], strides))
                  for tap in product(*found)]
        col_a = table([c * plane + shift for c in range(channels) for _, shift in tapped])
        col_b = table([(c * taps + r) * width for c in range(channels) for r, _ in tapped])
        products.append(Product(panels, g.n, g.groups, tuple(count for _, count, _ in part), g.c * plane,
                                channels * plane, tuple(s * t for s, t in zip(g.stride, strides, strict=True)), col_a,
                                col_b, filters, g.k * out, out, out_strides,
                                _dot([first for first, _, _ in part], out_strides)))
    written = sum(prod(part.positions) for part in products)
    return planes, [Batch(tuple(products))] if products else [], written == out


def inside(g):
    """The share of the products that do not meet padding."""
    axes = zip(g.output, g.kernel, g.input, g.stride, g.padding, g.dilation, strict=True)
    met = [sum(count * len(taps) for _, count, taps in _inside(*axis)) for axis in axes]
    return prod(met) / (prod(g.output) * prod(g.kernel))


def _inside(count, kernel, size, stride, padding, dilation):
    """[(first position, number of positions, [(tap, element of the first position's tap)])] that meet no padding.

    Positions that meet padding alone are left out.
    """
    def inside(position):
        start = position * stride - padding[0]
        return range(max(0, -(start // dilation)), min(kernel, (size - 1 - start) // dilation + 1))

    result, begun = [], 0
    while begun < count:
        taps, done = inside(begun), begun + 1
        if len(taps) == kernel:  # and so on, up to where the last tap meets the last element
            done = min(count, (size - 1 + padding[0] - (kernel - 1) * dilation) // stride + 1)
        while done < count and taps == inside(done):
            done += 1
        if taps:
            start = begun * stride - padding[0]
            result.append((begun, done - begun, [(r, start + r * dilation) for r in taps]))
        begun = done
    return result


@lru_cache(maxsize=512)
def backward_input(g, width, pairs=False):
    """(Planes, [Batch of a product for each phase], whether they write every element) of the input gradient.

    Phases that meet no tap are left out, and their elements are 0. With `pairs`, there may be a Pair for every two.
    """
    channels, filters, taps = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    axes = [phases_along(*axis) for axis in zip(g.input, g.kernel, g.stride, g.padding, g.dilation, strict=True)]
    clipped = [_clip(*axis) for axis in zip(axes, g.stride, g.output, strict=True)]
    # Cut products store with a stride, which takes the gain of a small cut away.
    if _offsets(clipped) * g.k // g.groups <= MOST and _cycles(g, axes) > 1.3 * _cycles(g, clipped):
        axes = clipped
    # Two whole phases are woven, not two pieces of cut ones.
    whole = [(first, len(range(first, g.input[2], 2))) for first in (0, 1)]
    pairs = (pairs and g.stride[2] == 2 and [(first, count) for first, count, _ in axes[2]] == whole
             and all(found for _, _, found in axes[2]))
    if pairs:
        (first, count, taps_of_first), (second, _, taps_of_second) = axes[2]
        axes = [*axes[:2], [(first, count, taps_of_first), (second, count, taps_of_second)]]
    before = tuple(max(0, -min((s for _, _, found in axis for _, s in found), default=0)) for axis in axes)
    reach = tuple(b + max((count + s for _, count, found in axis for _, s in found), default=1)
                  for b, axis in zip(before, axes, strict=True))
    # An axis without padding keeps its size, so that planes that no phase leaves are read in place.
    padded = tuple(r if b else max(r, o) for r, o, b in zip(reach, g.output, before, strict=True))
    planes = Planes(g.n * g.k, g.output, before, padded)
    strides, plane = strides_of(planes.padded), prod(planes.padded)
    panels = Panels(g.groups, channels, filters, taps, filters * channels * taps, channels * taps, taps, width)
    size, out_strides = prod(g.input), strides_of(g.input)
    products = []
    for phase in product(*axes):
        tapped = [[(r * weight, (s + b) * stride) for r, s in found] for (_, _, found), weight, b, stride in
                  zip(phase, strides_of(g.kernel), before, strides, strict=True)]
        inside = [(sum(r for r, _ in tap), sum(s for _, s in tap)) for tap in product(*tapped)]
        if not inside:
            continue
        col_a = table([k * plane + shift for k in range(filters) for _, shift in inside])
        col_b = table([(k * taps + tap) * width for k in range(filters) for tap, _ in inside])
        starts, counts = [first for first, _, _ in phase], tuple(count for _, count, _ in phase)
        apart = tuple(s * o for s, o in zip(g.stride, out_strides, strict=True))
        products.append(Product(panels, g.n, g.groups, counts, g.k * plane, filters * plane, strides, col_a, col_b,
                                channels, g.c * size, size, apart, _dot(starts, out_strides)))
    if pairs:
        products = [Pair(even, odd, g.input[2]) for even, odd in zip(products[::2], products[1::2], strict=True)]
        written = sum(prod(pair.even.positions[:2]) * pair.width for pair in products)
    else:
        written = sum(prod(p.positions) for p in products)
        products = [Batch(tuple(products))] if products else []
    return planes, products, written == size


def pointwise(g):
    """Whether the convolution multiplies whole planes by numbers: a 1 x 1 kernel of stride 1 without padding."""
    return g.kernel == (1, 1, 1) and g.stride == (1, 1, 1) and g.output == g.input and not any(map(any, g.padding))


def turned(g):
    """The geometry in which x and dy of a pointwise convolution change places."""
    return replace(g, c=g.k, k=g.c)


def phases_along(size, kernel, stride, padding, dilation):
    """[(first position, number of positions, [(tap, shift in dy)])] of one axis, a phase each."""
    result = []
    for first in range(min(stride, size)):
        found = []
        for r in range(kernel):
            shift = first + padding[0] - r * dilation
            if shift % stride == 0:
                found.append((r, shift // stride))
        result.append((first, -(-(size - first) // stride), found))
    return result


def _clip(phases, stride, size):
    """The phases of an axis cut where their positions meet fewer taps, so that none meets one outside 0 .. `size`."""
    result = []
    for first, count, found in phases:
        begun = 0
        if count > 64:  # long axes lose little to padding
            return phases
        while begun < count:
            inside = [(r, s) for r, s in found if 0 <= begun + s < size]
            done = begun + 1
            while done < count and inside == [(r, s) for r, s in found if 0 <= done + s < size]:
                done += 1
            if inside:
                # Shifts count from the phase's own first position.
                result.append((first + begun * stride, done - begun, [(r, s + begun) for r, s in inside]))
            begun = done
    return result


def _offsets(axes):
    """Taps of all products together, a channel."""
    return prod(sum(len(found) for _, _, found in axis) for axis in axes)


def _cycles(g, axes):
    """Estimate of the cycles of products: tiles of 6 rows, 32 multiply-adds a cycle.

    Every block of rows reads the weights, in the time of some more rows. Rows of a narrow piece of a map lie in up to a
    cache line each, where six neighbors lie in 1.4 on average; a line more takes 15 % longer, by which 1 x 3 to 1 x 7
    taps of 14 x 14 to 20 x 20 are not cut, which would take 6 to 11 % more, and 3 x 1 to 7 x 1 are.
    """
    weights = STREAM if 4 * prod(g.w_shape) > NEAR else STREAM // 4
    lines = min(6, 6 * min(g.input[2], g.output[2]) / 16)
    steps, parts = 0, list(product(*axes))
    for part in parts:
        counts = [count for _, count, _ in part]
        length = prod(counts)
        rows = -(-g.n * length // 6) * 6
        if counts[2] < 6:
            rows *= max(1, 1 + 0.15 * (lines - 1.4))
        blocks = -(-g.n // max(1, ROWS // length)) * -(-length // ROWS)
        steps += (rows + blocks * weights) * prod(len(found) for _, _, found in part)
    return steps * g.k * g.c / g.groups / 32 + CALL * len(parts)


@lru_cache(maxsize=512)
def backward_weight(g, width):
    """(Planes, WeightProduct, whose panels are those of dy) of the weight gradient."""
    planes, [batch], _ = forward(g, width, clip=False)
    [ahead] = batch.products
    filters, length = g.k // g.groups, prod(g.output)
    panels = Panels(g.n * g.groups, filters, 1, length, filters * length, 0, length, width)
    single = g.groups * panels.blocks * -(-len(ahead.col_a) // ROWS)
    # A piece of the reduction should outlast its partial result's write and sum: 4 chunks at least.
    splits = max(1, min(-(-ITEMS // single), g.n * length // (4 * STEPS)))
    return planes, WeightProduct(panels, g.n, g.groups, g.output, ahead.image_stride, ahead.group_stride,
                                         ahead.position_strides, ahead.col_a, filters, splits)
