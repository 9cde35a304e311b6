"""The kernel contract of `fastconv.backends` on a CUDA device, through ``numba.cuda``.

Arrays are C-contiguous Numba device arrays, of float16, float32 or float64; sums of float16 are float32. Kernels are
launched on the stream of `fastconv.backends.cuda.launch.current_stream` and not waited for.
"""

from fastconv.backends.cuda.calls import (
    avg_pool_backward,
    avg_pool_forward,
    col2im,
    conv_backward_input,
    conv_backward_weight,
    conv_forward,
    im2col,
    max_pool_backward,
    max_pool_forward,
)
from fastconv.backends.cuda.requirements import check, describe

__all__ = ["avg_pool_backward", "avg_pool_forward", "check", "col2im", "conv_backward_input",
           "conv_backward_weight", "conv_forward", "describe", "im2col", "max_pool_backward", "max_pool_forward"]
