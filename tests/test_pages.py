"""No kernel reads or writes beyond an array: in front of each and behind it lie pages that nobody may touch.

Guard cells show what is written beyond. What is only read there shows as a fault, which ends the process.
"""

import sys

import pytest

# Prints how many calls found their arrays between such pages, by turns at the first one's end and at the other's start.
CALL = """
import ctypes, itertools, mmap
import numpy as np
import fastconv
from fastconv import backends, geometry

libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
kept = []

def between_pages(shape, dtype, at_end):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    space = mmap.mmap(-1, room + 2 * mmap.PAGESIZE)
    array = np.frombuffer(space, dtype, int(np.prod(shape)), mmap.PAGESIZE + (room - size if at_end else 0))
    start = ctypes.addressof(ctypes.c_char.from_buffer(space))
    for page in (start, start + mmap.PAGESIZE + room):
        assert libc.mprotect(page, mmap.PAGESIZE, 0) == 0
    kept.append(space)
    return array.reshape(shape)

fastconv.set_num_threads(1)
module, rng, calls = backends.get(BACKEND), np.random.default_rng(0), 0
convs = [((n, c, max(k, width - 1), width), (c, 1, k, k), stride, padding, c)
         for (k, stride), width, (n, c) in itertools.product(
             [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)], (3, 5, 8, 9, 14, 16, 17, 33, 56), [(1, 1), (2, 5)])
         for padding in (0, k // 2, k + 2) if width + 2 * padding >= k]
convs += [((2, 40, 19, 29), (70, 40, 1, 1), 1, 0, 1), ((1, 70, 12, 11), (40, 70, 1, 1), 1, 0, 1),
          ((2, 33, 14, 14), (34, 33, 1, 1), 1, 0, 1), ((2, 24, 9, 41), (56, 24, 1, 8), (1, 4), 0, 1),
          ((3, 3, 28, 28), (16, 3, 5, 5), 1, 0, 1), ((2, 1, 28, 28), (32, 1, 3, 3), 1, 0, 1),
          ((1, 20, 13, 13), (36, 20, 3, 3), 1, 1, 1), ((2, 64, 14, 15), (40, 64, 1, 1), 2, 0, 1)]
for dtype, at_end, (x_shape, w_shape, stride, padding, groups) in itertools.product(DTYPES, (False, True), convs):
    g = geometry.conv("conv2d", x_shape, w_shape, stride, padding, 1, groups)
    x, w, bias, dy, y, dx, dw, db = (between_pages(shape, dtype, at_end) for shape in (
        g.x_shape, g.w_shape, (g.k,), g.y_shape, g.y_shape, g.x_shape, g.w_shape, (g.k,)))
    for array in (x, w, bias, dy):
        array[...] = rng.standard_normal(array.shape)
    module.conv_forward(x, w, bias, y, g)
    module.conv_backward_input(dy, w, dx, g)
    module.conv_backward_weight(x, dy, dw, db, g)
    calls += 1
windows = list(itertools.product((2, 5, 8, 13, 26), (2, 4, 5, 7, 8, 10, 13, 16, 26, 33, 56), ((2, 2, 0), (3, 2, 1))))
for dtype, at_end, (height, width, (kernel, stride, padding)) in itertools.product(DTYPES, (False, True), windows):
    if min(height, width) + 2 * padding < kernel:
        continue
    g = geometry.pool("max_pool2d", (2, 3, height, width), kernel, stride, padding)
    x, y, dx = (between_pages(shape, dtype, at_end) for shape in (g.x_shape, g.y_shape, g.x_shape))
    indices = between_pages(g.y_shape, "int64", at_end)
    x[...] = rng.standard_normal(x.shape)
    module.max_pool_forward(x, y, None, g)
    module.max_pool_forward(x, y, indices, g)
    module.max_pool_backward(y, indices, dx, g)
    module.avg_pool_forward(x, y, g)
    module.avg_pool_backward(y, dx, g)
    calls += 1
print(calls)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for pages that nobody may touch")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numba", "cython"])
def test_nothing_is_touched_beyond_arrays(backend, dtype, fresh):
    assert int(fresh(f"BACKEND, DTYPES = {backend!r}, [{dtype!r}]" + CALL)) > 700
