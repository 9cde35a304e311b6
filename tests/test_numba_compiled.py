"""What the Numba engine compiles: a kernel once for each type of element, whatever the arrays are like otherwise."""

import importlib
import pkgutil

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

import fastconv
from fastconv import functional, grad
from fastconv.backends import numba as engine
from fastconv.backends.numba import jit

KINDS = {
    "plain": lambda array: array,
    "read-only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
    "strided": lambda array: np.repeat(array, 2, -1)[..., ::2],
    "reversed": lambda array: array[::-1],
    "Fortran's order": np.asfortranarray,
}


def compiled():
    """{function: how many times it has been compiled} of all kernels, and of what they call."""
    found = {kernel.function: len(kernel.compiled) for kernel in jit.RangeKernel.every}
    for info in pkgutil.iter_modules(engine.__path__):
        module = importlib.import_module(f"{engine.__name__}.{info.name}")
        found |= {value.py_func: len(value.signatures) for value in vars(module).values()
                  if isinstance(value, Dispatcher)}
    return found


def compute(kind, n, c, k, size):
    """Convolutions and pooling in one to three dimensions, and their gradients, of arrays of one kind."""
    def array(*shape):
        return KINDS[kind](np.ones(shape, np.float32))

    for dims in (1, 2, 3):
        x, w, b = array(n, c, *[size] * dims), array(k, c, *[3] * dims), array(k)
        y = getattr(functional, f"conv{dims}d")(x, w, b, padding=1)
        getattr(grad, f"conv{dims}d_input")(x.shape, w, array(*y.shape), padding=1)
        getattr(grad, f"conv{dims}d_parameters")(x, w.shape, array(*y.shape), padding=1)
        y, indices = getattr(functional, f"max_pool{dims}d")(x, 2, return_indices=True)
        getattr(grad, f"max_pool{dims}d_input")(x.shape, indices, array(*y.shape))
        getattr(functional, f"avg_pool{dims}d")(x, 2)
        functional.softmax(functional.relu(x), dim=1)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_compiled_again(kind):
    """Not for other shapes, numbers of axes or strides, nor for read-only arrays; what was not needed before may be."""
    with fastconv.use_backend("numba"):
        compute("plain", 2, 5, 7, 12)
        before = compiled()
        for shape in ((1, 5, 7, 12), (3, 4, 6, 13), (2, 1, 33, 9)):
            compute(kind, *shape)
    after = compiled()
    assert sum(before.values()) > 10
    assert [function.__qualname__ for function, count in before.items() if 0 < count < after[function]] == []
