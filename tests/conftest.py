"""What every test file relies on: a fresh kernel cache, the backends to test, and settings that no test leaks."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for `bench`, which is not installed


def _cache_directory():
    """A directory named from a hash of the sources.

    Numba notices an edit of the file that a cached function stands in, but not of one that it calls: by this name an
    edit anywhere leaves the old cache behind.
    """
    digest = hashlib.sha256()
    for path in sorted((ROOT / "fastconv").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return Path(os.environ.get("NUMBA_CACHE_DIR", ROOT / ".cache" / "numba")) / digest.hexdigest()[:16]


os.environ["NUMBA_CACHE_DIR"] = str(_cache_directory())  # read when numba is first imported

from fastconv import backends  # noqa: E402
from fastconv.backends import engine, precision, threads  # noqa: E402

# The oracle is what the others are compared with. That the others load is a test of its own, in test_backends.py.
TESTED = [name for name, missing in backends.available().items() if missing is None and name != "loops"]

# The simulator of CUDA gets a process of its own, started by test_cuda_simulator.py.
SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0"
collect_ignore = [] if SIMULATED else ["cuda_simulator"]


@pytest.fixture(params=TESTED)
def backend(request):
    """Each backend in turn, but for the oracle; "cuda", where there is one, with copies to the device and back."""
    return backends.hosting(request.param)


@pytest.fixture
def fresh():
    """Run Python code in a new interpreter, with any environment variables; what it printed is returned, stripped.

    A variable given as None is unset. The code must end without an error or a warning.
    """
    def run(code, **variables):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
        environment = {name: value for name, value in environment.items() if value is not None}
        done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, cwd=ROOT, text=True,
                              capture_output=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
    return run


@pytest.fixture
def steps(monkeypatch):
    """``steps(backend)``: the list of all (kernel, work items, arguments) that the backend's calls do from now on."""
    contracts = []

    def record(backend):
        contract, ran = backend._contract, []
        run = contract.run
        contracts.append(contract)
        # Otherwise compiled code does all of a call at once.
        monkeypatch.setattr(contract, "whole", lambda program: None)
        contract._programs.cache_clear()
        monkeypatch.setattr(contract, "run", lambda *step: (ran.append(step[:3]), run(*step)))
        return ran

    yield record
    for contract in contracts:
        contract._programs.cache_clear()


@pytest.fixture
def no_halves(monkeypatch):
    """Leave the matrix unit out where there is one, of what tests run what is done without it."""
    from fastconv.backends import numba, plan_halves_cost

    monkeypatch.setattr(plan_halves_cost, "pays", lambda *args: False)
    numba._contract._programs.cache_clear()
    yield
    numba._contract._programs.cache_clear()


@pytest.fixture
def no_lowered(monkeypatch):
    """Leave lowered positions out, of what tests run what is done without them."""
    from fastconv.backends import numba
    from fastconv.backends.numba import lowered

    monkeypatch.setattr(lowered, "TILES", ())
    numba._contract._programs.cache_clear()
    yield
    numba._contract._programs.cache_clear()


@pytest.fixture
def stored_past(monkeypatch):
    """``stored_past(yes)``: whether results are stored past the caches, from now on, whatever their size."""
    contracts = [backends.get(name)._contract for name in TESTED if name in ("numba", "cython")]

    def forget():
        for contract in contracts:
            contract._programs.cache_clear()

    def store(yes):
        for limit in ("PAST", "STREAMED"):
            monkeypatch.setattr(engine, limit, 0 if yes else 1 << 60)
        forget()

    yield store
    forget()


@pytest.fixture(autouse=True)
def _settings():
    """Put back the backend, the number of threads and the precision that a test changed."""
    before = backends._chosen, threads._threads, precision._level
    yield
    backends._chosen, threads._threads, precision._level = before
