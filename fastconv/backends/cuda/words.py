"""The words that kernels are written in: of LLVM and PTX, or, on the simulator, of plain Python."""

from fastconv.backends.cuda.jit import SIMULATED

if SIMULATED:
    from fastconv.backends.cuda.twins import *  # noqa: F403
else:
    from fastconv.backends.cuda.intrinsics import *  # noqa: F403
