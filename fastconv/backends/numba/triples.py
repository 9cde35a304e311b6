"""Gradients of maximum pooling by windows of 3 x 3, stride 2 and padding 1, which overlap by one element.

An element gets the gradients of up to four windows. Here vectors of windows are compared with each of their nine
places: on Zen 5 8 x 64 x 112 x 112 takes 1.1 ms, of which 0.4 are the stores past the caches, in place of the 1.5 of
adding the gradients one by one where the indices say.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.numba.jit import ask_for
from fastconv.backends.numba.pairs import store_pairs
from fastconv.backends.numba.window import Windows
from fastconv.backends.numba.words import INT, LANE, Loop, Masked

AHEAD = 768  # windows
NOWHERE = -(1 << 31)  # no index is so far from its window


@intrinsic
def scatter_triples(typingctx, dy, indices, dx, held, height, width, lines, outputs):
    """The gradient of a map, bit by bit as if each value were added where its index says, line after line.

    Parameters
    ----------
    dy, dx : pointer
        A row before the map's first one and two vectors behind its last one are written, too.
    indices : pointer to int64
        Any: returns whether all lie in their windows; if not, what is written does not mean anything.
    held : pointer
        Space for two lines of windows and two vectors.
    height, width : int64
        Of the map; at least 3 elements wide.
    lines, outputs : int64
        Lines of windows, and windows in a line: half of those, rounded up.
    """

    def generate(context, builder, signature, args):
        dy, indices, dx, held, height, width, lines, outputs = args
        v = Masked(context, builder, signature.args[0].dtype)
        w = Windows(v, 3, 2)
        kind, lanes, all_lanes = ir.VectorType(INT, v.lanes), ir.IntType(v.lanes), [1] * v.lanes
        last = builder.mul(builder.sdiv(builder.sub(outputs, INT(1)), INT(v.lanes)), INT(v.lanes))
        inside = v.below(builder.sub(outputs, last))
        whole = ir.Constant(inside.type, all_lanes)
        columns, row_size = w.numbers(range(-1, 2 * v.lanes - 1, 2)), w.splat(builder.trunc(width, LANE))

        def load(out, mask):
            """Values and indices from window `out` on, of the lanes of a mask."""
            # The hardware does not foresee what is read from right to left: 1.1 ms in place of 1.5 with this.
            for source in (indices, v.at(indices, v.lanes // 2), dy):
                ask_for(builder, v.at(v.at(source, out), AHEAD))
            place = builder.bitcast(v.at(indices, out), kind.as_pointer())
            # As a sum that begins with 0: of -0.0 that is 0.0.
            if mask is None:
                return builder.fadd(v.load(v.at(dy, out)), v.zero), builder.load(place, align=8)
            masked = v.intrinsic(f"llvm.masked.load.v{v.lanes}i64.p0", kind, [place.type, LANE, mask.type, kind])
            places = builder.call(masked, [place, LANE(8), mask, ir.Constant(kind, [0] * v.lanes)])
            return builder.fadd(v.load_masked(v.at(dy, out), mask), v.zero), places

        def block(q, line, targets, right, known, bits, mask=None):
            """Windows `q` on of a line; `right` are the left columns of the windows to the right.

            Returns those of these windows, and what is known of the indices then.
            """
            values, places = load(builder.add(builder.mul(line, outputs), q), mask)
            column = builder.add(columns, w.splat(builder.trunc(builder.mul(q, INT(2)), LANE)))
            offsets = builder.sub(builder.sub(builder.trunc(places, columns.type), column), targets[0])
            # Beside the first and the last column lie elements of other rows.
            there = {0: builder.icmp_signed(">=", column, w.numbers(0)), 1: whole,
                     2: builder.icmp_signed("<", builder.add(column, w.numbers(2)), row_size)}
            found, taps = None, []
            for r in range(3):
                for s in range(3):
                    here = builder.icmp_signed("==", offsets, builder.add(targets[1 + r], w.numbers(s)))
                    here = here if s == 1 else builder.and_(here, there[s])
                    found = here if found is None else builder.or_(found, here)
                    taps.append(builder.select(here, values, v.zero))
            left = taps[::3]
            following = [v.shuffle(mine, other, list(range(1, v.lanes + 1)))
                         for mine, other in zip(left, right, strict=True)]
            keep = v.at(held, builder.mul(q, INT(2)))
            even, odd = v.load(keep), v.load(v.at(keep, v.lanes))
            upper = v.at(dx, builder.add(builder.mul(builder.sub(builder.mul(line, INT(2)), INT(1)), width),
                                         builder.mul(q, INT(2))))
            store_pairs(v, builder.fadd(even, taps[1]), builder.fadd(builder.fadd(odd, taps[2]), following[0]), upper)
            store_pairs(v, taps[4], builder.fadd(taps[5], following[1]), v.at(upper, width))
            v.store(taps[7], keep)
            v.store(builder.fadd(taps[8], following[2]), v.at(keep, v.lanes))
            if mask is not None:
                found = builder.or_(found, builder.not_(mask))
            return left, builder.and_(known, found), builder.or_(bits, places)

        def leftwards(carried):
            """A loop over the blocks before the last one, from right to left, and where the block of a round begins."""
            loop = Loop(builder, "leftwards", last, v.lanes, carried)
            return loop, builder.sub(builder.sub(last, INT(v.lanes)), loop.index)

        clear = Loop(builder, "clear", builder.add(builder.mul(last, INT(2)), INT(2 * v.lanes)), v.lanes, [])
        v.store(v.zero, v.at(held, clear.index))
        clear.close()
        down = Loop(builder, "lines", lines, 1, [whole, ir.Constant(kind, [0] * v.lanes)])
        row = builder.sub(builder.mul(down.index, INT(2)), INT(1))
        lowest = builder.icmp_signed("<", builder.add(row, INT(2)), height)
        starts = [builder.mul(width, INT(r)) for r in range(3)]
        starts[2] = builder.select(lowest, starts[2], INT(NOWHERE))
        targets = [w.splat(builder.trunc(start, LANE)) for start in (builder.mul(row, width), *starts)]
        left, *state = block(last, down.index, targets, [v.zero] * 3, *down.values, mask=inside)
        loop, q = leftwards([*left, *state])
        left, *state = block(q, down.index, targets, loop.values[:3], *loop.values[3:])
        known, bits = down.close(loop.close([*left, *state])[3:])
        # A last row below the middle of the last windows.
        place = v.at(dx, builder.mul(builder.sub(builder.mul(lines, INT(2)), INT(1)), width))
        with builder.if_then(builder.icmp_signed("<", builder.sub(builder.mul(lines, INT(2)), INT(1)), height)):
            loop = Loop(builder, "held", builder.add(last, INT(v.lanes)), v.lanes, [])
            q = builder.sub(last, loop.index)
            keep = v.at(held, builder.mul(q, INT(2)))
            store_pairs(v, v.load(keep), v.load(v.at(keep, v.lanes)), v.at(place, builder.mul(q, INT(2))))
            loop.close()
        known = builder.and_(known, builder.icmp_unsigned("<", bits, ir.Constant(kind, [1 << 31] * v.lanes)))
        return builder.icmp_unsigned("==", builder.bitcast(known, lanes), lanes(-1))

    integer = types.int64
    return types.boolean(dy, indices, dx, held, integer, integer, integer, integer), generate
