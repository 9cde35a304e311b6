"""The kernel contract of `fastconv.backends` on range kernels: what is allocated, packed, multiplied, in which order.

A range kernel does the work items ``begin <= i < end`` and reads its arguments from an array of int64: first the
addresses of its arrays, then sizes. The names and arguments are the same whatever compiled it:

===================  ===============================================================  ================================
kernel               arguments                                                        a work item is
===================  ===============================================================  ================================
pad                  source, padded, `plan.Planes.args`                               a plane
pack                 source, panels, sums or 0, `plan.Panels.args`                    a panel
multiply             source, panels, bias or 0, out, col_a, col_b,                    a block of rows of a panel
                     `plan.Product.args`
multiply_weight      source, panels, out, rows, `plan.WeightProduct.args`             the same of a piece of the sum
add_up               parts, out, number of parts, elements of one                     1024 elements
im2col, col2im       the input, the result, `_window`                                 a plane
max_forward          x, y, indices or 0, `_window`                                    a plane
max_backward         dy, indices, dx, elements of a plane of dx, of dy                a plane
avg_forward          x, y, `_average`                                                 a plane
avg_backward         dy, dx, `_average`                                               a plane
===================  ===============================================================  ================================
"""

from math import prod

import numpy as np

from fastconv.backends import plan

STRETCH = 1024  # elements of a work item of `add_up`
# Multiply-adds done in the time in which one element is moved, roughly: 50 and 1 a nanosecond.
MULTIPLY_ADDS = 50


class Engine:
    """The nine functions of a backend.

    Parameters
    ----------
    run : function
        ``run(kernel, count, args, dtype, work)`` does the work items 0 .. `count` of the kernel of that name; the
        arrays are of type `dtype`. `work` is an estimate of the nanoseconds that it takes one core.
    tile_bytes : int
        Bytes of a row of the kernels' widest tile.
    """

    def __init__(self, run, tile_bytes):
        self.run = run
        self.tile_bytes = tile_bytes

    def conv_forward(self, x, w, bias, y, g):
        planes, panels, products = plan.forward(g, self._width(x))
        self._multiply(self._pad(x, planes), self._pack(w, panels), bias, y, panels, products, g)

    def conv_backward_input(self, dy, w, dx, g):
        planes, panels, products = plan.backward_input(g, self._width(dy))
        if len(products) < plan.phases(g):
            dx.fill(0)
        self._multiply(self._pad(dy, planes), self._pack(w, panels), None, dx, panels, products, g)

    def conv_backward_weight(self, x, dy, dw, db, g):
        planes, panels, product = plan.backward_weight(g, self._width(x))
        sums = None if db is None else workspace(g.n * g.k, x.dtype)
        source, packed = self._pad(x, planes), self._pack(dy, panels, sums)
        parts = dw if product.splits == 1 else workspace(product.splits * dw.size, dw.dtype)
        self.run("multiply_weight", product.items(panels),
                 _args(address(source), address(packed), address(parts), address(product.rows),
                       *product.args(panels)), dw.dtype, g.multiply_adds // MULTIPLY_ADDS)
        if parts is not dw:
            self._add_up(parts, product.splits, dw)
        if db is not None:
            self._add_up(sums, g.n, db)

    def im2col(self, x, cols, g):
        self.run("im2col", g.n * g.c, _args(address(x), address(cols), *_window(g)), x.dtype, cols.size)

    def col2im(self, cols, x, g):
        self.run("col2im", g.n * g.c, _args(address(cols), address(x), *_window(g)), x.dtype, cols.size)

    def max_pool_forward(self, x, y, indices, g):
        self.run("max_forward", g.n * g.c, _args(address(x), address(y), address(indices), *_window(g)), x.dtype,
                 y.size * prod(g.kernel))

    def max_pool_backward(self, dy, indices, dx, g):
        self.run("max_backward", g.n * g.c,
                 _args(address(dy), address(indices), address(dx), prod(g.input), prod(g.output)), dx.dtype,
                 dx.size + dy.size)

    def avg_pool_forward(self, x, y, g):
        self.run("avg_forward", g.n * g.c, _args(address(x), address(y), *_average(g)), x.dtype,
                 y.size * prod(g.kernel))

    def avg_pool_backward(self, dy, dx, g):
        self.run("avg_backward", g.n * g.c, _args(address(dy), address(dx), *_average(g)), dx.dtype,
                 dx.size + dy.size * prod(g.kernel))

    def _width(self, array):
        return self.tile_bytes // array.itemsize

    def _pad(self, source, planes):
        if not planes.copy:
            return source
        padded = workspace(planes.elements, source.dtype)
        self.run("pad", planes.count, _args(address(source), address(padded), *planes.args()), source.dtype,
                 planes.elements)
        return padded

    def _pack(self, source, panels, sums=None):
        packed = workspace(panels.elements, source.dtype)
        self.run("pack", panels.groups * panels.blocks,
                 _args(address(source), address(packed), address(sums), *panels.args()), source.dtype,
                 panels.elements)
        return packed

    def _multiply(self, source, packed, bias, out, panels, products, g):
        for product in products:
            self.run("multiply", product.items(panels),
                     _args(address(source), address(packed), address(bias), address(out), address(product.col_a),
                           address(product.col_b), *product.args(panels)), out.dtype,
                     g.multiply_adds // (MULTIPLY_ADDS * len(products)))

    def _add_up(self, parts, count, out):
        self.run("add_up", -(-out.size // STRETCH), _args(address(parts), address(out), count, out.size), out.dtype,
                 count * out.size)


def _window(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding), *g.dilation)


def _average(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding),
            *(after for _, after in g.padding), g.count_include_pad, g.divisor)


def _args(*values):
    return np.array(values, np.int64)


def address(array):
    """Address of the first element of `array`, or 0 for None."""
    return 0 if array is None else array.__array_interface__["data"][0]


def workspace(size, dtype):
    """An uninitialized array of `size` elements whose first one is aligned to a cache line."""
    itemsize = np.dtype(dtype).itemsize
    space = np.empty(size + 64 // itemsize, dtype)
    skip = -address(space) % 64 // itemsize
    return space[skip:skip + size]
