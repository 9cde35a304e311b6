"""im2col and col2im: every tap's shifted copy of the planes, and the sum back. A work item is a plane (n, c)."""

from fastconv.backends.numba.copies import weave
from fastconv.backends.numba.jit import helper, pointer, range_kernel, shift
from fastconv.backends.numba.lines import clear
from fastconv.backends.numba.tile import lanes


@helper
def span(size, outputs, stride, shift):
    """The outputs [first, last) whose input position, ``output * stride + shift``, lies inside `size`."""
    first = (-shift + stride - 1) // stride if shift < 0 else 0
    last = (size - shift + stride - 1) // stride if shift < size else 0
    return min(first, outputs), max(min(last, outputs), min(first, outputs))


@range_kernel
def im2col(begin, end, a, like):
    x, cols = pointer(a[0], like), pointer(a[1], like)
    depth, height, width = a[2], a[3], a[4]
    kernel_d, kernel_h, kernel_w = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    stride_d, stride_h, stride_w = a[11], a[12], a[13]
    front, top, left = a[14], a[15], a[16]
    step_d, step_h, step_w = a[17], a[18], a[19]
    for plane in range(begin, end):
        start = plane * depth * height * width
        out = plane * kernel_d * kernel_h * kernel_w * out_d * out_h * out_w
        for t in range(kernel_d):
            for r in range(kernel_h):
                for s in range(kernel_w):
                    shift = s * step_w - left
                    first, last = span(width, out_w, stride_w, shift)
                    for o in range(out_d):
                        d = o * stride_d + t * step_d - front
                        for p in range(out_h):
                            h = p * stride_h + r * step_h - top
                            if d < 0 or d >= depth or h < 0 or h >= height:
                                for q in range(out_w):
                                    cols[out + q] = 0
                            else:
                                line = start + (d * height + h) * width + shift
                                for q in range(first):
                                    cols[out + q] = 0
                                if stride_w == 1:
                                    for q in range(first, last):
                                        cols[out + q] = x[line + q]
                                else:
                                    for q in range(first, last):
                                        cols[out + q] = x[line + q * stride_w]
                                for q in range(last, out_w):
                                    cols[out + q] = 0
                            out += out_w


@range_kernel
def col2im(begin, end, a, like):
    cols, x = pointer(a[0], like), pointer(a[1], like)
    depth, height, width = a[2], a[3], a[4]
    kernel_d, kernel_h, kernel_w = a[5], a[6], a[7]
    out_d, out_h, out_w = a[8], a[9], a[10]
    stride_d, stride_h, stride_w = a[11], a[12], a[13]
    front, top, left = a[14], a[15], a[16]
    step_d, step_h, step_w = a[17], a[18], a[19]
    side_by_side = kernel_d == stride_d and kernel_h == stride_h and step_d * step_h * step_w == 1
    if side_by_side and kernel_w == 2 and stride_w == 2 and front == 0 and top == 0 and left == 0:
        for plane in range(begin, end):
            _weave(plane, cols, kernel_d, kernel_h, out_d, out_h, out_w, x, depth, height, width, like)
        return
    for plane in range(begin, end):
        start = plane * depth * height * width
        for i in range(depth * height * width):
            x[start + i] = 0
        source = plane * kernel_d * kernel_h * kernel_w * out_d * out_h * out_w
        for t in range(kernel_d):
            for r in range(kernel_h):
                for s in range(kernel_w):
                    shift = s * step_w - left
                    first, last = span(width, out_w, stride_w, shift)
                    for o in range(out_d):
                        d = o * stride_d + t * step_d - front
                        for p in range(out_h):
                            h = p * stride_h + r * step_h - top
                            if d >= 0 and d < depth and h >= 0 and h < height:
                                line = start + (d * height + h) * width + shift
                                if stride_w == 1:
                                    for q in range(first, last):
                                        x[line + q] += cols[source + q]
                                else:
                                    for q in range(first, last):
                                        x[line + q * stride_w] += cols[source + q]
                            source += out_w


@helper
def _weave(plane, cols, kernel_d, kernel_h, out_d, out_h, out_w, x, depth, height, width, like):
    """A plane of windows side by side, two elements wide: rows of their left and right ones take turns.

    1.76 ms in place of 1.89 on Zen 3 for 128 planes of 128 x 128.
    """
    size = out_d * out_h * out_w
    cols, x = shift(cols, plane * kernel_d * kernel_h * 2 * size), shift(x, plane * depth * height * width)
    if kernel_d * kernel_h * 2 * size < depth * height * width:
        clear(x, depth * height * width)
    for t in range(kernel_d):
        for r in range(kernel_h):
            taps = (t * kernel_h + r) * 2 * size
            for o in range(out_d):
                for p in range(out_h):
                    left = taps + (o * out_h + p) * out_w
                    line = shift(x, ((o * kernel_d + t) * height + p * kernel_h + r) * width)
                    if left + size + out_w + lanes(like) <= kernel_d * kernel_h * 2 * size:
                        weave(shift(cols, left), shift(cols, left + size), line, 2 * out_w)
                    else:  # of the last rows no whole vectors are read
                        for q in range(out_w):
                            line[2 * q], line[2 * q + 1] = cols[left + q], cols[left + size + q]
