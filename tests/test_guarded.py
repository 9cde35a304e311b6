"""No kernel reads or writes outside of its arrays and workspaces: those touch pages that end the process if it does."""

import sys

import pytest
from conftest import TESTED

COUNT = 250
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pages are protected by Linux's mprotect")


@pytest.mark.parametrize("below", [False, True], ids=["above", "below"])
@pytest.mark.parametrize(("name", "always"), [("numba", False), ("numba", True), ("cython", False)],
                         ids=["numba", "halves", "cython"])
def test_nothing_beyond_is_touched(name, always, below, fresh):
    if name not in TESTED:
        pytest.skip(f"no {name} here")
    arguments = f"{name!r}, 7, {COUNT}, {below}, {always}"
    assert fresh(f"import sys; sys.path.insert(0, 'tests'); import guarded; guarded.run({arguments})").endswith("done")
