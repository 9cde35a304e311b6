"""Convolution, forward and backward: loops, tensordot, numba, cython and torch."""

import pytest

from bench.cases import SUITE
from bench.conftest import implementations
from bench.reference import DIRECTIONS


@pytest.mark.parametrize(("case", "direction", "name"), [
    pytest.param(case, direction, name, id=f"{case.name}-{direction}-{name}")
    for case in SUITE for direction in DIRECTIONS for name in implementations(case, direction)])
def test_conv(time_validated, case, direction, name):
    time_validated(case, direction, name)
