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
multiply_weight      source, panels, out, rows, `plan.WeightProduct.args`             the same of a part of the sum
winograd_weights     panels, points, channels, width, flipped, stride of a point      a channel of a panel
winograd             source, panels or points, bias or 0, out, col_a, col_b, work,    a block of tiles, a run of panels
                     `plan_winograd.Winograd.args`
winograd_gradient    source, dy, out, work, `plan_winograd.WinogradWeight.args`       a run of panels, part of the sum
sum_planes           planes, sums, elements of one                                    a plane
add_up               parts, out, number of parts, elements of one                     1024 elements
im2col, col2im       the input, the result, `_window`                                 a plane
max_forward          x, y, indices or 0, taps, `_window`                              a plane
max_backward         dy, indices, dx, elements of a plane of dx, of dy                a plane
avg_forward          x, y, taps, `_average`                                           a plane
avg_backward         dy, dx, `_average`                                               a plane
===================  ===============================================================  ================================
"""

from math import prod

import numpy as np

from fastconv.backends import plan, plan_winograd, precision, threads

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
        form = self._winograd(plan_winograd.forward, g, x)
        if form is not None:
            return self._multiply_winograd(x, w, bias, y, form, g)
        planes, panels, products = plan.forward(g, self._width(x))
        self._multiply(self._pad(x, planes), self._pack(w, panels), bias, y, panels, products, g)

    def conv_backward_input(self, dy, w, dx, g):
        form = self._winograd(plan_winograd.backward_input, g, dy)
        if form is not None:
            return self._multiply_winograd(dy, w, None, dx, form, g)
        planes, panels, products = plan.backward_input(g, self._width(dy))
        if len(products) < plan.phases(g):
            dx.fill(0)
        self._multiply(self._pad(dy, planes), self._pack(w, panels), None, dx, panels, products, g)

    def conv_backward_weight(self, x, dy, dw, db, g):
        if g.c < g.k and g.groups == 1 and plan.pointwise(g):
            # The smaller one of x and dy is packed: 3 ms of 7.5 for 64 to 256 channels of 8 x 56 x 56.
            flipped = np.empty((g.c, g.k), dw.dtype)
            self._gradient(dy, x, flipped, None, plan.turned(g))
            np.copyto(dw.reshape(g.k, g.c), flipped.T)
            if db is not None:
                sums = Workspace(g.n * g.k, dy.dtype)
                self._sum_planes(dy, sums, g)
                self._add_up(sums, g.n, db)
        else:
            self._gradient(x, dy, dw, db, g)

    def _gradient(self, x, dy, dw, db, g):
        form = self._winograd(plan_winograd.backward_weight, g, x)
        sums = None if db is None else Workspace(g.n * g.k, x.dtype)
        if form is not None:
            parts = self._parts(form, dw, lambda out: self._winograd_gradient(x, dy, out, form, g))
            if db is not None:
                self._sum_planes(dy, sums, g)
        else:
            planes, panels, form = plan.backward_weight(g, self._width(x))
            source, packed = self._pad(x, planes), self._pack(dy, panels, sums)
            parts = self._parts(form, dw, lambda out: self.run(
                "multiply_weight", form.items(panels),
                _args(address(source), packed.address, address(out), form.rows.address, *form.args(panels)),
                dw.dtype, g.multiply_adds // MULTIPLY_ADDS))
        if parts is not dw:
            self._add_up(parts, form.splits, dw)
        if db is not None:
            self._add_up(sums, g.n, db)

    def im2col(self, x, cols, g):
        self.run("im2col", g.n * g.c, _args(address(x), address(cols), *_window(g)), x.dtype, cols.size)

    def col2im(self, cols, x, g):
        self.run("col2im", g.n * g.c, _args(address(cols), address(x), *_window(g)), x.dtype, cols.size)

    def max_pool_forward(self, x, y, indices, g):
        self.run("max_forward", g.n * g.c,
                 _args(address(x), address(y), address(indices), plan.taps(g).address, *_window(g)), x.dtype,
                 y.size * prod(g.kernel))

    def max_pool_backward(self, dy, indices, dx, g):
        self.run("max_backward", g.n * g.c,
                 _args(address(dy), address(indices), address(dx), prod(g.input), prod(g.output)), dx.dtype,
                 dx.size + dy.size)

    def avg_pool_forward(self, x, y, g):
        self.run("avg_forward", g.n * g.c, _args(address(x), address(y), plan.taps(g).address, *_average(g)), x.dtype,
                 y.size * prod(g.kernel))

    def avg_pool_backward(self, dy, dx, g):
        self.run("avg_backward", g.n * g.c, _args(address(dy), address(dx), *_average(g)), dx.dtype,
                 dx.size + dy.size * prod(g.kernel))

    def _width(self, array):
        return self.tile_bytes // array.itemsize

    def _pad(self, source, planes):
        if not planes.copy:
            return source
        padded = Workspace(planes.elements, source.dtype)
        self.run("pad", planes.count, _args(address(source), padded.address, *planes.args()), source.dtype,
                 planes.elements)
        return padded

    def _pack(self, source, panels, sums=None):
        packed = Workspace(panels.elements, source.dtype)
        self.run("pack", panels.groups * panels.blocks,
                 _args(address(source), packed.address, address(sums), *panels.args()), source.dtype, panels.elements)
        return packed

    def _multiply(self, source, packed, bias, out, panels, products, g):
        for product in products:
            self.run("multiply", product.items(panels),
                     _args(address(source), packed.address, address(bias), address(out), product.col_a.address,
                           product.col_b.address, *product.args(panels)), out.dtype,
                     g.multiply_adds // (MULTIPLY_ADDS * len(products)))

    def _winograd(self, planner, g, array):
        """The Winograd plan of a pass, or None where type, the precision asked for or its cost speaks against it."""
        if array.dtype != np.float32 or precision.get_float32_precision() == "highest":
            return None
        return planner(g, self._width(array))

    def _multiply_winograd(self, source, w, bias, out, form, g):
        panels, weights = form.panels, self._pack(w, form.panels)
        if not form.fused:
            packed, weights = weights, Workspace(form.weights, out.dtype)
            self.run("winograd_weights", panels.groups * panels.blocks * form.channels,
                     _args(packed.address, weights.address, form.channels, panels.width, form.flipped,
                           form.weight_point), out.dtype, form.weights)
        parts = min(threads.get_num_threads(), form.items)
        work = Workspace(parts * form.sections[-1], out.dtype)
        self.run("winograd", form.items,
                 _args(address(source), weights.address, address(bias), address(out), form.col_a.address,
                       form.col_b.address, work.address, *form.args(parts)), out.dtype,
                 g.multiply_adds // (2 * MULTIPLY_ADDS))

    def _winograd_gradient(self, x, dy, out, form, g):
        parts = min(threads.get_num_threads(), form.items)
        work = Workspace(parts * form.sections[-1], x.dtype)
        self.run("winograd_gradient", form.items,
                 _args(address(x), address(dy), address(out), work.address, *form.args(parts)), x.dtype,
                 g.multiply_adds // (2 * MULTIPLY_ADDS))

    def _sum_planes(self, dy, sums, g):
        self.run("sum_planes", g.n * g.k, _args(address(dy), sums.address, prod(g.output)), dy.dtype, dy.size)

    def _parts(self, form, dw, multiply):
        """Where ``multiply(out)`` put its result: in `dw`, or in the parts of a split reduction."""
        out = dw if form.splits == 1 else Workspace(form.splits * dw.size, dw.dtype)
        multiply(out)
        return out

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
    """Address of the first element of an array or a Workspace, or 0 for None."""
    if array is None:
        return 0
    return array.__array_interface__["data"][0] if type(array) is np.ndarray else array.address


class Workspace:
    """`size` uninitialized elements, the first one aligned to a cache line."""

    __slots__ = ("_space", "address")

    def __init__(self, size, dtype):
        self._space = np.empty(size * dtype.itemsize + 64, np.uint8)
        first = address(self._space)
        self.address = first + -first % 64
