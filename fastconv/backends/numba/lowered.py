"""Short sums on lowered positions: `fastconv.backends.plan_lowered` says which, and in what pieces."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastconv.backends.engine import MULTIPLY_ADDS, past
from fastconv.backends.numba.flush import flush, restore
from fastconv.backends.numba.isa import NAME
from fastconv.backends.numba.jit import ask_for, helper, ints, pointer, range_kernel, shift, stack
from fastconv.backends.numba.stream import drain
from fastconv.backends.numba.tile import lanes, multiply_add
from fastconv.backends.numba.vector import number
from fastconv.backends.numba.words import INT, Loop, Vectors
from fastconv.backends.plan_lowered import LOWERED

# (rows, vectors) of the tiles; without any there is no such form. With more registers, see `fan`.
TILES = ((6, 2), (4, 3)) if NAME in ("avx2", "generic") else ()
STEPS = 2  # of a turn of a tile's loop: of an odd number of terms one more is 0
MOST_ROWS = 6


@intrinsic
def result_tile(typingctx, mr, nv, steps, a, pitch, b, start, c, ldc, past):
    """A tile of results, MR rows of NV vectors, stored where they go::

        c[i * ldc + j] = start[i] + sum over t < steps of a[i * pitch + t] * b[t * NV * LANES + j]

    `steps` are a multiple of STEPS. With `past` results go past the caches where they are aligned; `stream.drain` must
    follow.
    """
    if not isinstance(mr, types.IntegerLiteral) or not isinstance(nv, types.IntegerLiteral):
        return None
    rows, columns = mr.literal_value, nv.literal_value

    def generate(context, builder, signature, args):
        steps, a, pitch, b, start, c, ldc, past = args[2:]
        v = Vectors(context, builder, signature.args[3].dtype)
        starts = [v.at(a, builder.mul(pitch, INT(i))) for i in range(rows)]
        sums = [v.broadcast(builder.load(v.at(start, i // columns))) for i in range(rows * columns)]
        loop = Loop(builder, "steps", steps, STEPS, [b, *sums])
        place, *sums = loop.values
        for t in range(STEPS):
            sums = multiply_add(v, starts, builder.add(loop.index, INT(t)), v.at(place, t * columns * v.lanes), sums)
        _, *sums = loop.close([v.at(place, STEPS * columns * v.lanes), *sums])
        places = [v.at(v.at(c, builder.mul(ldc, INT(i // columns))), i % columns * v.lanes) for i in range(len(sums))]
        with builder.if_else(builder.and_(past, v.aligned([c], ldc))) as (then, otherwise):
            for block, store in ((then, v.store_past), (otherwise, v.store)):
                with block:
                    for value, target in zip(sums, places, strict=True):
                        store(value, target)
        return context.get_dummy_value()

    integer = types.int64
    return types.void(mr, nv, integer, a, integer, a, a, a, integer, types.boolean), generate


@intrinsic
def lower(typingctx, stride, source, terms, steps, first, second, kept, b, pitch, ahead):
    """Positions that lie `stride`, a literal of 1, 2 or 4, apart, as a vector for each term::

        b[t * pitch + j] = source[terms[t] + (first if j < kept else second) + j * stride]

    Of strides beyond 1, whole vectors are read. What lies `ahead` elements later is fetched, unless that is 0.
    """
    if not isinstance(stride, types.IntegerLiteral):
        return None
    apart = stride.literal_value

    def generate(context, builder, signature, args):
        source, terms, steps, first, second, kept, b, pitch, ahead = args[1:]
        v = Vectors(context, builder, signature.args[1].dtype)
        flags = ir.VectorType(ir.IntType(32), v.lanes)
        count = builder.insert_element(ir.Constant(flags, ir.Undefined), builder.trunc(kept, ir.IntType(32)),
                                       ir.IntType(32)(0))
        mask = builder.icmp_signed("<", ir.Constant(flags, list(range(v.lanes))),
                                   v.shuffle(count, count, [0] * v.lanes))

        def load(place):
            parts = [v.load(v.at(place, i * v.lanes)) for i in range(apart)]
            while len(parts) > 1:  # of a stride of 4, halves first
                lanes_ = parts[0].type.count
                picked = range(2 * lanes_) if lanes_ < v.lanes else range(0, 2 * lanes_, apart)
                parts = [v.shuffle(*pair, picked) for pair in zip(parts[::2], parts[1::2], strict=True)]
            return parts[0]

        def each(begins, fetch=False):
            loop = Loop(builder, "terms", steps, 1, [b])
            term = builder.load(v.at(terms, loop.index))
            if fetch:
                ask_for(builder, v.at(v.at(begins[0], term), ahead))
            values = [load(v.at(begin, term)) for begin in begins]
            v.store(values[0] if len(values) == 1 else builder.select(mask, *values), *loop.values)
            loop.close([v.at(*loop.values, pitch)])

        whole = builder.icmp_signed("==", kept, INT(v.lanes))
        with builder.if_else(whole) as (one, two):
            with one, builder.if_else(builder.icmp_signed("==", ahead, INT(0))) as (near, far):
                for block in (near, far):
                    with block:
                        each([v.at(source, first)], block is far)
            with two:
                each([v.at(source, first), v.at(source, second)])
        return context.get_dummy_value()

    integer = types.int64
    return types.void(stride, source, terms, integer, integer, integer, integer, source, integer, integer), generate


@helper
def _lower_tile(source, terms, steps, last, image, position, vectors, height, width, stride_o, stride_p, stride_q, b,
                ahead, like):
    """Lower a tile of positions from `position` on; `image` is where the first one's first term lies.

    Nothing is read from `last` on, terms not counted.
    """
    size = lanes(like)
    across = vectors * size
    q, line = position % width, position // width
    o, p = line // height, line % height
    for j in range(0, across, size):
        here = image + o * stride_o + p * stride_p
        next_o, next_p = (o, p + 1) if p + 1 < height else (o + 1, 0)
        after = image + next_o * stride_o + next_p * stride_p
        first, kept = here + q * stride_q, min(width - q, size)
        inside = width >= size and first + size * stride_q <= last  # of a row after this one too
        if inside and stride_q == 1:
            lower(1, source, terms, steps, first, after - kept, kept, shift(b, j), across, ahead)
        elif inside and stride_q == 2:
            lower(2, source, terms, steps, first, after - 2 * kept, kept, shift(b, j), across, ahead)
        elif inside and stride_q == 4:
            lower(4, source, terms, steps, first, after - 4 * kept, kept, shift(b, j), across, ahead)
        else:
            for i in range(size):
                other, line = (position + j + i) % width, (position + j + i) // width
                place = image + line // height * stride_o + line % height * stride_p + other * stride_q
                for t in range(steps):
                    b[t * across + j + i] = source[place + terms[t]]
        q += size
        while q >= width:
            q -= width
            p += 1
            if p == height:
                p = 0
                o += 1


@range_kernel
def multiply_lowered(begin, end, a, like):
    """A work item is an image, a group and some tiles of its positions; the last one overlaps the one before."""
    modes = flush()
    source, w, bias, out, terms = (pointer(a[0], like), pointer(a[1], like), pointer(a[2], like), pointer(a[3], like),
                                   ints(a[4]))
    groups, steps, rows = a[5], a[6], a[7]
    height, width = a[9], a[10]
    image_stride, group_stride, stride_o, stride_p, stride_q = a[11], a[12], a[13], a[14], a[15]
    elements, blocks, together, high, vectors, past = a[16], a[17], a[18], a[19], a[20], a[22] != 0
    plane, across = a[8] * height * width, vectors * lanes(like)
    even = (steps + STEPS - 1) // STEPS * STEPS
    b, nothing = stack(LOWERED, like), stack(MOST_ROWS, like)
    last = elements
    for t in range(steps):
        last = min(last, elements - terms[t])
    for j in range(together if even > steps else 0):
        for t in range(across):
            b[(j * even + steps) * across + t] = 0
    for i in range(high):
        nothing[i] = number(-0.0, like)
    for item in range(begin, end):
        block, rest = item % blocks, item // blocks
        group, image = rest % groups, rest // groups
        begun = block * together * across
        tiles = min(together, (plane - begun + across - 1) // across)
        origin = image * image_stride + group * group_stride
        for j in range(tiles):
            _lower_tile(source, terms, steps, last, origin, min(begun + j * across, plane - across), vectors, height,
                        width, stride_o, stride_p, stride_q, shift(b, j * even * across), a[21], like)
        for i in range(0, rows, high):
            channel = group * rows + min(i, rows - high)
            factors, start = shift(w, channel * even), shift(bias, channel) if a[2] != 0 else nothing
            to = shift(out, (image * groups * rows + channel) * plane)
            for j in range(tiles):
                operands, target = shift(b, j * even * across), shift(to, min(begun + j * across, plane - across))
                if high == 6:
                    result_tile(6, 2, even, factors, even, operands, start, target, plane, past)
                else:
                    result_tile(4, 3, even, factors, even, operands, start, target, plane, past)
    drain(past)
    restore(modes)


@range_kernel
def lay_out(begin, end, a, like):
    """``laid[i, t] = w[i // rows * group_stride + i % rows * row_stride + places[t]]``, or 0 where there is no place.

    A work item is a row i.
    """
    w, laid, places = pointer(a[0], like), pointer(a[1], like), ints(a[2])
    steps, rows, group_stride, row_stride = a[3], a[4], a[5], a[6]
    for i in range(begin, end):
        from_, to = shift(w, i // rows * group_stride + i % rows * row_stride), shift(laid, i * steps)
        for t in range(steps):
            to[t] = from_[places[t]] if places[t] >= 0 else number(0, like)


def multiply(p, form, source, w, bias, y, g):
    """Add the steps to a Program, of a `plan_lowered.Lowered`; `source` are its padded planes."""
    if form.weights is not None:
        steps, rows, *strides = form.laid
        laid = p.space(steps * rows * g.groups)
        p.do("lay_out", rows * g.groups, (w, laid, form.weights), (steps, rows, *strides), w.size)
        w = laid
    # Six vectors a page apart, by turns, go past the caches at half the speed: 5.7 ms in place of 3.8 for 3 to 32
    # channels of 128 x 32 x 32.
    apart = form.plane * p.dtype.itemsize % 4096 != 0
    p.do("multiply_lowered", form.items, (source, w, bias, y, form.terms), (*form.args, past(p, y) and apart),
         g.multiply_adds // MULTIPLY_ADDS)
