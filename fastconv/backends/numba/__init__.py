"""The Numba engine: the kernel contract of `fastconv.backends` on register tiles in LLVM vector code."""

from math import prod

import numba

from fastconv.backends import (
    BackendUnavailable,
    plan_halves,
    plan_halves_cost,
    plan_halves_weight,
    plan_lowered,
    plan_winograd,
)
from fastconv.backends.depthwise import Depthwise
from fastconv.backends.engine import MULTIPLY_ADDS, Engine, past, streamed
from fastconv.backends.numba import (
    across,
    axes,
    columns,
    conv,
    dot,
    entire,
    fan,
    isa,
    jit,
    joined,
    lowered,
    phases,
    places,
    pointwise,
    pool,
    pool_backward,
    regions,
    rows,
    separable,
    slide,
    striding,
    sums,
    whole,
    winograd,
    winograd_taps,
    winograd_weight,
)
from fastconv.backends.numba.batch_norm import (  # noqa: F401
    batch_norm_moments,
    batch_norm_scale,
    batch_norm_scale_grad,
    batch_norm_sums,
)
from fastconv.backends.numba.cross_entropy import cross_entropy, cross_entropy_input  # noqa: F401
from fastconv.backends.numba.elementwise import (  # noqa: F401
    dropout,
    leaky_relu,
    leaky_relu_input,
    mse_loss_input,
    prelu,
    prelu_input,
    prelu_weight,
    relu,
    relu_input,
    sigmoid,
    sigmoid_input,
    squared_difference,
    tanh_input,
)
from fastconv.backends.numba.embedding import embedding, embedding_weight  # noqa: F401
from fastconv.backends.numba.rectified import max_pool_relu, max_pool_relu_backward  # noqa: F401
from fastconv.backends.numba.softmax import log_softmax, log_softmax_input, softmax, softmax_input  # noqa: F401
from fastconv.backends.numba.steps import adam, momentum, rmsprop  # noqa: F401
from fastconv.backends.plan_transform import KERNELS

if jit.disabled():
    raise BackendUnavailable("backend 'numba' cannot run here: NUMBA_DISABLE_JIT is set, and its tiles exist only as "
                             "machine code; unset it")

_KERNELS = {"pad": conv.pad, "pack": conv.pack, "multiply": conv.multiply, "multiply_pair": conv.multiply_pair,
            "multiply_weight": conv.multiply_weight,
            "multiply_planes": pointwise.multiply_planes, "add_planes": pointwise.add_planes,
            "add_up": sums.add_up, "sum_planes": sums.sum_planes, "winograd_weights": winograd_taps.transform_weights,
            "winograd": winograd.multiply, "winograd_gradient": winograd_weight.multiply_weight,
            "lay_out": lowered.lay_out, "multiply_lowered": lowered.multiply_lowered,
            "multiply_across": across.multiply_across, "add_across": across.add_across,
            "multiply_rows": rows.multiply_rows, "add_rows": rows.add_rows,
            "split": phases.split, "join": phases.join,
            "im2col": columns.im2col, "col2im": columns.col2im,
            "max_forward": pool.max_forward, "max_backward": pool_backward.max_backward,
            "avg_forward": pool.avg_forward, "avg_backward": pool_backward.avg_backward,
            "max_joined": joined.max_joined, "avg_joined": joined.avg_joined,
            "max_entire": entire.max_entire, "avg_entire": entire.avg_entire,
            "avg_entire_backward": entire.avg_entire_backward,
            "max_striding": striding.max_striding, "avg_striding": striding.avg_striding,
            "max_separable": separable.max_separable, "avg_separable": separable.avg_separable}


if isa.HALVES:
    from fastconv.backends.numba import halves, halves_weight

    _KERNELS |= halves.KERNELS | halves_weight.KERNELS


def _run(kernel, count, args, dtype, work, most):
    jit.run(_KERNELS[kernel], count, args, dtype, most, work)


class _Planes(Engine):
    """With forms of its own for 1 x 1 kernels, and for windows that hardly overlap or not at all."""

    def whole(self, program):
        return whole.compiled(program, _KERNELS)

    def plan_conv_forward(self, p, g, x, w, bias, y):
        if pointwise.serves(g, y, g.c):
            return pointwise.forward(p, g, x, w, bias, y)
        met = None if self._transform(p, self._winograd_forward, g)[1] else pointwise.alone(g)
        if met is None:
            met = pointwise.met(g)
            if met is None or not pointwise.widens(g) or not pointwise.serves(met, y, g.c):
                return super().plan_conv_forward(p, g, x, w, bias, y)
        elements = p.space(prod(met.x_shape))
        self.plan_im2col(p, g, x, elements)
        pointwise.forward(p, met, elements, w, bias, y)

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        if pointwise.serves(g, dx, g.k):
            return pointwise.backward_input(p, g, dy, w, dx)
        met = pointwise.met(g)
        if met is None or not pointwise.serves(met, dx, g.k):
            return super().plan_conv_backward_input(p, g, dy, w, dx)
        elements = p.space(prod(met.x_shape))
        pointwise.backward_input(p, met, dy, w, elements)
        self.plan_col2im(p, g, elements, dx)

    def plan_conv_backward_weight(self, p, g, x, dy, dw, db, with_bias):
        met = pointwise.met(g)
        if met is not None and pointwise.widens(g) and pointwise.serves_weight(met):
            elements = p.space(prod(met.x_shape))
            self.plan_im2col(p, g, x, elements)
            g, x = met, elements
        if not pointwise.serves_weight(g):
            return super().plan_conv_backward_weight(p, g, x, dy, dw, db, with_bias)
        for parts in pointwise.backward_weight(p, g, x, dy, dw, db if with_bias else None):
            self._add_up(p, *parts)

    def plan_max_pool_forward(self, p, g, x, y, indices):
        if joined.serves(g):
            joined.max_forward(p, g, x, y, indices)
        elif entire.serves(g):
            entire.max_forward(p, g, x, y, indices)
        elif separable.serves(p, g) and separable.pays(g):
            separable.max_forward(p, g, x, y, indices)
        elif striding.serves(p, g) and (g.stride[2] > 2 or g.kernel[2] > 3):
            striding.max_forward(p, g, x, y, indices)
        else:
            super().plan_max_pool_forward(p, g, x, y, indices)

    def plan_avg_pool_forward(self, p, g, x, y):
        if entire.serves(g):
            entire.avg_forward(p, g, x, y)
        elif separable.serves(p, g) and separable.pays(g):
            separable.avg_forward(p, g, x, y)
        elif striding.serves(p, g) and (max(g.stride[2], g.kernel[2]) > 2 or any(map(sum, g.padding))):
            striding.avg_forward(p, g, x, y)
        elif g.stride[2] > 2:
            p.then(lambda x, y: regions.avg_forward(x.reshape(g.x_shape), y.reshape(g.y_shape), g))
        elif joined.serves_mean(p, g):
            joined.avg_forward(p, g, x, y)
        else:
            super().plan_avg_pool_forward(p, g, x, y)

    def plan_avg_pool_backward(self, p, g, dy, dx):
        if entire.serves(g):
            entire.avg_backward(p, g, dy, dx)
        elif separable.serves(p, g):
            separable.avg_backward(p, g, dy, dx)
        elif g.stride[2:] != (2,) or g.kernel[2:] != (2,) or any(map(sum, g.padding)):
            p.then(lambda dy, dx: regions.avg_backward(dy.reshape(g.y_shape), dx.reshape(g.x_shape), g))
        else:
            super().plan_avg_pool_backward(p, g, dy, dx)

    def _streamed(self, p, dx, g):
        return (streamed(dx.size * p.dtype.itemsize, min(p.most, g.n * g.c)),)


class _Lowered(_Planes, Depthwise):
    """With short sums on lowered positions, before whole planes."""

    def plan_conv_forward(self, p, g, x, w, bias, y):
        form = plan_lowered.forward(g, self._lanes(p), lowered.TILES)
        if form is None or self._others(p, g, self._rows_forward(p, g), self._winograd_forward):
            return super().plan_conv_forward(p, g, x, w, bias, y)
        lowered.multiply(p, form, self._pad(p, x, form.planes), w, bias, y, g)

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        form = plan_lowered.backward_input(g, self._lanes(p), lowered.TILES)
        if form is None or self._others(p, g, self._rows_backward_input(p, g), plan_winograd.backward_input):
            return super().plan_conv_backward_input(p, g, dy, w, dx)
        lowered.multiply(p, form, self._pad(p, dy, form.planes), w, None, dx, g)

    def _others(self, p, g, product, planner):
        """Whether there is a transform, or rows of results serve better: fans, and groups, of which few are copied.

        8 groups of 8 to 8 channels of 8 x 28 x 28 take 2.1 ms in place of 1.7 with all planes padded first.
        """
        rowwise = product is not None and (product.fanned or g.groups > 1)
        return rowwise or self._transform(p, planner, g)[1] is not None


class _Halves(_Lowered):
    """With products of halves, where there is a matrix unit for them and they pay."""

    def plan_conv_forward(self, p, g, x, w, bias, y):
        form = self._halves(p, g, plan_halves.forward, self._winograd_forward)
        if form is None:
            return super().plan_conv_forward(p, g, x, w, bias, y)
        self._multiply_halves(p, form, x, w, bias, y, g)

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        form = self._halves(p, g, plan_halves.backward_input, plan_winograd.backward_input)
        if form is None:
            return super().plan_conv_backward_input(p, g, dy, w, dx)
        self._multiply_halves(p, form, dy, w, None, dx, g)

    def plan_conv_backward_weight(self, p, g, x, dy, dw, db, with_bias):
        form = self._halves(p, g, plan_halves_weight.backward_weight, self._winograd_weight)
        if form is None:
            return super().plan_conv_backward_weight(p, g, x, dy, dw, db, with_bias)
        out, sums = self._parts(p, form, dw), self._parts(p, form, db) if with_bias else None
        parts = min(p.most, form.items)
        space = p.space(parts * form.sections[-1])
        p.do("add_halves", form.items, (x, dy, out, space, form.places, sums), form.args(parts),
             g.multiply_adds // (2 * MULTIPLY_ADDS), parts)
        if form.splits > 1:
            self._add_up(p, out, form.splits, dw)
            if with_bias:
                self._add_up(p, sums, form.splits, db)

    def _halves(self, p, g, planner, winograd):
        """The plan of a pass, or None; `winograd` plans the transform."""
        form = None if p.dtype.itemsize != 4 or p.exact else planner(g)
        if form is None:
            return None
        transformed = self._transform(p, winograd, g)[1] is not None
        return form if plan_halves_cost.pays(g, form, transformed) else None

    def _multiply_halves(self, p, form, source, w, bias, out, g):
        weights = w if form.fused else self._pack_halves(p, form, w)
        parts = min(p.most, form.items)
        space = p.space(parts * form.space)
        p.do("multiply_halves", form.items, (source, weights, bias, out, space, form.columns),
             form.args(parts, past(p, out)), g.multiply_adds // (2 * MULTIPLY_ADDS), parts)

    def _pack_halves(self, p, form, w):
        weights = p.space(form.weights)
        parts = min(p.most, form.weight_items)
        turned = p.space(form.weight_space(parts))
        p.do("pack_halves", form.weight_items, (w, weights, turned, form.places), form.weight_args(parts), form.weights,
             parts)
        p.drop(turned)
        return weights


class _Columns(_Halves if isa.HALVES else _Lowered):
    """With input gradients of few columns, which are those of a 1 x 1 convolution, before all else."""

    def plan_conv_backward_input(self, p, g, dy, w, dx):
        few = pointwise.columns(p, g)
        if few is None:
            return super().plan_conv_backward_input(p, g, dy, w, dx)
        elements = p.space(prod(few.x_shape))
        super().plan_conv_backward_input(p, few, dy, w, elements)
        self.plan_col2im(p, g, elements, dx)


_contract = _Columns(
    _run, isa.TILE_VECTORS * isa.VECTOR_BYTES, jit.address, isa.VECTOR_BYTES, dot.DOTS, slide.SLIDES, slide.SLIDE_DOTS,
    tuple(fan.FANS.items()), joins=isa.JOINS, pairs=True, kernels=KERNELS, strided=isa.STRIDED, products=isa.PRODUCTS,
    turning=isa.TURNING, point_bytes=isa.POINT_VECTORS * isa.VECTOR_BYTES)
im2col, col2im = _contract.im2col, _contract.col2im
conv_forward = _contract.conv_forward
conv_backward_input, conv_backward_weight = _contract.conv_backward_input, _contract.conv_backward_weight
max_pool_forward, max_pool_backward = _contract.max_pool_forward, _contract.max_pool_backward
max_pool_backward_checked = _contract.max_pool_backward_checked
avg_pool_forward, avg_pool_backward = _contract.avg_pool_forward, _contract.avg_pool_backward

# Beyond the contract: see `fastconv.backends.extra`.
resample = axes.resample
adaptive_avg, adaptive_avg_backward = regions.adaptive_avg, regions.adaptive_avg_backward
adaptive_max = regions.adaptive_max
max_unpool, max_unpool_backward = places.max_unpool, places.max_unpool_backward
pixel_shuffle = places.pixel_shuffle


def warmup(progress=iter):
    """Compile every kernel for both types, or load it from the disk cache.

    Parameters
    ----------
    progress : callable, optional
        Wraps the list of kernels as it is gone through, as ``tqdm`` does.
    """
    todo = [(kernel, dtype) for dtype in jit.BOTH for kernel in jit.RangeKernel.every if dtype in kernel.dtypes]
    for kernel, dtype in progress(todo):
        kernel.address(dtype)


def describe():
    """One line for `show_config`."""
    return f"numba {numba.__version__}, tiles for {isa.NAME}{' and AMX' if isa.AMX else ''}"
