"""No kernel reads or writes outside of its arrays and workspaces: those touch pages that end the process if it does."""

import sys

import pytest
from conftest import TESTED

COUNT = 250
ENGINES = {"numba": ("numba", False), "special": ("numba", True), "cython": ("cython", False)}
ENGINES = {which: engine for which, engine in ENGINES.items() if engine[0] in TESTED}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's mprotect")


@pytest.mark.parametrize("below", [False, True], ids=["above", "below"])
@pytest.mark.parametrize(("name", "always"), ENGINES.values(), ids=ENGINES)
def test_nothing_beyond_is_touched(name, always, below, fresh):
    arguments = f"{name!r}, 7, {COUNT}, {below}, {always}"
    assert fresh(f"import sys; sys.path.insert(0, 'tests'); import guarded; guarded.run({arguments})").endswith("done")


@pytest.mark.parametrize("below", [False, True], ids=["above", "below"])
@pytest.mark.parametrize("name", [name for name in ("numba", "cython") if name in TESTED])
def test_functions_touch_nothing_beyond(name, below, fresh):
    code = f"import sys; sys.path.insert(0, 'tests'); import guarded; guarded.operate({name!r}, {below})"
    assert fresh(code).endswith("done")
