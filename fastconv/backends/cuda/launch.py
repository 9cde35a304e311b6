"""Launching kernels: on which stream, and in how many parts."""

import warnings
from contextvars import ContextVar
from functools import lru_cache

from fastconv.backends.cuda import jit

# Blocks of one launch; what is more comes in further launches, to which `first_block` tells where they begin.
LIMIT = 2**31 - 1

_stream = ContextVar("fastconv_cuda_stream", default=0)


def current_stream():
    """The stream that kernels are launched on, a Numba stream; 0, the default, is CUDA's default stream."""
    return _stream.get()


def set_stream(stream):
    """Launch on `stream` from now on, in this thread or task; returns what `reset_stream` takes."""
    return _stream.set(stream)


def reset_stream(token):
    """Launch on the stream that was in force before."""
    _stream.reset(token)


def launch(kernel, blocks, threads, *arguments):
    """Launch `blocks` blocks of a kernel whose last argument is the number of its first block."""
    for first in range(0, blocks, LIMIT):
        _configured(kernel, min(LIMIT, blocks - first), threads, current_stream())(*arguments, first)


def launch_over(kernel, elements, threads, *arguments):
    """Launch a kernel whose threads each take every so-manieth of `elements`."""
    blocks = min(-(-elements // threads), LIMIT)
    _configured(kernel, blocks, threads, current_stream())(*arguments)


def _configure(kernel, blocks, threads, stream):
    with warnings.catch_warnings():
        # A small grid is what a small array needs; Numba warns of each.
        warnings.simplefilter("ignore")
        return kernel[blocks, threads, stream]


# A simulated kernel is its own configuration, the last one that was asked for.
_configured = _configure if jit.SIMULATED else lru_cache(maxsize=1024)(_configure)
