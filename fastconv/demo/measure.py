"""Check and time one implementation of a network's convolution and pooling layers, in a process of its own.

``python -m fastconv.demo.measure`` reads a request as JSON from standard input and writes its answer as JSON to
standard output. A process each, since the OpenMP pools of torch and of a backend disturb one another, and since NumPy's
BLAS takes its number of threads from the environment it starts in.

A request is ``{"implementation": a backend or "torch", "threads": int, "cases": [...], "expected": path}``. The file of
expected results is written by the implementation ``loops``, which computes a batch of `CHECKED` only, and read by the
others. A case is ``{"kind": "conv" or "pool", "x": shape, "w": shape or kernel size}``.
"""

import json
import statistics
import sys
import time
import warnings

import numpy as np

import fastconv
from fastconv import functional, grad

CHECKED = 4
# Of the largest element: the 'high' precision allows 1e-5, and float32 sums of 43,264 products add their rounding.
TOLERANCE = 5e-5
RESULTS = {"conv": ("output", "input gradient", "weight gradient", "bias gradient"),
           "pool": ("output", "indices", "input gradient")}
# The first calls are not counted: thread pools start, and torch's first convolutions took up to five times as long.
WARM_UP, SECONDS, FEWEST, MOST = 0.1, 0.25, 5, 200


def arrays(case, seed):
    """The arguments of a case, the same in every process: x, w, bias (None for pooling)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(case["x"], dtype=np.float32)
    if case["kind"] == "pool":
        return x, None, None
    w = rng.standard_normal(case["w"], dtype=np.float32)
    return x, w, rng.standard_normal(len(w), dtype=np.float32)


class Backend:
    """The layers by fastconv."""

    def forward(self, case, x, w, bias):
        if case["kind"] == "pool":
            return functional.max_pool2d(x, case["w"], return_indices=True)
        return (functional.conv2d(x, w, bias),)

    def backward(self, case, x, w, indices, dy):
        if case["kind"] == "pool":
            return (grad.max_pool2d_input(x.shape, indices, dy),)
        return grad.conv2d_input(x.shape, w, dy), *grad.conv2d_parameters(x, w.shape, dy)

    def put(self, array):
        return array

    def get(self, array):
        return array


class Torch:
    """The layers by torch, in its own layout (NCHW), without the cost of its autograd graph."""

    def __init__(self, threads):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.aten = torch, torch.ops.aten

    def forward(self, case, x, w, bias):
        if case["kind"] == "pool":
            return self.torch.nn.functional.max_pool2d(x, case["w"], return_indices=True)
        return (self.torch.nn.functional.conv2d(x, w, bias),)

    def backward(self, case, x, w, indices, dy):
        if case["kind"] == "pool":
            size = [case["w"]] * 2
            return (self.aten.max_pool2d_with_indices_backward(dy, x, size, size, [0, 0], [1, 1], False, indices),)
        return self.aten.convolution_backward(dy, x, w, [len(w)], [1, 1], [0, 0], [1, 1], False, [0, 0], 1,
                                              [True, True, True])

    def put(self, array):
        return None if array is None else self.torch.from_numpy(array)

    def get(self, array):
        return array.numpy()


def measure(request):
    """Answer a request.

    The answer is ``{"version": str, "rows": [...]}`` with ``{"forward": seconds, "backward": seconds, "wrong": None}``
    for each case. Where a result differs from the oracle's there are no times, and "wrong" says what does.

    For ``loops`` the times are those of one call on a batch of `CHECKED`, and nothing is compared.
    """
    name, cases = request["implementation"], request["cases"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        fastconv.set_num_threads(request["threads"])
    if name == "torch":
        implementation = Torch(request["threads"])
        version = implementation.torch.__version__
    else:
        fastconv.set_backend(name)
        implementation, version = Backend(), fastconv.__version__
    if name == "loops":
        rows, expected = zip(*(_oracle(implementation, case, i) for i, case in enumerate(cases)), strict=True)
        np.savez(request["expected"], **{f"{i}.{j}": a for i, results in enumerate(expected)
                                         for j, a in enumerate(results)})
    else:
        with np.load(request["expected"]) as expected:
            rows = [_check_and_time(implementation, case, i, expected) for i, case in enumerate(cases)]
    return {"version": version, "rows": rows}


def _gradient(y, seed):
    return np.random.default_rng([seed, 1]).standard_normal(y.shape, dtype=np.float32)


def _oracle(loops, case, seed):
    x, w, bias = arrays(case, seed)
    x_few = x[:CHECKED]
    start = time.perf_counter()
    outputs = loops.forward(case, x_few, w, bias)
    middle = time.perf_counter()
    dy = _gradient(np.broadcast_to(outputs[0][:1], (len(x), *outputs[0].shape[1:])), seed)[:CHECKED]
    between = time.perf_counter()
    gradients = loops.backward(case, x_few, w, outputs[-1], dy)
    end = time.perf_counter()
    times = {"forward": middle - start, "backward": end - between, "wrong": None}
    return times, (*outputs, *gradients)


def _check_and_time(implementation, case, seed, expected):
    x, w, bias = arrays(case, seed)
    put, get = implementation.put, implementation.get
    x_, w_, bias_ = put(x), put(w), put(bias)
    outputs = implementation.forward(case, x_, w_, bias_)
    results = [get(result) for result in outputs]
    wrong = _first_wrong(case, results, expected, seed)
    if not wrong:
        dy = _gradient(results[0], seed)
        # With no gradient beyond the first few examples the whole batch's weight gradient is theirs: what is checked
        # is the very call that is timed.
        few = dy.copy()
        few[CHECKED:] = 0
        results += [get(result) for result in implementation.backward(case, x_, w_, outputs[-1], put(few))]
        wrong = _first_wrong(case, results, expected, seed)
    if wrong:
        return {"forward": None, "backward": None, "wrong": wrong}
    dy_ = put(dy)
    return {"forward": _median(lambda: implementation.forward(case, x_, w_, bias_)),
            "backward": _median(lambda: implementation.backward(case, x_, w_, outputs[-1], dy_)), "wrong": None}


def _first_wrong(case, results, expected, seed):
    for i, (name, result) in enumerate(zip(RESULTS[case["kind"]], results, strict=False)):
        difference = _difference(result, expected[f"{seed}.{i}"])
        if difference:
            return f"{name} {difference}"
    return None


def _difference(result, expected):
    result = result[:len(expected)]
    if result.shape != expected.shape:
        return f"has shape {result.shape}, expected {expected.shape}"
    if expected.dtype.kind == "i":
        return None if np.array_equal(result, expected) else "differ from the oracle's"
    error = float(np.abs(result.astype(np.float64) - expected).max() / np.abs(expected).max())
    return None if error <= TOLERANCE else f"is off the oracle's by {error:.1e} of its largest element"


def _median(call):
    """The median of several calls' seconds."""
    deadline = time.perf_counter() + WARM_UP
    while time.perf_counter() < deadline:
        call()
    times = []
    deadline = time.perf_counter() + SECONDS
    while len(times) < FEWEST or (time.perf_counter() < deadline and len(times) < MOST):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    json.dump(measure(json.load(sys.stdin)), sys.stdout)
