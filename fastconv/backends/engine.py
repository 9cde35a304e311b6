"""The kernel contract of `fastconv.backends` on range kernels: what is allocated, packed, multiplied, in which order.

A range kernel does the work items ``begin <= i < end`` and reads its arguments from an array of int64: first the
addresses of its arrays, then sizes. The names and arguments are the same whatever compiled it:

===================  ===============================================================  ================================
kernel               arguments                                                        a work item is
===================  ===============================================================  ================================
pad                  source, padded, `plan.Planes.args`                               a plane
pack                 source, panels, sums or 0, `plan.Panels.args`                    a panel
multiply             source, panels, bias or 0, out, `plan.Batch.table`, number of    a block of rows of a panel
                     products, past
multiply_pair        source, panels, out, col_a and col_b of the even positions, of   the same
                     the odd ones, their steps, width, `plan.Product.args`
multiply_weight      source, panels, out, rows, `plan.WeightProduct.args`             the same of a part of the sum
winograd_weights     panels, points, `plan_winograd.Winograd.weight_args`             a step of a panel
winograd             source, panels or points, bias or 0, out, col_a, col_b, work,    a block of tiles, a run of panels
                     `plan_winograd.Winograd.args`, past
winograd_gradient    source, dy, out, rows, work,                                     a run of panels, part of the sum
                     `plan_winograd.WinogradWeight.args`
sum_planes           planes, sums, elements of one                                    a plane
split, join          the input, the result, `plan_winograd.Phases.args`               a plane
add_up               parts, out, number of parts, elements of one                     1024 elements
multiply_rows        source, w, bias or 0, out, scratch, col_a, col_b, phases,        a chunk of images, groups and
                     chunks, `plan_rows.Rows.args`, past                              strips
add_rows             x, dy, dw, db or 0, scratch, taps, chunks,                       a chunk of groups and pieces of
                     `plan_rows.Dots.args`                                            the sum
im2col, col2im       the input, the result, `_window`                                 a plane
max_forward          x, y, indices or 0, taps, `_window`                              a plane
max_backward         dy, indices, dx, sizes of a map of dx, of dy                     a plane
avg_forward          x, y, taps, `_average`                                           a plane
avg_backward         dy, dx, `_average`                                               a plane
===================  ===============================================================  ================================

`past` says that the result is too large for the caches, and that stores which go past them are faster: see `PAST`.
"""

from math import prod

import numpy as np

from fastconv.backends import plan, plan_winograd, precision, threads
from fastconv.backends.workspace import Workspace

# Of the arguments of the kernels: an extension that was built for others is not used.
REVISION = 2
STRETCH = 1024  # elements of a work item of `add_up`
# Multiply-adds done in the time in which one element is moved, roughly: 50 and 1 a nanosecond.
MULTIPLY_ADDS = 50
# Bytes of a result from which on it is stored past the caches. A line of it that is written in many planes by turns is
# otherwise fetched from memory first, with no hint to the hardware of which comes next: 25.7 MB, 256 bytes a plane of
# 256 planes, take 1.8 ms in place of 0.5 on Zen 4. Below 8 MB the caches of a server hold it, and stores that stay in
# them are faster, also for who reads the result.
PAST = 8 << 20


def past(out):
    """`PAST` of an array or a `Workspace`, as the kernels read it."""
    return int(out.nbytes >= PAST)


class Engine:
    """The nine functions of a backend.

    Parameters
    ----------
    run : function
        ``run(kernel, count, args, dtype, work, most)`` does the work items 0 .. `count` of the kernel of that name,
        on `most` threads at most; the arrays are of type `dtype`. `work` is an estimate of the nanoseconds that it
        takes one core.
    tile_bytes : int
        Bytes of a row of the kernels' widest tile.
    address : function
        ``address(array)`` is the address of the first element of an array, a Workspace or a Table, and 0 for None.
    pairs : bool
        Whether there is the kernel ``multiply_pair``.
    kernels : tuple of int
        Taps across and down of the kernels that the Winograd transforms are made for.
    """

    def __init__(self, run, tile_bytes, address, pairs=False, kernels=(3,)):
        self.run = run
        self.pairs, self.kernels = pairs, kernels
        self.tile_bytes = tile_bytes
        self.address = address

    def conv_forward(self, x, w, bias, y, g):
        apart = self._winograd(plan_winograd.apart, g, x)
        if apart is not None:
            form = self._winograd(plan_winograd.forward, apart.inner, x, apart.taps)
            out = self._whole(y, apart.y)
            self._multiply_winograd(self._split(x, apart.x), w, bias, out, form, g)
            return self._join(out, y, apart.y)
        form = self._winograd(plan_winograd.forward, g, x)
        if form is not None:
            return self._multiply_winograd(x, w, bias, y, form, g)
        planes, products, whole = plan.forward(g, self._width(x))
        if not whole:
            y[...] = 0 if bias is None else bias.reshape(-1, 1, 1, 1)
        self._multiply(self._pad(x, planes), w, bias, y, products, g)

    def conv_backward_input(self, dy, w, dx, g):
        apart = self._winograd(plan_winograd.apart, g, dy)
        if apart is not None:
            form = self._winograd(plan_winograd.backward_input, apart.inner, dy, apart.taps)
            out = self._whole(dx, apart.x)
            self._multiply_winograd(self._split(dy, apart.y), w, None, out, form, g)
            return self._join(out, dx, apart.x)
        form = self._winograd(plan_winograd.backward_input, g, dy)
        if form is not None:
            return self._multiply_winograd(dy, w, None, dx, form, g)
        planes, products, whole = plan.backward_input(g, self._width(dy), self.pairs)
        if not whole:
            dx.fill(0)
        self._multiply(self._pad(dy, planes), w, None, dx, products, g)

    def conv_backward_weight(self, x, dy, dw, db, g):
        if g.c < g.k and g.groups == 1 and plan.pointwise(g):
            # The smaller one of x and dy is packed: 5.9 ms in place of 7.5 for 64 to 256 channels of 8 x 56 x 56.
            flipped = np.empty((g.c, g.k), dw.dtype)
            self._gradient(dy, x, flipped, None, plan.turned(g))
            np.copyto(dw.reshape(g.k, g.c), flipped.T)
            if db is not None:
                self._sum_planes(dy, db, g)
        else:
            self._gradient(x, dy, dw, db, g)

    def im2col(self, x, cols, g):
        self._do("im2col", g.n * g.c, (x, cols), _window(g), x.dtype, cols.size)

    def col2im(self, cols, x, g):
        self._do("col2im", g.n * g.c, (cols, x), _window(g), x.dtype, cols.size)

    def max_pool_forward(self, x, y, indices, g):
        self._do("max_forward", g.n * g.c, (x, y, indices, plan.taps(g)), _window(g), x.dtype, y.size * prod(g.kernel))

    def max_pool_backward(self, dy, indices, dx, g):
        self._do("max_backward", g.n * g.c, (dy, indices, dx), (*g.input, *g.output), dx.dtype, dx.size + dy.size)

    def avg_pool_forward(self, x, y, g):
        self._do("avg_forward", g.n * g.c, (x, y, plan.taps(g)), _average(g), x.dtype, y.size * prod(g.kernel))

    def avg_pool_backward(self, dy, dx, g):
        self._do("avg_backward", g.n * g.c, (dy, dx), _average(g), dx.dtype, dx.size + dy.size * prod(g.kernel))

    def _do(self, kernel, count, arrays, numbers, dtype, work, most=None):
        # Another thread may change the number of threads at any moment: it is read once.
        most = most or threads.get_num_threads()
        self.run(kernel, count, np.array([*map(self.address, arrays), *numbers], np.int64), dtype, work, most)

    def _space(self, size, dtype):
        return Workspace(size, dtype, self.address)

    def _width(self, array):
        return self.tile_bytes // array.itemsize

    def _pad(self, source, planes):
        if not planes.copy:
            return source
        padded = self._space(planes.elements, source.dtype)
        self._do("pad", planes.count, (source, padded), planes.args, source.dtype, planes.elements)
        return padded

    def _pack(self, source, panels, sums=None):
        packed = self._space(panels.elements, source.dtype)
        self._do("pack", panels.groups * panels.blocks, (source, packed, sums), panels.args, source.dtype,
                 panels.elements)
        return packed

    def _multiply(self, source, w, bias, out, products, g):
        packed = self._pack(w, products[0].panels) if products else None
        for product in products:
            if isinstance(product, plan.Pair):
                even, odd = product.even, product.odd
                self._do("multiply_pair", even.items, (source, packed, out, even.col_a, even.col_b, odd.col_a,
                                                       odd.col_b), (len(odd.col_a), product.width, *even.args),
                         out.dtype, g.multiply_adds // (MULTIPLY_ADDS * len(products)))
                continue
            self._do("multiply", product.items, (source, packed, bias, out, product.table),
                     (len(product.products), past(out)), out.dtype, g.multiply_adds // (MULTIPLY_ADDS * len(products)))

    def _winograd(self, planner, g, array, *taps):
        """The Winograd plan of a pass, or None where type, the precision asked for or its cost speaks against it."""
        if array.dtype != np.float32 or precision.get_float32_precision() == "highest":
            return None
        return planner(g, self._width(array), self.kernels, *taps)

    def _whole(self, planes, phases):
        """Where a result goes that is then joined to `planes`, or those themselves where there are no phases."""
        return planes if phases is None else self._space(phases.elements, planes.dtype)

    def _split(self, planes, phases):
        if phases is None:
            return planes
        out = self._space(phases.elements, planes.dtype)
        self._do("split", phases.images * phases.channels, (planes, out), phases.args, planes.dtype, phases.elements)
        return out

    def _join(self, source, planes, phases):
        if phases is None:
            return
        self._do("join", phases.images * phases.channels, (source, planes), phases.args, planes.dtype,
                 phases.elements)

    def _multiply_winograd(self, source, w, bias, out, form, g):
        weights = self._pack(w, form.panels)
        if not form.fused:
            packed, weights = weights, self._space(form.weights, w.dtype)
            self._do("winograd_weights", form.weight_items, (packed, weights), form.weight_args, w.dtype, form.weights)
        most = threads.get_num_threads()
        run = form.run(most)
        items = form.items(run)
        parts = min(most, items)
        work = self._space(parts * form.sections[-1], w.dtype)
        self._do("winograd", items, (source, weights, bias, out, form.col_a, form.col_b, work),
                 (*form.args(parts, run), past(out)), w.dtype, g.multiply_adds // (2 * MULTIPLY_ADDS), parts)

    def _gradient(self, x, dy, dw, db, g):
        apart = self._winograd(plan_winograd.apart, g, x)
        if apart is None:
            form = self._winograd(plan_winograd.backward_weight, g, x)
        else:
            form = self._winograd(plan_winograd.backward_weight, apart.inner, x, apart.taps)
        if form is not None:
            source, grads = x, dy
            if apart is not None:
                source, grads = self._split(x, apart.x), self._split(dy, apart.y)
            out = self._parts(form, dw)
            parts = min(threads.get_num_threads(), form.items)
            work = self._space(parts * form.sections[-1], x.dtype)
            self._do("winograd_gradient", form.items, (source, grads, out, form.rows, work), form.args(parts), x.dtype,
                     g.multiply_adds // (2 * MULTIPLY_ADDS), parts)
            if out is not dw:
                self._add_up(out, form.splits, dw)
            if db is not None:
                self._sum_planes(dy, db, g)
        else:
            planes, form = plan.backward_weight(g, self._width(x))
            out = self._parts(form, dw)
            sums = None if db is None else self._space(g.n * g.k, x.dtype)
            source, packed = self._pad(x, planes), self._pack(dy, form.panels, sums)
            self._do("multiply_weight", form.items, (source, packed, out, form.rows), form.args, dw.dtype,
                     g.multiply_adds // MULTIPLY_ADDS)
            if db is not None:
                self._add_up(sums, g.n, db)
            if out is not dw:
                self._add_up(out, form.splits, dw)

    def _parts(self, form, dw):
        """Where the weight gradient goes: to `dw`, or to the parts of a split reduction."""
        return dw if form.splits == 1 else self._space(form.splits * dw.size, dw.dtype)

    def _sum_planes(self, dy, db, g):
        if prod(g.output) == 1:  # a linear layer: 0.7 ms in place of 47 for 25088 rows of 128
            return self._add_up(dy, g.n, db)
        sums = self._space(g.n * g.k, dy.dtype)
        self._do("sum_planes", g.n * g.k, (dy, sums), (prod(g.output),), dy.dtype, dy.size)
        self._add_up(sums, g.n, db)

    def _add_up(self, parts, count, out):
        self._do("add_up", -(-out.size // STRETCH), (parts, out), (count, out.size), out.dtype, count * out.size)


def _window(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding), *g.dilation)


def _average(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding),
            *(after for _, after in g.padding), g.count_include_pad, g.divisor)
