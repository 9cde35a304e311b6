"""The Numba engine: the kernel contract of `fastconv.backends` on register tiles in LLVM vector code."""

from math import prod

import numba
import numpy as np

from fastconv.backends import plan, plan_rows, plan_winograd, precision, threads
from fastconv.backends.numba import columns, conv, dot, isa, pool, rows, winograd
from fastconv.backends.numba.jit import address, run, workspace


def _width(dtype):
    return isa.TILE_VECTORS * isa.VECTOR_BYTES // dtype.itemsize


def _lanes(dtype):
    return isa.VECTOR_BYTES // dtype.itemsize


def _args(*values):
    return np.array(values, np.int64)


def _pad(source, planes):
    if not planes.copy:
        return source
    padded = workspace(planes.elements, source.dtype)
    run(conv.pad, planes.count, _args(address(source), address(padded), *planes.args()), source.dtype)
    return padded


def _pack(source, panels, sums=None):
    packed = workspace(panels.elements, source.dtype)
    run(conv.pack, panels.groups * panels.blocks,
        _args(address(source), address(packed), address(sums), *panels.args()), source.dtype)
    return packed


def _multiply(source, packed, bias, out, panels, products):
    for product in products:
        run(conv.multiply, product.items(panels),
            _args(address(source), address(packed), address(bias), address(out), address(product.col_a),
                  address(product.col_b), *product.args(panels)), out.dtype)


def _winograd(planner, g, dtype):
    """The Winograd plan of a pass, or None where the type, the precision asked for or its cost speaks against it."""
    if dtype != np.float32 or precision.get_float32_precision() == "highest":
        return None
    return planner(g, _width(dtype))


def _multiply_winograd(source, w, bias, out, form):
    panels, weights = form.panels, _pack(w, form.panels)
    if not form.fused:
        packed, weights = weights, workspace(form.weights, out.dtype)
        run(winograd.transform_weights, panels.groups * panels.blocks * form.channels,
            _args(address(packed), address(weights), form.channels, panels.width, form.flipped, form.weight_point),
            out.dtype)
    parts = min(threads.get_num_threads(), form.items)
    work = workspace(parts * form.sections[-1], out.dtype)
    run(winograd.multiply, form.items,
        _args(address(source), address(weights), address(bias), address(out), address(form.col_a),
              address(form.col_b), address(work), *form.args(parts)), out.dtype)


def conv_forward(x, w, bias, y, g):
    form = _winograd(plan_winograd.forward, g, x.dtype)
    if form is not None:
        return _multiply_winograd(x, w, bias, y, form)
    product = plan_rows.forward(g, _lanes(x.dtype), dot.VECTORS)
    if product is not None:
        return rows.multiply(x, w, bias, y, product)
    planes, panels, products = plan.forward(g, _width(x.dtype))
    _multiply(_pad(x, planes), _pack(w, panels), bias, y, panels, products)


def conv_backward_input(dy, w, dx, g):
    form = _winograd(plan_winograd.backward_input, g, dy.dtype)
    if form is not None:
        return _multiply_winograd(dy, w, None, dx, form)
    product = plan_rows.backward_input(g, _lanes(dy.dtype), dot.VECTORS)
    if product is not None:
        return rows.multiply(dy, w, None, dx, product)
    planes, panels, products = plan.backward_input(g, _width(dy.dtype))
    if len(products) < plan.phases(g):
        dx.fill(0)
    _multiply(_pad(dy, planes), _pack(w, panels), None, dx, panels, products)


def conv_backward_weight(x, dy, dw, db, g):
    form = _winograd(plan_winograd.backward_weight, g, x.dtype)
    if form is not None:
        parts = min(threads.get_num_threads(), form.items)
        work = workspace(parts * form.sections[-1], x.dtype)
        partial = dw if form.splits == 1 else workspace(form.splits * dw.size, dw.dtype)
        run(winograd.multiply_weight, form.items,
            _args(address(x), address(dy), address(partial), address(work), *form.args(parts)), dw.dtype)
        if partial is not dw:
            _add_up(partial, form.splits, dw)
        if db is not None:
            sums = workspace(g.n * g.k, dy.dtype)
            run(winograd.sum_planes, g.n * g.k, _args(address(dy), address(sums), prod(g.output)), dy.dtype)
            _add_up(sums, g.n, db)
        return
    product = plan_rows.backward_weight(g, _lanes(x.dtype), dot.DOTS)
    if product is not None:
        return rows.add(x, dy, dw, db, product)
    planes, panels, product = plan.backward_weight(g, _width(x.dtype))
    sums = None if db is None else workspace(g.n * g.k, x.dtype)
    source, packed = _pad(x, planes), _pack(dy, panels, sums)
    parts = dw if product.splits == 1 else workspace(product.splits * dw.size, dw.dtype)
    run(conv.multiply_weight, product.items(panels),
        _args(address(source), address(packed), address(parts), address(product.rows), *product.args(panels)),
        dw.dtype)
    if parts is not dw:
        _add_up(parts, product.splits, dw)
    if db is not None:
        _add_up(sums, g.n, db)


def _add_up(parts, count, out):
    run(conv.add_up, -(-out.size // 1024), _args(address(parts), address(out), count, out.size), out.dtype)


def im2col(x, cols, g):
    run(columns.im2col, g.n * g.c, _args(address(x), address(cols), *_window(g)), x.dtype)


def col2im(cols, x, g):
    run(columns.col2im, g.n * g.c, _args(address(cols), address(x), *_window(g)), x.dtype)


def max_pool_forward(x, y, indices, g):
    taps = plan.taps(g)
    run(pool.max_forward, g.n * g.c, _args(address(x), address(y), address(indices), address(taps), *_window(g)), x.dtype)


def max_pool_backward(dy, indices, dx, g):
    run(pool.max_backward, g.n * g.c,
        _args(address(dy), address(indices), address(dx), prod(g.input), prod(g.output)), dx.dtype)


def avg_pool_forward(x, y, g):
    taps = plan.taps(g)
    run(pool.avg_forward, g.n * g.c, _args(address(x), address(y), address(taps), *_average(g)), x.dtype)


def avg_pool_backward(dy, dx, g):
    run(pool.avg_backward, g.n * g.c, _args(address(dy), address(dx), *_average(g)), dx.dtype)


def _window(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding), *g.dilation)


def _average(g):
    return (*g.input, *g.kernel, *g.output, *g.stride, *(before for before, _ in g.padding),
            *(after for _, after in g.padding), g.count_include_pad, g.divisor)


def describe():
    """One line for `show_config`."""
    return f"numba {numba.__version__}, tiles for {isa.NAME}"
