"""1 x 1 convolutions of stride 1, whose output planes are sums of input planes: vectors along the plane.

With vectors of output channels the results have to be transposed on the way out, which costs as much again as the
product where there are few input channels.
"""

from math import prod

from fastconv.backends import plan, plan_rows
from fastconv.backends.engine import past
from fastconv.backends.numba.conv import BLOCK, OFFSETS, multiply_block
from fastconv.backends.numba.isa import VECTOR_BYTES
from fastconv.backends.numba.jit import ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.lines import copy
from fastconv.backends.numba.stream import drain, stream
from fastconv.backends.numba.tile import lanes
from fastconv.backends.numba.vector import number
from fastconv.backends.plan import ROWS, STEPS

PANEL = STEPS * 64
TOGETHER = 24  # rows that are stored at a time, whole tiles of 6 and of 8: stores go on while the next ones are summed
LINE = 16  # elements of a cache line


@range_kernel
def multiply_planes(begin, end, a, like):
    """``out[n, i, p] = bias[i] + sum over t of w[i, t] * x[n, t, p]``; a work item is a block of columns p of a group.

    The columns are copied first: at a power of two apart, their rows would share a few sets of the cache.
    """
    x, w, bias, out = pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like)
    groups, steps, rows, plane = a[4], a[5], a[6], a[7]
    group_stride, row_stride, step_stride = a[8], a[9], a[10]
    piece, past = a[11], a[12] != 0
    size = lanes(like)
    width = 4 * size
    blocks = (plane + width - 1) // width
    b, c = stack(PANEL, like), stack(BLOCK, like)
    row, col_a, col_b = stack(OFFSETS, ints(0)), stack(STEPS, ints(0)), stack(STEPS, ints(0))
    later = stack(OFFSETS, ints(0))
    direct = plane % width == 0
    for t in range(STEPS):
        col_a[t], col_b[t] = t * step_stride, t * (plane if direct else width)
    for item in range(begin, end):
        first, rest = item % blocks * width, item // blocks
        group = rest % groups
        wide = min(width, plane - first)
        source = shift(x, rest * steps * plane + first)
        # The columns of the item after the next: those of the next itself come too late, 10.4 ms in place of 8.4 for
        # 256 to 64 channels of 8 x 56 x 56. Behind an image's last ones are those of the next image.
        following = shift(source, 2 * width if first + 2 * width < plane else 2 * width + (steps - 1) * plane)
        for done in range(0, rows, ROWS):
            here = min(ROWS, rows - done)
            for i in range(here):
                row[i] = (done + i) * row_stride
            for i in range(here, here + 16):
                row[i] = row[here - 1]
            for i in range(here):
                later[i] = min((done + i) // 6 * LINE, width - LINE)
            for start in range(0, steps, piece):
                some = min(piece, steps - start)
                if direct:
                    b = shift(source, start * plane)
                elif done == 0 or steps > piece:
                    for t in range(some):
                        copy(shift(source, (start + t) * plane), shift(b, t * width), wide)
                        for j in range(wide, (wide + size - 1) // size * size):
                            b[t * width + j] = 0
                for i in range(0, here, TOGETHER):
                    block = shift(c, i * width)
                    multiply_block(min(TOGETHER, here - i), wide, some,
                                   shift(w, group * group_stride + start * step_stride), shift(row, i), col_a, b, col_b,
                                   block, width, start > 0, shift(following, start * plane), shift(later, i), plane,
                                   like)
                    if start + some < steps:
                        continue
                    for k in range(i, min(i + TOGETHER, here)):
                        line = shift(out, (rest * rows + done + k) * plane + first)
                        more = bias[group * rows + done + k] if a[2] != 0 else number(-0.0, like)
                        if past and wide % size == 0:
                            stream(line, shift(c, k * width), more, wide // size)
                        else:
                            for j in range(wide):
                                line[j] = c[k * width + j] + more
    drain(past)


def serves(g, out):
    """Whether `g` is such a convolution, on planes so large that moving them outweighs the product.

    64 to 256 channels of 8 x 56 x 56 take 8.9 ms on Zen 4 in place of 14.3 with vectors along the rows, and 8.4 back
    in place of 10.6; 8 to 64 channels 0.7 in place of 1.1, but 8 to 16 channels 0.13 in place of 0.10.
    """
    least = 3 if out.size > plan_rows.NEAR else 32
    return plan.pointwise(g) and prod(g.input) >= 512 and min(g.c, g.k) >= least * g.groups


def forward(p, g, x, w, bias, y):
    """Add the step to a Program."""
    channels, filters = g.c // g.groups, g.k // g.groups
    _multiply(p, g, x, w, bias, y, channels, filters, channels, 1)


def backward_input(p, g, dy, w, dx):
    """Add the step to a Program."""
    channels, filters = g.c // g.groups, g.k // g.groups
    _multiply(p, g, dy, w, None, dx, filters, channels, 1, channels)


def _multiply(p, g, source, w, bias, out, steps, rows, row_stride, step_stride):
    plane, width = prod(g.input), 4 * VECTOR_BYTES // p.dtype.itemsize
    p.do("multiply_planes", g.n * g.groups * -(-plane // width), (source, w, bias, out),
         (g.groups, steps, rows, plane, rows * steps, row_stride, step_stride, plan.piece(steps), past(p, out)),
         g.multiply_adds // 50)
