"""The gradients of pooling. A work item is a plane (n, c).

Nobody tells a maximum's gradient the windows, only where the maxima were: where sizes are those of a common kind of
windows, it is taken to be theirs, and done again if the indices turn out not to be.
"""

from fastconv.backends.numba.columns import span
from fastconv.backends.numba.isa import PAST
from fastconv.backends.numba.jit import helper, ints, place, pointer, range_kernel, shift, stack
from fastconv.backends.numba.pairs import scatter_pairs, spread_pairs
from fastconv.backends.numba.pool import INDEXED, extent
from fastconv.backends.numba.stream import copy_past, drain
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.triples import scatter_triples
from fastconv.backends.numba.window import itemsize, quotient
from fastconv.backends.numba.words import MASKS

# What is `streamed` (`engine.STREAMED`) goes past the caches by way of a buffer of BUFFER elements, two rows at a time.
# Where these do not end with a cache line, it is about STRETCHED elements, as a line that is shared costs more: 256 x
# 32 x 26 x 26 takes 2.3 ms in place of 5.5. Where they do, that takes 1.3 ms in place of 1.1.
BUFFER, STRETCHED = 4096, 1024
# Elements of a map that is cleared and added to in a copy near the core, before it goes past the caches.
NEAR = 16384
# Windows in a row from which on vectors of 2 x 2 pay where there are no registers for masks, if maps are even or their
# elements float32; even maps of float32 always do. One by one, 64 x 32 x 7 x 7 takes 0.059 ms in place of 0.100 on Zen
# 3, and 13 x 13 0.12 in place of 0.14.
NARROW = 7
SMALL = 256  # outputs that are added in four runs
STRETCH = 256  # outputs whose gradients are divided at a time


@helper
def _pairs(kernel, stride, before, size, outputs):
    """Whether windows of 2 by 2 cover an axis: all of it, or all but the last element."""
    return kernel == 2 and stride == 2 and before == 0 and size // 2 == outputs


@helper
def lines_past(streamed, width, like):
    """Lines of windows of 2 x 2 that go past the caches together, where they are `streamed`; else 0."""
    if not PAST or not streamed or 2 * width + 2 * lanes(like) > BUFFER:
        return 0
    return 1 if 2 * width % lanes(like) == 0 else max(1, STRETCHED // (2 * width))


@helper
def _scatter(dy, indices, dx, width, out_w, lines, buffer, together):
    """As `scatter_pairs` from the map's first line on, `together` lines at a time past the caches if that is not 0."""
    if together == 0:
        return scatter_pairs(dy, indices, dx, 0, width, out_w, lines, lines)
    found = True
    for line in range(0, lines, together):
        here, first = min(together, lines - line), line * 2 * width
        g, where = shift(dy, line * out_w), shift(indices, line * out_w)
        found = scatter_pairs(g, where, buffer, first, width, out_w, here, here)
        if not found:
            break
        copy_past(buffer, shift(dx, first), here * 2 * width)
    drain(True)
    return found


@helper
def _spread(dy, dx, divisor, width, out_w, lines, buffer, together):
    """As `spread_pairs`, in the same way."""
    if together == 0:
        spread_pairs(dy, dx, divisor, width, out_w, lines)
        return
    for line in range(0, lines, together):
        here = min(together, lines - line)
        spread_pairs(shift(dy, line * out_w), buffer, divisor, width, out_w, here)
        copy_past(buffer, shift(dx, line * 2 * width), here * 2 * width)
    drain(True)


@helper
def put_down(buffer, lead, kept, to):
    """What was kept by `carry` without the first `lead` of it, before `to`."""
    for j in range(lead, kept):
        to[j - kept] = buffer[j]


@helper
def carry(buffer, lead, kept, size, to):
    """Let a map go past the caches, with the `kept` elements before it and without the first `lead`, in whole lines.

    What is left is kept: lines that two maps share are stored once. Returns how many elements that is.
    """
    line = 64 // itemsize(buffer)
    whole = (kept + size) // line * line
    if whole > 0:
        copy_past(shift(buffer, lead), shift(to, lead - kept), whole - lead)
    for j in range(kept + size - whole):
        buffer[j] = buffer[whole + j]
    return kept + size - whole


@helper
def whole_lines(height, width, out_h, out_w, elements, outputs, wide):
    """Lines of windows of 2 x 2 whose vectors stay among the `elements` and `outputs` from the map's first ones on."""
    if outputs - out_h * out_w >= wide and elements - height * width >= 2 * wide:
        return out_h  # divisions would take as long as some lines
    beyond = (out_w + wide - 1) // wide * wide - out_w
    lines = min(out_h, (outputs - beyond) // out_w, (elements - 2 * beyond) // (2 * width))
    return max(0, lines)


@helper
def clear_rest(dx, lines, height, width, out_w):
    """Zeros where the first `lines` lines of windows of 2 x 2 leave elements out, and in all rows after them."""
    if 2 * out_w < width:
        for h in range(2 * lines):
            dx[h * width + width - 1] = 0
    for i in range(2 * lines * width, height * width):
        dx[i] = 0


@helper
def _lie_in(where, count, size):
    """Whether `count` indices are those of a map of `size` elements."""
    bits = 0  # whose sign is that of a negative index, or of what is left to the last element beyond it
    for q in range(count):
        bits |= where[q] | (size - 1 - where[q])
    return bits >= 0


@helper
def _add(dy, where, x, first, last):
    """``x[where[q]] += dy[q]`` from `first` to `last`, of small maps in four runs side by side.

    Neighbors often have the same maximum, and an addition to what was just stored waits 12 cycles for it: 0.12 ms in
    place of 0.17 on Zen 3 for 8 x 256 x 7 x 7 and windows of 3 x 3, 0.51 in place of 0.59 for 13 x 13 and 5 x 5. But
    2.5 in place of 2.1 for 8 x 192 x 28 x 28 and 3 x 3.
    """
    run = (last - first) // 4 if last - first <= SMALL else 0
    for q in range(first, first + run):
        x[where[q]] += dy[q]
        x[where[q + run]] += dy[q + run]
        x[where[q + 2 * run]] += dy[q + 2 * run]
        x[where[q + 3 * run]] += dy[q + 3 * run]
    for q in range(first + 4 * run, last):
        x[where[q]] += dy[q]


@range_kernel
def max_backward(begin, end, a, like):
    """Indices are checked on the way: those of windows of 2 x 2 cost nothing."""
    dy, indices, dx, outside = pointer(a[0], like), ints(a[1]), pointer(a[2], like), ints(a[3])
    depth, height, width, out_d, out_h, out_w = a[4], a[5], a[6], a[7], a[8], a[9]
    size, outputs = depth * height * width, out_d * out_h * out_w
    # Windows of 2 x 2: 0.17 ms in place of 0.24 for 64 x 32 x 26 x 26.
    pairs = depth == 1 and out_d == 1 and height < INDEXED // width and height // 2 == out_h and width // 2 == out_w
    dense = 2 * out_h == height and 2 * out_w == width
    pairs = pairs and (MASKS or a[10] != 0 or int(dense) + int(itemsize(like) == 4) + int(out_w >= NARROW) >= 2)
    buffer = stack(BUFFER, like)
    streamed = lines_past(a[10] != 0, width, like)
    near, far = stack(NEAR, like), a[10] != 0 and size <= NEAR
    # And of 3 x 3 that overlap. With AVX2 they take three times as long; near by nothing is gained.
    triples = (MASKS and far and depth == 1 and out_d == 1 and (height + 1) // 2 == out_h and (width + 1) // 2 == out_w
               and width > 2 and size + width + 2 * lanes(like) <= NEAR and 2 * (out_w + lanes(like)) <= BUFFER)
    # Maps that share lines with the next ones: 256 x 32 x 26 x 26 takes 1.8 ms in place of 3.6 on an Intel Xeon.
    line = 64 // itemsize(like)
    carried = pairs and streamed > 1 and line + size + 4 * lanes(like) <= BUFFER
    lead = place(shift(dx, begin * size)) // itemsize(like) % line if carried else 0
    kept = lead
    if pairs and dense and streamed == 0 and end - begin > lanes(like):
        # Maps whose lines follow those of the one before, all but the last ones together: on Zen 3 0.036 ms in place
        # of 0.047 for 64 x 16 x 10 x 10, 0.16 in place of 0.26 for 8 x 512 x 14 x 14.
        g, where, x = shift(dy, begin * outputs), shift(indices, begin * outputs), shift(dx, begin * size)
        maps = end - begin - lanes(like)
        pairs = (scatter_pairs(g, where, x, 0, width, out_w, out_h, out_h)  # windows of another kind fail at one map
                 and scatter_pairs(g, where, x, 0, width, out_w, maps * out_h, out_h))
        if pairs:
            begin += maps
    for plane in range(begin, end):
        g, where, x = shift(dy, plane * outputs), shift(indices, plane * outputs), shift(dx, plane * size)
        lines, map_ = 0, shift(buffer, kept) if carried else x
        if pairs:
            lines = whole_lines(height, width, out_h, out_w, (end - plane) * size, (end - plane) * outputs, lanes(like))
            pairs = _scatter(g, where, map_, width, out_w, lines, buffer, 0 if carried else streamed)
        if not pairs:
            lines = 0
            put_down(buffer, lead, kept, x)
            kept, lead, carried, map_ = 0, 0, False, x
        if triples and not pairs:
            triples = scatter_triples(g, where, shift(near, width), buffer, height, width, out_h, out_w)
            if triples:
                copy_past(shift(near, width), x, size)
                continue
        if a[3] != 0 and not _lie_in(shift(where, lines * out_w), outputs - lines * out_w, size):
            outside[0] = 1
            if not carried:
                continue
            lines = out_h   # what its other elements are does not matter
        if far and lines == 0 and not carried:
            for i in range(size):
                near[i] = 0
            for q in range(outputs):
                near[where[q]] += g[q]
            copy_past(near, x, size)
            continue
        clear_rest(map_, lines, depth * height, width, out_w)
        _add(g, where, map_, lines * out_w, outputs)
        if carried:
            some = kept + size
            kept = carry(buffer, lead, kept, size, x)
            lead = 0 if some >= line else lead
    put_down(buffer, lead, kept, shift(dx, end * size))
    drain(far)


@range_kernel
def avg_backward(begin, end, a, like):
    dy, dx = pointer(a[0], like), pointer(a[1], like)
    depth, height, width = a[2], a[3], a[4]
    kernel_d, kernel_h, kernel_w = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    stride_d, stride_h, stride_w = a[11], a[12], a[13]
    front, top, left = a[14], a[15], a[16]
    back, bottom, right = a[17], a[18], a[19]
    padded, divisor = a[20] != 0, a[21]
    share, buffer = stack(STRETCH, like), stack(BUFFER, like)
    size, outputs = height * width, out_h * out_w
    streamed = lines_past(a[22] != 0, width, like)
    pairs = (kernel_d == 1 and depth == out_d and front == 0 and _pairs(kernel_h, stride_h, top, height, out_h)
             and _pairs(kernel_w, stride_w, left, width, out_w))
    for plane in range(begin, end):
        start = plane * depth * size
        if not pairs:
            for i in range(depth * size):
                dx[start + i] = 0
        for o in range(out_d):
            lines = 0
            if pairs:
                before = plane * depth + o
                g, x = shift(dy, before * outputs), shift(dx, before * size)
                lines = whole_lines(height, width, out_h, out_w, (end * depth - before) * size,
                                    (end * depth - before) * outputs, lanes(like))
                whole = divisor if divisor else 4
                _spread(g, x, whole, width, out_w, lines, buffer, streamed)
                clear_rest(x, lines, height, width, out_w)
            for p in range(lines, out_h):
                out = ((plane * out_d + o) * out_h + p) * out_w
                slab = (extent(o, depth, kernel_d, stride_d, front, back, padded)
                        * extent(p, height, kernel_h, stride_h, top, bottom, padded))
                for begun in range(0, out_w, STRETCH):
                    done = min(begun + STRETCH, out_w)
                    for q in range(begun, done):
                        divided = divisor
                        if divisor == 0:
                            divided = slab * extent(q, width, kernel_w, stride_w, left, right, padded)
                        share[q - begun] = quotient(dy[out + q], divided)
                    for t in range(kernel_d):
                        d = o * stride_d - front + t
                        if d < 0 or d >= depth:
                            continue
                        for r in range(kernel_h):
                            h = p * stride_h - top + r
                            if h < 0 or h >= height:
                                continue
                            if stride_w == 2 and kernel_w == 2 and left == 0 and done * 2 <= width:
                                # Both taps in one loop: their stores join to whole vectors.
                                line = start + (d * height + h) * width + 2 * begun
                                for q in range(done - begun):
                                    dx[line + 2 * q] += share[q]
                                    dx[line + 2 * q + 1] += share[q]
                                continue
                            for s in range(kernel_w):
                                first, last = span(width, out_w, stride_w, s - left)
                                line = start + (d * height + h) * width + s - left
                                for q in range(max(first, begun), min(last, done)):
                                    dx[line + q * stride_w] += share[q - begun]
