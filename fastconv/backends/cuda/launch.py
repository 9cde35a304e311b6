"""Launching kernels: on which stream, and in how many parts."""

from contextvars import ContextVar

from fastconv.backends.cuda import driver, jit

# Blocks of one launch; what is more comes in further launches, to which `first_block` tells where they begin.
LIMIT = 2**31 - 1

_stream = ContextVar("fastconv_cuda_stream", default=0)


def current_stream():
    """The handle of the stream that kernels are launched on; 0 is CUDA's default stream."""
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
        start(kernel, min(LIMIT, blocks - first), threads, (*arguments, first))


def launch_over(kernel, elements, threads, *arguments):
    """Launch a kernel whose threads each take every so-manieth of `elements`."""
    start(kernel, min(-(-elements // threads), LIMIT), threads, arguments)


def start(kernel, blocks, threads, arguments):
    """Launch so many blocks of a kernel on the stream in force."""
    if jit.SIMULATED:
        kernel[blocks, threads](*arguments)
    else:
        driver.launch(kernel, blocks, threads, _stream.get(), arguments)
