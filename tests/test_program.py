"""Calls that are planned once: what a plan depends on, and that calls share nothing but the plan."""

import threading

import numpy as np
import pytest

import fastconv
from bench.cases import CONV_CORNERS, POOL_CORNERS
from fastconv import functional, grad
from fastconv.backends import numba as engine
from fastconv.backends import program


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


def passes(case, dtype):
    """What a case's functions of the contract make of the same numbers."""
    rng, g = np.random.default_rng(1), case.geometry()

    def numbers(shape):
        return rng.standard_normal(shape).astype(dtype)

    def results(*shapes):
        return [np.full(shape, np.nan, dtype) for shape in shapes]

    x, dy = numbers(g.x_shape), numbers(g.y_shape)
    if hasattr(case, "weight"):
        w, bias = numbers(g.w_shape), numbers(g.bias_shape)
        found = results(g.y_shape, g.y_shape, g.x_shape, g.w_shape, g.w_shape, g.bias_shape)
        y, unbiased, dx, dw, other_dw, db = found
        engine.conv_forward(x, w, bias, y, g)
        engine.conv_forward(x, w, None, unbiased, g)
        engine.conv_backward_input(dy, w, dx, g)
        engine.conv_backward_weight(x, dy, dw, db, g)
        engine.conv_backward_weight(x, dy, other_dw, None, g)
        return found
    found = results(g.y_shape, g.x_shape)
    if case.op == "avg":
        engine.avg_pool_forward(x, found[0], g)
        engine.avg_pool_backward(dy, found[1], g)
        return found
    indices = np.full(g.y_shape, -1)
    engine.max_pool_forward(x, found[0], indices, g)
    engine.max_pool_backward(dy, indices, found[1], g)
    return [*found, indices]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", [*CONV_CORNERS, *POOL_CORNERS], ids=str)
def test_small_calls_are_done_at_once_and_step_by_step_with_the_same_bits(case, dtype, monkeypatch):
    called = []
    step_by_step = program.Program.__call__
    monkeypatch.setattr(program.Program, "__call__", lambda self, *arrays: called.append(self) or step_by_step(
        self, *arrays))
    engine._contract._programs.cache_clear()
    at_once = passes(case, dtype)
    left = len(called)
    monkeypatch.setattr(engine._contract, "whole", lambda program: None)
    engine._contract._programs.cache_clear()
    others = passes(case, dtype)
    engine._contract._programs.cache_clear()
    assert left <= len(called) - left > 0
    if hasattr(case, "weight"):
        assert left < len(called) - left
    for found, other in zip(at_once, others, strict=True):
        assert np.array_equal(found, other, equal_nan=False)
