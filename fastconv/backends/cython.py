"""The Cython engine: the Numba engine's algorithm compiled ahead of time, with nothing to warm up.

Its tiles are compiled for several instruction sets; the widest that this CPU has is used, or the one that the
environment variable FASTCONV_ISA names.
"""

import os

import numpy as np

from fastconv.backends import BackendUnavailable, engine, plan, plan_rows, threads
from fastconv.backends.engine import Engine
from fastconv.backends.few import FewChannels

try:
    import fastconv.backends._engine as _engine
except ModuleNotFoundError as error:
    raise ImportError("its extension was not built") from error

# Nanoseconds of work, as the engine estimates it, that pay for waking a second thread. That takes 50 us, and the
# estimate is 2 to 5 times too high: at 0.2 million pooling loses a third by sharing, at 0.9 million col2im gains one.
WORTH_SHARING = 500_000


def _instruction_set():
    name = os.environ.get("FASTCONV_ISA")
    compiled, supported = _engine.compiled(), _engine.supported()
    if not name:
        return supported[0]
    if name not in compiled:
        raise BackendUnavailable(f"backend 'cython' cannot run here: FASTCONV_ISA must be one of "
                                 f"{', '.join(compiled)}, got {name!r}")
    if name not in supported:
        raise BackendUnavailable(f"backend 'cython' cannot run here: FASTCONV_ISA is {name}, which this CPU lacks; "
                                 f"it has {', '.join(supported)}")
    return name


def _run(kernel, count, args, dtype, work, most):
    args, double = np.frombuffer(args, np.int64), dtype.itemsize == 8
    chunks = min(most, count)
    if chunks > 1 and work >= WORTH_SHARING:
        threads.share(lambda begin, end: _engine.run(kernel, begin, end, args, double), count, chunks)
    else:
        _engine.run(kernel, 0, count, args, double)


if (plan.ROWS > _engine.MAX_ROWS or plan.STEPS > _engine.MAX_STEPS
        or getattr(_engine, "REVISION", None) != engine.REVISION):
    raise ImportError("its extension was built from other sources")

ISA = _instruction_set()
_engine.use(ISA)


def _contract_of_tiles():
    tile, vector = _engine.tile_bytes(), _engine.vector_bytes()
    if vector == 0:
        return Engine(_run, tile, _engine.address)
    # What rows_kernels.h and slide_kernels.h in src_cython have code for. Kernels that slide read their margins under
    # masks, which only the vectors of AVX have.
    vectors = tile // vector
    dots = ((1, 1), (1, 3), (1, 9), (2, 9), (4, 6)) if vectors == 4 else ((1, 1), (1, 3), (1, 9), (2, 4))
    slides = tuple((n, n, stride, here) for n, stride, most in ((3, 1, 4), (3, 2, 4), (5, 1, 2), (5, 2, 2), (7, 1, 2))
                   for here in range(1, min(most, vectors) + 1)) if vector >= 32 else ()
    return FewChannels(_run, tile, _engine.address, vector, dots, slides, slides[:1], joins=plan_rows.ADVANTAGE)


_contract = _contract_of_tiles()
im2col, col2im = _contract.im2col, _contract.col2im
conv_forward = _contract.conv_forward
conv_backward_input, conv_backward_weight = _contract.conv_backward_input, _contract.conv_backward_weight
max_pool_forward, max_pool_backward = _contract.max_pool_forward, _contract.max_pool_backward
avg_pool_forward, avg_pool_backward = _contract.avg_pool_forward, _contract.avg_pool_backward


def describe():
    """One line for `show_config`."""
    return f"tiles for {ISA}, compiled by Cython {_engine.CYTHON}"
