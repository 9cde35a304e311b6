"""When multiplying halves pays, and errs little: cycles of 0.4 ns of both ways, fitted on an Intel Xeon with AMX.

Of 300 random layers of 20 to 1500 million multiply-adds, 0.5 to 5 % of the time is lost by wrong choices; 4 to 9 %
if halves were always taken.
"""

from math import prod

from fastconv.backends.plan_halves import DEPTH, PAIR, TILE
from fastconv.backends.plan_halves_weight import HalvesWeight
from fastconv.backends.plan_transform import up

# Of three products of tiles, 16 x 16 results of 32 steps each.
TILES = 48
# Of an element that is laid out as halves, of a row of them that is laid out in a line of its own first, of a weight,
# also of one that is laid out when it is used, and of a result that is stored, also where results fall into phases.
SPREAD, ROW, WEIGHT, WEIGHT_NEAR, STORED, STORED_APART = 0.6, 25, 1.2, 0.7, 0.68, 0.9
# Of an element of x of the weight gradient, of one of dy, and of a sum.
PAIRS, GRADS, SUMS = 1.25, 0.76, 0.73
CALL = 4000
# What a multiply-add of the direct form takes; what is laid out for it, shared by the channels of the results, or by
# the filters for the weight gradient; an element that is read and one that is written, and a weight.
DIRECT, FEW, FEW_GRADIENTS, READ, WRITTEN, WEIGHTS = 0.028, 0.19, 0.27, 0.24, 0.79, 1.05
ALONG = 8   # filters below which vectors lie along the rows, and less is laid out
# The same of Winograd's transforms, more where they are taken apart for strides or dilation.
WINOGRAD, STRIDED, DILATED, WINOGRAD_FEW, WINOGRAD_WEIGHTS = 0.009, 0.0115, 0.0063, 0.25, 2.0
# And of the weight gradient by them, of few filters or channels.
GRADIENT, GRADIENT_FEW = 0.013, 0.15
OTHER_CALL = 3000
# The input gradient takes so many times as long as these tell of it.
INPUT = 1.15
LEAST = 9   # results of a map: of smaller ones most of a tile is empty
# Terms of a sum. The errors of few do not even out: of 16 the largest is 1.1e-5 of the largest of 2.4 million results,
# of 32 to 40 up to 9.5e-6, of 48 to 100 up to 8.9e-6, of 512 5e-6.
TERMS = 48


def product(form):
    """Cycles of a `plan_halves.Halves`."""
    places = form.groups * form.places_of_blocks
    return (TILES * places * form.block[1] * form.tiles * -(-form.filters // TILE) * form.steps
            + _laid_out(SPREAD, form, form.source_pitch) * places * form.plane * DEPTH * form.blocks
            + (STORED_APART if len(form.taps) > 1 else STORED) * _elements(form)[1]
            + (WEIGHT_NEAR if form.fused else WEIGHT) * form.weights + CALL)


def weight_product(form):
    """Cycles of a `plan_halves_weight.HalvesWeight`."""
    ahead, runs = form.ahead, 1 if form.joined else form.block[1]
    filters, columns = up(ahead.filters, PAIR) // TILE, up(form.columns, PAIR) // TILE
    return (ahead.groups * form.blocks
            * (TILES * runs * form.steps * len(form.taps) * filters * columns
               + _laid_out(PAIRS, ahead, form.source_pitch) * form.plane * up(form.columns) * form.counts[0]
               + GRADS * runs * form.steps * DEPTH * up(ahead.filters) * form.counts[1])
            + SUMS * form.splits * ahead.groups * ahead.filters * form.columns * len(form.taps) + CALL)


def _laid_out(cycles, form, pitch):
    """Cycles of an element of a form's source, with its part of a row of `pitch` elements."""
    lines = form.fold > 1 or form.apart < form.stride[1]
    return cycles + lines * ROW / pitch


def otherwise(g, form, transformed):
    """Cycles of the pass of a form without halves, directly or `transformed` as Winograd has it."""
    gradient = isinstance(form, HalvesWeight)
    ahead = form.ahead if gradient else form
    read, written = _elements(ahead)
    moved = READ * read + WRITTEN * written + OTHER_CALL
    # Of a single channel of the result, also where a tap meets nothing.
    single = ahead.images * ahead.groups * ahead.channels * prod(ahead.out_size) * len(ahead.every) / len(ahead.taps)
    if transformed:
        rate = WINOGRAD + WINOGRAD_FEW / ahead.filters
        if gradient:
            rate = GRADIENT + GRADIENT_FEW * (1 / ahead.filters + 1 / ahead.channels)
        rate += STRIDED * (max(g.stride) > 1) + DILATED * (max(g.dilation) > 1)
        cycles = g.multiply_adds * rate + WINOGRAD_WEIGHTS * prod(g.w_shape) + moved
    else:
        few = (FEW_GRADIENTS if gradient else FEW) * ahead.fold * min(1, ahead.filters / ALONG)
        cycles = g.multiply_adds * DIRECT + few * single + WEIGHTS * prod(g.w_shape) + moved
    _, filter_stride, channel_stride = ahead.weight_strides
    return cycles * (INPUT if filter_stride < channel_stride else 1)


def _elements(form):
    """Of the source and of the result of a `plan_halves.Halves`."""
    images = form.images * form.groups
    return images * form.channels * prod(form.size), images * form.filters * prod(form.out_size)


def pays(g, form, transformed):
    """Whether halves take less time than the pass takes without, and err little."""
    cycles = (weight_product if isinstance(form, HalvesWeight) else product)(form)
    return (prod(g.output) >= LEAST and form.terms >= TERMS
            and cycles < otherwise(g, form, transformed))
