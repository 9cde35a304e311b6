"""The tiles' sums stay in registers: code that is compiled for a CPU, which need not be this one, and read.

A sum that LLVM moves to the stack is loaded and stored at each step: a tile of 8 x 3 vectors that did had 83
instructions a step in place of 41.
"""

import json
import platform

import pytest

from fastconv.backends.numba.isa import _TABLE

CPUS = {"avx2": ("haswell", "+avx2,+fma"),
        "avx512": ("skylake-avx512", "+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw")}
# Prints the instruction set, and of each loop that multiplies and adds vectors, and has no loop within it, how often it
# does and the instructions that move a vector to the stack or from there.
READ = """
import json, re
import numba
from numba import types
from fastconv.backends.numba import across, conv, isa, jit, pointwise

loops = []
for kernel in (conv.multiply, pointwise.multiply_planes, across.multiply_across, across.add_across):
    signature = types.void(types.int64, types.int64, jit.INTS, types.CPointer(types.float32))
    lines = numba.cfunc(signature, **jit.OPTIONS)(kernel.function)._library.get_asm_str().splitlines()
    labels = {line.partition(":")[0]: i for i, line in enumerate(lines) if line.startswith(".L")}
    for i, line in enumerate(lines):
        jump = re.match(r"\\s+j\\w+\\s+(\\.L\\w+)$", line)
        start = labels.get(jump[1], i) if jump else i
        body = lines[start + 1:i]
        if start < i and not any(line.startswith(".L") for line in body):
            sums = sum("vfmadd" in line for line in body)
            if sums:
                loops.append((sums, [line for line in body if re.search(r"mm\\d", line) and "(%rsp)" in line]))
print(json.dumps([isa.NAME, loops]))
"""


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="LLVM compiles for x86 here only")
@pytest.mark.parametrize("name", CPUS)
def test_sums_stay_in_registers(fresh, name):
    cpu, features = CPUS[name]
    used, loops = json.loads(fresh(READ, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=features))
    assert used == name
    found = {sums for sums, _ in loops}
    assert {rows * vectors for vectors, rows in _TABLE[name][1].items()} <= found | {sums // 4 for sums in found}
    assert [(sums, moved) for sums, moved in loops if moved] == []
