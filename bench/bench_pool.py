"""Pooling, forward (maximum pooling with its indices) and backward: loops, tensordot, numba, cython and torch."""

import pytest

from bench.cases import POOLS
from bench.conftest import implementations
from bench.reference import DIRECTIONS


@pytest.mark.parametrize(("case", "direction", "name"), [
    pytest.param(case, direction, name, id=f"{case.name}-{direction}-{name}")
    for case in POOLS for direction in DIRECTIONS for name in implementations(case, direction)])
def test_pool(time_validated, case, direction, name):
    time_validated(case, direction, name)
