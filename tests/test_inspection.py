"""Summaries against the worked numbers of the seeds, the gradient check, tables and pictures."""

import io
import sys
from fractions import Fraction

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fastconv import functional, grad, inspection, layers
from fastconv.inspection import ReceptiveField, check_gradients, summary
from fastconv.inspection.tables import Table


def lab7():
    """The network of seed 002."""
    return layers.Sequential(
        layers.Conv2d(1, 32, 3), layers.ReLU(), layers.MaxPool2d(2), layers.Conv2d(32, 64, 3), layers.ReLU(),
        layers.MaxPool2d(2), layers.Conv2d(64, 64, 3), layers.Flatten(), layers.Linear(576, 64), layers.ReLU(),
        layers.Linear(64, 10))


def auditory():
    """The network of seed 003, its softmax left to the loss."""
    return layers.Sequential(
        layers.Conv2d(3, 16, 5), layers.ReLU(), layers.MaxPool2d(2), layers.Conv2d(16, 32, 5), layers.ReLU(),
        layers.MaxPool2d(2), layers.Flatten(), layers.Linear(512, 10))


def test_summary_of_seed_002():
    found = summary(lab7(), (1, 28, 28), batch_size=64)
    assert [row.output_shape[1:] for row in found.rows] == [
        (32, 26, 26), (32, 26, 26), (32, 13, 13), (64, 11, 11), (64, 11, 11), (64, 5, 5), (64, 3, 3), (576,), (64,),
        (64,), (10,)]
    assert [row.parameters for row in found.rows] == [320, 0, 0, 18496, 0, 0, 36928, 0, 36928, 0, 650]
    assert found.parameters == found.trainable == 93322
    assert found.parameter_bytes == 4 * 93322
    products = 32 * 26 * 26 * 9 + 64 * 11 * 11 * 32 * 9 + 64 * 3 * 3 * 64 * 9 + 576 * 64 + 64 * 10
    assert found.multiply_adds == 64 * products


def test_summary_of_seed_003():
    found = summary(auditory(), (3, 28, 28), batch_size=8)
    assert found.parameters == 19178
    assert found.parameter_bytes == 76712
    assert found.activation_bytes == 886912
    assert found.total_bytes == 963624
    kept = [28 * 28 * 3, 24 * 24 * 16, 24 * 24 * 16, 12 * 12 * 16, 8 * 8 * 32, 8 * 8 * 32, 0, 512]
    assert [row.memory for row in found.rows] == [8 * 4 * n for n in kept]
    assert found.loss_bytes == 8 * 4 * (10 + 10)
    assert [row.output_shape[1:] for row in found.rows] == [
        (16, 24, 24), (16, 24, 24), (16, 12, 12), (32, 8, 8), (32, 8, 8), (32, 4, 4), (512,), (10,)]


def test_memory_is_the_same_with_softmax_in_the_network():
    model = layers.Sequential(*auditory(), layers.Softmax(dim=-1))
    assert summary(model, (3, 28, 28), batch_size=8).activation_bytes == 886912


def test_receptive_fields_of_seed_003():
    conv1, _, pool1, conv2, _, pool2, flatten, linear = (
        row.receptive_field for row in summary(auditory(), (3, 28, 28)).rows)
    assert conv1 == ReceptiveField((5, 5), (1, 1), (0, 0))
    assert pool1 == ReceptiveField((6, 6), (2, 2), (0, 0))
    assert conv2 == ReceptiveField((14, 14), (2, 2), (0, 0))
    assert pool2 == flatten == ReceptiveField((16, 16), (4, 4), (0, 0))
    assert linear == ReceptiveField((28, 28), None, (0, 0))


def test_receptive_field_of_seed_002_leaves_out_what_pooling_drops():
    assert summary(lab7(), (1, 28, 28)).rows[-1].receptive_field == ReceptiveField((26, 26), None, (0, 0))


@pytest.mark.parametrize(("stack", "expected"), [
    ([layers.Conv2d(1, 1, 3, padding=1)], ReceptiveField((3, 3), (1, 1), (-1, -1))),
    ([layers.Conv2d(1, 1, 3, stride=2, padding=1)] * 2, ReceptiveField((7, 7), (4, 4), (-3, -3))),
    ([layers.Conv2d(1, 1, 3, dilation=2, padding="same")], ReceptiveField((5, 5), (1, 1), (-2, -2))),
    ([layers.Conv2d(1, 1, (1, 4), padding="same")], ReceptiveField((1, 4), (1, 1), (0, -1))),
    ([layers.MaxPool2d(3, 2, 1), layers.AvgPool2d(2)], ReceptiveField((5, 5), (4, 4), (-1, -1))),
])
def test_receptive_field_with_padding_stride_and_dilation(stack, expected):
    assert summary(layers.Sequential(*stack), (1, 16, 16)).rows[-1].receptive_field == expected


def test_receptive_field_is_what_the_gradient_reaches():
    model = layers.Sequential(layers.Conv2d(1, 2, 3, stride=2, padding=1), layers.AvgPool2d(2, 1),
                              layers.Conv2d(2, 1, (3, 2), dilation=(1, 2), padding=(2, 0)))
    for parameter in model.parameters():
        parameter.data[...] = 1
    y = model(np.zeros((1, 1, 40, 40), np.float32))
    at = (y.shape[2] // 2, y.shape[3] // 2)
    grad_output = np.zeros_like(y)
    grad_output[0, 0, at[0], at[1]] = 1
    reached = np.nonzero(model.backward(grad_output)[0, 0])
    field = summary(model, (1, 40, 40)).rows[-1].receptive_field
    for axis in (0, 1):
        start = field.offset[axis] + at[axis] * field.stride[axis]
        assert reached[axis].min() == start
        assert reached[axis].max() == start + field.size[axis] - 1


def test_summary_of_one_and_three_dimensions():
    model = layers.Sequential(layers.Conv1d(24, 56, 8, stride=4), layers.MaxPool1d(2))
    row = summary(model, (24, 4096)).rows[-1]
    assert row.receptive_field == ReceptiveField((12,), (8,), (0,))
    model = layers.Sequential(layers.Conv3d(1, 2, (1, 3, 3), padding=(0, 1, 1)))
    assert summary(model, (1, 4, 8, 8)).rows[0].receptive_field == ReceptiveField((1, 3, 3), (1, 1, 1), (0, -1, -1))


def test_summary_of_vectors_has_no_receptive_field():
    found = summary(layers.Sequential(layers.Linear(4, 3), layers.ReLU()), (4,))
    assert [row.receptive_field for row in found.rows] == [None, None]
    assert "sees" not in str(found)


def test_receptive_field_behind_an_unknown_layer_is_unknown():
    class Blur(layers.Layer):
        def forward(self, x):
            return x + 1

    found = summary(layers.Sequential(layers.Conv2d(1, 1, 3), Blur(), layers.ReLU()), (1, 8, 8))
    assert [row.receptive_field is None for row in found.rows] == [False, True, True]
    assert "?" in str(found)


def test_shared_and_frozen_parameters_are_counted_once_and_told_apart():
    shared = layers.Linear(4, 4)
    frozen = layers.Linear(4, 2)
    frozen.requires_grad_(False)
    found = summary(layers.Sequential(shared, layers.ReLU(), shared, frozen), (4,))
    assert [row.parameters for row in found.rows] == [20, 0, 0, 10]
    assert (found.parameters, found.trainable) == (30, 20)
    assert "10 of them frozen" in str(found)


def test_summary_leaves_the_network_as_it_was():
    model = lab7()
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28), np.float32)
    y = model(x)
    gradient = model.backward(np.ones_like(y))
    before = [p.grad.copy() for p in model.parameters()]
    summary(model, (1, 28, 28))
    assert model.training
    assert np.array_equal(model.backward(np.ones_like(y)), gradient)
    assert all(np.array_equal(p.grad, b) for p, b in zip(model.parameters(), before, strict=True))


def test_summary_in_double_precision():
    model = auditory()
    model.to(np.float64)
    assert summary(model, (3, 28, 28), batch_size=8).total_bytes == 2 * 963624


@pytest.mark.parametrize(("shape", "batch", "message"), [
    ((1, 0, 28), 1, "input_shape must be at least 1, got 0"), ((1, 28, 28), 0, "batch_size must be at least 1"),
    ((2, 28, 28), 1, "channels"),
])
def test_summary_refuses(shape, batch, message):
    with pytest.raises(ValueError, match=message):
        summary(lab7(), shape, batch)


def test_totals_of_seed_002():
    """In MiB as that course's tool prints them, which counts every output and a gradient for each."""
    found = summary(lab7(), (1, 28, 28))
    sizes = [found.input_bytes, found.pass_bytes, found.parameter_bytes]
    assert [f"{size / 2**20:.2f}" for size in (*sizes, sum(sizes))] == ["0.00", "0.51", "0.36", "0.87"]


class Block(layers.Layer):
    """body(x) + shortcut(x), scaled; the sum and the product are the container's own."""

    def __init__(self, *body, shortcut=None, scaled=False):
        self.body, self.shortcut = layers.Sequential(*body), shortcut
        self.scale = layers.Parameter(np.ones((4, 1, 1), np.float32)) if scaled else None

    def forward(self, x):
        y = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return y if self.scale is None else y * self.scale

    def backward(self, grad_output):
        if self.scale is not None:
            self.scale.grad = np.zeros_like(self.scale.data)
        other = grad_output if self.shortcut is None else self.shortcut.backward(grad_output)
        return self.body.backward(grad_output) + other


def test_summary_sees_what_a_container_does_itself():
    model = layers.Sequential(
        layers.Conv2d(3, 4, 3, padding=1), Block(layers.Conv2d(4, 4, 5, padding=2), layers.ReLU(), scaled=True),
        Block(layers.Conv2d(4, 4, 3, stride=2, padding=1), shortcut=layers.Conv2d(4, 4, 1, stride=2)))
    found = summary(model, (3, 8, 8), batch_size=2)
    assert [(row.name, row.kind) for row in found.rows] == [
        ("0", "Conv2d"), ("1.body.0", "Conv2d"), ("1.body.1", "ReLU"), ("1", "add"), ("1", "multiply"),
        ("2.body.0", "Conv2d"), ("2.shortcut", "Conv2d"), ("2", "add")]
    assert [row.parameters for row in found.rows] == [112, 404, 0, 0, 4, 148, 20, 0]
    assert sum(row.parameters for row in found.rows) == found.parameters
    sizes = [3 * 64, 4 * 64, 4 * 64, 0, 0, 4 * 64, 0, 0]  # the second branch takes what the first one keeps already
    assert [row.memory for row in found.rows] == [2 * 4 * n for n in sizes]
    fields = [row.receptive_field for row in found.rows]
    assert fields[3] == fields[4] == ReceptiveField((7, 7), (1, 1), (-3, -3))
    assert fields[6] == ReceptiveField((7, 7), (2, 2), (-3, -3))
    assert fields[7] == ReceptiveField((9, 9), (2, 2), (-4, -4))


class Dense(layers.Layer):
    """Its maps behind those of its input, in place of a Flatten reshaped."""

    def __init__(self):
        self.conv = layers.Conv2d(2, 3, 3, padding=1)

    def forward(self, x):
        y = np.concatenate([x, self.conv(x)], axis=1)
        y += 1
        return y.reshape(len(y), -1)


def test_summary_follows_concatenation_and_reshaping():
    found = summary(layers.Sequential(Dense(), layers.Linear(5 * 36, 2)), (2, 6, 6))
    assert [(row.name, row.kind) for row in found.rows] == [
        ("0.conv", "Conv2d"), ("0", "concatenate"), ("0", "add"), ("0", "view"), ("1", "Linear")]
    assert [row.output_shape for row in found.rows] == [(1, 3, 6, 6), (1, 5, 6, 6), (1, 5, 6, 6), (1, 180), (1, 2)]
    assert found.rows[3].receptive_field == ReceptiveField((3, 3), (1, 1), (-1, -1))
    assert found.rows[4].receptive_field == ReceptiveField((6, 6), None, (0, 0))


class Unseen(layers.Layer):
    """Computes with functions of fastconv between its layers, and has a parameter of its own."""

    def __init__(self):
        self.conv = layers.Conv2d(2, 2, 1)
        self.gain = layers.Parameter(np.ones(1, np.float32))

    def forward(self, x):
        return self.conv(functional.relu(self.conv(x))) * self.gain


def test_summary_says_what_it_does_not_know():
    found = summary(layers.Sequential(Unseen(), Scale2()), (2, 6, 6))
    assert [(row.name, row.kind, row.parameters, row.multiply_adds) for row in found.rows] == [
        ("0.conv", "Conv2d", 6, 144), ("0", "?", 1, None), ("0.conv", "Conv2d", 0, 144), ("0", "multiply", 0, 0),
        ("1", "Scale2", 2, None)]
    assert [row.receptive_field is None for row in found.rows] == [False, True, True, True, True]
    assert "without the layers marked ?" in str(found)


class Scale2(layers.Layer):
    def __init__(self):
        self.weight = layers.Parameter(np.ones(2, np.float32))

    def forward(self, x):
        return x * self.weight.data[:, None, None]


def test_summary_of_a_subclass_knows_what_it_is():
    class Edges(layers.Conv2d):
        pass

    (row,) = summary(Edges(1, 2, 3), (1, 8, 8)).rows
    assert (row.name, row.kind, row.multiply_adds) == ("", "Edges", 2 * 36 * 9)
    assert row.receptive_field == ReceptiveField((3, 3), (1, 1), (0, 0))


def test_summary_of_a_layer_with_two_outputs():
    class Values(layers.Layer):
        def __init__(self):
            self.pool = layers.MaxPool2d(2, return_indices=True)

        def forward(self, x):
            values, indices = self.pool(x)
            assert indices.dtype == np.int64
            return values

    found = summary(layers.Sequential(Values(), layers.ReLU()), (3, 8, 8), batch_size=2)
    assert found.rows[0].output_shape == (2, 3, 4, 4)
    assert found.rows[0].more_outputs == ((2, 3, 4, 4),)
    assert "3x4x4, 2x3x4x4" in str(found)
    assert found.rows[1].receptive_field == ReceptiveField((2, 2), (2, 2), (0, 0))


def test_summary_of_a_residual_network():
    block = layers.Residual(layers.Sequential(layers.Conv2d(4, 8, 3, stride=2, padding=1), layers.BatchNorm2d(8)),
                            layers.Conv2d(4, 8, 1, stride=2))
    model = layers.Sequential(layers.Conv2d(3, 4, 3, padding=1), layers.Dropout(0.5), block, layers.ReLU(),
                              layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(8, 2))
    found = summary(model, (3, 8, 8))
    assert [(row.name, row.kind) for row in found.rows] == [
        ("0", "Conv2d"), ("1", "Dropout"), ("2.body.0", "Conv2d"), ("2.body.1", "BatchNorm2d"),
        ("2.shortcut", "Conv2d"), ("2", "add"), ("3", "ReLU"), ("4", "AdaptiveAvgPool2d"), ("5", "Flatten"),
        ("6", "Linear")]
    assert sum(row.parameters for row in found.rows) == found.parameters == 112 + 296 + 16 + 40 + 18
    fields = [row.receptive_field for row in found.rows]
    assert fields[5] == fields[6] == ReceptiveField((5, 5), (2, 2), (-2, -2))
    assert fields[7] == fields[9] == ReceptiveField((8, 8), None, (0, 0))
    # Dropout's output is an array of its own; both branches take it.
    sizes = [3 * 64, 4 * 64, 4 * 64, 8 * 16, 0, 0, 8 * 16, 8 * 16, 0, 8]
    assert [row.memory for row in found.rows] == [4 * n for n in sizes]
    labels = _labels(inspection.draw(model, (3, 8, 8)))
    assert labels.count("+") == 1 and "?" not in labels


@pytest.mark.parametrize(("layer", "expected"), [
    (layers.ZeroPad2d((1, 2, 3, 0)), ReceptiveField((1, 1), (2, 2), (-6, -2))),
    (layers.ReflectionPad2d(1), ReceptiveField((1, 1), (2, 2), (-2, -2))),
    (layers.AdaptiveMaxPool2d(4), ReceptiveField((3, 3), (4, 4), (0, 0))),
    (layers.AdaptiveAvgPool2d(3), None),
    (layers.Downsample2d(3), ReceptiveField((1, 1), (6, 6), (0, 0))),
    (layers.Upsample2d(2), ReceptiveField((1, 1), (1, 1), (0, 0))),
    (layers.ConvTranspose2d(1, 1, 4, stride=4, padding=1), ReceptiveField((1, 1), (Fraction(1, 2),) * 2, (0, 0))),
    (layers.ConvTranspose2d(1, 1, 3, stride=2), ReceptiveField((3, 3), (1, 1), (-2, -2))),
    (layers.Upsample(scale_factor=3), ReceptiveField((1, 1), (Fraction(2, 3),) * 2, (0, 0))),
    (layers.Upsample(scale_factor=1.5), None),
    (layers.Upsample(scale_factor=2, mode="bicubic"), None),
    (layers.UpsamplingBilinear2d(scale_factor=2), None),
    (layers.PReLU(), ReceptiveField((1, 1), (2, 2), (0, 0))),
    (layers.Identity(), ReceptiveField((1, 1), (2, 2), (0, 0))),
])
def test_receptive_field_of_other_layers(layer, expected):
    model = layers.Sequential(layers.Downsample2d(2), layer)
    assert summary(model, (1, 16, 16)).rows[-1].receptive_field == expected


@pytest.mark.parametrize("stack", [
    [layers.ConvTranspose1d(1, 1, 4, stride=2, padding=1)],
    [layers.ConvTranspose1d(1, 1, 3, stride=2, padding=1, output_padding=1, dilation=2), layers.Conv1d(1, 1, 3)],
    [layers.Conv1d(1, 1, 3, stride=2), layers.ConvTranspose1d(1, 1, 3, stride=3), layers.Conv1d(1, 1, 4, stride=2)],
    [layers.Conv1d(1, 1, 2, stride=4), layers.ConvTranspose1d(1, 1, 2, stride=2),
     layers.ConvTranspose1d(1, 1, 5, stride=3, padding=2)],
    [layers.ConvTranspose1d(1, 1, 2, stride=3), layers.AvgPool1d(2, 1)],
    [layers.AvgPool1d(2), layers.Upsample1d(3), layers.Conv1d(1, 1, 5)],
    [layers.AvgPool1d(2), layers.Upsample(scale_factor=4), layers.Conv1d(1, 1, 3, stride=3)],
    [layers.Upsample(scale_factor=2, mode="linear"), layers.AvgPool1d(3)],
    [layers.Upsample(scale_factor=3, mode="linear"), layers.Upsample(scale_factor=2, mode="linear")],
], ids=lambda stack: "-".join(type(layer).__name__ for layer in stack))
def test_receptive_fields_behind_what_makes_larger_are_what_gradients_reach(stack):
    """Of every element, those of different sizes in turn; the summary names the largest."""
    model = layers.Sequential(*stack).to(np.float64)
    for parameter in model.parameters():
        parameter.data = np.abs(parameter.data) + 1
    field = summary(model, (1, 24)).rows[-1].receptive_field
    y = model(np.ones((1, 1, 24)))
    sizes = []
    for i in range(y.shape[2]):
        dy = np.zeros_like(y)
        dy[0, 0, i] = 1
        reached = np.flatnonzero(model.backward(dy)[0, 0])
        ((start, end),) = field.of((i,))
        assert field.clipped((i,), (24,)) == (slice(reached[0], reached[-1] + 1) if len(reached) else slice(0, 0),)
        sizes.append(end - start if start < end else 0)
    assert field.size == (max(sizes),)
    # So many elements make so many steps of the input.
    period = field.stride[0].denominator
    ((first, _),), ((later, _),) = field.of((0,)), field.of((4 * period,))
    assert later - first == 4 * field.stride[0].numerator


def test_summary_of_residuals_in_residuals():
    class Halved(layers.Residual):
        def forward(self, x):
            return self.body(x) / 2 + x

    inner = layers.Residual(layers.Conv2d(2, 2, 3, padding=1))
    model = layers.Sequential(layers.Residual(inner, layers.Identity()), Halved(layers.ReLU()))
    found = summary(model, (2, 6, 6))
    assert [(row.name, row.kind) for row in found.rows] == [
        ("0.body.body", "Conv2d"), ("0.body", "add"), ("0.shortcut", "Identity"), ("0", "add"), ("1.body", "ReLU"),
        ("1", "divide"), ("1", "add")]
    assert {row.receptive_field for row in found.rows[3:]} == {ReceptiveField((3, 3), (1, 1), (-1, -1))}


def test_summary_of_a_recurrent_network():
    class Words(layers.Layer):
        def __init__(self):
            self.embed = layers.Embedding(9, 4)
            self.rnn = layers.RNN(4, 6, num_layers=2, batch_first=True, bidirectional=True)
            self.score = layers.TimeDistributed(layers.Linear(12, 9))

        def forward(self, x):
            states, _ = self.rnn(self.embed(x))
            return self.score(states)

    model = Words()
    found = summary(model, (5,), batch_size=2)
    embed, rnn, *_, linear = (row for row in found.rows if row.kind != "view")
    assert (embed.output_shape, embed.parameters, embed.multiply_adds) == ((2, 5, 4), 36, 0)
    assert (rnn.output_shape, rnn.more_outputs) == ((2, 5, 12), ((4, 2, 6),))
    per_step = 2 * (4 * 6 + 6 * 6) + 2 * (12 * 6 + 6 * 6)
    assert rnn.multiply_adds == 2 * 5 * per_step
    assert (linear.name, linear.output_shape, linear.multiply_adds) == ("score.layer", (10, 9), 10 * 12 * 9)
    assert sum(row.parameters for row in found.rows) == found.parameters
    assert "5x12, 4x2x6" in str(found)
    assert "sees" not in str(found)
    labels = _labels(inspection.draw(model, (5,), batch_size=2))
    assert {"Embedding", "RNN", "Linear", "weight_hh_l1_reverse 6\N{MULTIPLICATION SIGN}6"} <= set(labels)
    assert "grad 2\N{MULTIPLICATION SIGN}5" not in labels  # words are whole numbers


def test_summary_prints_as_text():
    text = str(summary(lab7(), (1, 28, 28), batch_size=64))
    assert "Sequential, batch of 64: 93,322 parameters" in text
    first = next(line for line in text.splitlines() if line.startswith("0 Conv2d"))
    assert first.split() == ["0", "Conv2d", "32x26x26", "320", "12,460,032", "200,704", "3x3", "1", "0"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_tables_are_richs_in_a_wide_terminal_only(monkeypatch):
    table = Table("Title", ["<name", "count"], [["[red]a", "1"]], ["a note"])
    plain = io.StringIO()
    table.print(plain)
    rule = "-------------"
    assert plain.getvalue().splitlines() == ["Title", rule, "name    count", rule, "[red]a      1", rule, "a note"]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    drawn = Terminal()
    table.print(drawn)
    assert "━" in drawn.getvalue() or "─" in drawn.getvalue()
    assert "[red]a" in drawn.getvalue()
    monkeypatch.setenv("COLUMNS", "8")
    narrow = Terminal()
    table.print(narrow)
    assert narrow.getvalue() == plain.getvalue()


def test_tables_do_without_rich(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    drawn = Terminal()
    Table("Title", ["<name"], [["a"]], []).print(drawn)
    assert drawn.getvalue().startswith("Title\n")


def test_gradients_of_a_network_pass():
    rng = np.random.default_rng(0)
    model = layers.Sequential(layers.Conv2d(2, 3, 3, padding=1), layers.ReLU(), layers.MaxPool2d(2), layers.Flatten(),
                              layers.Linear(12, 4))
    x = rng.standard_normal((2, 2, 4, 4), np.float32)
    kept = {name: value.copy() for name, value in model.state_dict().items()}
    report = check_gradients(model, x)
    assert list(report.errors) == ["x", "0.weight", "0.bias", "4.weight", "4.bias"]
    assert report
    assert report.worst < 1e-6
    assert all(np.array_equal(kept[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_gradients_of_a_loss_pass():
    rng = np.random.default_rng(0)
    report = check_gradients(layers.CrossEntropyLoss(), (rng.standard_normal((5, 3)), np.array([0, 2, 1, 1, 0])))
    assert report.passed
    assert list(report.errors) == ["input"]


class Scale(layers.Layer):
    """y = a x, with a gradient that may be wrong by a factor."""

    def __init__(self, wrong_input=1.0, wrong_weight=1.0):
        self.weight = layers.Parameter(np.full(3, 2.0, np.float32))
        self.wrong_input, self.wrong_weight = wrong_input, wrong_weight

    def forward(self, x):
        self.x = x
        return x * self.weight

    def backward(self, grad_output):
        self.weight.grad = (grad_output * self.x).sum(axis=0) * self.wrong_weight
        return grad_output * self.weight * self.wrong_input


def test_gradient_check_finds_which_gradient_is_wrong():
    x = np.random.default_rng(0).standard_normal((4, 3))
    assert check_gradients(Scale(), x)
    report = check_gradients(Scale(wrong_weight=1.01), x)
    assert not report
    assert report.errors["x"] < 1e-7
    assert report.errors["weight"] == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert "WRONG" in str(report)
    assert check_gradients(Scale(wrong_input=-1), x).worst == pytest.approx(2, rel=1e-3)
    assert not check_gradients(Scale(wrong_input=np.nan), x)


def test_gradient_check_refuses():
    x = np.random.default_rng(0).standard_normal((4, 3))

    class Noise(Scale):
        def forward(self, x):
            self.x = x
            return x + np.random.default_rng().standard_normal(x.shape)

    class Short(Scale):
        def backward(self, grad_output):
            self.weight.grad = np.zeros(3)
            return grad_output[:1]

    with pytest.raises(ValueError, match="different results"):
        check_gradients(Noise(), x)
    with pytest.raises(ValueError, match=r"gradient by x must have shape \(4, 3\), got \(1, 3\)"):
        check_gradients(Short(), x)
    with pytest.raises(TypeError, match="needs a gradient= function"):
        check_gradients(np.sin, x)
    with pytest.raises(ValueError, match="no argument of floating type"):
        check_gradients(np.square, np.arange(3), gradient=lambda g, x: 2 * x * g)


FUNCTIONS = [
    ("conv1d", [(2, 4, 9), (6, 2, 3), (6,)], {"stride": 2, "padding": 1, "groups": 2}),
    ("conv2d", [(2, 2, 5, 6), (3, 2, 3, 3)], {"padding": "same"}),
    ("conv_transpose2d", [(2, 3, 4, 4), (3, 2, 3, 3), (2,)], {"stride": 2, "output_padding": 1}),
    ("max_pool2d", [(2, 2, 6, 6)], {"kernel_size": 2}),
    ("avg_pool2d", [(2, 2, 5, 5)], {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("unfold", [(2, 2, 5, 5)], {"kernel_size": 3}),
    ("pad", [(2, 2, 5, 5)], {"pad": (1, 2, 3, -1), "mode": "reflect"}),
    ("pad", [(2, 2, 5, 5)], {"pad": (1, 2, 0, -1, 1, 1), "value": 2}),
    ("pad", [(2, 5, 4)], {"pad": (4, 3), "mode": "circular"}),
    ("interpolate", [(2, 2, 5, 4)], {"scale_factor": 1.7, "mode": "bilinear"}),
    ("interpolate", [(2, 2, 5, 4)], {"size": 3, "mode": "bicubic", "antialias": True}),
    ("interpolate", [(2, 2, 5)], {"size": 7, "mode": "area"}),
    ("pixel_shuffle", [(2, 8, 3, 2)], {"upscale_factor": 2}),
    ("pixel_unshuffle", [(2, 2, 6, 4)], {"downscale_factor": 2}),
    ("zero_insert2d", [(2, 2, 3, 4)], {"factor": (2, 3)}),
    ("downsample1d", [(2, 2, 8)], {"factor": 3}),
    ("adaptive_avg_pool2d", [(2, 2, 5, 7)], {"output_size": (2, 3)}),
    ("adaptive_max_pool3d", [(2, 2, 5, 4, 3)], {"output_size": 2}),
    ("linear", [(3, 4), (5, 4), (5,)], {}),
    ("softmax", [(3, 4)], {"dim": 1}),
    ("log_softmax", [(3, 4)], {"dim": 0}),
    ("relu", [(3, 4)], {}),
    ("mse_loss", [(3, 4), (3, 4)], {"reduction": "sum"}),
]


@pytest.mark.parametrize(("name", "shapes", "keywords"), FUNCTIONS,
                         ids=[f"{name} {keywords}" for name, _, keywords in FUNCTIONS])
def test_gradients_of_functions(name, shapes, keywords):
    rng = np.random.default_rng(5)
    inputs = [rng.standard_normal(shape) for shape in shapes]
    report = check_gradients(getattr(functional, name), inputs, **keywords)
    assert report, str(report)
    assert report.worst < 1e-6


def test_gradients_of_unpooling():
    x = np.random.default_rng(5).standard_normal((2, 2, 3, 3))
    _, indices = functional.max_pool2d(np.random.default_rng(6).standard_normal((2, 2, 6, 7)), 2, return_indices=True)
    report = check_gradients(functional.max_unpool2d, [x, indices], kernel_size=2, output_size=(6, 7))
    assert report and report.errors.keys() == {"input"}, str(report)


def test_gradients_of_any_function_with_a_gradient():
    x = np.random.default_rng(0).standard_normal(7)
    assert check_gradients(np.tanh, x, gradient=lambda g, x: g * (1 - np.tanh(x) ** 2))
    wrong = check_gradients(functional.conv2d, [np.ones((1, 1, 4, 4)), np.ones((1, 1, 3, 3))],
                            gradient=lambda g, x, w: (2 * grad.conv2d_input(x.shape, w, g), None))
    assert wrong.errors.keys() == {"input"}
    assert wrong.worst == pytest.approx(0.5, rel=1e-3)


def _labels(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_drawing_has_the_shape_of_every_tensor_and_gradient(tmp_path):
    model = layers.Sequential(
        layers.Conv2d(3, 4, 3, padding=1), Block(layers.Conv2d(4, 4, 3, padding=1), layers.ReLU()), layers.Flatten(),
        layers.Linear(256, 10))
    gradients = {}
    for name, layer in model.named_modules():
        if not list(layer.children()):
            def noted(grad_output, name=name, backward=layer.backward):
                gradients[name] = grad_output.shape, backward(grad_output).shape
                return np.zeros(gradients[name][1], np.float32)
            layer.backward = noted
    y = model(np.zeros((2, 3, 8, 8), np.float32))
    loss = layers.CrossEntropyLoss()
    loss(y, np.zeros(2, int))
    model.backward(loss.backward())

    def by(shape):
        return "\N{MULTIPLICATION SIGN}".join(map(str, shape))

    labels = _labels(_written(inspection.draw(model, (3, 8, 8), batch_size=2, loss=loss), tmp_path / "graph.png"))
    tensors = [gradients["0"][1], gradients["1.body.0"][1], gradients["1.body.1"][1], gradients["1.body.1"][0],
               gradients["1.body.0"][1], gradients["2"][1], gradients["3"][1], gradients["3"][0]]
    assert sorted(label for label in labels if label.startswith("grad ")) == sorted(
        [f"grad {by(shape)}" for shape in tensors] + ["grad scalar"]
        + [f"grad {by(p.grad.shape)}" for p in model.parameters()])
    for name, parameter in model.named_parameters():
        assert f"{name.rpartition('.')[2]} {by(parameter.shape)}" in labels
    for shape in tensors:
        assert by(shape) in labels
    for kind in ("input", "Conv2d", "ReLU", "+", "Flatten", "Linear", "CrossEntropyLoss", "L"):
        assert kind in labels


def test_drawing_has_jacobians():
    figure = inspection.draw(layers.Sequential(layers.Linear(5, 4, bias=False), layers.ReLU()), (5,), jacobians=True,
                             loss="MSELoss", title="Small")
    assert {"Jacobian 4\N{MULTIPLICATION SIGN}20", "Jacobian 4\N{MULTIPLICATION SIGN}5",
            "Jacobian 4\N{MULTIPLICATION SIGN}4", "Jacobian 1\N{MULTIPLICATION SIGN}4", "Small"} <= set(_labels(figure))


def test_drawing_of_frozen_parameters():
    model = layers.Linear(3, 2)
    model.weight.requires_grad = False
    labels = _labels(inspection.draw(model, (3,)))
    assert labels.count("frozen") == 1
    assert "grad 2" in labels and "grad 2\N{MULTIPLICATION SIGN}3" not in labels


class Inception(layers.Layer):
    def __init__(self):
        self.a, self.b = layers.Conv2d(2, 2, 1), layers.Conv2d(2, 2, 3, padding=1)
        self.c = layers.Sequential(layers.Conv2d(2, 2, 3, padding=1), layers.ReLU())

    def forward(self, x):
        return np.concatenate([self.a(x), self.b(x), self.c(x), x], axis=1)


@pytest.mark.parametrize("model", [
    layers.Linear(2, 2), layers.Sequential(), layers.Sequential(*[layers.ReLU() for _ in range(14)]),
    layers.Sequential(layers.ReLU(), Inception(), Block(layers.ReLU(), Block(layers.ReLU(), Block(layers.ReLU())))),
])
def test_drawings_overlap_nowhere(model):
    figure = inspection.draw(model, (2, 8, 2), jacobians=True)
    (axes,) = figure.axes
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text.get_window_extent(renderer) for text in axes.texts]
    whole = figure.get_window_extent(renderer)
    for i, text in enumerate(texts):
        assert whole.containsx(text.x0) and whole.containsx(text.x1)
        assert whole.containsy(text.y0) and whole.containsy(text.y1)
        assert not any(text.overlaps(other) for other in texts[:i])
    boxes = [patch.get_window_extent(renderer) for patch in axes.patches if hasattr(patch, "get_boxstyle")]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])
        assert all(not box.overlaps(text) or (box.x0 <= text.x0 and text.x1 <= box.x1) for text in texts)


def test_receptive_field_over_an_image(tmp_path):
    model = layers.Sequential(layers.Conv2d(1, 2, 5, padding=2), layers.MaxPool2d(2), layers.Flatten(),
                              layers.Linear(2 * 14 * 14, 3))
    image = np.random.default_rng(0).random((28, 28))

    def frames(figure):
        (axes,) = figure.axes
        return [patch.get_bbox().bounds for patch in axes.patches], axes.get_title(loc="left")

    found, title = frames(_written(inspection.receptive_field(image, model, "1"), tmp_path / "field.png"))
    assert found == [(11.5, 11.5, 6, 6)]
    assert title == "1 MaxPool2d: element (7, 7) of 14\N{MULTIPLICATION SIGN}14 sees 6\N{MULTIPLICATION SIGN}6 pixels"
    found, _ = frames(inspection.receptive_field(image[None], model, "1", (0, 13)))
    assert found == [(23.5, -2.5, 6, 6), (23.5, -0.5, 4, 4)]  # dashed in the padding, then what is in the image
    found, title = frames(inspection.receptive_field(image, model, -1))
    assert found == [(-0.5, -0.5, 28, 28)]
    assert "every element sees 28" in title
    colored = layers.Sequential(layers.Conv2d(3, 2, 3))
    found, _ = frames(inspection.receptive_field(np.zeros((3, 6, 8)), colored, 0, (3, 0)))
    assert found == [(-0.5, 2.5, 3, 3)]


def test_image_grid(tmp_path):
    images = np.arange(1.0, 6)[:, None, None] * np.ones((5, 2, 3))
    figure = _written(inspection.image_grid(images, columns=3), tmp_path / "grid.png")
    mosaic = figure.axes[0].images[0].get_array()
    assert mosaic.shape == (7, 13)
    assert mosaic[1:3, 9:12].tolist() == [[3] * 3] * 2
    assert mosaic[4:6, 5:8].tolist() == [[5] * 3] * 2
    assert inspection.image_grid(np.zeros((2, 3, 4, 4))).axes[0].images[0].get_array().shape == (6, 11, 3)


def _written(figure, path):
    figure.savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
    return figure


def test_pictures_hold_what_they_are_given(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "picture.png"
    figure = _written(inspection.curves({"loss": [3, 2, 1], "accuracy": [0.1, 0.2, 0.3]},
                                        {"loss": [4, 3, 2], "accuracy": [0, 0.1, 0.2]}), path)
    loss, accuracy = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[3, 2, 1], [4, 3, 2]]
    assert accuracy.lines[1].get_xdata().tolist() == [1, 2, 3]
    assert loss.get_xlabel() == "epoch"

    weight = rng.standard_normal((5, 2, 3, 3))
    figure = _written(inspection.filter_grid(weight, columns=3), path)
    pictures = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(pictures) == 5
    assert np.allclose(pictures[3].get_array(), weight[3].mean(axis=0))
    low, high = pictures[0].get_clim()
    assert low == -high

    figure = _written(inspection.activation_grid(rng.random((3, 4, 4))), path)
    assert sum(bool(axes.images) for axes in figure.axes) == 3

    figure = _written(inspection.confusion([0, 0, 1, 2], [0, 1, 1, 2], names="abc"), path)
    texts = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert texts == {(0, 0): "1", (1, 0): "1", (1, 1): "1", (2, 2): "1"}
    assert "75.0% of 4 right, 1 wrong" in figure.axes[0].get_title(loc="left")

    images = np.arange(5)[:, None, None, None] * np.ones((5, 1, 4, 4))
    probabilities = np.array([[0.9, 0.1, 0], [0.2, 0.7, 0.1], [0.0005, 0.4, 0.5995], [0.5, 0.3, 0.2], [0, 1, 0]])
    figure = _written(inspection.hardest(images, np.array([0, 0, 0, 2, 1]), probabilities, count=3), path)
    shown = [axes.images[0].get_array().max() for axes in figure.axes if axes.images]
    assert shown == [2, 1, 3]
    first = [text.get_text() for text in figure.axes[1].texts]
    assert first == ["2", "60.0%", "1", "40.0%", "0", "< 0.1%"]


class Mystery(layers.Layer):
    def forward(self, x):
        return x[..., ::-1]


@pytest.mark.parametrize(("call", "message"), [
    (lambda: inspection.curves({"loss": [], "accuracy": []}), "1 dimensions and hold something"),
    (lambda: inspection.filter_grid(np.zeros((3, 3))), r"weight must have 4 dimensions.*\(3, 3\)"),
    (lambda: inspection.activation_grid(np.zeros((3, 3))), "maps must have 3 dimensions"),
    (lambda: inspection.confusion([0, 1], [0]), "vectors of one length"),
    (lambda: inspection.confusion([], []), "must not be empty"),
    (lambda: inspection.image_grid(np.zeros((2, 4, 5, 5))), r"images must have shape .* got \(2, 4, 5, 5\)"),
    (lambda: inspection.image_grid(np.zeros((0, 5, 5))), "images must have shape"),
    (lambda: inspection.receptive_field(np.zeros(3), lab7(), 0), r"image must have shape .* got \(3,\)"),
    (lambda: inspection.receptive_field(np.zeros((28, 28)), lab7(), "12"), "layer must be one of '0', '1'.* got '12'"),
    (lambda: inspection.receptive_field(np.zeros((28, 28)), lab7(), 11), "layer must be a name or from 0 to 10"),
    (lambda: inspection.receptive_field(np.zeros((28, 28)), lab7(), 0, (26, 0)), r"element .* got \(26, 0\)"),
    (lambda: inspection.receptive_field(np.zeros((2, 2)), layers.Sequential(Mystery()), 0), "is not known"),
    (lambda: inspection.hardest(np.zeros((2, 4, 4)), [0], np.zeros((1, 3))), "one length"),
])
def test_pictures_refuse(call, message):
    with pytest.raises(ValueError, match=message):
        call()
