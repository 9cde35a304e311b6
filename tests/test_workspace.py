"""Memory that is kept: results and workspaces take it again when it is free, and never before."""

import copy
import pickle

import numpy as np
import pytest

from fastconv import functional
from fastconv.backends import workspace

SHAPE = (64, 1 << 13)  # 2 MiB of float32


@pytest.fixture(autouse=True)
def _pool(monkeypatch):
    monkeypatch.setattr(workspace, "_pool", workspace._Pool())
    monkeypatch.setattr(workspace, "_spaces", workspace._Spaces())


def place(array):
    return array.__array_interface__["data"][0]


def test_a_large_result_is_an_ordinary_array():
    x = workspace.empty(SHAPE, np.dtype(np.float32))
    assert type(x) is np.ndarray
    assert x.shape == SHAPE
    assert x.dtype == np.float32
    assert x.flags.c_contiguous
    assert x.flags.writeable
    assert place(x) % workspace.LINE == 0
    x[...] = 1
    assert np.array_equal(pickle.loads(pickle.dumps(x)), x)
    assert np.array_equal(copy.deepcopy(x), x)


def test_memory_comes_back_when_the_array_is_gone():
    x = workspace.empty(SHAPE, np.dtype(np.float32))
    first = place(x)
    y = workspace.empty(SHAPE, np.dtype(np.float32))
    assert not np.shares_memory(x, y)
    del x
    assert place(workspace.empty(SHAPE, np.dtype(np.float32))) == first


def test_a_view_keeps_the_memory():
    x = workspace.empty(SHAPE, np.dtype(np.float32))
    x[...] = 7
    view = x[3:5, ::2].T
    del x
    others = [workspace.empty(SHAPE, np.dtype(np.float32)) for _ in range(3)]
    for other in others:
        other[...] = 0
    assert (view == 7).all()


def test_results_of_functions_do_not_share_memory():
    x = np.random.default_rng(0).standard_normal(SHAPE, np.float32)
    first = functional.relu(x)
    kept = first.copy()
    for _ in range(3):
        functional.relu(-x)
    assert np.array_equal(first, kept)


def test_no_more_than_so_much_is_kept(monkeypatch):
    monkeypatch.setattr(workspace, "KEPT", 5 << 20)
    arrays = [workspace.empty(SHAPE, np.dtype(np.float32)) for _ in range(4)]
    places = [place(a) for a in arrays]
    while arrays:
        del arrays[0]
    two = 2 * ((2 << 20) + workspace.LINE)
    assert workspace._pool.bytes == two
    assert [place(piece) + -place(piece) % workspace.LINE for piece in workspace._pool.pieces] == places[2:]
    workspace.empty((3 << 21,), np.dtype(np.float32))
    assert workspace._pool.bytes == two


def test_workspaces_share_the_largest_piece():
    def used(size):
        return workspace.Workspace(size, place).address

    first = used(1 << 20)
    assert used(1 << 19) == first
    larger = used(3 << 20)
    assert [piece.nbytes for piece in workspace._spaces.pieces] == [(3 << 20) + workspace.LINE]
    assert used(1 << 20) == larger
    one, other = workspace.Workspace(1 << 20, place), workspace.Workspace(1 << 20, place)
    assert one.address != other.address
    assert one.address % workspace.LINE == other.address % workspace.LINE == 0


def test_small_arrays_are_left_to_numpy():
    assert workspace.empty((4, 5), np.dtype(np.float64)).flags.owndata


@pytest.mark.parametrize("kind", [workspace.Workspace, workspace._Result])
def test_what_an_interrupt_leaves_half_made_goes_quietly(kind):
    kind.__new__(kind).__del__()
