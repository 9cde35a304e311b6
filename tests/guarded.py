"""Arrays and workspaces that touch a page nobody may read or write, and what computes on them: for test_guarded.py.

Guard cells tell what a kernel writes beyond an array, but not what it reads; that may be the end of the process, once
in so many runs.
"""

import ctypes
import mmap
import sys
from itertools import product

import numpy as np
from test_random_conv import geometry

import fastconv
from bench.operations import OPERATIONS
from fastconv import backends, functional, grad
from fastconv import geometry as shapes
from fastconv.backends import plan_halves_cost, plan_lowered, workspace
from fastconv.backends.numba import lowered

PAGE, LINE = mmap.PAGESIZE, workspace.LINE
NOTHING = 0  # PROT_NONE


class Memory:
    """Bytes between two pages that cannot be touched, next to the second one or, if `below`, to the first one."""

    nbytes = 0  # of what `Workspace` would keep for the next call

    def __init__(self, size, below):
        inner = -(-max(size, 1) // PAGE) * PAGE
        self.pages = mmap.mmap(-1, inner + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.pages))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        for guard in (start, start + PAGE + inner):
            if protect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), NOTHING):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.address = start + PAGE if below else start + PAGE + inner - size


class Guarded:
    """What arrays and workspaces are made of."""

    def __init__(self, below):
        self.below = below

    def array(self, shape, dtype, rng=None):
        """An array, of random numbers if there is an `rng`."""
        memory = Memory(int(np.prod(shape)) * np.dtype(dtype).itemsize, self.below)
        memory.__array_interface__ = {"shape": shape, "typestr": np.dtype(dtype).str, "data": (memory.address, False),
                                      "version": 3}
        result = np.asarray(memory)
        if rng is not None:
            result[...] = rng.standard_normal(shape)
        return result

    def copied(self, array):
        """Such an array with what another one holds."""
        result = self.array(array.shape, array.dtype)
        result[...] = array
        return result

    def workspace(self, space, size, address):
        """In place of `Workspace.__init__`."""
        space._piece = memory = Memory(-(-size // LINE) * LINE, self.below)
        space.address = memory.address

    def take_over(self):
        """Let workspaces and results be of this kind, in this process."""
        workspace.Workspace.__init__ = lambda space, size, address: self.workspace(space, size, address)
        workspace.empty = self.array


def convolve(backend, guarded, g, dtype, rng):
    x, dy, w, b = (guarded.array(shape, dtype, rng) for shape in (g.x_shape, g.y_shape, g.w_shape, (g.k,)))
    y, dx, dw, db, cols = (guarded.array(shape, dtype)
                           for shape in (g.y_shape, g.x_shape, g.w_shape, (g.k,), g.cols_shape))
    backend.conv_forward(x, w, b, y, g)
    backend.conv_backward_input(dy, w, dx, g)
    backend.conv_backward_weight(x, dy, dw, db, g)
    backend.im2col(x, cols, g)
    backend.col2im(cols, dx, g)


def pool(backend, guarded, g, dtype, rng):
    x, dy = (guarded.array(shape, dtype, rng) for shape in (g.x_shape, g.y_shape))
    y, dx = guarded.array(g.y_shape, dtype), guarded.array(g.x_shape, dtype)
    indices, codes = guarded.array(g.y_shape, np.int64), guarded.array(g.y_shape, np.uint8)
    backend.max_pool_forward(x, y, indices, g)
    backend.max_pool_forward(x, y, None, g)
    backend.max_pool_backward(dy, indices, dx, g)
    if max(g.dilation) == 1:
        backend.avg_pool_forward(x, y, g)
        backend.avg_pool_backward(dy, dx, g)
    both = getattr(backend, "max_pool_relu", None)
    if both is not None and both(x, y, codes, g):
        backend.max_pool_relu_backward(dy, codes, dx, g)


def windows(rng):
    """The geometry of a pooling, half of them by windows of 2 x 2 side by side."""
    while True:
        nd = int(rng.integers(1, 4))
        size = map(int, rng.integers(1, (200, 40, 14)[nd - 1], nd))
        shape = (int(rng.integers(1, 4)), int(rng.integers(1, 9)), *size)
        kernel, stride, padding = (2, 2, 0) if rng.random() < 0.5 else map(int, rng.integers((1, 1, 0), (6, 5, 3)))
        try:
            return shapes.pool(f"max_pool{nd}d", shape, kernel, stride, padding, ceil_mode=bool(rng.random() < 0.3))
        except ValueError:
            continue


def run(name, seed, count, below, always=False):
    """`count` random convolutions and poolings; what is being done is written to stderr.

    `always`: by halves, or on lowered positions.
    """
    guarded, rng, backend = Guarded(below), np.random.default_rng(seed), backends.get(name)
    guarded.take_over()
    if always:
        plan_halves_cost.pays = plan_lowered._pays = lambda *args: True
        lowered.TILES, plan_lowered.LEAST = ((6, 2), (4, 3)), 0
    for _ in range(count):
        fastconv.set_num_threads(int(rng.integers(1, 3)))
        dtype = np.float32 if always or rng.random() < 0.7 else np.float64
        x_shape, w_shape, *options = geometry(rng)
        g = shapes.conv(f"conv{len(x_shape) - 2}d", x_shape, w_shape, *options)
        for work, form in ((convolve, g), (pool, windows(rng))):
            print(form, np.dtype(dtype), fastconv.get_num_threads(), file=sys.stderr, flush=True)
            work(backend, guarded, form, dtype, rng)
    print("done")


def operate(name, below):
    """Every function and its gradient, as `bench.operations` calls them; what is being done is written to stderr."""
    guarded, rng = Guarded(below), np.random.default_rng(3)
    guarded.take_over()
    fastconv.set_backend(name)
    for threads, dtype, operation in product((1, 2), (np.float32, np.float64), OPERATIONS.values()):
        fastconv.set_num_threads(threads)
        print(operation.name, dtype, threads, file=sys.stderr, flush=True)
        inputs = {name: array if array is None else guarded.copied(array)
                  for name, array in operation.inputs(dtype).items()}
        result = operation.forward(functional, inputs)
        if operation.differentiable:
            operation.backward(functional, grad, inputs)(guarded.array(np.shape(result), result.dtype, rng))
    print("done")
