"""Linear maps along one axis: what padding, interpolation and adaptive averaging do to each axis of a map.

Each of them makes an output element from some elements of the input, the same along every line of an axis, so that one
table an axis describes it. The gradient of such an operation is the operation of the transposed tables. The
constructors check their arguments and return an `Axis`; equal arguments give the same object.
"""

from functools import cached_property, lru_cache

import numpy as np

PAD_MODES = ("constant", "reflect", "replicate", "circular")
NEAREST = ("nearest", "nearest-exact")
# The shortest run of outputs worth a loop of its own, which copies.
RUN = 4


class Axis:
    """Output i of a map along one axis is the sum of ``weight[k] * x[index[k]]`` for ``start[i] <= k < start[i + 1]``.

    Attributes
    ----------
    size, outputs : int
        Elements of the input and of the output.
    start : ndarray of int64 (outputs + 1,)
    index : ndarray of int64
    weight : ndarray of float64, or None where all are 1
    """

    def __init__(self, size, start, index, weight=None):
        self.size, self.outputs = size, len(start) - 1
        self.start = np.ascontiguousarray(start, np.int64)
        self.index = np.ascontiguousarray(index, np.int64)
        self.weight = weight
        self._weights = {}

    @cached_property
    def counts(self):
        """Elements that each output is made of."""
        return np.diff(self.start)

    @cached_property
    def taps(self):
        """That number where it is the same for all outputs, else 0."""
        counts = self.counts
        return int(counts[0]) if self.outputs and counts[0] == counts.max() == counts.min() else 0

    @cached_property
    def picks(self):
        """Whether an output is a copy of one element or made of none."""
        return self.weight is None and (not self.outputs or int(self.counts.max()) <= 1)

    @cached_property
    def source(self):
        """int64 (outputs,): the first element that an output is made of, or -1."""
        source = np.full(self.outputs, -1, np.int64)
        some = self.counts > 0
        source[some] = self.index[self.start[:-1][some]]
        return source

    @cached_property
    def run(self):
        """(first, last) of the longest stretch of outputs that are copies of neighboring elements."""
        if not self.outputs or not len(self.index):
            return 0, 0
        alone = self.counts == 1
        if self.weight is not None:
            alone &= self.weight[np.minimum(self.start[:-1], len(self.index) - 1)] == 1
        joined = alone[1:] & alone[:-1] & (np.diff(self.source) == 1)
        ends = np.flatnonzero(np.concatenate([[True], ~joined, [True]]))
        longest = int(np.argmax(np.diff(ends)))
        first, last = int(ends[longest]), int(ends[longest + 1])
        return (first, last) if last - first >= RUN and alone[first] else (0, 0)

    @cached_property
    def disjoint(self):
        """Whether the outputs are sums of elements that follow each other: of the first, then of the next ones."""
        return self.weight is None and np.array_equal(self.index, np.arange(len(self.index)))

    @cached_property
    def identity(self):
        """Whether the output is the input."""
        return self.size == self.outputs and self.picks and np.array_equal(self.source, np.arange(self.size))

    @cached_property
    def transposed(self):
        """The map of gradients: from that with respect to the output to that with respect to the input."""
        order = np.argsort(self.index, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(self.index, minlength=self.size))])
        weight = None if self.weight is None else self.weight[order]
        return Axis(self.outputs, start, np.repeat(np.arange(self.outputs), self.counts)[order], weight)

    def weights(self, dtype):
        """`weight` in `dtype`; None where all are 1."""
        if self.weight is None:
            return None
        if dtype not in self._weights:
            self._weights[dtype] = self.weight.astype(dtype)
        return self._weights[dtype]


def picked(size, source):
    """The axis whose output i is element ``source[i]``, or nothing where that is negative."""
    source = np.asarray(source, np.int64)
    return Axis(size, np.concatenate([[0], np.cumsum(source >= 0)]), source[source >= 0])


@lru_cache(maxsize=1024)
def identity(size):
    """The axis whose output is its input."""
    return picked(size, np.arange(size))


@lru_cache(maxsize=1024)
def padded(op, size, before, after, mode, where):
    """`size` elements with `before` and `after` more of them, or fewer where those are negative.

    Parameters
    ----------
    op : str
    size, before, after : int
    mode : one of `PAD_MODES`
    where : str
        The axis, for messages.

    Raises
    ------
    ValueError
        As torch does.
    """
    outputs = size + before + after
    pad = f"pad=({before}, {after}) along {where} of {size} elements"
    cut = size + min(before, 0) + min(after, 0)
    if outputs < 0 or (mode == "constant" and cut < 0):
        raise ValueError(f"{op}: {pad} must take away no more than there are")
    if mode == "reflect" and max(before, after) >= size:
        raise ValueError(f"{op}: {pad} must be smaller than the axis in mode 'reflect'")
    if mode == "circular" and max(before, after) > max(cut, 0):
        raise ValueError(f"{op}: {pad} must not be larger than the axis, or what a negative one leaves of it, in mode "
                         "'circular'")
    position = np.arange(-before, outputs - before)
    if mode == "constant":
        return picked(size, np.where((position >= 0) & (position < size), position, -1))
    if mode == "replicate":
        return picked(size, np.clip(position, 0, size - 1))
    if mode == "circular":
        first = max(-before, 0)
        return picked(size, first + (position - first) % max(cut, 1))
    # A pad of one element less than the axis reflects each element once.
    position = np.abs(position)
    return picked(size, np.where(position < size, position, 2 * (size - 1) - position))


@lru_cache(maxsize=1024)
def spread(size, factor):
    """`size` elements with ``factor - 1`` zeros between neighbors."""
    source = np.full((size - 1) * factor + 1 if size else 0, -1)
    source[::factor] = np.arange(size)
    return picked(size, source)


@lru_cache(maxsize=1024)
def every(size, factor):
    """Every element whose position is a multiple of `factor`."""
    return picked(size, np.arange(0, size, factor))


@lru_cache(maxsize=1024)
def regions(size, outputs):
    """(first, last, count), int64: window i of an adaptive pooling covers ``first[i] <= position < last[i]``."""
    i = np.arange(outputs)
    first, last = i * size // max(outputs, 1), -(-(i + 1) * size // max(outputs, 1))
    return first, last, last - first


@lru_cache(maxsize=1024)
def windows(size, outputs):
    """The sums of these windows, which cover the axis and overlap by at most one element."""
    first, _, count = regions(size, outputs)
    start = np.concatenate([[0], np.cumsum(count)])
    return Axis(size, start, np.arange(start[-1]) - np.repeat(start[:-1] - first, count))


@lru_cache(maxsize=1024)
def nearest(size, outputs, mode, factor=None):
    """Output i is the input's element nearest to it, by the rule of `mode`.

    Positions are rounded in float32, whatever the type of the array: where one falls on an integer, another rounding
    would pick another element. That is torch's rule in its gradients, on its GPUs and for small images; its code for
    lines and for large images rounds in the array's type, and may pick a neighbor.

    Parameters
    ----------
    size, outputs : int
    mode : one of `NEAREST`
    factor : float, optional
        The scale factor, where it decides on positions; else the two sizes do.
    """
    i = np.arange(outputs)
    if mode == "nearest" and outputs in (size, 2 * size):
        return picked(size, i * size // outputs)
    scale = np.float32(1 / factor) if factor else np.float32(size) / np.float32(outputs)
    position = i.astype(np.float32) * scale if mode == "nearest" else ((i + 0.5) * np.float64(scale)).astype(np.float32)
    return picked(size, np.minimum(np.floor(position).astype(np.int64), size - 1))


@lru_cache(maxsize=1024)
def linear(size, outputs, align_corners, factor=None):
    """Output i is the mean of the two elements it lies between, weighted by nearness; beyond the ends, the last one.

    Parameters
    ----------
    size, outputs : int
    align_corners : bool
        The first and last elements of input and output coincide, rather than the borders of these elements.
    factor : float, optional
        As of `nearest`.
    """
    if size == outputs:
        return identity(size)
    position = np.maximum(_positions(size, outputs, align_corners, factor), 0)
    low = np.minimum(position.astype(np.int64), size - 1)
    high = np.minimum(low + 1, size - 1)
    part = np.clip(position - low, 0, 1)
    return _weighted(size, np.stack([low, high], 1), np.stack([1 - part, part], 1))


@lru_cache(maxsize=1024)
def cubic(size, outputs, align_corners, factor=None):
    """Cubic convolution of the four elements next to output i (R. Keys, 1981, with a = -3/4); the ends are repeated."""
    position = _positions(size, outputs, align_corners, factor)
    low = np.floor(position)
    distance = np.abs((position - low)[:, None] - np.arange(-1, 3))
    index = np.clip(low.astype(np.int64)[:, None] + np.arange(-1, 3), 0, size - 1)
    return _weighted(size, index, _keys(distance, -0.75))


def _keys(distance, a):
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))


# Kernel of antialiasing, by the mode: (half its width, its value by the distance).
_KERNELS = {"bilinear": (1, lambda d: np.maximum(1 - d, 0)),
            "bicubic": (2, lambda d: _keys(d, -0.5)),
            "lanczos": (3, lambda d: np.where(d < 3, np.sinc(d) * np.sinc(d / 3), 0))}


@lru_cache(maxsize=1024)
def antialiased(size, outputs, mode, align_corners, factor=None):
    """Output i is the mean of the elements near it, weighted by a kernel stretched to its share of the input."""
    scale = _scale(size, outputs, align_corners, factor)
    half, kernel = _KERNELS[mode]
    stretch = max(scale, 1.0)
    center = scale * (np.arange(outputs) + 0.5)
    first = np.maximum((center - half * stretch + 0.5).astype(np.int64), 0)
    last = np.minimum((center + half * stretch + 0.5).astype(np.int64), size)
    start = np.concatenate([[0], np.cumsum(np.maximum(last - first, 0))])
    counts = np.diff(start)
    index = np.arange(start[-1]) - np.repeat(start[:-1] - first, counts)
    weight = kernel(np.abs(index - np.repeat(center, counts) + 0.5) / stretch)
    total = np.bincount(np.repeat(np.arange(outputs), counts), weight, outputs)
    return Axis(size, start, index, weight / np.repeat(np.where(total == 0, 1, total), counts))


def _scale(size, outputs, align_corners, factor):
    """Elements of the input for one of the output."""
    if align_corners:
        return (size - 1) / (outputs - 1) if outputs > 1 else 0.0
    return 1 / factor if factor else size / outputs


def _positions(size, outputs, align_corners, factor):
    scale = _scale(size, outputs, align_corners, factor)
    return np.arange(outputs) * scale if align_corners else (np.arange(outputs) + 0.5) * scale - 0.5


def _weighted(size, index, weight):
    outputs, taps = index.shape
    return Axis(size, np.arange(outputs + 1) * taps, index.reshape(-1), np.ascontiguousarray(weight.reshape(-1)))
