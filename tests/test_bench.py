"""The benchmarks' machinery: nothing wrong is timed, and tables say what was measured."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from bench import environment, reference, report
from bench.cases import CORNERS, POOL_CORNERS, POOLS, SUITE, Conv, by_name
from bench.implementations import IMPLEMENTATIONS, OnnxRuntime, Torch, reduced, y_shape
from bench.operations import OPERATIONS, TIMED
from bench.reference import DIRECTIONS
from bench.report import BEGIN, END, Row, Timing
from bench.worker import Worker, repeat
from fastconv import functional as F
from fastconv import geometry

SMALL = ("1d_plain", "2d_padded", "2d_groups", "3d_padded", "transposed_2d", "max_2d_overlap", "max_3d", "avg_2d")


class Altered(Torch):
    """torch, with results that are a little off."""

    def to_numpy(self, results):
        return tuple(result + 1e-3 for result in super().to_numpy(results))


@pytest.fixture
def expected(tmp_path):
    """The path of a case's reference, as the workers get it."""
    def save(name):
        path = tmp_path / "reference.npz"
        Worker(IMPLEMENTATIONS["torch"]).reference(name, path)
        return path

    return save


def implementations(case, direction):
    """All that can do a case but the Numba and Cython backends, which the contract's tests cover."""
    return [implementation for name, implementation in IMPLEMENTATIONS.items()
            if name not in report.OURS and implementation.supports(case, direction)]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", SMALL)
def test_every_implementation_validates(name, direction, expected):
    path = expected(name)
    for implementation in implementations(by_name(name), direction):
        implementation.start(1)
        answer = Worker(implementation).validate(name, direction, path)
        assert answer["error_found"] <= 1e-5, implementation.name


def test_what_is_wrong_is_not_timed(expected):
    worker = Worker(Altered("altered"))
    with pytest.raises(reference.Invalid, match="the error of y"):
        worker.validate("2d_padded", "forward", expected("2d_padded"))
    assert "error" in worker.time(0.01)


def test_a_nan_a_shape_and_an_index_are_wrong():
    case = by_name("max_2d")
    want = reference.expected(case)
    y, indices = want["y"], want["indices"]
    assert reference.check(case, "forward", (y, indices), want) == 0
    for bad in ((np.where(y == y.max(), np.nan, y), indices), (y[..., :-1], indices), (y, indices + 1)):
        with pytest.raises(reference.Invalid):
            reference.check(case, "forward", bad, want)


def test_worker_answers_line_by_line(expected):
    tasks = [{"do": "time", "seconds": 0.001},
             {"do": "validate", "case": "2d_plain", "direction": "forward", "path": str(expected("2d_plain"))},
             {"do": "time", "seconds": 0.001}]
    done = subprocess.run([sys.executable, "-m", "bench.worker", "tensordot", "1"], cwd=environment.ROOT, text=True,
                          input="".join(json.dumps(task) + "\n" for task in tasks), capture_output=True, check=True)
    ready, refused, validated, timed = map(json.loads, done.stdout.splitlines())
    assert ready == {}
    assert "nothing has been validated" in refused["error"]
    assert validated["error_found"] < 1e-6
    assert len(timed["samples"]) >= 3


def test_repeat_calls_at_least_so_often():
    calls = []
    assert len(repeat(lambda: calls.append(1), 0.0, 5)) == len(calls) == 5


@pytest.mark.parametrize("case", [*SUITE, *POOLS, *CORNERS], ids=str)
def test_shapes_of_outputs(case):
    g = case.geometry()
    # A transposed convolution's output is the input of the convolution whose gradient it is.
    shape = g.x_shape if isinstance(case, Conv) and case.transposed else g.y_shape
    assert math.prod(y_shape(case)) == math.prod(shape)
    assert len(y_shape(case)) == len(case.input)


@pytest.mark.parametrize("case", [*SUITE, *POOLS], ids=str)
def test_reduced_cases_are_small_and_of_the_same_kind(case):
    small = reduced(case)
    g = small.geometry()
    assert g.multiply_adds < 1e6
    whole = case.geometry()
    assert (g.kernel, g.stride, g.dilation) == (whole.kernel, whole.stride, whole.dilation)
    assert (g.groups > 1) == (whole.groups > 1) or not isinstance(case, Conv)


def test_onnxruntime_skips_what_onnx_cannot_say():
    implementation = OnnxRuntime("onnxruntime")
    assert [case.name for case in POOL_CORNERS if not implementation.supports(case, "forward")] == [
        case.name for case in POOL_CORNERS if case.divisor is not None]


def row(case="resnet_56", direction="forward", **seconds):
    """A row in which each implementation always took so many seconds."""
    timings = {name.replace("_", " ", 1): Timing([value] * 4, error=1e-7, first_call=1.0)
               for name, value in seconds.items()}
    return Row(by_name(case), direction, 1, timings)


def test_ratio_is_to_the_fastest_peer():
    it = row(numba=1.0, cython=4.0, tensordot=0.1, torch=3.0, torch_channels_last=2.0)
    assert it.fastest_peer == "torch channels_last"
    assert (it.ratio("numba"), it.ratio("cython")) == (2.0, 0.5)
    assert math.isnan(row(numba=1.0, cython=1.0, tensordot=1.0).ratio("numba"))


def test_gflops_count_two_for_each_multiply_add():
    g = geometry.conv("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)
    assert row(numba=1.0).gflops("numba") == 2 * g.multiply_adds / 1e9
    assert row(direction="backward", numba=1.0).gflops("numba") == 4 * g.multiply_adds / 1e9
    assert math.isnan(row("max_112", numba=1.0).gflops("numba"))


def test_median_and_spread():
    timing = Timing([1.0, 2.0, 3.0, 4.0, 5.0])
    assert timing.median == 3
    assert timing.spread == pytest.approx(0.5)
    assert Timing().median == math.inf


def test_geometric_mean_leaves_out_what_is_missing():
    assert report.geometric_mean([0.5, 2.0, math.nan, 8.0]) == pytest.approx(2.0)
    assert math.isnan(report.geometric_mean([]))


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (123.45, "123"),
                                             (math.nan, "-"), (0.0, "0")])
def test_numbers_have_three_digits(value, text):
    assert report.number(value) == text


def test_tables():
    rows = [row(numba=1e-3, cython=2e-3, torch=3e-3), row(direction="backward", numba=1e-3, cython=2e-3, torch=5e-4)]
    rows[1].timings["cython"] = Timing(why_not="off", invalid=True)
    table = report.brief(rows)
    assert table.splitlines()[2] == "| resnet_56 | 1.00 | 2.00 | 3.00 torch | 3.00 | 1.00 | - | 0.500 torch | 0.500 |"
    page = report.results_page({1: rows}, {1: 270.0}, list(rows[0].timings))
    assert "| resnet_56 backward | 1.00 ±0% | **wrong** | 0.500 ±0% | 0.500 | - |" in page
    assert "- cython: off (resnet_56 backward)" in page
    assert "- numba, backward: 0.500 (of 1 cases), worst 0.500 (resnet_56)" in page


def test_readme_has_a_place_for_the_table():
    text = report.README.read_text(encoding="utf-8")
    changed = report.replace_between(text, "| a table |")
    assert f"{BEGIN}\n| a table |\n{END}" in changed
    assert changed.partition(BEGIN)[0] == text.partition(BEGIN)[0]
    assert changed.partition(END)[2] == text.partition(END)[2]
    with pytest.raises(ValueError, match="expected one line"):
        report.replace_between("no markers", "")


@pytest.mark.parametrize("arguments", [["--quick", "--update-readme"], ["--case", "nonesuch"]])
def test_report_refuses(arguments, capsys):
    with pytest.raises(SystemExit):
        report.main(arguments)
    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["numba", "torch"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("operation", ["pixel_shuffle", "cross_entropy of maps", "batch_norm training", "dropout"])
def test_operations_validate(operation, direction, name, expected):
    worker = Worker(IMPLEMENTATIONS[name])
    answer = worker.validate(operation, direction, expected(operation))
    assert 0 <= answer["error_found"] < 5e-5
    assert worker.call is not None


def test_a_wrong_operation_is_not_timed(expected):
    worker = Worker(Altered("torch"))
    with pytest.raises(reference.Invalid, match="sigmoid forward: the error of y is"):
        worker.validate("sigmoid", "forward", expected("sigmoid"))
    assert worker.call is None
    random = reference.arrays(TIMED["dropout"])["input"]
    with pytest.raises(reference.Invalid, match=r"100\.0% of the elements stay"):
        reference.check(TIMED["dropout"], "forward", (2 * random,), reference.expected(TIMED["dropout"]))


@pytest.mark.parametrize("operation", TIMED.values(), ids=TIMED)
def test_results_of_operations_have_the_shape_stated(operation):
    assert operation.forward(F, operation.inputs()).ndim == len(operation.result)
    assert np.shape(operation.forward(F, operation.inputs(large=True))) == operation.result


def test_every_family_of_functions_is_timed():
    """But convolution and pooling, which have benchmarks of their own, and forms of others."""
    def family(name):
        return re.sub("[123]d", "", name)

    elsewhere = {"conv", "conv_transpose", "max_pool", "max_pool_with_indices", "avg_pool",
                 "adaptive_max_pool_with_indices", "convolve", "correlate", "dropout_with_mask"}
    assert {family(operation.function) for operation in TIMED.values()} | elsewhere == {
        family(operation.function) for operation in OPERATIONS.values()}


def test_page_of_operations():
    timed = {"numba": Timing([0.002] * 4, 1e-7, 0.1), "torch": Timing([0.001] * 4, 1e-7, 0.1)}
    rows = [Row(TIMED["relu"], direction, 2, timed) for direction in DIRECTIONS]
    page = report.operations_page({2: rows}, ("numba", "torch"))
    assert "| relu forward | 2.00 ±0% | 1.00 ±0% | 0.500 |" in page
    assert "worst 0.500 (relu)" in page
    assert "- relu backward: 0.500" in page.split("Slower than torch with numba:")[1]
