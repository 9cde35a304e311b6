"""When multiplying halves pays, and errs little: cycles of both ways, as measured on an Intel Xeon with AMX."""

from math import prod

from fastconv.backends.plan_halves import DEPTH, PAIR, TILE
from fastconv.backends.plan_transform import up

# Of three products of tiles, 16 x 16 results of 32 steps each: 48 at best.
TILES = 85
# Of an element that is laid out as halves, in lines of their own where its vectors are not read where they lie, of one
# of dy that is, of a weight, and of a result that is stored.
SPREAD, SPREAD_LINES, GRADS, WEIGHT, STORED = 0.6, 1.2, 0.9, 1.0, 1.0
CALL = 8000
# Multiply-adds a cycle of the direct form and of Winograd's, and cycles that an element of x and y takes, and the
# weights of a pair of channels, or their gradients.
DIRECT, DIRECT_MOVED = 26, 0.7
WINOGRAD, WINOGRAD_MOVED, WINOGRAD_WEIGHT, WINOGRAD_GRADIENT = 62, 1.0, 10, 40
OTHER_CALL = 6000
NARROW = 32     # columns of Winograd's products below which a tile waits for its loads: 15 ms in place of 9 for 16
# How much of the other way's time halves may take. At 0.93 64 times 32 to 64 channels of 13 x 13 take 1.18 times as
# long, for the weight gradient, and 8 times 48 of 28 x 28 1.15 times, forward.
NEEDED = 0.9
LEAST = 9   # results of a map: of smaller ones most of a tile is empty
# Terms of a sum. The errors of few do not even out: of 16 the largest is 1.1e-5 of the largest of 2.4 million results,
# of 32 to 64 5e-6 to 8e-6, of 512 5e-6.
TERMS = 32


def product(form):
    """Cycles of a `plan_halves.Halves`."""
    blocks = form.places_of_blocks
    filters = -(-form.filters // TILE)
    lines = form.fold > 1 or form.apart < form.stride[1]
    tiles = TILES * form.block[1] * form.tiles * (filters + 0.35 * (filters % 2)) * form.steps
    spread = (SPREAD_LINES if lines else SPREAD) * form.plane * DEPTH * form.blocks * form.runs
    return (form.groups * blocks * (tiles + spread)
            + STORED * form.images * form.groups * form.filters * prod(form.out_size) + WEIGHT * form.weights + CALL)


def weight_product(form):
    """Cycles of a `plan_halves_weight.HalvesWeight`."""
    ahead, runs = form.ahead, 1 if form.joined else form.block[1]
    filters, columns = up(ahead.filters, PAIR), up(form.columns, PAIR)
    lines = ahead.fold > 1 or ahead.apart < ahead.stride[1]
    return (ahead.groups * form.blocks
            * (1.1 * TILES * runs * form.steps * len(form.taps) * filters // TILE * columns // TILE
               + (SPREAD_LINES if lines else SPREAD) * form.plane * up(form.columns) * form.counts[0]
               + GRADS * runs * form.steps * DEPTH * up(ahead.filters) * form.counts[1])
            + form.splits * ahead.groups * ahead.filters * form.columns * len(form.taps) + CALL)


def otherwise(g, transformed, columns):
    """Cycles of a pass without, by Winograd's transform or directly; to `columns`, or 0 for the weight gradient."""
    moved = prod(g.x_shape) + prod(g.y_shape)
    if not transformed:
        return g.multiply_adds / DIRECT + DIRECT_MOVED * moved + OTHER_CALL
    channels, filters = g.c // g.groups, g.k // g.groups
    tile = 4 if g.stride[2] > 1 else 7 - g.kernel[2]
    wasted = up(channels) * up(filters) / (channels * filters) * prod(up(o, tile) / o for o in g.output[1:])
    if columns > 0:
        wasted *= max(NARROW, up(columns)) / up(columns)
    return (g.multiply_adds * wasted / WINOGRAD + WINOGRAD_MOVED * moved
            + (WINOGRAD_WEIGHT if columns else WINOGRAD_GRADIENT) * g.groups * up(channels) * up(filters)
            + OTHER_CALL)


def pays(g, cycles, terms, transformed, columns):
    return prod(g.output) >= LEAST and terms >= TERMS and cycles < NEEDED * otherwise(g, transformed, columns)
