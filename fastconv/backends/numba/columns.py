"""im2col and col2im: every tap's shifted copy of the planes, and the sum back. A work item is a plane (n, c)."""

from fastconv.backends.numba.jit import helper, pointer, range_kernel


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
