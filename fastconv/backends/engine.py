"""The kernel contract of `fastconv.backends` on range kernels: what is allocated, packed, multiplied, in which order.

The kernels of a call are planned once for a geometry, as a `fastconv.backends.program.Program`. A range kernel does the
work items ``begin <= i < end`` and reads its arguments as int64: first the addresses of its arrays, then sizes. The
names and arguments are the same whatever compiled it:

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
winograd             source, points or kernel, bias or 0, out, col_a, col_b, work,    a block of tiles, a run of panels
                     `plan_winograd.Winograd.args`, past
winograd_gradient    source, dy, out, rows, work,                                     a run of panels, part of the sum
                     `plan_winograd_weight.WinogradWeight.args`
sum_planes           planes, sums, elements of one                                    a plane
split, join          the input, the result, `plan_apart.Phases.args`                  a plane
pack_halves          w, weights, turned, places,                                      a tile of filters of a block of
                     `plan_halves.Halves.weight_args`                                 channels
multiply_halves      source, weights, bias or 0, out, work, columns,                  a block of rows or images, a run
                     `plan_halves.Halves.args`, past                                  of panels
add_halves           x, dy, out, work, places, sums of dy or 0,                      a range of filters and channels,
                     `plan_halves_weight.HalvesWeight.args`                           part of the sum
add_up               parts, out, number of parts, elements of one                     1024 elements
multiply_rows        source, w, bias or 0, out, scratch, col_a, col_b, phases,        a chunk of images, groups and
                     chunks, `plan_rows.Rows.args`, past                              strips
add_rows             x, dy, dw, db or 0, scratch, taps, chunks,                       a chunk of groups and pieces of
                     `plan_rows.Dots.args`                                            the sum
multiply_across      source, w, bias or 0, out, scratch, col_a, col_b, phases,        a chunk of strips of blocks of
                     places, chunks, `plan_across.Across.args`                        planes
add_across           x, dy, dw, db or 0, scratch, taps, places, chunks,               a chunk of pieces of the sum of
                     `plan_across.AcrossWeight.args`                                  blocks of channels
im2col, col2im       the input, the result, `_window`                                 a plane
max_forward          x, y, indices or 0, taps, `_window`                              a plane
max_backward         dy, indices, dx, outside or 0, sizes of a map of dx, of dy,      a plane
                     `Engine._streamed`
avg_forward          x, y, taps, `_average`                                           a plane
avg_backward         dy, dx, `_average`, `Engine._streamed`                           a plane
===================  ===============================================================  ================================

`outside` becomes 1 where an index lies outside of its map, whose plane is then left out. `past` says that the result is
too large for the caches: a kernel stores past them where that is faster, see `PAST`.
"""

from functools import lru_cache, partial
from math import prod

import numpy as np

from fastconv.backends import machine, plan, plan_apart, plan_winograd, plan_winograd_weight, precision, threads
from fastconv.backends.program import Program

# Of the arguments of the kernels: an extension that was built for others is not used.
REVISION = 4
STRETCH = 1024  # elements of a work item of `add_up`
# Multiply-adds done in the time in which one element is moved, roughly: 50 and 1 a nanosecond.
MULTIPLY_ADDS = 50
# Bytes of a result from which on it is stored past the caches, a share of the last one's. A line of it that is written
# in many planes by turns is otherwise fetched from memory first, with no hint to the hardware of which comes next: 25.7
# MB, 256 bytes a plane of 256 planes, take 1.8 ms in place of 0.5 on Zen 4, whose cores share 32 MB. On an Intel Xeon
# with 480 MB stores that stay are faster, also for who reads the result: 29 ms in place of 33 for 3 x 3 taps and 64 to
# 128 channels of 8 x 112 x 112 by Winograd's transform. Multiplied as halves, these take as long either way.
LAST_LEVEL = machine.last_level()
PAST = max(8 << 20, LAST_LEVEL // 8)
# The same of a thread's part of a pooling's gradient, which is written in order and not read before. 8 x 64 x 112 x 112
# by 2 x 2 windows first took 1.2 ms in place of 1.8 so; on that Xeon their means take 1.8 in place of 1.2, but maxima
# of 224 x 224 9.1 in place of 18.
STREAMED = max(8 << 20, LAST_LEVEL // 16)


def past(p, out):
    """`PAST` of the Slot of a program, as the kernels read it."""
    return int(out.size * p.dtype.itemsize >= PAST)


def streamed(size, parts):
    """`STREAMED` of `size` bytes that are written in so many parts, as the kernels read it."""
    return int(size > STREAMED * parts)


class Engine:
    """The nine functions of a backend.

    For each there is a method that plans it, ``plan_<function>(p, ...)``: it adds the steps to a Program.

    Parameters
    ----------
    run : function
        ``run(kernel, count, args, dtype, work, most)`` does the work items 0 .. `count` of the kernel of that name,
        on `most` threads at most; `args` are the bytes of its arguments, and the arrays of type `dtype`. `work` is an
        estimate of the nanoseconds that it takes one core.
    tile_bytes : int
        Bytes of a row of the kernels' widest tile.
    address : function
        ``address(array)`` is the address of the first element of an array, and 0 for None.
    pairs : bool
        Whether there is the kernel ``multiply_pair``.
    kernels : tuple of int
        Taps across and down of the kernels that the Winograd transforms are made for.
    strided : float, optional
        How many times as fast as the direct product the transform must be expected to be, for a forward pass or a
        weight gradient with strides of 2 and many channels, if not `plan_transform.NEEDED`.
    point_bytes : int, optional
        `tile_bytes` of the products of Winograd's transforms, if they are others.
    products : int
        Bytes of products at Winograd's points that a work item of the weight gradient may hold.
    """

    def __init__(self, run, tile_bytes, address, pairs=False, kernels=(3,), strided=None,
                 products=plan_winograd_weight.PRODUCTS, point_bytes=None):
        self.run = run
        self.pairs, self.kernels = pairs, kernels
        self._winograd_forward = partial(plan_winograd.forward, strided=strided)
        self._winograd_weight = partial(plan_winograd_weight.backward_weight, strided=strided, products=products)
        self.tile_bytes, self.point_bytes = tile_bytes, point_bytes or tile_bytes
        self.address = address
        self._programs = lru_cache(maxsize=1024)(self._planned)

    def conv_forward(self, x, w, bias, y, g):
        self._program("conv_forward", x, g)(x, w, bias, y)

    def conv_backward_input(self, dy, w, dx, g):
        self._program("conv_backward_input", dy, g)(dy, w, dx)

    def conv_backward_weight(self, x, dy, dw, db, g):
        self._program("conv_backward_weight", x, g, db is not None)(x, dy, dw, db)

    def im2col(self, x, cols, g):
        self._program("im2col", x, g)(x, cols)

    def col2im(self, cols, x, g):
        self._program("col2im", cols, g)(cols, x)

    def max_pool_forward(self, x, y, indices, g):
        self._program("max_pool_forward", x, g)(x, y, indices)

    def max_pool_backward(self, dy, indices, dx, g):
        self._program("max_pool_backward", dy, g)(dy, indices, dx, None)

    def max_pool_backward_checked(self, dy, indices, dx, g):
        """`max_pool_backward` for any `indices`; whether they all lie in their maps, without which `dx` is nothing."""
        outside = np.zeros(1, np.int64)
        self._program("max_pool_backward", dy, g)(dy, indices, dx, outside)
        return not outside[0]

    def avg_pool_forward(self, x, y, g):
        self._program("avg_pool_forward", x, g)(x, y)

    def avg_pool_backward(self, dy, dx, g):
        self._program("avg_pool_backward", dy, g)(dy, dx)

    def whole(self, program):
        """What does all steps of a Program at once, called with its arrays; None where there is no such thing."""
        return None

    def _program(self, function, like, g, *more):
        # Another thread may change the number of threads at any moment: it is read once.
        return self._programs(function, g, like.dtype, threads.get_num_threads(), precision.get_float32_precision(),
                              *more)

    def _planned(self, function, g, dtype, most, level, *more):
        x, w, y, cols = prod(g.x_shape), prod(g.w_shape), prod(g.y_shape), prod(g.cols_shape)
        sizes = {"conv_forward": (x, w, g.k, y), "conv_backward_input": (y, w, x),
                 "conv_backward_weight": (x, y, w, g.k), "im2col": (x, cols), "col2im": (cols, x),
                 "max_pool_forward": (x, y, y), "max_pool_backward": (y, y, x, 1), "avg_pool_forward": (x, y),
                 "avg_pool_backward": (y, x)}[function]
        p = Program(self, dtype, most, level == "highest", sizes)
        getattr(self, f"plan_{function}")(p, g, *p.arguments, *more)
        return p.ready()

    def plan_conv_forward(self, p, g, x, w, bias, y):
        apart, form = self._transform(p, self._winograd_forward, g)
        if form is not None:
            out = self._whole(p, y, apart and apart.y)
            self._multiply_winograd(p, self._split(p, x, apart and apart.x), w, bias, out, form, g)
            return self._join(p, out, y, apart and apart.y)
        planes, products, whole = plan.forward(g, self._width(p))
        if not whole:
            p.then(lambda x, w, bias, y: _fill(y.reshape(g.y_shape), bias))
        self._multiply(p, self._pad(p, x, planes), w, bias, y, products, g)

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        apart, form = self._transform(p, plan_winograd.backward_input, g)
        if form is not None:
            out = self._whole(p, dx, apart and apart.x)
            self._multiply_winograd(p, self._split(p, dy, apart and apart.y), w, None, out, form, g)
            return self._join(p, out, dx, apart and apart.x)
        planes, products, whole = plan.backward_input(g, self._width(p), self.pairs)
        if not whole:
            p.then(lambda dy, w, dx: dx.fill(0))
        self._multiply(p, self._pad(p, dy, planes), w, None, dx, products, g)

    def plan_conv_backward_weight(self, p, g, x, dy, dw, db, with_bias):
        if g.c < g.k and g.groups == 1 and plan.pointwise(g):
            # The smaller one of x and dy is packed: 5.9 ms in place of 7.5 for 64 to 256 channels of 8 x 56 x 56.
            self._multiply_weight(p, dy, x, dw, None, plan.turned(g), turned=True)
            if with_bias:
                self._sum_planes(p, dy, db, g)
            return
        apart, form = self._transform(p, self._winograd_weight, g)
        if form is None:
            return self._multiply_weight(p, x, dy, dw, db if with_bias else None, g)
        source, grads = self._split(p, x, apart and apart.x), self._split(p, dy, apart and apart.y)
        out = self._parts(p, form, dw)
        parts = min(p.most, form.items)
        work = p.space(parts * form.sections[-1])
        p.do("winograd_gradient", form.items, (source, grads, out, form.rows, work), form.args(parts),
             g.multiply_adds // (2 * MULTIPLY_ADDS), parts)
        if out is not dw:
            self._add_up(p, out, form.splits, dw)
        if with_bias:
            self._sum_planes(p, dy, db, g)

    def plan_im2col(self, p, g, x, cols):
        p.do("im2col", g.n * g.c, (x, cols), _window(g), cols.size)

    def plan_col2im(self, p, g, cols, x):
        p.do("col2im", g.n * g.c, (cols, x), _window(g), cols.size)

    def plan_max_pool_forward(self, p, g, x, y, indices):
        p.do("max_forward", g.n * g.c, (x, y, indices, plan.taps(g)), _window(g), y.size * prod(g.kernel))

    def plan_max_pool_backward(self, p, g, dy, indices, dx, outside):
        p.do("max_backward", g.n * g.c, (dy, indices, dx, outside), (*g.input, *g.output, *self._streamed(p, dx, g)),
             dx.size + dy.size)

    def plan_avg_pool_forward(self, p, g, x, y):
        p.do("avg_forward", g.n * g.c, (x, y, plan.taps(g)), _average(g), y.size * prod(g.kernel))

    def plan_avg_pool_backward(self, p, g, dy, dx):
        p.do("avg_backward", g.n * g.c, (dy, dx), (*_average(g), *self._streamed(p, dx, g)),
             dx.size + dy.size * prod(g.kernel))

    def _streamed(self, p, dx, g):
        """Whether a gradient goes past the caches, of kernels that read it: `STREAMED`."""
        return ()

    def _width(self, p):
        return self.tile_bytes // p.dtype.itemsize

    def _pad(self, p, source, planes):
        if not planes.copy:
            return source
        padded = p.space(planes.elements)
        p.do("pad", planes.count, (source, padded), planes.args, planes.elements)
        return padded

    def _pack(self, p, source, panels, sums=None):
        packed = p.space(panels.elements)
        p.do("pack", panels.groups * panels.blocks, (source, packed, sums), panels.args, panels.elements)
        return packed

    def _multiply(self, p, source, w, bias, out, products, g):
        packed = self._pack(p, w, products[0].panels) if products else None
        for product in products:
            work = g.multiply_adds // (MULTIPLY_ADDS * len(products))
            if isinstance(product, plan.Pair):
                even, odd = product.even, product.odd
                p.do("multiply_pair", even.items, (source, packed, out, even.col_a, even.col_b, odd.col_a, odd.col_b),
                     (len(odd.col_a), product.width, *even.args), work)
            else:
                p.do("multiply", product.items, (source, packed, bias, out, product.table),
                     (len(product.products), past(p, out)), work)

    def _transform(self, p, planner, g):
        """(Apart or None, the Winograd plan of a pass or None) by type, the precision asked for and the cost."""
        if p.dtype.itemsize != 4 or p.exact:
            return None, None
        # The direct weight gradient multiplies padding, too.
        return plan_apart.transform(planner, g, self.point_bytes // p.dtype.itemsize, self.kernels,
                                    clips=planner is not self._winograd_weight)

    def _whole(self, p, planes, phases):
        """Where a result goes that is then joined to `planes`, or those themselves where there are no phases."""
        return planes if phases is None else p.space(phases.elements)

    def _split(self, p, planes, phases):
        if phases is None:
            return planes
        out = p.space(phases.elements)
        p.do("split", phases.images * phases.channels, (planes, out), phases.args, phases.elements)
        return out

    def _join(self, p, source, planes, phases):
        if phases is not None:
            p.do("join", phases.images * phases.channels, (source, planes), phases.args, phases.elements)

    def _multiply_winograd(self, p, source, w, bias, out, form, g):
        weights = w
        if not form.fused:
            weights = p.space(form.weights)
            packed = self._pack(p, w, form.panels)
            p.do("winograd_weights", form.weight_items, (packed, weights), form.weight_args, form.weights)
            p.drop(packed)
        run = form.run(p.most)
        items = form.items(run)
        parts = min(p.most, items)
        work = p.space(parts * form.sections[-1])
        p.do("winograd", items, (source, weights, bias, out, form.col_a, form.col_b, work),
             (*form.args(parts, run), past(p, out)), g.multiply_adds // (2 * MULTIPLY_ADDS), parts)

    def _multiply_weight(self, p, x, dy, dw, db, g, turned=False):
        """The product of x and dy; `turned`, their gradient is stored as of dy and x."""
        planes, form = plan.backward_weight(g, self._width(p))
        out = self._parts(p, form, dw)
        sums = None if db is None else p.space(g.n * g.k)
        source, packed = self._pad(p, x, planes), self._pack(p, dy, form.panels, sums)
        p.do("multiply_weight", form.items, (source, packed, out, form.rows), (*form.args, turned),
             g.multiply_adds // MULTIPLY_ADDS)
        if db is not None:
            self._add_up(p, sums, g.n, db)
        if out is not dw:
            self._add_up(p, out, form.splits, dw)

    def _parts(self, p, form, dw):
        """Where the weight gradient goes: to `dw`, or to the parts of a split reduction."""
        return dw if form.splits == 1 else p.space(form.splits * dw.size)

    def _sum_planes(self, p, dy, db, g):
        if prod(g.output) == 1:  # a linear layer: 0.7 ms in place of 47 for 25088 rows of 128
            return self._add_up(p, dy, g.n, db)
        sums = p.space(g.n * g.k)
        p.do("sum_planes", g.n * g.k, (dy, sums), (prod(g.output),), dy.size)
        self._add_up(p, sums, g.n, db)

    def _add_up(self, p, parts, count, out):
        p.do("add_up", -(-out.size // STRETCH), (parts, out), (count, out.size), count * out.size)


def _fill(y, bias):
    y[...] = 0 if bias is None else bias.reshape(-1, 1, 1, 1)


def _window(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding), *g.dilation)


def _average(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding),
            *(after for _, after in g.padding), g.count_include_pad, g.divisor)
