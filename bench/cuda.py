"""Validate the CUDA kernels on a GPU, then time them beside torch (cuDNN): `make bench-cuda`.

    python -m bench.cuda [--quick] [--case NAME ...] [--seconds S]

First the corner cases of every kernel, in float32 and, fewer of them, in float64 and float16, against the plain loops;
then each case of the suite at batch 64 against torch, and only then its time. The two take turns, and both are
measured by CUDA events in this process. It writes bench/RESULTS_CUDA.md and the roofline beside it.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import math
import os
import statistics
import subprocess
import sys
import time
from functools import partial

import numpy as np
from tqdm import tqdm

from bench import cuda_report
from bench.cases import CONV_CORNERS, POOL_CORNERS, POOLS, SUITE, Conv, by_name
from bench.cuda_report import Machine, Row
from bench.environment import ROOT, numba_cache_dir

DEVICE = "cuda"
BATCH = 64
RESULTS = ROOT / "bench" / "RESULTS_CUDA.md"
QUICK = ("lab7_2", "resnet_28", "pointwise_a", "mobile_dw3", "max_112")
EPSILON = {"float16": 2.0**-10, "float32": 2.0**-23, "float64": 2.0**-52}
TF32 = 2.0**-10
LIMIT = 480  # seconds for everything: what is left when they are over is not timed, and named


def missing():
    """What this machine lacks, or None."""
    from fastconv.backends.cuda import jit

    if jit.SIMULATED:
        return "NUMBA_ENABLE_CUDASIM is set: unset it to run on a GPU"
    if not jit.cuda.is_available():
        return ("no GPU that Numba can use; it needs NVIDIA's driver, and a CUDA toolkit or "
                '`pip install "fastconv[cuda]"`')
    try:
        import torch
    except ImportError:
        return "torch is not installed; `make bench-cuda` installs a build with CUDA"
    if not torch.cuda.is_available():
        return (f"torch {torch.__version__} cannot use the GPU; install a build with CUDA, such as `pip install torch "
                "--index-url https://download.pytorch.org/whl/cu130`")
    return None


# The two sides, on torch's tensors

def kernels():
    """The kernels that are validated and timed."""
    from fastconv.backends import cuda

    return cuda


def view(tensor):
    """A tensor as the kernels take it."""
    from fastconv.backends.cuda import arrays

    return None if tensor is None else arrays.view(tensor.detach())


def tensors(case, dtype):
    """{name: tensor} of arguments and results, of the contract's shapes, the results NaN."""
    import torch

    g, generator = case.geometry(), torch.Generator(DEVICE).manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device=DEVICE, dtype=torch.float32).to(dtype)

    def empty(*shape):
        return torch.full(shape, math.nan, device=DEVICE, dtype=dtype)

    found = {"x": normal(*g.x_shape), "dy": normal(*g.y_shape), "y": empty(*g.y_shape), "dx": empty(*g.x_shape)}
    if isinstance(case, Conv):
        found |= {"w": normal(*g.w_shape), "b": normal(g.k), "dw": empty(*g.w_shape), "db": empty(g.k)}
    elif case.op == "max":
        found["indices"] = torch.full(g.y_shape, -1, device=DEVICE, dtype=torch.int64)
    return found


def our_calls(case, t):
    """{pass: (a call without arguments, the names of its results)} of our kernels."""
    k, g, v = kernels(), case.geometry(), {name: view(tensor) for name, tensor in t.items()}
    if isinstance(case, Conv):
        return {"forward": (lambda: k.conv_forward(v["x"], v["w"], v["b"], v["y"], g), ("y",)),
                "input gradient": (lambda: k.conv_backward_input(v["dy"], v["w"], v["dx"], g), ("dx",)),
                "weight gradient": (lambda: k.conv_backward_weight(v["x"], v["dy"], v["dw"], v["db"], g),
                                    ("dw", "db"))}
    if case.op == "max":
        return {"forward": (lambda: k.max_pool_forward(v["x"], v["y"], v["indices"], g), ("y", "indices")),
                "backward": (lambda: k.max_pool_backward(v["dy"], v["indices"], v["dx"], g), ("dx",))}
    return {"forward": (lambda: k.avg_pool_forward(v["x"], v["y"], g), ("y",)),
            "backward": (lambda: k.avg_pool_backward(v["dy"], v["dx"], g), ("dx",))}


def their_calls(case, t):
    """{pass: a call that returns a tuple of results} by torch, on its own number of axes."""
    import torch
    import torch.nn.functional as F

    g, dims = case.geometry(), case.dims
    last = slice(3 - dims, None)

    def own(tensor):
        return tensor.reshape(*tensor.shape[:2], *tensor.shape[5 - dims:])

    stride, dilation = list(g.stride[last]), list(g.dilation[last])
    padding = [before for before, _ in g.padding[last]]
    x, dy = own(t["x"]), own(t["dy"])
    if isinstance(case, Conv):
        w = own(t["w"])
        forward, backward = getattr(F, f"conv{dims}d"), torch.ops.aten.convolution_backward
        options = ([g.k], stride, padding, dilation, False, [0] * dims, g.groups)
        return {"forward": lambda: (forward(x, w, t["b"], stride, padding, dilation, g.groups),),
                "input gradient": lambda: backward(dy, x, w, *options, [True, False, False])[:1],
                "weight gradient": lambda: backward(dy, x, w, *options, [False, True, True])[1:]}
    kernel = list(g.kernel[last])
    if case.op == "max":
        forward = getattr(F, f"max_pool{dims}d")
        backward = getattr(torch.ops.aten, f"max_pool{dims}d_with_indices_backward")

        def pooled():
            return forward(x, kernel, stride, padding, dilation, case.ceil_mode, True)

        indices = pooled()[1]
        return {"forward": pooled,
                "backward": lambda: (backward(dy, x, kernel, stride, padding, dilation, case.ceil_mode, indices),)}
    forward, backward = getattr(F, f"avg_pool{dims}d"), getattr(torch.ops.aten, f"avg_pool{dims}d_backward")
    more = (kernel, stride, padding, case.ceil_mode, case.count_include_pad, case.divisor)
    return {"forward": lambda: (forward(x, *more),), "backward": lambda: (backward(dy, x, *more),)}


# Right before fast

def corners():
    """(dtype, case) of what is compared with the plain loops."""
    every = [case for case in (*CONV_CORNERS, *POOL_CORNERS) if _small(case)]
    return [("float32", case) for case in every] + [(dtype, case) for dtype in ("float64", "float16")
                                                    for case in every[::6]]


def _small(case):
    return case.geometry().multiply_adds < 150_000


def against_loops(case, dtype):
    """What is wrong with our results of a corner case: a list of sentences."""
    import torch

    from fastconv.backends import loops

    t = tensors(case, getattr(torch, dtype))
    g, calls = case.geometry(), our_calls(case, t)
    host = {name: tensor.cpu().numpy() for name, tensor in t.items()}
    exact = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in host.items()}
    if isinstance(case, Conv):
        loops.conv_forward(exact["x"], exact["w"], exact["b"], exact["y"], g)
        loops.conv_backward_input(exact["dy"], exact["w"], exact["dx"], g)
        loops.conv_backward_weight(exact["x"], exact["dy"], exact["dw"], exact["db"], g)
    elif case.op == "max":
        loops.max_pool_forward(exact["x"], exact["y"], exact["indices"], g)
        loops.max_pool_backward(exact["dy"], exact["indices"], exact["dx"], g)
    else:
        loops.avg_pool_forward(exact["x"], exact["y"], g)
        loops.avg_pool_backward(exact["dy"], exact["dx"], g)
    wrong = []
    for what, (call, names) in calls.items():
        call()
        for name in names:
            wrong += compared(f"{case.name}, {dtype}, {what}", name, t[name].cpu().numpy(), exact[name],
                              16 * EPSILON[dtype])
    if isinstance(case, Conv):
        wrong += _patches(case, t, g, dtype)
    return wrong


def _patches(case, t, g, dtype):
    import torch

    from fastconv.backends import loops

    cols = torch.full(g.cols_shape, math.nan, device=DEVICE, dtype=t["x"].dtype)
    kernels().im2col(view(t["x"]), view(cols), g)
    kernels().col2im(view(cols), view(t["dx"]), g)
    exact_cols, exact_dx = np.empty(g.cols_shape), np.empty(g.x_shape)
    loops.im2col(t["x"].double().cpu().numpy(), exact_cols, g)
    loops.col2im(exact_cols, exact_dx, g)
    where = f"{case.name}, {dtype}"
    return (compared(where, "cols", cols.cpu().numpy(), exact_cols, 0)
            + compared(where, "col2im", t["dx"].cpu().numpy(), exact_dx, 16 * EPSILON[dtype]))


def compared(where, name, found, expected, allowed):
    """[] or [a sentence]: whether the largest error, over the largest result, is within what is `allowed`."""
    if name == "indices":
        differ = int(np.count_nonzero(found != expected))
        return [f"{where}: {differ} of {found.size} indices differ"] if differ else []
    error = relative_error(found, expected)
    return [] if error <= allowed else [f"{where}: the error of {name} is {error:.1e}, {allowed:.1e} is allowed"]


def relative_error(found, expected):
    """The largest error over the largest expected element; infinite where one is NaN."""
    difference = np.abs(found.astype(np.float64) - expected)
    error = float(difference.max() / max(float(np.abs(expected).max()), 1e-300))
    return math.inf if math.isnan(error) else error


def tensor_error(ours, theirs):
    """`relative_error` on the device."""
    error = ((ours.double() - theirs.double()).abs().max() / theirs.double().abs().max()).item()
    return math.inf if math.isnan(error) else error


# Time

def median_times(calls, seconds):
    """The median seconds of each call, by CUDA events; they take turns."""
    import torch

    counts = []
    for call in calls:
        for _ in range(3):
            call()
        counts.append(max(1, int(0.002 / max(_events(call, 2), 1e-6))))
    torch.cuda.synchronize()
    samples = [[] for _ in calls]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(samples[0]) < 5:
        for call, count, found in zip(calls, counts, samples, strict=True):
            found.append(_events(call, count))
    return [statistics.median(found) for found in samples]


def _events(call, count):
    import torch

    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(count):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000 / count


def traffic(case, what, t, names):
    """(FLOP, bytes) of one pass: arguments read once, results written once."""
    g = case.geometry()
    given = {"forward": ("x", "w", "b"), "input gradient": ("dy", "w"), "weight gradient": ("x", "dy"),
             "backward": ("dy", "indices")}[what]
    moved = sum(t[name].numel() * t[name].element_size() for name in (*given, *names) if name in t)
    return (2 * g.multiply_adds if isinstance(case, Conv) else 0), moved


def kind(case):
    """See `cuda_report.Row`."""
    if not isinstance(case, Conv):
        return "pooling"
    return "few channels" if case.groups > 1 else "convolution"


def rows_of(case, mode, seconds):
    """(rows, sentences on what is wrong) of one case."""
    import torch

    t = tensors(case, torch.float32)
    ours, theirs = our_calls(case, t), their_calls(case, t)
    rows, wrong = [], []
    for what, (call, names) in ours.items():
        with _tensor_cores(False):
            expected = theirs[what]()
        call()
        length = case.geometry().n * math.prod(case.geometry().output) if what == "weight gradient" else 1
        allowed = TF32 if mode == "tensor cores" else 2e-6 * max(1.0, math.sqrt(length / 4096))
        found = []
        for name, result in zip(names, expected, strict=True):
            if name == "indices":
                if not torch.equal(t[name].reshape(-1), result.reshape(-1)):
                    found.append(f"{case.name}, {mode}, {what}: indices differ")
                continue
            error = tensor_error(t[name].reshape(-1), result.reshape(-1))
            if not error <= allowed:
                found.append(f"{case.name}, {mode}, {what}: the error of {name} is {error:.1e}, {allowed:.1e} is "
                             "allowed")
        wrong += found
        if not found:
            with _tensor_cores(mode == "tensor cores"):
                our_time, their_time = median_times([call, theirs[what]], seconds)
            flops, moved = traffic(case, what, t, names)
            rows.append(Row(case.name, what, mode, kind(case), our_time, their_time, flops, moved, error))
    return rows, wrong


class _tensor_cores:
    """Allow torch tensor cores for float32, or forbid them, within a ``with`` block."""

    def __init__(self, allowed):
        self.allowed = allowed

    def __enter__(self):
        import torch

        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.allowed

    def __exit__(self, *error):
        import torch

        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before


def machine():
    """The device's own limits, measured."""
    import torch

    a, b = torch.randn(2, 1 << 28, device=DEVICE)
    (seconds,) = median_times([lambda: a.copy_(b)], 0.3)
    copy = 2 * b.numel() * b.element_size() / seconds
    a, rates = torch.randn(8192, 8192, device=DEVICE), []
    for allowed in (False, True):
        with _tensor_cores(allowed):
            (seconds,) = median_times([lambda: a @ a], 0.3)
        rates.append(2 * 8192**3 / seconds)
    return Machine(facts(), copy, *rates, {})


def libraries():
    """{library: a function that makes an array of zeros of a shape on the device}."""
    import torch

    from fastconv.backends import cuda_arrays

    found = {"torch": lambda *shape: torch.zeros(shape, device=DEVICE),
             "Numba": lambda *shape: cuda_arrays().from_host(np.zeros(shape, np.float32))}
    try:
        import cupy
    except ImportError:
        return found
    return found | {"CuPy": lambda *shape: cupy.zeros(shape, np.float32)}


def host_times(count=200):
    """{(function, library): the median seconds that a warm public call takes the host}, of a case of little work."""
    import torch

    from fastconv import functional as F
    from fastconv import grad as G

    found = {}
    for library, zeros in libraries().items():
        x, w, b, dy = zeros(1, 4, 8, 8), zeros(32, 4, 3, 3), zeros(32), zeros(1, 32, 6, 6)
        calls = {"conv2d": lambda x=x, w=w, b=b: F.conv2d(x, w, b), "max_pool2d": lambda x=x: F.max_pool2d(x, 2),
                 "conv2d_input": lambda w=w, dy=dy: G.conv2d_input((1, 4, 8, 8), w, dy),
                 "conv2d_weight": lambda x=x, dy=dy: G.conv2d_weight(x, (32, 4, 3, 3), dy)}
        for name, call in calls.items():
            spent = []
            for _ in range(count + 20):
                begin = time.perf_counter()
                call()
                spent.append(time.perf_counter() - begin)
            found[name, library] = statistics.median(spent[20:])
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # or the queue of launches is full at some time, and a call waits
    return found


def facts():
    """{what: value} of the device and the versions."""
    import torch

    def version(name):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    properties = torch.cuda.get_device_properties(0)
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True,
                            text=True, check=False).stdout.strip()
    return {"GPU": f"{properties.name}, {properties.multi_processor_count} multiprocessors, "
                   f"{properties.total_memory / 2**30:.0f} GiB", "driver": driver or "unknown",
            "torch": f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}",
            "numba": version("numba"), "numba-cuda": version("numba-cuda")}


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Validate the CUDA kernels, then time them beside torch (cuDNN).")
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}; nothing is written")
    parser.add_argument("--case", action="append", metavar="NAME", help="this case only; may be repeated")
    parser.add_argument("--seconds", type=float, default=0.25, help="for each row (0.25)")
    options = parser.parse_args(arguments)
    lacking = missing()
    if lacking:
        print(f"bench-cuda: {lacking}")
        return 1

    import torch

    import fastconv

    started = time.perf_counter()
    torch.backends.cudnn.benchmark = True
    chosen = [by_name(name) for name in options.case or (QUICK if options.quick else ())] or [*SUITE, *POOLS]
    limits, rows, failures = machine(), [], []
    try:
        for dtype, case in tqdm(corners(), desc="corners", unit="case"):
            failures += _tried(f"{case.name}, {dtype}", partial(against_loops, case, dtype), failures, [])
        limits = dataclasses.replace(limits, host=_tried("the host's times", host_times, failures, {}))
        for mode, level in (("float32", "highest"), ("tensor cores", "medium")):
            fastconv.set_float32_precision(level)
            for case in tqdm(chosen, desc=mode, unit="case"):
                if mode == "tensor cores" and not isinstance(case, Conv):
                    continue
                if time.perf_counter() - started > LIMIT:
                    failures.append(f"{case.name}, {mode}: not timed, the {LIMIT} seconds were over")
                    continue
                large = case.with_batch(BATCH) if isinstance(case, Conv) else _batch(case)
                more, wrong = _tried(f"{case.name}, {mode}", partial(rows_of, large, mode, options.seconds), failures,
                                     ([], []))
                rows += more
                failures += wrong
                torch.cuda.empty_cache()
    except Lost as error:
        failures.append(str(error))
    finally:
        # Whatever ended it: what has been measured is not lost.
        text = cuda_report.page(rows, limits, failures)
        print(text)
        if not options.quick and not options.case:
            RESULTS.write_text(text, encoding="utf-8")
            cuda_report.roofline(rows, limits, RESULTS.with_name(cuda_report.ROOFLINE))
    return 1 if failures else 0


class Lost(Exception):
    """The device computes no more."""


def _tried(where, call, failures, otherwise):
    """What `call` returns; if it fails, `otherwise`, and `failures` has a sentence more."""
    import torch

    try:
        return call()
    except Exception as error:
        sentence = f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    try:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except Exception as error:
        # After an access out of bounds, say, nothing runs any longer in this process.
        raise Lost(f"{sentence}; the device answers no more, and the rest was not run") from error
    failures.append(sentence)
    return otherwise


def _batch(case):
    return dataclasses.replace(case, input=(BATCH, *case.input[1:]))


if __name__ == "__main__":
    os.environ["NUMBA_CACHE_DIR"] = numba_cache_dir()  # read when Numba is first imported
    sys.exit(main())
