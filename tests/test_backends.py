"""Which backend serves a call, and the settings that hold for all of them."""

import asyncio
import io
import os
import threading

import pytest

import fastconv
from fastconv import backends
from fastconv.backends import KERNELS, NAMES, BackendUnavailable, precision

AUTOMATIC = next(name for name, missing in backends.available().items() if missing is None)

# Each sees to it that a backend cannot run in the interpreter in which it stands.
WITHOUT_NUMBA = "import sys; sys.modules['numba'] = None\n"
WITHOUT_CYTHON = """
import importlib.machinery, sys
class NoExtensions(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        spec = super().find_spec(name, path, target)
        compiled = spec and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)
        if compiled and name.startswith("fastconv"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec
sys.meta_path.insert(0, NoExtensions)
"""


@pytest.mark.parametrize("name", NAMES)
def test_every_backend_loads(name):
    """A backend that does not load fails here, and is not merely left out elsewhere.

    Only these may be missing: the Cython extension, where no compiler built it (FASTCONV_REQUIRE_EXT=1 forbids that),
    and "cuda", where there is no GPU.
    """
    optional = ["cuda"] if os.environ.get("FASTCONV_REQUIRE_EXT") == "1" else ["cuda", "cython"]
    if name in optional and backends.available()[name]:
        with pytest.raises(BackendUnavailable, match="install"):
            backends.get(name)
    else:
        module = backends.get(name)
        assert module.__name__ == f"fastconv.backends.{name}"
        assert [kernel for kernel in KERNELS if not callable(getattr(module, kernel, None))] == []


def test_unknown_names():
    expected = "there is no backend {}; expected one of 'numba', 'cython', 'tensordot', 'loops'"
    before = backends.current_name()
    for name in ("torch", "", "Numba", "threads", "__init__"):
        with pytest.raises(ValueError, match=expected.format(repr(name))):
            fastconv.set_backend(name)
        with pytest.raises(ValueError, match=expected.format(repr(name))), fastconv.use_backend(name):
            pass
    with pytest.raises(ValueError, match=expected.format(None)), fastconv.use_backend(None):
        pass
    assert backends.current_name() == before


def test_set_backend():
    fastconv.set_backend("loops")
    assert backends.current_name() == "loops"
    assert backends.current_name() == "loops"
    fastconv.set_backend("tensordot")
    assert backends.current_name() == "tensordot"


def test_none_returns_to_the_automatic_choice(monkeypatch):
    monkeypatch.delenv("FASTCONV_BACKEND", raising=False)
    fastconv.set_backend("loops")
    fastconv.set_backend(None)
    assert backends.current_name() == AUTOMATIC


def test_use_backend():
    fastconv.set_backend("tensordot")
    with fastconv.use_backend("loops"):
        assert backends.current_name() == "loops"
        with fastconv.use_backend("tensordot"):
            assert backends.current_name() == "tensordot"
        assert backends.current_name() == "loops"
        fastconv.set_backend("tensordot")
        assert backends.current_name() == "loops"
    assert backends.current_name() == "tensordot"


def test_use_backend_ends_with_an_exception():
    fastconv.set_backend("tensordot")
    with pytest.raises(KeyError), fastconv.use_backend("loops"):
        raise KeyError
    assert backends.current_name() == "tensordot"


def test_the_choice_is_seen_by_every_thread_but_use_backend_by_its_own():
    fastconv.set_backend("tensordot")
    inside, done, seen = threading.Event(), threading.Event(), []

    def other():
        seen.append(backends.current_name())
        with fastconv.use_backend("tensordot"):
            inside.set()
            done.wait(10)

    with fastconv.use_backend("loops"):
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        assert backends.current_name() == "loops"
        done.set()
        thread.join()
    assert seen == ["tensordot"]

    thread = threading.Thread(target=fastconv.set_backend, args=("loops",))
    thread.start()
    thread.join()
    assert backends.current_name() == "loops"


def test_use_backend_holds_within_its_task():
    fastconv.set_backend("tensordot")

    async def task(name):
        with fastconv.use_backend(name):
            await asyncio.sleep(0)
            return backends.current_name()

    async def tasks():
        return await asyncio.gather(task("loops"), task("tensordot"), task("loops"))

    assert asyncio.run(tasks()) == ["loops", "tensordot", "loops"]


# The environment

PRINT = "from fastconv import backends; print(backends.current_name())"


def test_the_fastest_is_chosen(fresh):
    assert fresh(PRINT, FASTCONV_BACKEND=None) == AUTOMATIC
    assert fresh(PRINT, FASTCONV_BACKEND="") == AUTOMATIC


def test_environment_variable(fresh):
    assert fresh(PRINT, FASTCONV_BACKEND="tensordot") == "tensordot"
    assert fresh("import fastconv; fastconv.set_backend('loops')\n" + PRINT, FASTCONV_BACKEND="tensordot") == "loops"
    again = "import fastconv; fastconv.set_backend('loops'); fastconv.set_backend(None)\n" + PRINT
    assert fresh(again, FASTCONV_BACKEND="tensordot") == "tensordot"


def test_environment_variable_with_an_unknown_name(fresh):
    code = "from fastconv import backends\ntry:\n    backends.current()\nexcept ValueError as error:\n    print(error)"
    assert "there is no backend 'fast'; expected one of 'numba'" in fresh(code, FASTCONV_BACKEND="fast")


# A backend that is missing

TRY = """
import fastconv
from fastconv import backends
fastconv.set_backend("tensordot")
for choose in (fastconv.set_backend, lambda name: fastconv.use_backend(name).__enter__(), backends.get):
    try:
        choose({name!r})
    except fastconv.BackendUnavailable as error:
        print(str(error).replace(chr(10), " "))
print(backends.current_name())
"""


@pytest.mark.parametrize(("name", "without"), [("numba", WITHOUT_NUMBA), ("cython", WITHOUT_CYTHON)],
                         ids=["numba", "cython"])
def test_a_missing_backend_is_named_with_the_command_that_installs_it(fresh, name, without):
    *errors, current = fresh(without + TRY.format(name=name)).splitlines()
    assert len(errors) == 3
    for error in errors:
        assert name in error
        assert "pip install" in error
    assert current == "tensordot"


def test_the_environment_names_a_missing_backend(fresh):
    code = "from fastconv import backends\ntry:\n    backends.current()\nexcept ImportError as error:\n    print(error)"
    assert "pip install" in fresh(WITHOUT_NUMBA + code, FASTCONV_BACKEND="numba")


def test_the_automatic_choice_falls_back(fresh):
    code = WITHOUT_NUMBA + WITHOUT_CYTHON + """
import fastconv, sys
from fastconv import backends
print(backends.current_name(), *(name for name, missing in backends.available().items() if missing))
fastconv.show_config(sys.stdout)
"""
    first, *config_lines = fresh(code, FASTCONV_BACKEND=None).splitlines()
    assert first.split() == ["tensordot", "numba", "cython", "cuda"]
    for name in ("numba", "cython", "cuda"):
        assert any(line.split()[:2] == [name, "missing:"] for line in config_lines)


def test_unavailable_is_an_import_error():
    assert issubclass(BackendUnavailable, ImportError)
    assert fastconv.BackendUnavailable is BackendUnavailable


# Settings for all of them

def test_precision():
    assert precision.LEVELS == ("highest", "high", "medium")
    for level in precision.LEVELS:
        fastconv.set_float32_precision(level)
        assert precision.get_float32_precision() == level


def test_the_default_precision(fresh):
    assert fresh("from fastconv.backends import precision; print(precision.get_float32_precision())") == "high"


@pytest.mark.parametrize("level", ["best", "", "High", None, 1, ["high"]])
def test_unknown_precision(level):
    fastconv.set_float32_precision("highest")
    expected = "set_float32_precision: level must be one of 'highest', 'high', 'medium', got"
    with pytest.raises(ValueError, match=expected):
        fastconv.set_float32_precision(level)
    assert precision.get_float32_precision() == "highest"


def test_show_config(capsys):
    fastconv.set_backend("tensordot")
    fastconv.set_float32_precision("highest")
    fastconv.show_config()
    printed = capsys.readouterr().out
    out = io.StringIO()
    fastconv.show_config(out)
    assert out.getvalue() == printed
    lines = [line.split() for line in printed.splitlines()]
    assert ["fastconv", fastconv.__version__] in lines
    assert ["backend", "tensordot"] in lines
    assert ["precision", "highest"] in lines
    assert {line[0] for line in lines if line} >= {*NAMES, "python", "numpy", "torch", "machine", "features"}


def test_warmup_of_a_backend_without_compiler():
    fastconv.set_backend("tensordot")
    assert fastconv.warmup() is None
