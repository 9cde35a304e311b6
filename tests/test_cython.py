"""The Cython engine apart from the contract: its instruction sets, its extension, and what it shares among threads."""

import json

import numpy as np
import pytest

from bench.cases import by_name
from fastconv import backends
from fastconv.backends import threads
from fastconv.geometry import Geometry

# Where the extension was not built there is nothing here to test; test_backends.py says whether it may be missing.
__test__ = backends.available()["cython"] is None

if __test__:
    from fastconv.backends import _engine, cython

    SUPPORTED = _engine.supported()
else:
    SUPPORTED = []

CASES = ("1d_stride_4", "1d_depthwise", "2d_plain", "2d_stride_3", "2d_dilated_3", "2d_padding_over_kernel", "fer_2",
         "single_56", "lab7_3", "deconv")
WINOGRAD_CASES = ("single_56", "lab7_2", "resnet_7")
TOLERANCES = {"float32": 1e-5, "float64": 1e-13}

# Prints the tiles in use, and the largest error of any result over its largest element, beside the NumPy backend.
COMPARE = f"""
import json
import numpy as np
from bench.cases import by_name
from fastconv.backends import cython, tensordot

errors = []
for name in {CASES!r}:
    g = by_name(name).with_batch(2).geometry()
    rng = np.random.default_rng(3)
    for dtype in {tuple(TOLERANCES)!r}:
        x, w, bias, dy = (rng.standard_normal(s).astype(dtype) for s in (g.x_shape, g.w_shape, (g.k,), g.y_shape))
        results = []
        for backend in (cython, tensordot):
            y, dx, dw, db = (np.full_like(a, np.nan) for a in (dy, x, w, bias))
            backend.conv_forward(x, w, bias, y, g)
            backend.conv_backward_input(dy, w, dx, g)
            backend.conv_backward_weight(x, dy, dw, db, g)
            results.append((y, dx, dw, db))
        # NumPy's maximum keeps a NaN.
        errors.append((name, dtype, float(np.max([abs(a - b).max() / abs(b).max() for a, b in zip(*results)]))))
print(json.dumps([cython.describe(), errors]))
"""
# Prints the kernels that ran, how many input gradients were of the adjoint form, and for each of several Winograd
# convolutions the largest error of any result over its largest element, beside the NumPy backend in float64. Two have
# groups, and neither whole vectors of channels nor whole tiles. The strided ones are taken apart: phases that share
# products, more columns of them than a vector has, and phases with products of their own, of weights transformed in
# parts and not. Then come those of the adjoint form: groups and a last block of fewer images, rows of tiles of which
# nothing is inside, weights transformed in parts, phases, phases with products of their own, dilation.
WINOGRAD = f"""
import json
import numpy as np
from bench.cases import by_name
from fastconv import geometry
from fastconv.backends import cython, plan_transform, tensordot

# Whether it pays or not.
plan_transform.NEEDED = dict.fromkeys(plan_transform.NEEDED, 0.5)

def record(kernel, *rest):
    ran.add(kernel)
    if kernel == "winograd":
        forms.append(int(np.frombuffer(rest[1], np.int64)[53]))
    run(kernel, *rest)

ran, run, forms, errors = set(), cython._contract.run, [], []
cython._contract.run = record
for g in (*(by_name(name).with_batch(2).geometry() for name in {WINOGRAD_CASES!r}),
          geometry.conv("conv2d", (3, 66, 21, 30), (90, 33, 3, 3), padding=(1, 2), groups=2),
          geometry.conv("conv2d", (1, 42, 9, 210), (74, 42, 3, 3), padding=1),
          geometry.conv("conv2d", (3, 20, 40, 75), (78, 10, 5, 6), stride=2, padding=(1, 2), groups=2),
          geometry.conv("conv2d", (2, 24, 48, 41), (70, 24, 6, 3), stride=(2, 1), padding=(2, 1)),
          geometry.conv("conv2d", (1, 66, 44, 43), (50, 66, 8, 7), stride=3, padding=3),
          geometry.conv("conv2d", (2, 74, 28, 28), (74, 74, 5, 5), stride=2, padding=2),
          geometry.conv("conv2d", (5, 66, 13, 14), (90, 33, 3, 3), padding=(0, 1), groups=2),
          geometry.conv("conv2d", (2, 50, 12, 6), (42, 50, 3, 3), padding=(5, 0)),
          geometry.conv("conv2d", (2, 530, 9, 9), (530, 530, 3, 3)),
          geometry.conv("conv2d", (2, 24, 41, 30), (70, 24, 6, 3), stride=(2, 1), padding=(2, 1)),
          geometry.conv("conv2d", (2, 74, 26, 25), (74, 74, 5, 5), stride=2, padding=1),
          geometry.conv("conv2d", (3, 40, 26, 27), (34, 40, 3, 3), dilation=2)):
    rng = np.random.default_rng(8)
    given = [rng.standard_normal(shape, np.float32) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape)]
    results = []
    for backend, dtype in ((cython, np.float32), (tensordot, np.float64)):
        x, w, bias, dy = (a.astype(dtype) for a in given)
        y, dx, dw, db = (np.full_like(a, np.nan) for a in (dy, x, w, bias))
        backend.conv_forward(x, w, bias, y, g)
        backend.conv_backward_input(dy, w, dx, g)
        backend.conv_backward_weight(x, dy, dw, db, g)
        results.append((y, dx, dw, db))
    errors += [float(abs(a - b).max() / abs(b).max()) for a, b in zip(*results)]
    assert not ran & {{"multiply", "multiply_weight"}}, g
print(json.dumps([sorted(ran), sum(forms), errors]))
"""
# The same for convolutions of few channels a group, in both types, and the largest error of each. By turns: kernels
# that slide and others, strides, groups of several channels, a first layer, rows of fewer elements than a vector.
ROWS = f"""
import json
import numpy as np
from fastconv import geometry
from fastconv.backends import cython, tensordot

def record(kernel, *rest):
    ran.add(kernel)
    run(kernel, *rest)

ran, run, errors = set(), cython._contract.run, {{dtype: 0.0 for dtype in {tuple(TOLERANCES)!r}}}
cython._contract.run = record
for x_shape, w_shape, stride, padding, groups in (
        *(((2, 4, 17, width), (4, 1, n, n), stride, n // 2, 4)
          for width in (5, 33, 90) for n in (3, 5, 7) for stride in (1, 2)),
        ((2, 6, 19, 70), (6, 2, 5, 5), 3, 2, 3), ((2, 8, 20, 56), (8, 4, 3, 3), 1, 1, 2),
        ((2, 3, 30, 90), (24, 3, 7, 7), 2, 3, 1)):
    g = geometry.conv("conv2d", x_shape, w_shape, stride=stride, padding=padding, groups=groups)
    rng = np.random.default_rng(4)
    for dtype in errors:
        given = [rng.standard_normal(shape) for shape in (g.x_shape, g.w_shape, (g.k,), g.y_shape)]
        results = []
        for backend, type_ in ((cython, dtype), (tensordot, np.float64)):
            x, w, bias, dy = (a.astype(type_) for a in given)
            y, dx, dw, db = (np.full_like(a, np.nan) for a in (dy, x, w, bias))
            backend.conv_forward(x, w, bias, y, g)
            backend.conv_backward_input(dy, w, dx, g)
            backend.conv_backward_weight(x, dy, dw, db, g)
            results.append((y, dx, dw, db))
        errors[dtype] = float(np.max([errors[dtype], *(abs(a - b).max() / abs(b).max() for a, b in zip(*results))]))
print(json.dumps([sorted(ran), errors]))
"""
# Prints whether every row of windows, of any width and stride, has the maxima, places and means of the NumPy backend.
POOL = f"""
import numpy as np
from fastconv import geometry
from fastconv.backends import cython, tensordot

equal = []
for width in range(1, 70):
    for kernel, stride, padding, dilation in ((2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (2, 1, 0, 2), (3, 3, 0, 1)):
        if width < (kernel - 1) * dilation + 1:
            continue
        g = geometry.pool("max_pool2d", (2, 2, 5, width), kernel, stride, padding, dilation)
        for dtype in {tuple(TOLERANCES)!r}:
            x = np.random.default_rng(width).integers(-9, 9, g.x_shape).astype(dtype)
            x[x == 8] = np.nan
            results = []
            for backend in (cython, tensordot):
                y, only, mean = (np.empty(g.y_shape, dtype) for _ in range(3))
                places = np.empty(g.y_shape, np.int64)
                backend.max_pool_forward(x, y, places, g)
                backend.max_pool_forward(x, only, None, g)
                if dilation == 1:
                    backend.avg_pool_forward(x, mean, g)
                else:
                    mean.fill(0)
                results.append((y, only, places, mean))
            exact = [np.array_equal(a, b, equal_nan=True) for a, b in zip(*results)][:3]
            equal += [*exact, np.allclose(results[0][3], results[1][3], rtol=1e-6, atol=1e-6, equal_nan=True)]
print(len(equal), all(equal))
"""
REFUSED = """
from fastconv import backends
try:
    backends.get("cython")
except backends.BackendUnavailable as error:
    print(error)
"""


# Instruction sets

@pytest.mark.parametrize("isa", SUPPORTED)
def test_every_instruction_set_of_this_cpu(fresh, isa):
    description, errors = json.loads(fresh(COMPARE, FASTCONV_ISA=isa))
    assert description.startswith(f"tiles for {isa}, compiled by Cython 3.")
    assert len(errors) == len(CASES) * len(TOLERANCES)
    assert [error for error in errors if not error[2] < TOLERANCES[error[1]]] == []


@pytest.mark.parametrize("isa", SUPPORTED)
def test_winograd_on_every_instruction_set(fresh, isa):
    ran, adjoint, errors = json.loads(fresh(WINOGRAD, FASTCONV_ISA=isa))
    assert {"winograd_weights", "winograd", "winograd_gradient", "sum_planes", "split", "join"} <= set(ran)
    assert adjoint == 7  # the last six, and lab7_2
    assert len(errors) == 4 * (len(WINOGRAD_CASES) + 12)
    assert [error for error in errors if not error < 1e-5] == []


@pytest.mark.parametrize("isa", SUPPORTED)
def test_few_channels_on_every_instruction_set(fresh, isa):
    ran, errors = json.loads(fresh(ROWS, FASTCONV_ISA=isa))
    assert {"multiply_rows", "add_rows"} <= set(ran)
    assert [dtype for dtype, error in errors.items() if not error < TOLERANCES[dtype]] == []


@pytest.mark.parametrize("isa", SUPPORTED)
def test_pooling_on_every_instruction_set(fresh, isa):
    count, equal = fresh(POOL, FASTCONV_ISA=isa).split()
    assert int(count) > 2000
    assert equal == "True"


def test_the_widest_is_chosen(fresh):
    code = "from fastconv.backends import cython; print(cython.ISA)"
    assert SUPPORTED[-1] == "generic"
    for unset in (None, ""):
        assert fresh(code, FASTCONV_ISA=unset) == SUPPORTED[0]


def test_an_unknown_instruction_set(fresh):
    expected = f"FASTCONV_ISA must be one of {', '.join(_engine.compiled())}, got 'sse9'"
    assert fresh(REFUSED, FASTCONV_ISA="sse9") == f"backend 'cython' cannot run here: {expected}"


def test_an_instruction_set_that_this_cpu_lacks(fresh):
    older = """
from fastconv.backends import _engine
_engine.compiled, _engine.supported = lambda: ["avx512f", "generic"], lambda: ["generic"]
"""
    expected = "FASTCONV_ISA is avx512f, which this CPU lacks; it has generic"
    assert fresh(older + REFUSED, FASTCONV_ISA="avx512f") == f"backend 'cython' cannot run here: {expected}"


def test_the_engine_uses_what_it_has_alone():
    with pytest.raises(ValueError, match=r"use: expected one of .*generic, got 'sse9'"):
        _engine.use("sse9")


# The extension

def test_a_missing_extension_is_named_with_the_command_that_builds_it(fresh):
    error = fresh("import sys; sys.modules['fastconv.backends._engine'] = None\n" + REFUSED)
    assert "backend 'cython' cannot run here: its extension was not built; build it, with a C compiler" in error
    assert "pip install" in error


def test_an_extension_of_other_sources_is_not_used(fresh):
    error = fresh("from fastconv.backends import _engine; _engine.MAX_ROWS = 8\n" + REFUSED)
    assert "its extension was built from other sources; build it, with a C compiler" in error


def test_arguments_of_other_sources_are_refused():
    with pytest.raises(ValueError, match="run: add_up takes 4 arguments, got 5"):
        _engine.run("add_up", 0, 1, np.zeros(5, np.int64), False)


def test_winograd_is_for_float32():
    with pytest.raises(TypeError, match="run: winograd takes float32, got float64"):
        _engine.run("winograd", 0, 1, np.zeros(_engine.ARGUMENTS["winograd"], np.int64), True)


# Threads

def compute(g, dtype=np.float32):
    """The bytes of the forward pass and of both gradients."""
    rng = np.random.default_rng(5)
    x, w, dy = (rng.standard_normal(shape).astype(dtype) for shape in (g.x_shape, g.w_shape, g.y_shape))
    y, dx, dw, db = np.empty_like(dy), np.empty_like(x), np.empty_like(w), np.empty(g.k, dtype)
    cython.conv_forward(x, w, None, y, g)
    cython.conv_backward_input(dy, w, dx, g)
    cython.conv_backward_weight(x, dy, dw, db, g)
    return b"".join(a.tobytes() for a in (y, dx, dw, db))


@pytest.fixture
def shared(monkeypatch):
    """The number of chunks of each call that was shared among threads."""
    calls, share = [], threads.share

    def record(function, count, chunks):
        calls.append(chunks)
        share(function, count, chunks)

    monkeypatch.setattr(threads, "share", record)
    return calls


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("case", ["resnet_7", "single_56", "mobile_dw3", "resnext_g32"])
def test_the_same_bits_for_any_number_of_threads(monkeypatch, shared, dtype, case):
    g = by_name(case).with_batch(2).geometry()
    expected = compute(g, dtype)
    for count in (2, 3, 7):
        monkeypatch.setattr(threads, "get_num_threads", lambda count=count: count)
        shared.clear()
        assert compute(g, dtype) == expected
        assert max(shared) == count


def test_small_work_is_not_worth_a_thread(monkeypatch, shared):
    monkeypatch.setattr(threads, "get_num_threads", lambda: 4)
    compute(by_name("2d_plain").geometry())
    assert shared == []


# Pooling

def test_places_in_planes_that_float32_cannot_count():
    g = Geometry(1, 1, 1, input=(1, 4101, 4097), kernel=(1, 1, 3), output=(1, 4101, 2048), stride=(1, 1, 2))
    x = np.random.default_rng(6).standard_normal(g.x_shape, np.float32)
    y, indices = np.empty(g.y_shape, np.float32), np.empty(g.y_shape, np.int64)
    cython.max_pool_forward(x, y, indices, g)
    last = np.arange(4097, 4101)  # rows in which places are beyond 2**24
    windows = np.lib.stride_tricks.sliding_window_view(x[0, 0, 0, last], 3, axis=1)[:, ::2]
    assert np.array_equal(y[0, 0, 0, last], windows.max(axis=2))
    places = windows.argmax(axis=2) + 2 * np.arange(2048) + last[:, None] * 4097
    assert places.min() > 2**24
    assert np.array_equal(indices[0, 0, 0, last], places)
