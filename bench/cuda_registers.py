"""Compile every CUDA kernel without a GPU, and record what a thread and a block of it take.

    python -m bench.cuda_registers [--only FORM]

writes bench/CUDA_KERNELS.md. It needs a CUDA toolkit (NVVM and ptxas), no GPU. A kernel that spills registers to memory
is an error: its loop would wait for memory at every step.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

from tqdm import tqdm

from bench.environment import ROOT
from fastconv.backends.cuda import blocks, compiled, depthwise, gather, pool, weight

TABLE = ROOT / "bench" / "CUDA_KERNELS.md"
SOURCES = ROOT / "fastconv" / "backends" / "cuda"
# What shapes the compiled code.
FILES = ("blocks", "depthwise", "gather", "intrinsics", "jit", "pool", "tables", "weight")
CAPABILITIES = ((8, 0), (9, 0))
TYPES = {2: "float16", 4: "float32", 8: "float64"}
HEADER = ("kernel", "type", "target", "threads", "registers", "shared memory", "stack", "spill stores", "spill loads")
BLOCK_REGISTERS = 65536  # that a block may have; a thread's are rounded up to eight


@dataclass(frozen=True)
class Row:
    """What ptxas says of a kernel: registers a thread, and bytes; with the threads of its block."""

    kernel: str
    type: str
    target: str
    threads: int
    registers: int
    shared: int
    stack: int
    stores: int
    loads: int

    @property
    def spills(self):
        return self.stack + self.stores + self.loads > 0

    @property
    def fits(self):
        """Whether a block of it can be launched."""
        return -(-self.registers // 8) * 8 * self.threads <= BLOCK_REGISTERS


def every():
    """(name, bytes of an element, threads, kernel, number of arguments) of all kernels.

    They are in the form that takes most registers: with three axes that reach into padding; and once with 64-bit
    offsets.
    """
    threads = blocks.THREADS
    for size in TYPES:
        for wide in (0, 1) if size == 4 else (0,):
            offsets = " 64-bit" * wide
            for tile in dict.fromkeys(tile for _, tile in blocks.GATHER[size]):
                own = blocks.threads(tile, False)
                for vector in (0, 1):
                    name = f"gather.tile {_of(tile)}{' vector' * vector}{offsets}"
                    yield name, size, own, gather.tile(*tile, size, 3, wide, vector), 7
                name = f"gather.tile {_of(tile)} pointwise{offsets}"
                if blocks.by_fours(tile, own):
                    yield name, size, own, gather.tile(*tile, size, 1, wide, 1, 0, 1), 7
            for _, tile in blocks.TENSOR if size < 8 else ():
                own = blocks.threads(tile, True)
                for vector in (0, 1):
                    name = f"gather.tile tensor {_of(tile)}{' vector' * vector}{offsets}"
                    yield name, size, own, gather.tile(*tile, size, 3, wide, vector, 1), 7
                name = f"gather.tile tensor {_of(tile)} pointwise{offsets}"
                if blocks.by_fours(tile, own):
                    yield name, size, own, gather.tile(*tile, size, 1, wide, 1, 1, 1), 7
            for _, (tm, px) in blocks.DIRECT:
                kernel = gather.direct(tm, px, threads, size, 3, wide)
                yield f"gather.direct {tm}x{px}{offsets}", size, threads, kernel, 7
            tm, px = blocks.DIRECT[0][1]
            kernel = gather.direct(tm, px, threads, size, 3, wide, 0)
            yield f"gather.direct {tm}x{px} unweighted{offsets}", size, threads, kernel, 7
            out = max(size, 4)
            for tile in dict.fromkeys(tile for *_, tile in blocks.WEIGHT[size]):
                own, kernel = blocks.threads(tile, False), weight.tile(*tile, size, 3, wide, out)
                yield f"weight.tile {_of(tile)}{offsets}", size, own, kernel, 6
            for *_, tile in blocks.WEIGHT_TENSOR if size < 8 else ():
                own, kernel = blocks.threads(tile, True), weight.tile(*tile, size, 3, wide, out, 1)
                yield f"weight.tile tensor {_of(tile)}{offsets}", size, own, kernel, 6
            for tm in (1, 4):
                kernel = weight.direct(tm, blocks.DIRECT_WEIGHT, threads, size, 3, wide, out)
                yield f"weight.direct {tm}x{blocks.DIRECT_WEIGHT}{offsets}", size, threads, kernel, 6
            for r, step in ((3, 1), (5, 2), (7, 1)):
                kernel = depthwise.strips(r, r, step, blocks.STRIP, threads, size, wide)
                yield f"depthwise.strips {r}x{r} stride {step}{offsets}", size, threads, kernel, 7
            yield f"pool.im2col{offsets}", size, threads, pool.im2col(blocks.IM2COL_ROWS, threads, size, 3, wide), 5
            yield f"pool.max_forward{offsets}", size, threads, pool.max_forward(threads, size, wide), 5
            for r in range(2, blocks.UNROLLED + 1):
                kernel = pool.max_forward(threads, size, wide, r, r)
                yield f"pool.max_forward {r}x{r}{offsets}", size, threads, kernel, 5
            yield f"pool.avg_spread{offsets}", size, threads, pool.avg_spread(threads, size, wide), 4
            yield f"pool.avg_forward{offsets}", size, threads, pool.avg_forward(threads, size, wide), 4
            yield f"pool.avg_backward{offsets}", size, threads, pool.avg_backward(threads, size, 3, wide), 5
        yield "gather.pack", size, threads, gather.pack(size, 0), 4
        yield "weight.add_up", size, threads, weight.add_up(size), 3
        yield "weight.bias", size, blocks.BIAS_THREADS, weight.bias(blocks.BIAS_THREADS, size), 4
        yield "pool.max_backward", size, threads, pool.max_backward(threads, size), 5


def _of(tile):
    bm, bn, bk, tm, tn = tile
    return f"{bm}x{bn}x{bk} {tm}x{tn}"


def measured(name, size, threads, kernel, arguments, capability):
    """The `Row` of one kernel for one compute capability."""
    target = "sm_{}{}".format(*capability)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "kernel.ptx")
        source.write_text(compiled.ptx(kernel, arguments, capability))
        done = subprocess.run(["ptxas", "-v", f"-arch={target}", str(source), "-o", str(Path(folder, "kernel.cubin"))],
                              capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name}, {TYPES[size]}, {target}: {done.stderr}")

    def number(pattern):
        found = re.search(pattern, done.stderr)
        return int(found[1]) if found else 0

    return Row(name, TYPES[size], target, threads, number(r"Used (\d+) registers"), number(r"(\d+) bytes smem"),
               number(r"(\d+) bytes stack frame"), number(r"(\d+) bytes spill stores"),
               number(r"(\d+) bytes spill loads"))


def available():
    """Whether there is a toolkit to compile with, and ptxas."""
    return compiled.toolkit() and shutil.which("ptxas") is not None


def digest():
    """A hash of the sources that the table was made from."""
    found = hashlib.sha256()
    for name in FILES:
        found.update((SOURCES / f"{name}.py").read_bytes())
    return found.hexdigest()[:16]


def assembler():
    """The version of ptxas."""
    done = subprocess.run(["ptxas", "--version"], capture_output=True, text=True, check=False)
    return (re.search(r"release [\d.]+, V([\d.]+)", done.stdout) or ["", "unknown"])[1]


def page(rows, version, sources):
    """The table, as a Markdown page."""
    lines = ["# CUDA kernels, compiled", "",
             f"Written by `python -m bench.cuda_registers` with ptxas {version} from sources {sources}. Registers are "
             "of a thread, shared memory, in bytes, is of a block. No kernel has a stack or spills.", "",
             "| " + " | ".join(HEADER) + " |", "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    lines += ["| " + " | ".join(map(str, astuple(row))) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def recorded():
    """(version of ptxas, hash of the sources, rows) of the page as it stands."""
    text = TABLE.read_text(encoding="utf-8")
    version, sources = re.search(r"ptxas (\S+) from sources (\w+)\.", text).groups()
    rows = []
    for line in text.splitlines()[6:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows.append(Row(*cells[:3], *map(int, cells[3:])))
    return version, sources, rows


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Compile every CUDA kernel and record what it takes.")
    parser.add_argument("--only", default="", metavar="FORM",
                        help="compile only kernels whose name begins so, such as pool.max; the others, unchanged, keep "
                             "what was recorded")
    options = parser.parse_args(arguments)
    if not available():
        print("a CUDA toolkit is needed: NVVM, where Numba finds it (CUDA_HOME), and ptxas on the PATH")
        return 1
    before = {(row.kernel, row.type, row.target): row for row in recorded()[2]} if options.only else {}
    rows = []
    for one in tqdm(list(every()), unit="kernel", disable=None):
        for capability in CAPABILITIES:
            kept = before.get((one[0], TYPES[one[1]], "sm_{}{}".format(*capability)))
            if kept is None or one[0].startswith(options.only):
                kept = measured(*one, capability)
            rows.append(kept)
    TABLE.write_text(page(rows, assembler(), digest()), encoding="utf-8")
    for row in rows:
        if row.spills or not row.fits:
            print(f"{row.kernel}, {row.type}, {row.target}: {row.stack} bytes of stack, {row.stores} of spill stores, "
                  f"{row.loads} of spill loads, {row.registers} registers for each of {row.threads} threads")
    return 1 if any(row.spills or not row.fits for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
