"""The engine's plans: which positions meet which taps."""

import itertools

import pytest

from fastconv import geometry
from fastconv.backends import plan, plan_apart, plan_transform, plan_winograd


@pytest.mark.parametrize("size", [1, 4, 9])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 4])
def test_positions_by_the_taps_that_meet_no_padding(size, stride, dilation, kernel):
    for before, after in itertools.product(range(6), repeat=2):
        count = (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
        met = {}
        for first, some, taps in plan._inside(count, kernel, size, stride, (before, after), dilation):
            for position in range(first, first + some):
                met[position] = [(tap, element + (position - first) * stride) for tap, element in taps]
        expected = {position: [(tap, position * stride - before + tap * dilation) for tap in range(kernel)
                               if 0 <= position * stride - before + tap * dilation < size] for position in range(count)}
        assert met == {position: taps for position, taps in expected.items() if taps}


def test_long_kernels_are_not_listed_position_by_position():
    """Half a million products of a few taps would take longer to list than to compute."""
    g = geometry.conv("conv1d", (1, 64, 100_000), (64, 64, 511), 1, 255)
    _, [batch], whole = plan.forward(g, 64)
    assert len(batch.products) == 1
    assert whole


def test_dilated_windows_that_mostly_meet_padding_go_directly():
    """Of 12 steps on 33 x 33, 25 of 33 rows and columns of products meet the map; the transform would do them all."""
    for dilation, met, goes in ((12, 75 / 99, False), (6, 87 / 99, True)):
        g = geometry.conv("conv2d", (2, 256, 33, 33), (256, 256, 3, 3), 1, dilation, dilation)
        assert plan.inside(g) == pytest.approx(met**2)
        assert (plan_apart.transform(plan_winograd.forward, g, 64)[1] is not None) == goes
        assert plan_apart.transform(plan_winograd.forward, g, 64, clips=False)[1] is not None


@pytest.mark.parametrize(("columns", "width"), [(8, 24), (24, 24), (25, 16), (32, 16), (33, 24), (48, 24), (56, 24),
                                                (64, 24), (128, 24)])
def test_panels_of_three_vectors_are_of_two_where_one_would_be_left_over(columns, width):
    assert plan_transform.panel_width(columns, 24) == width
    assert plan_transform.panel_width(columns, 64) == 64
