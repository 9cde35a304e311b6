"""What vector code is written with: vectors, also under masks, loops, a choice among variants."""

from functools import reduce

from llvmlite import ir
from numba.core import cgutils

from fastconv.backends.numba.isa import NAME, PAST, VECTOR_BYTES

MASKS = NAME == "avx512"  # in registers
INT = ir.IntType(64)
LANE = ir.IntType(32)


class _LoopID(ir.values.MDValue):
    """Metadata that names a loop: a node that is its own first operand, so compared by identity alone."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def keep_rolled(branch, module):
    """Forbid LLVM to unroll the loop that `branch` closes.

    Unrolled by two, the scheduler hoists the second step's loads, runs out of registers and spills accumulators inside
    the loop: 76 instead of 261 GFLOP/s for 8 x 3 vectors of 16 floats.
    """
    loop = _LoopID(module, (), str(len(module.metadata)))
    loop.operands = (loop, module.add_metadata(["llvm.loop.unroll.disable"]))
    branch.set_metadata("llvm.loop", loop)


class Loop:
    """A loop that LLVM leaves rolled, with values carried round: index = first, first + step, ... below `stop`.

    It may run never. `step` and `first` are numbers or values of the code.
    """

    def __init__(self, builder, name, stop, step, carried, first=0):
        self.builder, self.stop = builder, stop
        self.step, first = (value if isinstance(value, ir.Value) else ir.Constant(INT, value)
                            for value in (step, first))
        self.head, self.body = builder.append_basic_block(name), builder.append_basic_block(name + ".body")
        self.done = builder.append_basic_block(name + ".done")
        before = builder.block
        builder.branch(self.head)
        builder.position_at_end(self.head)
        self.index = builder.phi(INT)
        self.index.add_incoming(first, before)
        self.values = []
        for value in carried:
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            self.values.append(phi)
        builder.cbranch(builder.icmp_signed("<", self.index, stop), self.body, self.done)
        builder.position_at_end(self.body)

    def close(self, values=()):
        """End the body with the values of the next round; returns the values after the loop."""
        end = self.builder.block
        self.index.add_incoming(self.builder.add(self.index, self.step), end)
        for phi, value in zip(self.values, values, strict=True):
            phi.add_incoming(value, end)
        keep_rolled(self.builder.branch(self.head), self.builder.module)
        self.builder.position_at_end(self.done)
        return self.values


class Vectors:
    """Vector loads, stores and arithmetic for one element type; `part` divides the width."""

    def __init__(self, context, builder, dtype, part=1):
        self.builder = builder
        self.element = context.get_data_type(dtype)
        self.size = dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.size // part
        self.type = ir.VectorType(self.element, self.lanes)
        self.zero = ir.Constant(self.type, [0.0] * self.lanes)
        self.undefined = ir.Constant(self.type, ir.Undefined)
        self.suffix = f"v{self.lanes}f{dtype.bitwidth}"

    def intrinsic(self, name, result, arguments):
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)

    def at(self, base, offset):
        return self.builder.gep(base, [offset if isinstance(offset, ir.Value) else ir.Constant(INT, offset)])

    def load(self, base):
        return self.builder.load(self.builder.bitcast(base, self.type.as_pointer()), align=self.size)

    def store(self, value, base):
        self.builder.store(value, self.builder.bitcast(base, self.type.as_pointer()), align=self.size)

    def store_past(self, value, base):
        """Store past the caches, where there is such a thing and `aligned` holds."""
        stored = self.builder.store(value, self.builder.bitcast(base, self.type.as_pointer()),
                                    align=self.lanes * self.size)
        if PAST:
            stored.set_metadata("nontemporal", self.builder.module.add_metadata([LANE(1)]))

    def aligned(self, bases, *steps):
        """Whether all addresses and `steps`, distances in elements, are multiples of a vector's size."""
        builder, bits = self.builder, INT(0)
        for part in [builder.ptrtoint(base, INT) for base in bases] + [builder.mul(step, INT(self.size)) for step in
                                                                       steps]:
            bits = builder.or_(bits, part)
        return builder.icmp_unsigned("==", builder.and_(bits, INT(self.lanes * self.size - 1)), INT(0))

    def broadcast(self, scalar):
        one = self.builder.insert_element(self.undefined, scalar, ir.Constant(LANE, 0))
        return self.shuffle(one, one, [0] * self.lanes)

    def shuffle(self, left, right, lanes):
        return self.builder.shuffle_vector(left, right, ir.Constant(ir.VectorType(LANE, len(lanes)), list(lanes)))

    def carried(self, flags):
        """A mask as a loop carries it: as numbers of the elements' size where there are no registers for masks.

        LLVM packs it to bytes at every step there.
        """
        lanes = ir.VectorType(ir.IntType(8 * self.size), self.lanes)
        return flags if MASKS else self.builder.sext(flags, lanes)

    def all_of(self, carried):
        """Whether all lanes of a mask that a loop has carried are set."""
        flags, bits = carried, ir.IntType(self.lanes)
        if not MASKS:
            flags = self.builder.icmp_signed("<", carried, ir.Constant(carried.type, [0] * self.lanes))
        return self.builder.icmp_unsigned("==", self.builder.bitcast(flags, bits), bits(-1))

    def fma(self, a, b, c):
        return self.builder.call(self.intrinsic(f"llvm.fmuladd.{self.suffix}", self.type, [self.type] * 3), [a, b, c])


class Masked(Vectors):
    """Vectors of which a mask may leave out lanes: those are not touched in memory, and read as zeros."""

    def __init__(self, context, builder, dtype):
        super().__init__(context, builder, dtype)
        self.flags = ir.VectorType(ir.IntType(1), self.lanes)
        self.steps = ir.VectorType(LANE, self.lanes)
        self.alignment = ir.Constant(LANE, self.size)

    def below(self, count):
        """Which lanes are below `count`, at most LANES."""
        one = self.builder.insert_element(ir.Constant(self.steps, ir.Undefined), self.builder.trunc(count, LANE),
                                          ir.Constant(LANE, 0))
        return self.builder.icmp_signed("<", ir.Constant(self.steps, list(range(self.lanes))),
                                        self.shuffle(one, one, [0] * self.lanes))

    def inside(self, first, width):
        """For which lanes ``first + lane`` is in 0 .. `width`."""
        return self.builder.and_(self.below(self._clip(self.builder.sub(width, first))),
                                 self.builder.not_(self.below(self._clip(self.builder.neg(first)))))

    def _clip(self, value):
        """`value`, or the nearest of 0 and LANES."""
        for bound, beyond in ((0, "<"), (self.lanes, ">")):
            limit = ir.Constant(INT, bound)
            value = self.builder.select(self.builder.icmp_signed(beyond, value, limit), limit, value)
        return value

    def load_masked(self, base, mask, others=None):
        """With `others` (zeros) in the lanes that are left out."""
        pointer = self.type.as_pointer()
        function = self.intrinsic(f"llvm.masked.load.{self.suffix}.p0", self.type,
                                  [pointer, LANE, self.flags, self.type])
        others = others or self.zero
        return self.builder.call(function, [self.builder.bitcast(base, pointer), self.alignment, mask, others])

    def load_all(self, places):
        """The vectors at each (address, mask or None) of `places`."""
        return [self.load(base) if mask is None else self.load_masked(base, mask) for base, mask in places]

    def store_masked(self, value, base, mask):
        pointer = self.type.as_pointer()
        function = self.intrinsic(f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(),
                                  [self.type, pointer, LANE, self.flags])
        self.builder.call(function, [value, self.builder.bitcast(base, pointer), self.alignment, mask])


def align_stack(builder):
    """Let what LLVM keeps on the stack for want of registers lie in whole cache lines: by itself it aligns nothing.

    5 x 5 taps and 8 x 240 planes of 28 x 28 then take 1.02 ms in place of 1.20 on an Intel Xeon.
    """
    builder.function.attributes.alignstack = VECTOR_BYTES
    builder.function.attributes.add("nounwind")  # llvmlite writes none of them where there is no other one


def choose(builder, keys, table, generate):
    """Run the code that `generate` makes for the literals of `table` which equal the run-time values `keys`."""
    done = builder.append_basic_block("chosen")
    for literals in table:
        here, other = builder.append_basic_block("variant"), builder.append_basic_block("other")
        same = [builder.icmp_signed("==", key, ir.Constant(INT, value))
                for key, value in zip(keys, literals, strict=True)]
        builder.cbranch(reduce(builder.and_, same), here, other)
        builder.position_at_end(here)
        generate(*literals)
        builder.branch(done)
        builder.position_at_end(other)
    builder.branch(done)
    builder.position_at_end(done)


def revised(builder, condition, values, revise):
    """`values`, or where `condition` holds at run time what `revise` makes of them."""
    before = builder.block
    with builder.if_then(condition):
        others = revise(values)
        after = builder.block
    result = [builder.phi(value.type) for value in values]
    for phi, value, other in zip(result, values, others, strict=True):
        phi.add_incoming(value, before)
        phi.add_incoming(other, after)
    return result
