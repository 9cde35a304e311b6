"""The only module that imports ``numba.cuda``: every option of its compiler, and the words that kernels are written in.

A kernel takes addresses, as int64 numbers: at every launch Numba spends microseconds on an array, whose seven fields
become arguments, and nothing on a number. It reads and writes by the functions of `fastconv.backends.cuda.words`, a
few lines of LLVM or PTX each, because Numba has no accesses of 16 bytes and no tensor cores. On the simulator
(NUMBA_ENABLE_CUDASIM=1) kernels are plain Python and the words are those of `fastconv.backends.cuda.twins`.
"""

import warnings

import numba
import numpy as np

SIMULATED = bool(numba.config.ENABLE_CUDASIM)
STREAM_OF_THREAD = bool(getattr(numba.config, "CUDA_PER_THREAD_DEFAULT_STREAM", 0))

with warnings.catch_warnings():
    # Numba's own copy warns that it will go; the package `numba-cuda`, where installed, takes over the name.
    warnings.simplefilter("ignore")
    from numba import cuda

if SIMULATED:
    intrinsic = types = None
else:
    from numba.cuda.extending import intrinsic  # noqa: F401

    types = cuda.types if hasattr(cuda.types, "CPointer") else numba.types


# What arrays of a kernel hold. Shared memory is asked for in complex numbers: 16 bytes is what both of Numba's
# compilers then align it to, and 16-byte accesses need that.
COMPLEX, INT32, INT64 = np.complex128, np.int32, np.int64
PLACE = object if SIMULATED else INT64


def _cache_works():
    """Whether Numba finds a directory for its disk cache: where it does not, ``cache=True`` raises."""

    def probe():
        pass

    try:
        cuda.jit(cache=True)(probe)
    except RuntimeError:
        warnings.warn("Numba has no writable cache directory: fastconv compiles its CUDA kernels anew in every process "
                      "(set NUMBA_CACHE_DIR to a writable one)", RuntimeWarning, stacklevel=2)
        return False
    return True


CACHE = not SIMULATED and _cache_works()


def kernel(function):
    """`function` as a kernel, compiled at its first launch and kept on disk.

    Its sizes may be variables of the function that it stands in, but no functions may: with those, Numba would not find
    it again. Loaded from disk, nine kernels took 0.08 s in place of 2.6.
    """
    return cuda.jit(cache=True)(function) if CACHE else cuda.jit(function)
