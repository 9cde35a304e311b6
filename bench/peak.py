"""The machine's limits, measured: independent fused multiply-adds in registers, and a copy far larger than caches.

    python -m bench.peak [--threads 1 2]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

# Many short repeats: what else the machine does then misses some of them.
REPEATS = 100
COPIES = 10
SECONDS = 0.01  # each, about


def vectors():
    """(bytes of a vector register, independent chains of multiply-adds that fit the registers) of this machine.

    A core that starts two FMAs a cycle, each of four cycles, needs eight chains at least.
    """
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 24
    if features.get("avx"):
        return 32, 12
    return 16, 24


@intrinsic
def multiply_add_chains(typingctx, count, lanes, chains, zero):
    """Run `count` fused multiply-adds of `lanes` elements of `zero`'s type in each of `chains` chains."""
    for argument in (lanes, chains):
        if not isinstance(argument, types.IntegerLiteral):
            raise RequireLiteralValue(f"lanes and chains must be constants, got {argument}")
    scalar = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}[zero]
    suffix = "f32" if zero == types.float32 else "f64"
    width, number = lanes.literal_value, chains.literal_value
    vector = ir.VectorType(scalar, width)

    def generate(context, builder, signature, arguments):
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3),
                                             f"llvm.fma.v{width}{suffix}")
        count, start = arguments[0], arguments[3]
        # The factors come from an argument, so that the compiler cannot compute anything beforehand.
        factor = _broadcast(builder, start, width)
        before = builder.block
        body, after = builder.append_basic_block("body"), builder.append_basic_block("after")
        builder.branch(body)
        builder.position_at_end(body)
        i = builder.phi(count.type)
        i.add_incoming(count.type(0), before)
        accumulators = []
        for chain in range(number):
            accumulator = builder.phi(vector)
            accumulator.add_incoming(ir.Constant(vector, [scalar(float(chain))] * width), before)
            accumulators.append(accumulator)
        sums = [builder.call(fma, [accumulator, factor, factor]) for accumulator in accumulators]
        following = builder.add(i, count.type(1))
        i.add_incoming(following, body)
        for accumulator, updated in zip(accumulators, sums, strict=True):
            accumulator.add_incoming(updated, body)
        builder.cbranch(builder.icmp_signed("<", following, count), body, after)
        builder.position_at_end(after)
        total = sums[0]
        for updated in sums[1:]:
            total = builder.fadd(total, updated)
        return builder.extract_element(total, ir.IntType(32)(0))

    return zero(types.intp, lanes, chains, zero), generate


def _broadcast(builder, value, width):
    vector = ir.VectorType(value.type, width)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width))


def measured_peak(dtype=np.float32, threads=1):
    """The most floating-point operations a second that `threads` threads reach together, 2 for a multiply-add.

    Parameters
    ----------
    dtype : float32 or float64
    threads : int

    Returns
    -------
    float
        In GFLOP/s: the best of some repeats.
    """
    dtype = np.dtype(dtype)
    size, chains = vectors()
    lanes = size // dtype.itemsize

    @njit(nogil=True)
    def burst(count, zero):
        return multiply_add_chains(count, lanes, chains, zero)

    zero = dtype.type(0)
    burst(1, zero)
    count, elapsed = 1 << 16, 0.0
    while elapsed < SECONDS:
        count *= 2
        begin = time.perf_counter()
        burst(count, zero)
        elapsed = time.perf_counter() - begin
    with ThreadPoolExecutor(threads) as pool:
        best = min(_seconds(pool, threads, burst, count, zero) for _ in range(REPEATS))
    return 2 * threads * count * lanes * chains / best / 1e9


def measured_bandwidth(threads=1, size=256 << 20):
    """The most bytes a second that `threads` threads read and write together, in GB/s: a copy of `size` bytes."""
    source, target = np.ones(size, np.uint8), np.zeros(size, np.uint8)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        best = math.inf
        for _ in range(COPIES):
            begin = time.perf_counter()
            for future in [pool.submit(np.copyto, *part) for part in parts]:
                future.result()
            best = min(best, time.perf_counter() - begin)
    return 2 * size / best / 1e9


def _seconds(pool, threads, *call):
    begin = time.perf_counter()
    for future in [pool.submit(*call) for _ in range(threads)]:
        future.result()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    print(json.dumps({threads: {name: round(measured_peak(name, threads), 1) for name in ("float32", "float64")}
                      | {"bandwidth": round(measured_bandwidth(threads), 1)} for threads in options.threads}))


if __name__ == "__main__":
    main()
