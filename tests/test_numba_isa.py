"""The Numba engine on narrower vectors than this machine's: on a CPU without AVX-512, or without AVX2.

LLVM is told in a new interpreter what it may use. Code for older CPUs runs on newer ones, so that results can be held
against NumPy's in float64.
"""

import json

import pytest

from fastconv.backends.numba import isa

# By the name that isa.py has for it: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES, and the types of which convolutions and
# pooling are tested. Compiling takes the time; other vectors have as many lanes as those of some other type or CPU.
OLDER = {"avx2": ("haswell", "+avx2,+fma", ["float32"], ["float64"]),
         "generic": ("generic", "", ["float32", "float64"], ["float64"])}
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}
# Windows of 2 x 2 side by side, in rows of one result to more than a vector.
SIDE_BY_SIDE = """
for dtype, height, width in itertools.product(POOL_TYPES, (2, 7, 8), (2, 3, 4, 7, 8, 10, 11, 14, 26, 32, 70)):
    g = geometry.pool("max_pool2d", (5, 3, height, width), 2)
    x = np.random.default_rng(width).integers(-9, 9, g.x_shape).astype(np.float32)
    compare(dtype, [("avg_pool_forward", {"x": x}, [("y", g.y_shape)])], {"avg_pool_forward": "x"}, g)
    x[x == 8] = np.nan
    compare(dtype, [("max_pool_forward", {"x": x}, [("y", g.y_shape), ("indices", g.y_shape)])],
            {"max_pool_forward": "x"}, g, exact=True)
"""
# Prints the instruction set, the kernels that ran, and the largest error of each type over the largest result. The
# convolutions are by turns of one to three dimensions, strided, dilated, padded unevenly, in groups, depthwise, of few
# and of many channels; those of 3 x 3 taps and many channels take Winograd's transform in float32.
COMPARE = """
import itertools, json
import numpy as np
from fastconv import geometry
from fastconv.backends import numba, tensordot
from fastconv.backends.numba import isa

def record(kernel, *rest):
    ran.add(kernel)
    run(kernel, *rest)

ran, run, errors = set(), numba._contract.run, {"float32": 0.0, "float64": 0.0}
numba._contract.run, numba._contract.whole = record, lambda program: None

def compare(dtype, calls, shapes, g, exact=False):
    for name, given, results in calls:
        pairs = []
        for backend, kind in ((numba, dtype), (tensordot, np.float64)):
            arrays = [given[a].astype(kind) for a in shapes[name]]
            out = [np.full(shape, -1, np.int64) if at == "indices" else np.full(shape, np.nan, kind)
                   for at, shape in results]
            getattr(backend, name)(*arrays, *out, g)
            pairs.append(out)
        for a, b in zip(*pairs):
            if exact:
                assert np.array_equal(a, b, equal_nan=True), (name, g)
            if not np.isnan(b).all():
                errors[dtype] = max(errors[dtype], float(np.nanmax(abs(a - b)) / np.nanmax(abs(b))))

CONVS = [
    ("conv1d", (2, 24, 90), (20, 24, 8), 4, 0, 1, 1),
    ("conv1d", (2, 3, 70), (4, 3, 3), 1, "same", 2, 1),
    ("conv2d", (2, 20, 17, 19), (36, 20, 3, 3), 2, 1, 1, 1),
    ("conv2d", (1, 34, 9, 8), (18, 17, 3, 2), 1, "same", 1, 2),
    ("conv2d", (2, 70, 6, 7), (50, 70, 1, 1), 1, 0, 1, 1),
    ("conv2d", (2, 45, 19, 29), (70, 45, 1, 1), 1, 0, 1, 1),
    ("conv2d", (2, 30, 19, 29), (70, 30, 1, 1), 1, 0, 1, 1),
    ("conv2d", (1, 300, 20, 29), (40, 300, 1, 1), 1, 0, 1, 1),
    ("conv2d", (2, 33, 21, 30), (50, 33, 3, 3), 1, (1, 2), 1, 1),
    ("conv2d", (1, 32, 20, 20), (48, 32, 3, 3), 1, 2, 2, 1),
    ("conv2d", (2, 5, 13, 37), (5, 1, 3, 3), 1, 1, 1, 5),
    ("conv2d", (2, 5, 13, 37), (5, 1, 5, 5), 2, 2, 1, 5),
    ("conv2d", (2, 6, 12, 50), (6, 2, 3, 3), 3, 1, 1, 3),
    ("conv2d", (1, 3, 30, 44), (24, 3, 7, 7), 2, 3, 1, 1),
    ("conv3d", (1, 18, 4, 9, 10), (20, 18, 3, 3, 3), (2, 1, 1), 1, 1, 1),
]
for dtype, (op, x, w, stride, padding, dilation, groups) in itertools.product(CONV_TYPES, CONVS):
    g = geometry.conv(op, x, w, stride, padding, dilation, groups)
    rng = np.random.default_rng(5)
    given = {name: rng.standard_normal(shape).astype(np.float32)
             for name, shape in (("x", g.x_shape), ("w", g.w_shape), ("b", g.k), ("dy", g.y_shape))}
    compare(dtype, [("conv_forward", given, [("y", g.y_shape)]), ("conv_backward_input", given, [("dx", g.x_shape)]),
                    ("conv_backward_weight", given, [("dw", g.w_shape), ("db", g.k)])],
            {"conv_forward": "xwb", "conv_backward_input": ["dy", "w"], "conv_backward_weight": ["x", "dy"]}, g)
    if g.n == 2 and g.k == g.c:
        given["cols"] = rng.standard_normal(g.cols_shape).astype(np.float32)
        compare(dtype, [("im2col", given, [("cols", g.cols_shape)]), ("col2im", given, [("x", g.x_shape)])],
                {"im2col": "x", "col2im": ["cols"]}, g)

WINDOWS = ((3, 1, 1), (3, 2, 1), (3, 3, 1), (2, 1, 0), (3, 4, 0), (5, 2, 2), (0, None, 0))
for dtype, (kernel, stride, padding), width in itertools.product(POOL_TYPES, WINDOWS, (3, 5, 10, 19, 40, 70)):
    if kernel - 2 * padding > width:
        continue
    g = geometry.pool("max_pool2d", (2, 2, 7, width), kernel or (7, width), stride, padding)
    x = np.random.default_rng(width).integers(-9, 9, g.x_shape).astype(np.float32)
    given = {"x": x, "dy": np.random.default_rng(1).standard_normal(g.y_shape).astype(np.float32)}
    average = [("avg_pool_forward", given, [("y", g.y_shape)]), ("avg_pool_backward", given, [("dx", g.x_shape)])]
    compare(dtype, average, {"avg_pool_forward": "x", "avg_pool_backward": ["dy"]}, g)
    x[x == 8] = np.nan
    largest = [("max_pool_forward", given, [("y", g.y_shape), ("indices", g.y_shape)])]
    compare(dtype, largest, {"max_pool_forward": "x"}, g, exact=True)
""" + SIDE_BY_SIDE + """
print(json.dumps([isa.NAME, sorted(ran), errors]))
"""


RAN = {"multiply", "multiply_weight", "winograd", "winograd_gradient", "multiply_rows", "add_rows", "multiply_planes",
       "add_planes", "im2col", "col2im", "max_forward", "avg_forward", "max_joined", "avg_joined", "max_separable",
       "avg_separable", "max_striding", "avg_striding", "max_entire", "avg_entire", "avg_entire_backward"}


@pytest.mark.parametrize("name", OLDER)
def test_older_cpus(fresh, name):
    cpu, features, *types = OLDER[name]
    given = "CONV_TYPES, POOL_TYPES = {}, {}".format(*types)
    used, ran, errors = json.loads(fresh(given + COMPARE, NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=features))
    assert used == name
    assert set(ran) >= RAN
    assert [dtype for dtype, error in errors.items() if not error < TOLERANCES[dtype]] == []


# Takes the vectors of AVX-512, which LLVM halves for a CPU without, and what of them is Intel's or not.
WIDEN = """
import importlib.util, sys
spec = importlib.util.find_spec("fastconv.backends")
spec = importlib.util.spec_from_file_location("fastconv.backends.numba.isa",
                                              spec.submodule_search_locations[0] + "/numba/isa.py")
isa = importlib.util.module_from_spec(spec)
spec.loader.exec_module(isa)
isa.NAME, (isa.VECTOR_BYTES, isa.TILE_ROWS, isa.TILE_VECTORS, isa.POINT_VECTORS) = "avx512", isa._TABLE["avx512"]
isa.PAST_BY_TURNS = True
isa.INTEL, isa.UNROLLED = (True, 4) if INTEL else (False, 1)
isa.AMX = isa.HALVES = False
sys.modules[spec.name] = isa
"""


@pytest.mark.parametrize("intel", [True, False])
def test_wider_vectors(fresh, tmp_path, intel):
    """Vectors of 512 bits and their tiles, whatever the CPU: narrower tiles have more rows than the widest one."""
    code = f"INTEL = {intel}" + WIDEN + 'CONV_TYPES, POOL_TYPES = ["float32"], ["float32", "float64"]' + COMPARE
    used, ran, errors = json.loads(fresh(code, NUMBA_CACHE_DIR=str(tmp_path)))
    assert used == "avx512"
    assert set(ran) >= RAN
    assert [dtype for dtype, error in errors.items() if not error < TOLERANCES[dtype]] == []


# Prints the instruction set, the number of kernels, those that call a function to multiply and add, and how often
# vectors of four floats are multiplied and added in one instruction.
TRANSLATE = """
import json, platform, re, warnings
import llvmlite.binding as llvm
import numpy as np
platform.machine = lambda: "aarch64"
warnings.filterwarnings("ignore", "Cannot cache")
from fastconv.backends.numba import isa, jit

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
machine = llvm.Target.from_triple("aarch64-linux-gnu").create_target_machine(cpu="generic", opt=0)
slow, fused = [], 0
for kernel in jit.RangeKernel.every:
    kernel.address(np.dtype(np.float32))
    code = kernel.compiled[np.dtype(np.float32)]._library.get_llvm_str()
    code = re.sub('target triple = ".*"', 'target triple = "aarch64-linux-gnu"', code)
    code = re.sub('target datalayout = ".*"', f'target datalayout = "{machine.target_data}"', code)
    module = llvm.parse_assembly(code)
    module.verify()
    assembly = machine.emit_assembly(module)
    fused += len(re.findall("fmla.*[.]4s", assembly))
    if re.search("bl[ \\t]+fmaf?", assembly):
        slow.append(kernel.function.__qualname__)
print(json.dumps([isa.NAME, len(jit.RangeKernel.every), slow, fused]))
"""


def test_code_for_arm(fresh, tmp_path):
    """LLVM makes AArch64 code of every kernel on float32, with the vectors and tiles of NEON; none of it is run.

    What Numba made for this machine is told to be for the other one: without the instructions that only this one has,
    and without optimizing, it says nothing of the machine.
    """
    import llvmlite.binding as llvm

    try:
        llvm.initialize_all_targets()
        llvm.Target.from_triple("aarch64-linux-gnu")
    except RuntimeError as error:
        pytest.skip(f"LLVM was built without AArch64: {error}")
    found = fresh(TRANSLATE, NUMBA_OPT="0", NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES="",
                  NUMBA_CACHE_DIR=str(tmp_path))
    used, count, slow, fused = json.loads(found)
    assert used == "neon"
    assert count > 50
    assert slow == []
    assert fused > 500


def test_tiles_fit_the_registers():
    """Accumulators, a row of operands and a broadcast element, in as many vector registers as the CPU has."""
    registers = {"avx512": 32, "avx2": 16, "neon": 32, "generic": 16}
    assert isa._TABLE.keys() == registers.keys()
    for name, (vector_bytes, rows, *widest) in isa._TABLE.items():
        assert vector_bytes & (vector_bytes - 1) == 0
        assert rows.keys() >= {*range(1, max(widest) + 1)}
        for vectors, tall in rows.items():
            assert tall * vectors + vectors < registers[name]
