"""What a case needs, whoever computes it: multiply-adds, bytes that must move; and the memory it may take besides."""

from __future__ import annotations

import math

from bench.cases import Conv
from fastconv.backends import plan_apart, plan_winograd, plan_winograd_weight

MIB = 1 << 20
WIDTH = 64  # of the plans' panels, as with AVX-512


def multiply_adds(case, direction):
    """Of the direct form of a convolution, padding counted in; backward those of both gradients. 0 for a pooling."""
    if not isinstance(case, Conv):
        return 0
    return case.geometry().multiply_adds * (1 if direction == "forward" else 2)


def bytes_moved(case, direction, itemsize=4):
    """Bytes of arguments and results, each counted once."""
    g = case.geometry()
    x, y = math.prod(g.x_shape), math.prod(g.y_shape)
    if isinstance(case, Conv):
        w, bias = math.prod(case.weight), g.c if case.transposed else g.k
        # Forward x, w and bias are read and y is written; backward x, dy and w are read, dx, dw and db are written.
        return itemsize * (x + y + w + bias if direction == "forward" else 2 * (x + w) + y + bias)
    return itemsize * (x + y) + (8 * y if case.op == "max" else 0)


def workspace(case, direction, threads, itemsize=4):
    """The bytes that a convolution may take beyond arguments and results.

    1.25 times the input (backward: the input and the output's gradient), 4 times the weights, 8 MiB a thread.
    """
    g = case.geometry()
    x, y = (g.y_shape, g.x_shape) if case.transposed else (g.x_shape, g.y_shape)
    inputs = math.prod(x) + (math.prod(y) if direction == "backward" else 0)
    return int(itemsize * (1.25 * inputs + 4 * math.prod(case.weight))) + 8 * MIB * threads


def transformed(case, direction):
    """Whether a convolution's float32 plan is Winograd's, which needs fewer multiplications, in some pass."""
    if not isinstance(case, Conv):
        return False
    g = case.geometry()
    passes = {"forward": (plan_winograd.forward,),
              "backward": (plan_winograd.backward_input, plan_winograd_weight.backward_weight)}
    if case.transposed:
        passes["forward"] = (plan_winograd.backward_input,)
        passes["backward"] = (plan_winograd.forward, plan_winograd_weight.backward_weight)
    return any(plan_apart.transform(planner, g, WIDTH)[1] is not None for planner in passes[direction])


def channels(case):
    """The fewer of the channels of a group that a convolution reads and writes."""
    return min(case.weight[1], case.weight[0] // case.groups)
