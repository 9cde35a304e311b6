"""Calls that are planned once: what a plan depends on, and that calls share nothing but the plan."""

import threading

import numpy as np
import pytest

import fastconv
from fastconv import functional, grad
from fastconv.backends import numba as engine


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.standard_normal((2, 64, 28, 28), np.float32), rng.standard_normal((64, 64, 3, 3), np.float32)


def test_a_call_is_planned_once(arrays, monkeypatch):
    x, w = arrays
    planned = []
    plan = type(engine._contract).plan_conv_forward
    monkeypatch.setattr(type(engine._contract), "plan_conv_forward",
                        lambda self, *args: planned.append(args[1]) or plan(self, *args))
    engine._contract._programs.cache_clear()
    with fastconv.use_backend("numba"):
        for _ in range(3):
            functional.conv2d(x, w, padding=1)
        functional.conv2d(x[:1], w, padding=1)
        functional.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1)
    assert len(planned) == 3


def test_another_precision_and_number_of_threads_are_seen_at_once(arrays):
    x, w = arrays
    with fastconv.use_backend("numba"):
        fast = functional.conv2d(x, w, padding=1)
        fastconv.set_float32_precision("highest")
        try:
            direct = functional.conv2d(x, w, padding=1)
        finally:
            fastconv.set_float32_precision("high")
        exact = functional.conv2d(x.astype(np.float64), w.astype(np.float64), padding=1)
        assert np.abs(direct - exact).max() < np.abs(fast - exact).max()
        threads = fastconv.get_num_threads()
        fastconv.set_num_threads(1)
        try:
            assert np.array_equal(functional.conv2d(x, w, padding=1), fast)
        finally:
            fastconv.set_num_threads(threads)


def test_threads_share_a_plan(arrays):
    """Each call has a workspace of its own, whose every part differs with the input."""
    x, w = arrays
    inputs = [x * factor for factor in range(1, 5)]
    results = {}

    def call(i):
        for _ in range(5):
            results[i] = functional.conv2d(inputs[i], w, padding=1), grad.conv2d_input(x.shape, w, inputs[i], padding=1)

    call(0)
    expected = results.pop(0)
    workers = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for i in (0, 1, 3):  # times 1, 2 and 4, which change no digit
        for found, first in zip(results[i], expected, strict=True):
            assert np.array_equal(found, first * (i + 1))
