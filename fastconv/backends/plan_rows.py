"""Convolutions with vectors along the row, in place of vectors of output channels.

Where a group has fewer columns than a vector has lanes, the tile of `fastconv.backends.plan` multiplies empty lanes:
15 of 16 in a depthwise convolution of float32. Where sums are short, or results are stored with a stride, it spends
its time on turning them. Here a vector holds positions next to each other in a row. Whether
this form or the other one serves a geometry is decided by `forward`, `backward_input` and `backward_weight`, which
return None where the other one is estimated to be faster: an estimate from the shapes, in cycles, and never a timing.

A work item copies what it needs of the source into a scratch of its thread, zero-padded, where the columns that are
equal modulo the stride lie next to each other: a strided convolution then reads neighbors, as every other one does.
The usual depthwise kernels need no such copy where an engine has code that slides down the planes where they lie.

Where rows do not fill their vectors, the scratch may hold a copy for each tap of a row, which has the columns that this
tap meets and no others: then all rows of results are one, and its vectors are whole but for the last.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import inf, prod
from operator import itemgetter

from fastconv.backends.plan import ITEMS, Table, phases_along, strides_of, table

# Elements of a thread's scratch for one work item, where one row of results needs no more: 192 KiB of float32.
SCRATCH = 49152
# Elements of the vectors of sums that a work item of the weight gradient keeps, at most: 256 KiB of float32.
SUMS = 65536
# Positions of a piece of the weight gradient's reduction, at least.
PIECE = 1024
# Elements of results beyond which a fan is left alone where the other tile can store past the caches and it cannot, as
# planes end with a vector but rows do not: 1.6 ms in place of 1.0 for 1 to 64 channels of 64 x 28 x 28; but 3.4 in
# place of 4.7 for 1 to 32 channels of 256 x 26 x 26, and 0.17 in place of 0.33 for results in the cache.
NEAR = 3 << 19
# Steps of a running sum; longer sums are sums of such sums. For 1152 steps one running sum errs 5 times as much as
# torch's, these 0.9 times; a weight gradient of 25088 positions 1.1 times in place of 3.1. It costs 1% of the time.
RUN = 128
# How many times as fast as the other tile joined rows must be expected to be, as measured on Zen 4, which adds at half
# the rate that is counted with: where any advantage was enough, 5 x 5 kernels of 8 to 16 channels of 8 x 22 x 22 took
# 0.20 ms in place of 0.16.
ADVANTAGE = 1.25
# Elements of a scratch beyond which this form is left alone: one row of results may need so many channels.
LARGEST = 131072


@dataclass(frozen=True)
class Axis:
    """Which elements of the source meet which taps, along one axis.

    Position i of a phase ``(first, count, taps)`` lies at ``first + i * step`` of the result, and meets each tap of
    `taps`, a list of (tap, shift), at ``i * stride + shift`` of the source with `before` zeros in front.
    """

    size: int
    before: int
    stride: int
    step: int
    phases: list

    @property
    def count(self):
        """Positions of the longest phase."""
        return self.phases[0][1]

    @property
    def reach(self):
        """Elements of the source that one position spans."""
        return max((shift for _, _, taps in self.phases for _, shift in taps), default=0) + 1

    @property
    def bare(self):
        """Whether no position meets an element outside the source."""
        return self.before == 0 and all((count - 1) * self.stride + shift < self.size
                                        for _, count, taps in self.phases for _, shift in taps)


@dataclass(frozen=True)
class Strips:
    """How the positions of one image and group are cut into work items, and the scratch that one needs."""

    copy: bool
    depth: int          # positions of a strip, along each axis
    rows: int
    across: int         # strips of an image, along each axis
    down: int
    slices: int         # of the scratch, and rows of a slice
    lines: int
    parts: int          # of a row of the scratch, with their distance and the elements that are filled
    pitch: int
    filled: int
    strides: tuple      # of the source as the tile sees it: channel, slice, row
    shifts: tuple = ()  # of the taps of a row that have a copy each

    @property
    def count(self):
        return self.across * self.down

    @property
    def joined(self):
        """Rows of results that are one to the tile."""
        return self.rows if self.shifts else 1

    def elements(self, channels):
        return channels * self.strides[0] if self.copy else 0

    def args(self):
        return (self.copy, self.depth, self.rows, self.across, self.down, self.slices, self.lines, self.parts,
                self.pitch, self.filled, *self.strides)


@dataclass(frozen=True)
class Rows:
    """The forward pass or the input gradient in this form."""

    items: int
    space: int          # elements of workspace that a thread needs
    work: int           # nanoseconds that it takes one thread, roughly
    col_a: Table        # offsets of the taps in w
    col_b: Table        # and in the source
    phases: Table       # (first, count) of each phase of each axis, the first step of each triple, `Strips.shifts`
    args: tuple
    sliding: float      # cycles a plane where it slides down planes where they lie, or inf
    fanned: bool        # whether the operands of a few positions stay in registers


@dataclass(frozen=True)
class Dots:
    """The weight gradient in this form."""

    items: int
    splits: int
    space: int
    work: int
    taps: Table         # offsets of the taps in the source, `Strips.shifts`
    args: tuple
    sliding: float


def up(value, multiple):
    return -(-value // multiple) * multiple


def work_of(g):
    # Multiply-adds at 50 a nanosecond, and elements of x and y that are moved at one.
    return g.multiply_adds // 50 + prod(g.x_shape) + prod(g.y_shape)


def forward_axes(g):
    return [Axis(size, before, stride, 1, [(0, count, [(r, r * dilation) for r in range(kernel)])])
            for size, kernel, count, stride, (before, _), dilation in
            zip(g.input, g.kernel, g.output, g.stride, g.padding, g.dilation, strict=True)]


def backward_axes(g):
    axes = []
    for size, source, kernel, stride, padding, dilation in zip(g.input, g.output, g.kernel, g.stride, g.padding,
                                                               g.dilation, strict=True):
        found = phases_along(size, kernel, stride, padding, dilation)
        before = max(0, -min((shift for _, _, taps in found for _, shift in taps), default=0))
        phases = [(first, count, [(r, shift + before) for r, shift in taps]) for first, count, taps in found]
        axes.append(Axis(source, before, 1, stride, phases))
    return axes


def _shifts(axes):
    """`Strips.shifts` of strips whose rows are joined, or () where the planes that they leave are not in order."""
    _, h, w = axes
    if h.stride > 1 or w.stride > 1 or any(len(axis.phases) > 1 for axis in axes):
        return ()
    return tuple(sorted(shift for _, shift in w.phases[0][2]))


def strips_of(axes, channels, images, lanes, copy=None, shifts=(), scratch=SCRATCH):
    """Strips of positions whose source fits the scratch, and enough of them to share out."""
    d, h, w = axes
    copy = True if shifts else copy
    shortest = min(count for _, count, _ in w.phases)
    if copy is None:
        copy = not (d.bare and h.bare and w.bare and w.stride == 1 and shortest >= lanes)
    needed = -(-ITEMS // images)
    if not copy:
        depth = d.count if needed == 1 else 1
        rows = max(1, min(h.count, h.count * d.count // needed))
        strides = (d.size * h.size * w.size, h.size * w.size, w.size)
        parts, pitch, filled, slices, lines = 1, w.size, w.size, d.size, h.size
    else:
        parts = min(w.stride, w.reach)
        filled = max(count + (w.reach - 1) // w.stride for _, count, _ in w.phases)
        pitch = up(filled, lanes) if parts > 1 else filled
        if shifts:
            parts, pitch, filled = len(shifts), w.count, w.count
        line = channels * parts * pitch

        def extent(axis, count):
            return (count - 1) * axis.stride + axis.reach

        depth, rows = d.count, h.count
        if line * extent(d, depth) * extent(h, rows) > scratch or needed > 1:
            depth = 1
            most = scratch // (line * extent(d, 1)) - h.reach
            rows = max(1, min(rows, most // h.stride + 1, -(-rows * d.count // needed)))
            rows = -(-h.count // -(-h.count // rows))  # as many in each
        slices, lines = extent(d, depth), extent(h, rows)
        row = parts * pitch
        strides = (slices * lines * row, lines * row, row)
        if shifts:
            strides = (strides[0], lines * pitch, pitch)
    return Strips(copy, depth, rows, -(-d.count // depth), -(-h.count // rows), slices, lines, parts, pitch, filled,
                  strides, shifts)


def shift_of(triple, axes, strips):
    """Where the tap of shifts `triple` lies in the source as the tile sees it, from a position's first element."""
    d, h, w = triple
    _, slice_, row = strips.strides
    if strips.shifts:
        return (strips.shifts.index(w) * strips.slices + d) * slice_ + h * row
    stride = axes[2].stride
    return d * slice_ + h * row + w % stride * strips.pitch + w // stride


def _together(columns, width, lanes, vectors):
    """Rows of results that a tile holds: of several columns, or, where a group has one column, of its positions."""
    if columns == 1:
        return 8 if min(-(-width // lanes), vectors) == 1 else 4
    return -(-columns // -(-columns // 4))


def _fan(axes, columns, depth, planes, plane, lanes, fans, strips):
    """(length, vectors, cycles a position) of the kernel whose operands stay in registers; zeros where there is none.

    `fans` are the (length of the sums, vectors) for which there is code; there are `planes` of `plane` results.
    """
    rows, width = strips.joined, strips.joined * axes[2].count
    shortest = (axes[1].count % rows or rows) * axes[2].count
    found = min(((length, vectors) for length, vectors in fans if length >= depth), default=None)
    far = planes * plane > NEAR and width % lanes and plane % lanes == 0
    if found is None or columns < 4 or shortest < lanes or any(len(axis.phases) > 1 for axis in axes) or far:
        return 0, 0, inf
    length, vectors = found
    across = -(-width // lanes)
    tiles = -(-across // vectors)
    return length, vectors, (columns * across * (0.55 * length + 1.5) + 2 * length * across + 60 * tiles) / width


def _here(axes, channels, columns, depth, cycles, strips, lanes, vectors):
    """Cycles a position of this form, as measured with AVX-512; `depth` is the mean length of the sums.

    A step of a tile of m rows of n vectors does m * n multiply-adds at two a cycle, unless its loads, twice as many
    where they straddle cache lines, take longer. A call of the tile takes 110 cycles. What is copied or woven with a
    stride of more than 2 goes one by one. As a fan they are `cycles`, before the copy.
    """
    w = axes[2]
    width, phases = strips.joined * w.count, prod(len(axis.phases) for axis in axes)
    rows = _together(columns, w.count, lanes, vectors)
    across = -(-width // lanes)
    tiles = -(-across // vectors)
    wide = across / tiles
    loads = rows * wide + 2 if columns == 1 else wide + rows / 2 + 1
    step = 1.1
    if columns > 1 and 2 * across <= vectors and not strips.shifts and len(w.phases) == 1:
        # Several rows of results share the weights; their loads are what takes the time, as measured on an Intel Xeon.
        step = 1.6
        tiles = -(-strips.rows // (vectors // across))
        wide = strips.rows * across / tiles
        loads, width = wide + rows / 2 + 1, strips.rows * width
    line = tiles * (depth * step * max(rows * wide / 2, loads) + 110)
    here = min(cycles, line / rows / width if columns == 1 else -(-columns // rows) * line / width)
    if strips.copy:
        each = 0.2 if w.stride == 1 else 0.3 if w.stride == 2 and strips.parts == 2 else 1.5
        each = _each(axes, lanes) if strips.shifts else each
        here += each * strips.elements(channels) / (strips.depth * strips.rows * w.count * phases)
    if w.step > 1:
        here += columns * (0.3 if w.step == 2 else 1.5)
    return here


def _each(axes, lanes):
    """Cycles an element of a copy for each tap of a row: lines are short, and with padding their vectors are masked."""
    width = axes[2].count
    vectors = -(-width // lanes)
    whole = width >= lanes and all(axis.bare for axis in axes)
    return (8 + 6 * vectors if whole else 12 + 12 * vectors) / width


def _there(axes, channels, columns, depth, lanes):
    """The same of the other tile, which turns its results, and stores those of a phase one by one."""
    phases, turned = prod(len(axis.phases) for axis in axes), -(-columns // lanes)
    return turned * (depth * (0.6 if turned > 1 else 0.76) + (12 if phases == 1 else 40 * min(1, depth / channels)))


def _slide(axes, channels, columns, lanes, slides):
    """(taps down, taps across, stride, vectors, zeros above, zeros to the left) of a kernel that can slide, or zeros.

    `slides` are the (taps down, taps across, stride, vectors) for which there is code.
    """
    nothing = 0, 0, 0, 0, 0, 0
    single = all(len(axis.phases) == 1 for axis in axes)
    flat = axes[0].bare and [shift for _, shift in axes[0].phases[0][2]] == [0]
    if channels > 1 or columns > 1 or not single or not flat:
        return nothing
    shifts = [sorted(shift for _, shift in axis.phases[0][2]) for axis in axes[1:]]
    down, across = map(len, shifts)
    stride = axes[2].stride
    most = max((vectors for *kernel, vectors in slides if kernel == [down, across, stride]), default=0)
    if not most or axes[1].stride != stride or any(found[-1] - found[0] >= len(found) for found in shifts):
        return nothing
    top, left = (axis.before - found[0] for axis, found in zip(axes[1:], shifts, strict=True))
    # Vectors between the first and the last one are read whole: they must not reach beyond a row.
    inner = -(-axes[2].count // lanes) - 1
    furthest = (inner * lanes - 1) * stride + across - left + stride - 2
    if inner > 1 and (left > lanes * stride or furthest >= axes[2].size):
        return nothing
    return down, across, stride, most, top, left


def _sliding(slide, axes, lanes):
    """Cycles a plane, as measured on Zen 5 and an Intel Xeon: rows that lie beyond the plane cost nothing.

    With a stride a row has twice as many loads.
    """
    down, across, stride, _, top, _ = slide
    if not down:
        return inf
    _, h, w = axes
    single = w.count + (across - 1) // stride <= lanes
    rows = sum(max(0, min(down, h.size + top - p * stride) - max(0, top - p * stride)) for p in range(h.count))
    return (across * rows * -(-w.count // lanes) * (1 if stride == 1 else 1.15 if single else 1.5)
            + 2 * down * across + 40)


def _sliding_dots(slide, size, lanes):
    """Cycles a plane of `size` results, as measured on Zen 5."""
    down, across, *_ = slide
    _, height, width = size
    return down * across * (0.6 * height * -(-width // lanes) + 8) if down else inf


def _rows(g, axes, size, channels, columns, weights, lanes, vectors, slides, fans, joins):
    """A product of `columns` results from `channels` planes a group; `weights` are w's strides: column, channel."""
    d, h, w = axes
    slide = _slide(axes, channels, columns, lanes, slides)
    depth = channels * prod(g.kernel) / prod(len(axis.phases) for axis in axes)

    def form(shifts=()):
        strips = strips_of(axes, channels, g.n * g.groups, lanes, False if slide[0] else None, shifts)
        fan = _fan(axes, columns, depth, g.n * g.groups * columns, prod(size), lanes, fans, strips)
        here = _here(axes, channels, columns, depth, fan[2], strips, lanes, vectors)
        alone = _here(axes, channels, columns, depth, inf, strips, lanes, vectors)
        return here, strips, fan[:2] if here < alone else (0, 0)

    # More than two vectors of columns keep the other tile busy: 3.4 ms in place of 6.2 on Zen 5 for the input gradient
    # of 1024 to 256 channels of 8 x 14 x 14, and in float64 17 in place of 29 on an Intel Xeon.
    needed = joins if columns <= 2 * lanes else max(joins, ADVANTAGE)
    forms = [form()]
    if joins and columns > 1 and w.count % lanes and _shifts(axes):
        forms.append(form(_shifts(axes)))
    forms = [found for found in forms if found[1].elements(channels) <= LARGEST]
    if not forms:
        return None
    here, strips, (length, wide) = min(forms, key=itemgetter(0))
    if here >= _there(axes, channels, columns, depth, lanes) / (needed if strips.shifts else 1):
        return None
    column, channel = weights
    col_a, col_b, starts = [], [], [0]
    for phases in product(d.phases, h.phases, w.phases):
        found = list(product(*(sorted(taps, key=lambda tap: tap[1]) for _, _, taps in phases)))
        for c in range(channels):
            for taps in found:
                col_a.append(c * channel + sum(r * s for (r, _), s in zip(taps, strides_of(g.kernel), strict=True)))
                col_b.append(c * strips.strides[0] + shift_of([shift for _, shift in taps], axes, strips))
        starts.append(len(col_a))
    # A fan reads as many offsets as there is code for.
    for offsets in (col_a, col_b):
        offsets += [0] * (length - len(offsets))
    phases = [value for axis in axes for first, count, _ in axis.phases for value in (first, count)] + starts
    together = _together(columns, w.count, lanes, vectors)
    # A kernel that slides needs a row of zeros.
    needed = w.size if slide[0] else strips.elements(channels)
    line, scratch = up(w.count, lanes), up(needed + 8 * lanes, lanes)
    items = g.n * g.groups * strips.count
    # Of a fan's factors each may be a whole vector.
    buffer = max(together * len(w.phases) * line, columns * (length + 1) * lanes)
    totals = together * vectors * lanes
    joined = len(phases) if strips.shifts else 0
    args = (items, scratch + buffer + totals, scratch, line, g.groups, channels, columns, column,
            columns * channels * prod(g.kernel), together, *(axis.size for axis in axes),
            *(axis.before for axis in axes), *(axis.stride for axis in axes), *(axis.step for axis in axes),
            *(len(axis.phases) for axis in axes), *size, *strips.args(), *slide, length, wide, RUN,
            scratch + buffer, joined)
    return Rows(items, args[1], work_of(g), table(col_a), table(col_b), table([*phases, *strips.shifts]), args,
                _sliding(slide, axes, lanes), length > 0)


@lru_cache(maxsize=512)
def forward(g, lanes, vectors, slides, fans, joins=0):
    """The forward pass as `Rows`, or None.

    A vector has `lanes` elements, a tile `vectors` of them in a row; `slides` are the (taps down, taps across, stride,
    vectors) of the kernels that can slide, `fans` the (length of the sums, vectors) of those that keep their operands,
    and `joins` says how many times as fast as the other tile joined rows must be expected to be, which have a copy in
    the scratch for each tap of a row; 0 where there are none.
    """
    channels, filters, taps = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    return _rows(g, forward_axes(g), g.output, channels, filters, (channels * taps, taps), lanes, vectors, slides,
                 fans, joins)


@lru_cache(maxsize=512)
def backward_input(g, lanes, vectors, slides, fans, joins=0):
    """The input gradient as `Rows`, or None."""
    channels, filters, taps = g.c // g.groups, g.k // g.groups, prod(g.kernel)
    return _rows(g, backward_axes(g), g.input, filters, channels, (taps, channels * taps), lanes, vectors, slides,
                 fans, joins)


def _dot_tile(rows, columns, width, lines, lanes, tiles):
    """(rows, columns, cycles a position) of the cheapest tile of dots; it runs over `lines` rows of `width`."""
    def cycles(tile):
        here, there = tile
        # As measured with AVX-512: the additions, or unaligned loads; then a row's start and end, then the tile's.
        vector = max(0.75 * here * there, here + 1.5 * there)
        row = -(-width // lanes) * vector + 8
        return -(-rows // here) * -(-columns // there) * (row + (80 + 2 * here * there) / lines) / width

    best = min(tiles, key=cycles)
    return *best, cycles(best)


@lru_cache(maxsize=512)
def backward_weight(g, lanes, tiles, slides, joins=0):
    """The weight gradient as `Dots`, or None.

    `tiles` are the (rows, columns) of the tiles; `slides` and `joins` are as of `forward`.
    """
    axes = forward_axes(g)
    w = axes[2]
    channels, filters, length = g.c // g.groups, g.k // g.groups, prod(g.output)
    depth = channels * prod(g.kernel)
    slide = _slide(axes, channels, filters, lanes, slides)
    strips = strips_of(axes, channels, g.n * g.groups, lanes, False if slide[0] else None)
    rows, columns, here = _dot_tile(filters, depth, w.count, strips.rows, lanes, tiles)
    if joins and not slide[0] and w.count % lanes and _shifts(axes):
        others = strips_of(axes, channels, g.n * g.groups, lanes, shifts=_shifts(axes))
        tile = _dot_tile(filters, depth, others.rows * w.count, 1, lanes, tiles)
        copied = _each(axes, lanes) * others.elements(channels) / (others.depth * others.rows * w.count)
        if others.elements(channels) <= LARGEST and tile[2] + copied < here:
            strips, (rows, columns, here) = others, tile
    sums = up(filters, rows) * up(depth, columns) * lanes
    # A panel is four vectors wide, and written and read for each position, however few of them are filled: 3.2 ms in
    # place of 5.3 on Zen 1 for 1 to 32 channels of 64 x 28 x 28 in float64, of which two panels are read.
    there = 60 * -(-filters // (4 * lanes)) + 0.75 * -(-filters // lanes) * depth
    if sums > SUMS or here > 0.9 * there / (ADVANTAGE if strips.shifts else 1):
        return None
    taps = [c * strips.strides[0] + shift_of([r * step for r, step in zip(tap, g.dilation, strict=True)], axes, strips)
            for c in range(channels) for tap in product(*map(range, g.kernel))]
    taps += taps[-1:] * (up(depth, columns) - depth)
    joined = len(taps) if strips.shifts else 0
    units = g.n * strips.count
    # A piece of the reduction should outlast the sum of its vectors.
    splits = max(1, min(units, -(-ITEMS // g.groups), g.n * length // PIECE))
    needed = w.size if slide[0] else strips.elements(channels)
    scratch, ones = up(needed + 8 * lanes, lanes), up(min(strips.joined * w.count, RUN * lanes), lanes)
    items = splits * g.groups
    sums += up(filters, rows) * lanes
    together = max(1, min(g.groups, SUMS // 2 // sums))
    args = (items, scratch + ones + together * sums, scratch, ones, g.groups, channels, filters,
            depth, rows, columns, g.n, splits, *(axis.size for axis in axes), *(axis.before for axis in axes),
            *(axis.stride for axis in axes), *g.output, *strips.args(), together, *slide, RUN,
            joined)
    return Dots(items, splits, args[1], work_of(g), table([*taps, *strips.shifts]), args,
                _sliding_dots(slide, g.output, lanes))
