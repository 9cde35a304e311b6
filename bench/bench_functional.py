"""Everything beyond convolution and pooling, forward and backward: numba, cython and torch."""

import pytest

from bench.conftest import implementations
from bench.operations import TIMED
from bench.reference import DIRECTIONS


@pytest.mark.parametrize(("case", "direction", "name"), [
    pytest.param(operation, direction, name, id=f"{operation.name}-{direction}-{name}")
    for operation in TIMED.values() for direction in DIRECTIONS for name in implementations(operation, direction)])
def test_operation(time_validated, case, direction, name):
    time_validated(case, direction, name)
