"""The benchmarks' machinery: nothing wrong is timed, and tables say what was measured."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from bench import bars, environment, limits, plots, reference, report, saved, tables, training
from bench.cases import CORNERS, OVERHEAD, POOL_CORNERS, POOLS, SUITE, Conv, by_name
from bench.implementations import IMPLEMENTATIONS, OURS, OnnxRuntime, Torch, reduced, y_shape
from bench.measure import Row, Run, Timing
from bench.networks import NETWORKS
from bench.operations import OPERATIONS, TIMED
from bench.pages import PAGES
from bench.reference import DIRECTIONS
from bench.report import BEGIN, END
from bench.worker import Worker, repeat
from fastconv import functional as F
from fastconv import geometry
from fastconv.backends import threads

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
            if name not in OURS and implementation.supports(case, direction)]


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


def test_a_nan_a_shape_an_index_and_a_type_are_wrong():
    case = by_name("max_2d")
    want = reference.expected(case)
    y, indices = want["y"].astype(np.float32), want["indices"]
    assert reference.check(case, "forward", (y, indices), want) == 0
    for bad in ((np.where(y == y.max(), np.nan, y), indices), (y[..., :-1], indices), (y, indices + 1),
                (want["y"], indices)):
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


def run_of(rows, **more):
    """A run that found so much."""
    return Run("2026-11-21", {"CPU": "a fast one"}, {1: {"float32": 270.0, "bandwidth": 20.0}}, rows, **more)


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
    assert tables.geometric_mean([0.5, 2.0, math.nan, 8.0]) == pytest.approx(2.0)
    assert math.isnan(tables.geometric_mean([]))


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (123.45, "123"),
                                             (math.nan, "-"), (0.0, "0")])
def test_numbers_have_three_digits(value, text):
    assert tables.number(value) == text


def test_tables():
    rows = [row(numba=1e-3, cython=2e-3, torch=3e-3), row(direction="backward", numba=1e-3, cython=2e-3, torch=5e-4)]
    rows[1].timings["cython"] = Timing(why_not="off", invalid=True)
    table = tables.brief(rows)
    assert table.splitlines()[2] == "| resnet_56 | 1.00 | 2.00 | 3.00 torch | 3.00 | 1.00 | - | 0.500 torch | 0.500 |"
    page = report.results_page(run_of(rows))
    assert "| resnet_56 backward | 1.00 ±0% | **wrong** | 0.500 ±0% | 0.500 | - |" in page
    assert "- cython: off (resnet_56 backward)" in page
    assert "- numba, backward: 0.500 (of 1 cases), worst 0.500 (resnet_56)" in page


def test_float64_is_computed_and_held_to_more_digits(expected):
    path = expected("2d_padded")
    answer = Worker(IMPLEMENTATIONS["numba"]).validate("2d_padded", "backward", path, dtype="float64")
    assert answer["error_found"] < 1e-14
    case = by_name("2d_padded")
    assert reference.tolerance(case, "y", np.float64) == pytest.approx(1e-12)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("case", ["resnet_7", "dilated", "resnet_28", "resnet_14", "resnet_stem", "resnet_proj",
                                  "single_56", "lab7_3"])
def test_workspace_is_within_its_limit(case, name):
    """On the rows of the suite that come nearest to it."""
    case, worker = by_name(case), Worker(IMPLEMENTATIONS[name])
    arrays = reference.arrays(case)
    for count in (1, min(2, threads.cores())):
        worker.implementation.start(count)
        for direction in DIRECTIONS:
            worker.call = worker.implementation.prepare(case, direction, arrays)
            found = worker.workspace()["bytes"]
            assert 0 < found <= limits.workspace(case, direction, count), (direction, count)


def test_workspace_is_what_a_call_holds_beyond_its_results():
    worker = Worker(IMPLEMENTATIONS["numba"])

    def call():
        beside = np.empty(3_000_000, np.uint8)
        return (np.zeros(1_000_000 + beside[:0].size, np.uint8),)

    worker.call = call
    assert worker.workspace()["bytes"] == pytest.approx(3_000_000, rel=0.01)
    assert "error" in Worker(IMPLEMENTATIONS["numba"]).workspace()


def test_limit_of_the_workspace():
    case = Conv("", (2, 3, 8, 8), (5, 3, 3, 3))
    assert limits.workspace(case, "forward", 2) == 5 * 2 * 3 * 64 + 16 * 135 + (16 << 20)
    assert limits.workspace(case, "backward", 1) == 5 * (2 * 3 * 64 + 2 * 5 * 36) + 16 * 135 + (8 << 20)


def test_bytes_that_must_move():
    case = Conv("", (2, 3, 8, 8), (5, 3, 3, 3))
    x, w, y = 2 * 3 * 64, 135, 2 * 5 * 36
    assert limits.bytes_moved(case, "forward") == 4 * (x + w + 5 + y)
    assert limits.bytes_moved(case, "backward") == 4 * (2 * x + 2 * w + 5 + y)
    assert limits.bytes_moved(by_name("max_112"), "forward") == 8 * 64 * (4 * 112 * 112 + 12 * 56 * 56)


def test_rows_with_transforms_are_known():
    found = {case.name for case in SUITE if limits.transformed(case, "forward")}
    assert {"resnet_56", "vgg_2", "dilated", "resnet_proj", "resnet_stem"} <= found
    assert not found & {"pointwise_a", "conv1d_scan", "mobile_dw3", "fer_1"}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("case", ["lab7_2", "resnet_14", "dilated", "single_56"])
def test_errors_at_high(case, name, expected):
    """The default keeps its promise on rows that use transforms."""
    path, worker = expected(case), Worker(IMPLEMENTATIONS[name])
    worker.implementation.start(1)
    for direction in DIRECTIONS:
        errors = worker.errors(case, direction, path, "high")["errors"]
        assert set(errors) == set(reference.result_names(by_name(case), direction))
        assert max(errors.values()) <= bars.HIGH


@pytest.mark.parametrize("case", ["lab7_1", "fer_1", "fer_2", "sobel", "mobile_dw3"])
def test_errors_at_highest(case, expected):
    """At most twice torch's, where sums are of up to 400 products: of longer ones torch keeps parts apart."""
    path = expected(case)
    for direction in DIRECTIONS:
        found = {}
        for name in ("torch", *OURS):
            worker = Worker(IMPLEMENTATIONS[name])
            worker.implementation.start(1)
            found[name] = worker.errors(case, direction, path, "highest")["errors"]
        for name in OURS:
            for result, error in found[name].items():
                assert error <= bars.HIGHEST * found["torch"][result], (name, result)


@pytest.mark.parametrize("batch", [16])
def test_training_follows_the_losses_of_float64(batch):
    losses = training.expected(batch)
    for name in ("numba", "torch", "torch channels_last"):
        step, error = training.prepare(IMPLEMENTATIONS[name], batch, losses)
        assert error < training.TOLERANCE
        assert step() == pytest.approx(step(), abs=1e-4)  # timed steps hardly move
    with pytest.raises(reference.Invalid, match="training with 16 images"):
        training.prepare(IMPLEMENTATIONS["torch"], batch, [2 * loss for loss in losses])


def test_bars_say_what_is_worst():
    one = bars.bar("speed", {"a": 1.0, "b": 4.0, "c": math.nan}, 1.5, mean=True)
    assert (one.asked, one.figure, one.worst, one.held) == ("≥ 1.50 (geometric mean)", "2.00", "1.00 a", True)
    one = bars.bar("time", {"a": 1.0, "b": 4.0}, 2.0, most=True)
    assert (one.asked, one.figure, one.worst, one.held) == ("≤ 2.00", "4.00", "4.00 b", False)
    assert bars.bar("unknown", {"a": math.nan}, 1) is None


@pytest.fixture
def whole():
    """A run with a row of every kind."""
    seconds = dict(numba=1e-3, cython=2e-3, tensordot=1e-2, torch=3e-3, copy=1e-3)
    rows = [row(case, direction, **seconds) for case in ("resnet_56", "resnet_proj", "max_112")
            for direction in DIRECTIONS]
    for one in rows[:4]:
        one.timings["copy"] = Timing(why_not="not supported")
        one.workspace = {"numba": 10 << 20, "cython": 1 << 20}
        one.errors = {"numba highest": {"y": 3e-7}, "numba high": {"y": 2e-6}, "torch": {"y": 1e-7}}
    few = dict(numba=1e-5, cython=1e-5)
    return run_of(
        rows, float64=[row(numba=1e-3, cython=1e-3, torch=3e-3)],
        reduced=[Row(reduced(by_name("resnet_56")), "forward", 1, row(**few, loops=0.1).timings)],
        steps=[Row(training.STEPS[0], "", 1, row(numba=1e-3, cython=1e-3, torch=1e-3).timings)],
        overhead=[Row(OVERHEAD, "forward", 1, row(**few).timings)],
        start={"import": 0.02, "numba warm": 0.8, "numba cold": 31.0, "cython warm": 0.1, "cython cold": 0.1})


@pytest.mark.parametrize("line", [
    "| convolution forward, ratio | ≥ 1.50 (geometric mean) | 1 | 3.00 | 3.00 resnet_56 | 1.50 | 1.50 resnet_56 |",
    "| convolution backward, ratio | ≥ 2.00 (geometric mean) | 1 | 3.00 | 3.00 resnet_56 | **1.50** | 1.50 resnet_56 |",
    "| pooling, time over that of a copy of its bytes | ≤ 1.50 | 1 | 1.00 | 1.00 max_112 forward | **2.00** "
    "| 2.00 max_112 forward |",
    "| step of training, ratio to torch | ≥ 2.00 | 1 | **1.00** | 1.00 step of 64 images | **1.00** "
    "| 1.00 step of 64 images |",
    "| first forward and backward, disk cache cold | ≤ 30.0 s | 1 | **31.0 s** | 31.0 s new process | 0.100 s "
    "| 0.100 s new process |",
    "| error at 'highest', by that of torch NCHW | ≤ 2.00 | 1 | **3.00** | 3.00 resnet_56 forward y | - | - |",
])
def test_table_of_bars(whole, line):
    assert line in bars.table(whole).splitlines()


def test_page_has_a_part_for_everything(whole):
    page = report.results_page(whole, [("ratio_1.png", "Ratio, 1 thread")])
    for part in ("![Ratio, 1 thread](plots/ratio_1.png)", "### Convolutions in float64, 1 thread",
                 "| resnet_56 y | 3.0e-07 | 2.0e-06 | 1.0e-07 |", "| resnet_56 forward | 1850 | 685% |"):
        assert part in page
    assert "not supported" not in page


def test_a_saved_run_gives_the_same_page(whole, tmp_path):
    whole.rows[0].timings["numba"].samples = [1e-3, 1.1e-3, 1.2e-3, 2e-3, 3e-3]
    saved.save(whole, tmp_path / "run.json")
    again = saved.load(tmp_path / "run.json")
    assert report.results_page(again) == report.results_page(whole)
    assert len(again.rows[0].timings["numba"].samples) == 3


def test_replot_measures_nothing(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "RESULTS.md")
    monkeypatch.setattr(report, "README", tmp_path / "README.md")
    saved.save(whole, tmp_path / "RESULTS.json")
    report.README.write_text(f"before\n{BEGIN}\n{END}\nafter\n", encoding="utf-8")
    assert report.main(["--replot", "--update-readme"]) == 0
    page = report.RESULTS.read_text(encoding="utf-8")
    assert "![Roofline, 1 thread](plots/roofline_1.png)" in page
    assert (tmp_path / "plots" / "ratio_1.png").exists()
    assert "![Ratio of every row](bench/plots/ratio_1.png)" in report.README.read_text(encoding="utf-8")


def test_results_of_another_machine_have_a_folder_of_their_own(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "RESULTS", tmp_path / "RESULTS.md")
    other = tmp_path / "other"
    other.mkdir()
    saved.save(whole, other / "RESULTS.json")
    assert report.main(["--replot", "--output", str(other)]) == 0
    assert (other / "plots" / "ratio_1.png").exists()
    assert "## 1 thread" in (other / "RESULTS.md").read_text(encoding="utf-8")
    assert not report.RESULTS.exists()
    with pytest.raises(SystemExit):
        report.main(["--replot", "--output", str(other), "--update-readme"])


def test_plots_are_written(whole, tmp_path):
    pictures = plots.draw(whole, tmp_path / "plots")
    assert [name for name, _ in pictures] == ["ratio_1.png", "peak_1.png", "roofline_1.png"]
    assert all((tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG") for name, _ in pictures)


def test_readme_has_a_place_for_the_table():
    text = report.README.read_text(encoding="utf-8")
    changed = report.replace_between(text, "| a table |")
    assert f"{BEGIN}\n| a table |\n{END}" in changed
    assert changed.partition(BEGIN)[0] == text.partition(BEGIN)[0]
    assert changed.partition(END)[2] == text.partition(END)[2]
    with pytest.raises(ValueError, match="expected one line"):
        report.replace_between("no markers", "")


@pytest.mark.parametrize("arguments", [["--quick", "--update-readme"], ["--quick", "--replot"], ["--case", "nonesuch"],
                                       ["--quick", "--output", "other"], ["--operations", "--update-readme"],
                                       ["--operations", "--networks"], ["--networks", "--case", "vgg_2"]])
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


@pytest.mark.parametrize(("page", "case"), [("operations", TIMED["relu"]), ("networks", NETWORKS["lenet_2"]),
                                            ("networks", NETWORKS["lenet_pool"])])
def test_page(page, case):
    timed = {"numba": Timing([0.002] * 4, 1e-7, 0.1), "torch": Timing([0.001] * 4, 1e-7, 0.1)}
    rows = [Row(case, direction, 2, timed) for direction in DIRECTIONS]
    text = PAGES[page].text({2: rows}, ("numba", "torch"))
    assert f"| {case.name} forward | 2.00 ±0% | 1.00 ±0% | 0.500 |" in text
    assert f"worst 0.500 ({case.name})" in text
    assert f"- {case.name} backward: 0.500" in text.split("Slower than the fastest peer with numba:")[1]


@pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS)
def test_layers_of_networks_are_others_than_the_suite(case):
    assert case.geometry() not in [other.geometry() for other in (*SUITE, *POOLS)]
    assert by_name(case.name) is case
