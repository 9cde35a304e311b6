"""What the compiler makes of a kernel, without a GPU: its PTX."""

from fastconv.backends.cuda import jit
from fastconv.backends.cuda.jit import cuda


def toolkit():
    """Whether a CUDA toolkit is here to compile with."""
    return not jit.SIMULATED and cuda.cudadrv.nvvm.is_available()


def ptx(kernel, arguments, capability):
    """The PTX of a kernel of so many arguments, each of them an int64.

    Parameters
    ----------
    kernel : what `jit.kernel` makes
    arguments : int
    capability : (int, int)
        Such as (9, 0) for an H200.
    """
    code, _ = cuda.compile_ptx(kernel.py_func, (jit.types.int64,) * arguments, cc=capability)
    return code
