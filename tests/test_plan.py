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


@pytest.mark.parametrize(("columns", "width"), [(8, 16), (20, 24), (24, 24), (32, 16), (48, 24), (64, 16), (96, 24),
                                                (128, 16), (208, 24), (256, 24), (512, 24)])
def test_panels_of_three_vectors_are_of_two_where_more_would_be_empty(columns, width):
    assert plan_transform.panel_width(columns, 24) == width
    assert plan_transform.panel_width(columns, 64) == 64


def test_products_are_cut_at_the_padding_where_it_pays():
    """Each product reads its part of the weights, which may take longer than what meets padding."""
    for shape, kernel, padding, dilation, cut in (((8, 512, 7, 7), (512, 512, 3, 3), 1, 1, False),
                                                  ((8, 64, 14, 14), (64, 64, 3, 3), 1, 1, True),
                                                  ((2, 256, 33, 33), (256, 256, 3, 3), 12, 12, True),
                                                  ((8, 128, 17, 17), (128, 128, 1, 7), (0, 3), 1, False),
                                                  ((8, 128, 17, 17), (192, 128, 7, 1), (3, 0), 1, True)):
        _, [batch], whole = plan.forward(geometry.conv("conv2d", shape, kernel, 1, padding, dilation), 16)
        assert (len(batch.products) > 1) == cut
        assert whole
