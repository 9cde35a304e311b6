"""The engine's plans: which positions meet which taps."""

import itertools

import pytest

from fastconv import geometry
from fastconv.backends import plan


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
