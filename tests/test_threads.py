"""The number of threads, and calls from many threads and from a forked child."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import TESTED

import fastconv
from bench.cases import by_name
from fastconv.backends import threads

CORES = threads.cores()


def test_the_default_is_the_number_of_cores(fresh):
    assert fresh("import fastconv; print(fastconv.get_num_threads())", OMP_NUM_THREADS=None) == str(CORES)


@pytest.mark.parametrize(("variable", "expected"), [
    ("1", 1), (" 1 ", 1), ("1,4", 1), ("100000", CORES), ("", CORES), ("0", CORES), ("-1", CORES), ("many", CORES),
    ("1.5", CORES), (",1", CORES)])
def test_omp_num_threads(fresh, variable, expected):
    code = "import fastconv; print(fastconv.get_num_threads())"
    assert fresh(code, OMP_NUM_THREADS=variable) == str(expected)


def test_set_num_threads_overrides_omp_num_threads(fresh):
    code = f"import fastconv; fastconv.set_num_threads({CORES}); print(fastconv.get_num_threads())"
    assert fresh(code, OMP_NUM_THREADS="1") == str(CORES)


@pytest.mark.parametrize("n", [1, np.int64(1), CORES])
def test_set_num_threads(n):
    fastconv.set_num_threads(n)
    assert fastconv.get_num_threads() == n
    assert type(fastconv.get_num_threads()) is int


def test_more_than_the_cores_is_capped_saying_so():
    message = rf"set_num_threads\({CORES + 3}\): this process has {CORES} cores; using {CORES} threads"
    with pytest.warns(RuntimeWarning, match=message) as caught:
        fastconv.set_num_threads(CORES + 3)
    assert fastconv.get_num_threads() == CORES
    assert caught[0].filename == __file__


@pytest.mark.parametrize("n", [1.0, "2", None, True, [1], np.float32(1)])
def test_not_an_int(n):
    before = fastconv.get_num_threads()
    with pytest.raises(TypeError, match="set_num_threads: n must be an int, got"):
        fastconv.set_num_threads(n)
    assert fastconv.get_num_threads() == before


@pytest.mark.parametrize("n", [0, -1, -(2**70)])
def test_not_a_positive_number(n):
    before = fastconv.get_num_threads()
    with pytest.raises(ValueError, match=f"set_num_threads: n must be at least 1, got {n}"):
        fastconv.set_num_threads(n)
    assert fastconv.get_num_threads() == before


def test_it_holds_for_every_python_thread():
    fastconv.set_num_threads(1)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fastconv.get_num_threads).result() == 1
        pool.submit(fastconv.set_num_threads, CORES).result()
    assert fastconv.get_num_threads() == CORES


def test_forked(fresh):
    code = """
import os
from fastconv.backends import threads
print(threads.forked(), flush=True)
child = os.fork()
if not child:
    print(threads.forked(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(threads.forked())
"""
    assert fresh(code).split() == ["False", "True", "False"]


# Calls at once

def problem():
    """(x, w, dy, geometry) of a convolution large enough to be divided among threads."""
    g = by_name("resnet_28").with_batch(2).geometry()
    rng = np.random.default_rng(1)
    return [rng.standard_normal(shape, np.float32) for shape in (g.x_shape, g.w_shape, g.y_shape)], g


def compute(module, arrays, g):
    """The bytes of all results of one convolution, forward and backward."""
    x, w, dy = arrays
    y, dx, dw, db = np.empty_like(dy), np.empty_like(x), np.empty_like(w), np.empty(g.k, w.dtype)
    module.conv_forward(x, w, None, y, g)
    module.conv_backward_input(dy, w, dx, g)
    module.conv_backward_weight(x, dy, dw, db, g)
    return [a.tobytes() for a in (y, dx, dw, db)]


@pytest.mark.parametrize("n", [1, min(2, CORES)])
def test_calls_from_many_threads_at_once(backend, n):
    fastconv.set_num_threads(n)
    arrays, g = problem()
    expected = compute(backend, arrays, g)
    callers = 4
    together = threading.Barrier(callers)

    def call(_):
        together.wait()
        return [compute(backend, arrays, g) for _ in range(2)]

    with ThreadPoolExecutor(callers) as pool:
        for results in pool.map(call, range(callers)):
            assert all(result == expected for result in results)


FORK = """
import os, signal, warnings
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import fastconv
from bench.cases import by_name
from fastconv import backends
from fastconv.backends import threads

# Newer Pythons warn of any fork beside threads; that this one is safe is what is tested.
warnings.simplefilter("ignore", DeprecationWarning)

g = by_name("lab7_2").geometry()
rng = np.random.default_rng(2)
x, w = rng.standard_normal(g.x_shape, np.float32), rng.standard_normal(g.w_shape, np.float32)

def compute(_=None):
    y, dw = np.empty(g.y_shape, np.float32), np.empty(g.w_shape, np.float32)
    backends.current().conv_forward(x, w, None, y, g)
    backends.current().conv_backward_weight(x, y, dw, None, g)
    return y.tobytes() + dw.tobytes()

def check(expected):
    signal.alarm(60)
    right = compute() == expected
    with ThreadPoolExecutor(3) as pool:
        right &= all(result == expected for result in pool.map(compute, range(6)))
    return right

fastconv.set_num_threads(min(2, threads.cores()))
expected = compute()
for _ in range(2):
    child = os.fork()
    if not child:
        os._exit(0 if check(expected) else 3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, check(expected))
"""


@pytest.mark.parametrize("name", TESTED)
def test_a_forked_child_computes_and_so_does_its_parent(fresh, name):
    """Also from several threads of the child, and the parent goes on; a hang is ended by an alarm."""
    assert fresh(FORK, FASTCONV_BACKEND=name).split() == ["0", "True", "0", "True"]
