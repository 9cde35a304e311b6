"""What of the CUDA benchmark needs no GPU: its page and plot, the table of registers, and what it says without one."""

import math
import re
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from bench import cuda, cuda_registers, cuda_report, cuda_tiles
from bench.cases import POOLS, SUITE, Conv, by_name
from bench.cuda_report import Machine, Row, geometric_mean
from bench.implementations import reduced
from fastconv.backends import KERNELS, tensordot
from fastconv.backends.cuda import blocks

HOST = {("conv2d", "torch"): 31.25e-6, ("conv2d", "Numba"): 70e-6, ("max_pool2d", "torch"): 2e-5}
MACHINE = Machine({"GPU": "a model"}, copy=4e12, float32=50e12, tensor=400e12, host=HOST)


def row(case, ratio, what="forward", mode="float32", kind="convolution", flops=4 * 10**9, moved=10**7):
    return Row(case, what, mode, kind, 2e-4, 2e-4 * ratio, flops, moved, 1e-7)


ROWS = [row("resnet_28", 0.5), row("resnet_14", 2.0), row("resnet_28", 0.8, "input gradient"),
        row("mobile_dw3", 3.0, kind="few channels", flops=10**8, moved=4 * 10**8),
        row("max_112", 1.5, "backward", kind="pooling", flops=0, moved=4 * 10**8),
        row("resnet_28", 0.25, mode="tensor cores"), row("alone", math.nan, "weight gradient")]


def test_page():
    text = cuda_report.page(ROWS, MACHINE, ["resnet_7, float32, forward: indices differ"])
    lines = text.splitlines()
    assert "- GPU: a model" in lines
    assert "- copy bandwidth: 4,000 GB/s; matrix product: 50.0 TFLOP/s in float32, 400.0 with TF32" in lines
    first = lines.index("| function | torch | Numba |")
    assert lines[first + 2:first + 5] == ["| conv2d | 31.2 | 70.0 |", "| max_pool2d | 20.0 |  |", ""]
    assert "- resnet_7, float32, forward: indices differ" in lines
    assert "| float32, forward | 1.00 | 2 | 0.50 (resnet_28, forward) | mean 0.7, no row under 0.3 |" in lines
    assert "| float32, weight gradient | | 0 | | mean 0.7, no row under 0.3 |" in lines
    assert "| float32, depthwise and grouped | 3.00 | 1 | 3.00 (mobile_dw3, forward) | each 1.0 |" in lines
    assert "| tensor cores allowed | 0.25 | 1 | 0.25 (resnet_28, forward) | aim 0.5 |" in lines
    # 400 MB at 4 TB/s are 0.1 of the 0.2 ms; 4 GFLOP at 50 TFLOP/s 0.08.
    assert ("| share of the copy bandwidth, rows bound by memory | 0.50 | 2 | 0.50 (mobile_dw3, forward) | each 0.7 |"
            in lines)
    assert "| resnet_28 | forward | 0.2 | 0.1 | 0.50 | 20.00 | 50 | 0.40 | 1.0e-07 |" in lines
    assert "| resnet_28 | forward | 0.2 | 0.05 | 0.25 | 20.00 | 50 | 0.05 | 1.0e-07 |" in lines
    assert "| alone | weight gradient | 0.2 |  |  | 20.00 | 50 | 0.40 | 1.0e-07 |" in lines
    assert "Wrong" not in cuda_report.page(ROWS, MACHINE, [])


def test_roofline(tmp_path):
    cuda_report.roofline(ROWS, MACHINE, tmp_path / "roofline.png")
    assert (tmp_path / "roofline.png").read_bytes().startswith(b"\x89PNG")


def test_geometric_mean():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1)
    assert math.isnan(geometric_mean([]))


def test_without_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr(cuda, "missing", lambda: "no GPU that Numba can use")
    assert cuda.main([]) == 1
    assert capsys.readouterr().out == "bench-cuda: no GPU that Numba can use\n"


def test_what_is_missing_is_a_sentence():
    assert cuda.missing() is None or cuda.missing().endswith(('"', "GPU", "cu130`", 'cuda]"`'))


def test_corners_are_of_every_kind():
    chosen = cuda.corners()
    assert {dtype for dtype, _ in chosen} == {"float16", "float32", "float64"}
    assert {cuda.kind(case) for _, case in chosen} == {"convolution", "few channels", "pooling"}
    assert {case.dims for _, case in chosen} == {1, 2, 3}
    assert len(chosen) < 200


def test_compared():
    exact = np.array([1.0, -4.0])
    assert cuda.compared("here", "y", exact.astype(np.float32), exact, 1e-6) == []
    assert cuda.compared("here", "y", exact + 0.4, exact, 1e-6) == [
        "here: the error of y is 1.0e-01, 1.0e-06 is allowed"]
    assert "inf" in cuda.compared("here", "y", np.array([np.nan, 1]), exact, 1e-6)[0]
    assert cuda.compared("here", "indices", np.array([1, 2]), np.array([1, 3]), 0) == [
        "here: 1 of 2 indices differ"]


class Tensor:
    def __init__(self, *shape, size=4):
        self.shape, self.size = shape, size

    def numel(self):
        return math.prod(self.shape)

    def element_size(self):
        return self.size


def test_traffic():
    case = Conv("one", (2, 3, 8, 8), (4, 3, 3, 3), padding=1)
    g = case.geometry()
    t = {"x": Tensor(*g.x_shape), "w": Tensor(*g.w_shape), "b": Tensor(g.k), "y": Tensor(*g.y_shape)}
    assert cuda.traffic(case, "forward", t, ("y",)) == (2 * 2 * 4 * 64 * 27, 4 * (384 + 108 + 4 + 512))
    pool = next(case for case in POOLS if case.op == "max")
    g = pool.geometry()
    t = {"dy": Tensor(*g.y_shape), "indices": Tensor(*g.y_shape, size=8), "dx": Tensor(*g.x_shape)}
    outputs = math.prod(g.y_shape)
    assert cuda.traffic(pool, "backward", t, ("dx",)) == (0, 12 * outputs + 4 * math.prod(g.x_shape))


def test_every_case_has_a_kind():
    assert cuda.kind(by_name("mobile_dw3")) == cuda.kind(by_name("resnext_g32")) == "few channels"
    assert [cuda.kind(case) for case in SUITE].count("convolution") == len(SUITE) - 3


# The benchmark itself, on the host, with NumPy's kernels in the place of ours and no clock

@pytest.fixture
def on_the_host(monkeypatch):
    def halves(name):
        def run(*arguments):
            *arrays, g = arguments
            wide = [a.astype(np.float32) if a is not None and a.dtype == np.float16 else a for a in arrays]
            getattr(tensordot, name)(*wide, g)
            for a, result in zip(arrays, wide, strict=True):
                if a is not result:
                    a[...] = result
        return run

    monkeypatch.setattr(cuda, "DEVICE", "cpu")
    monkeypatch.setattr(cuda, "view", lambda tensor: None if tensor is None else tensor.detach().numpy())
    monkeypatch.setattr(cuda, "kernels", lambda: SimpleNamespace(**{name: halves(name) for name in KERNELS}))
    monkeypatch.setattr(cuda, "median_times", lambda calls, seconds: [0.5 * (i + 1) for i, _ in enumerate(calls)])
    monkeypatch.setattr(cuda, "machine", lambda: MACHINE)
    monkeypatch.setattr(cuda, "libraries", lambda: {"NumPy": lambda *shape: np.zeros(shape, np.float32)})
    monkeypatch.setattr(cuda, "missing", lambda: None)


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("case", [*SUITE, *POOLS], ids=str)
def test_rows(case):
    """Every case of the suite, made small: both sides agree, and each pass is a row."""
    # Short sums: torch's own error in the weight gradient of one channel comes near what is allowed.
    most = (8 if case.dims == 3 else 2) * 10**5
    rows, wrong = cuda.rows_of(reduced(case, most), "float32", 0)
    assert wrong == []
    assert [row.what for row in rows] == (list(cuda_report.PASSES) if isinstance(case, Conv) else
                                          ["forward", "backward"])
    assert all(row.ratio == 2 and row.error < 2e-6 and row.bytes > 0 for row in rows)


@pytest.mark.usefixtures("on_the_host")
def test_wrong_results_are_not_timed(monkeypatch):
    case = reduced(by_name("resnet_28"))
    right = cuda.kernels()

    def wrong(x, w, bias, y, g):
        right.conv_forward(x, w, bias, y, g)
        y[0, 0, 0, 0, 0] += 1

    monkeypatch.setattr(cuda, "kernels", lambda: SimpleNamespace(**{**vars(right), "conv_forward": wrong}))
    rows, sentences = cuda.rows_of(case, "float32", 0)
    assert [row.what for row in rows] == ["input gradient", "weight gradient"]
    assert len(sentences) == 1 and "forward: the error of y" in sentences[0]


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["2d_groups", "transposed_1d", "max_2d_overlap", "avg_2d_ceil"])
def test_corners_against_the_loops(name, dtype):
    assert cuda.against_loops(by_name(name), dtype) == []


@pytest.mark.usefixtures("on_the_host")
def test_the_whole_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cuda, "corners", lambda: [("float32", by_name("2d_groups"))])
    monkeypatch.setattr(cuda, "SUITE", [by_name("lab7_3")])
    monkeypatch.setattr(cuda, "POOLS", [])
    monkeypatch.setattr(cuda, "BATCH", 1)
    monkeypatch.setattr(cuda, "RESULTS", tmp_path / "RESULTS_CUDA.md")
    assert cuda.main([]) == 0
    text = (tmp_path / "RESULTS_CUDA.md").read_text()
    assert text.count("| lab7_3 | forward |") == 2
    assert (tmp_path / "cuda_roofline.png").exists()
    assert text in capsys.readouterr().out
    assert "Wrong" not in text and re.search(r"^\| conv2d_weight \| \d+\.\d \|$", text, re.M)
    monkeypatch.setattr(cuda, "LIMIT", -1)
    assert cuda.main(["--case", "lab7_3"]) == 1
    assert "lab7_3, float32: not timed, the -1 seconds were over" in capsys.readouterr().out


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two small cases instead of the suite; returns the path of the page."""
    monkeypatch.setattr(cuda, "corners", lambda: [("float32", by_name("2d_groups")), ("float64", by_name("2d_groups"))])
    monkeypatch.setattr(cuda, "SUITE", [by_name("lab7_3"), by_name("lab7_2")])
    monkeypatch.setattr(cuda, "POOLS", [])
    monkeypatch.setattr(cuda, "BATCH", 1)
    monkeypatch.setattr(cuda, "RESULTS", tmp_path / "RESULTS_CUDA.md")
    return tmp_path / "RESULTS_CUDA.md"


@pytest.mark.usefixtures("on_the_host")
def test_a_failed_case_loses_no_other(monkeypatch, small):
    def failing(function, *names):
        def call(case, *rest):
            if (case.name, *rest[:1]) in names:
                raise RuntimeError("[2] Call to cuMemAlloc\nresults in CUDA_ERROR_OUT_OF_MEMORY")
            return function(case, *rest)
        return call

    monkeypatch.setattr(cuda, "against_loops", failing(cuda.against_loops, ("2d_groups", "float32")))
    monkeypatch.setattr(cuda, "rows_of", failing(cuda.rows_of, ("lab7_3", "float32")))
    monkeypatch.setattr(cuda, "host_times", lambda: 1 / 0)
    assert cuda.main([]) == 1
    text = small.read_text()
    assert ("- 2d_groups, float32: RuntimeError: [2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY\n"
            "- the host's times: ZeroDivisionError: division by zero\n- lab7_3, float32: RuntimeError: ") in text
    assert text.count("| lab7_3 | forward |") == 1 and text.count("| lab7_2 | forward |") == 2


@pytest.mark.usefixtures("on_the_host")
@pytest.mark.parametrize("kind, raised", [(RuntimeError, None), (KeyboardInterrupt, KeyboardInterrupt)])
def test_what_was_measured_before_the_device_was_lost(monkeypatch, small, kind, raised):
    import torch

    def answer():
        if done:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def rows_of(case, mode, seconds, original=cuda.rows_of):
        if mode == "tensor cores":
            done.append(mode)
            raise kind("an illegal memory access")
        return original(case, mode, seconds)

    done = []
    monkeypatch.setattr(cuda, "rows_of", rows_of)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", answer)
    with pytest.raises(raised) if raised else nullcontext():
        assert cuda.main([]) == 1
    text = small.read_text()
    assert text.count("| lab7_3 | forward |") == text.count("| lab7_2 | forward |") == 1
    assert done == ["tensor cores"]
    if raised is None:
        assert ("- lab7_3, tensor cores: RuntimeError: an illegal memory access; the device answers no more, and the "
                "rest was not run") in text


@pytest.mark.usefixtures("on_the_host")
def test_times_of_tiles(capsys, monkeypatch):
    monkeypatch.setattr(cuda, "BATCH", 1)
    monkeypatch.setattr(cuda_tiles, "SUITE", [by_name("lab7_3"), by_name("mobile_dw3")])
    before = dict(blocks.GATHER), dict(blocks.WEIGHT)
    assert cuda_tiles.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"lab7_3, {what}" for what in cuda_report.PASSES]
    assert lines[0].startswith("lab7_3, forward: table* 500.000; 128x128x8x8x8 500.000, 64x128")
    assert before == (blocks.GATHER, blocks.WEIGHT)


# The table of registers

def test_the_recorded_kernels_are_those_of_now_and_spill_nothing():
    """After a change of a kernel, `python -m bench.cuda_registers` (with a CUDA toolkit) writes the table anew."""
    version, sources, rows = cuda_registers.recorded()
    assert version
    assert sources == cuda_registers.digest(), "bench/CUDA_KERNELS.md is of other sources"
    expected = [(name, cuda_registers.TYPES[size], "sm_{}{}".format(*capability))
                for name, size, *_ in cuda_registers.every() for capability in cuda_registers.CAPABILITIES]
    assert [(row.kernel, row.type, row.target) for row in rows] == expected
    assert [row for row in rows if row.spills] == []
    assert all(0 < row.registers <= 255 and row.shared <= 48 * 1024 and row.fits for row in rows)


def test_recorded_registers_are_what_ptxas_says():
    """Where a toolkit is here: one kernel of each form is compiled anew."""
    version, _, rows = cuda_registers.recorded()
    if cuda_registers.available():
        recorded = {(row.kernel, row.type, row.target): row for row in rows}
        forms = {}
        for one in cuda_registers.every():
            forms.setdefault(one[0].split()[0], one)
        for one in forms.values():
            found = cuda_registers.measured(*one, (9, 0))
            assert not found.spills
            if version == cuda_registers.assembler():
                assert found == recorded[found.kernel, found.type, found.target]
