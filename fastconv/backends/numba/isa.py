"""Vector width and tile sizes by instruction set: the only table of machine facts in the Numba engine.

The instruction set is the one LLVM generates code for, which NUMBA_CPU_NAME and NUMBA_CPU_FEATURES can lower. Numba's
disk cache is keyed by the same two, so code of one instruction set is never loaded for another.
"""

import ctypes
import platform
import sys

from numba.core.registry import cpu_target

from fastconv.backends import plan_winograd_weight
from fastconv.backends.plan_rows import ADVANTAGE

# Bytes of a vector, and rows of a tile by its number of vectors: as many accumulators as the registers hold beside the
# operands, and never so many row pointers that they spill (12 x 2 vectors: 114 GFLOP/s; 8 x 2: 259). Of 8 x 3 vectors
# some sums move to the stack at each step, in 83 instructions; tests/test_numba_registers.py reads what LLVM makes of
# the others. Then the vectors of the widest tile, and of Winograd's products: with AVX2 those of 4 x 3 vectors read
# less, 4 to 15% less time on Zen 3 for 256 and 512 channels of 14 x 14 and 7 x 7, but other products and
# 1 x 1 kernels take up to 9% more.
_TABLE = {
    "avx512": (64, {1: 8, 2: 8, 3: 6, 4: 6}, 4, 4),
    "avx2": (32, {1: 6, 2: 6, 3: 4}, 2, 3),
    "neon": (16, {1: 8, 2: 8, 3: 8, 4: 6}, 4, 4),
    "generic": (16, {1: 6, 2: 6}, 2, 2),
}


def _name():
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "neon"
    if "+avx512f" in FEATURES:
        return "avx512"
    return "avx2" if "+avx2" in FEATURES and "+fma" in FEATURES else "generic"


def _tiles_allowed():
    """Whether Linux lets this process use the registers of AMX, which it asks for: they are 8 KiB for it to save."""
    arch_prctl, request, tiles = 158, 0x1023, 18
    try:
        return ctypes.CDLL(None).syscall(arch_prctl, request, tiles) == 0
    except (OSError, AttributeError):
        return False


_, CPU, FEATURES = cpu_target.target_context.codegen().magic_tuple()
FEATURES = FEATURES.split(",")
NAME = _name()
# Whether numbers too small for their exponent take long, and are zeros instead: see `flush`.
FLUSHES = NAME != "neon" and platform.machine().lower() in ("x86_64", "amd64") and not CPU.startswith("znver")
# Whether there is a matrix unit for tiles of bfloat16, and whether float32 is multiplied as such halves.
AMX = HALVES = (NAME == "avx512" and "+amx-bf16" in FEATURES and "+amx-tile" in FEATURES and sys.platform == "linux"
                and _tiles_allowed())
# Whether what was measured on an Intel Xeon of 2023 (Emerald Rapids) holds, not what was on Zen 4 and 5. One unit of it
# shuffles vectors of 64 bytes, and beyond 2 MB of second-level cache a core reads 30 GB/s, with 95 ns of latency.
INTEL = NAME == "avx512" and not CPU.startswith("znver")
VECTOR_BYTES, TILE_ROWS, TILE_VECTORS, POINT_VECTORS = _TABLE[NAME]
# Steps of a reduction that a tile does in a turn of its loop: `straight_tile` says what for. On Intel a step of 6 x 4
# vectors then has 35 instructions in place of 40, and 1 x 1 kernels and Winograd's products take up to 8% less time.
UNROLLED = 4 if NAME == "avx2" or INTEL else 1
# How many times as fast as the other tile joined rows of few channels must be expected to be (`plan_rows.ADVANTAGE`).
# With AVX-512 in whole vectors they are faster than is counted with: on Zen 5 0.85 chooses best, at worst 11% too much
# for 29 random shapes, and 0.054 ms in place of 0.069 for 3 to 16 channels of 8 x 28 x 28 and 5 x 5 taps. Zen 4 halves
# its vectors.
JOINS = 0.85 if NAME == "avx512" and CPU != "znver4" else ADVANTAGE
# Cycles that it takes to turn a vector of elements of a depthwise convolution, and of its weight gradient. Intel takes
# 0.63 ms for 5 x 5 taps and 8 x 672 planes of 14 x 14 as they lie, 0.83 turned, but for 3 x 3 taps and 8 x 960 of 7 x 7
# 0.25 and 0.15; for their weight gradients 0.31 and 0.44 ms (8 x 576 of 14 x 14), and 0.10 and 0.065 (8 x 256 of
# 10 x 10).
TURNING = (13.5, 7) if INTEL else (3.5, 5.5)
# `strided` of `Engine`. On Intel points and weights that leave the second-level cache take longer: 18.6 ms in place of
# 16.1 for 3 x 3 taps and 128 channels of 8 x 56 x 56, where the transform is expected to be 1.35 times as fast, and for
# the weight gradient 22.1 in place of 19.2 (1.15); 2.7 in place of 3.1 for 4 x 4 taps and 32 to 64 channels (1.75).
STRIDED = 1.7 if INTEL else None
# `products` of `Engine`: on Intel they stay in the second-level cache, 5.5 ms in place of 7.3 for 3 x 3 taps and 128
# channels of 8 x 28 x 28, 4.5 in place of 5.2 for 96 to 128.
PRODUCTS = 5 << 18 if INTEL else plan_winograd_weight.PRODUCTS
# Whether there are stores of vectors that go past the caches; they are not in order with others.
PAST = NAME in ("avx512", "avx2")
# And whether they may go to several planes by turns: a vector must be a whole line of the cache, as half lines leave in
# two transfers. 18 ms in place of 25 on Zen 3 for 32 to 64 channels of 8 x 112 x 112 without.
PAST_BY_TURNS = NAME == "avx512"
