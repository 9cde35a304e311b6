"""The gradients of `fastconv.functional`, under the names and arguments of ``torch.nn.grad`` and in its manner.

``<operation>_input``, ``<operation>_weight`` and ``<operation>_kernel`` return the gradient with respect to that
argument; ``<operation>_parameters`` returns those of weight and bias together, from one pass over the data;
``batch_norm_backward`` returns all three.
"""

from fastconv.grad.activation import (
    leaky_relu_input,
    log_softmax_input,
    prelu_input,
    prelu_weight,
    relu_input,
    sigmoid_input,
    softmax_input,
    tanh_input,
)
from fastconv.grad.adaptive import (
    adaptive_avg_pool1d_input,
    adaptive_avg_pool2d_input,
    adaptive_avg_pool3d_input,
    adaptive_max_pool1d_input,
    adaptive_max_pool2d_input,
    adaptive_max_pool3d_input,
)
from fastconv.grad.batch_norm import batch_norm_backward, batch_norm_input, batch_norm_parameters
from fastconv.grad.conv import (
    conv1d_input,
    conv1d_parameters,
    conv1d_weight,
    conv2d_input,
    conv2d_parameters,
    conv2d_weight,
    conv3d_input,
    conv3d_parameters,
    conv3d_weight,
)
from fastconv.grad.conv_transpose import (
    conv_transpose1d_input,
    conv_transpose1d_parameters,
    conv_transpose1d_weight,
    conv_transpose2d_input,
    conv_transpose2d_parameters,
    conv_transpose2d_weight,
    conv_transpose3d_input,
    conv_transpose3d_parameters,
    conv_transpose3d_weight,
)
from fastconv.grad.dropout import dropout_input
from fastconv.grad.embedding import embedding_weight
from fastconv.grad.fold import fold_input, unfold_input
from fastconv.grad.interpolate import interpolate_input
from fastconv.grad.linear import linear_input, linear_parameters, linear_weight
from fastconv.grad.loss import cross_entropy_input, mse_loss_input
from fastconv.grad.pad import pad_input
from fastconv.grad.pool import (
    avg_pool1d_input,
    avg_pool2d_input,
    avg_pool3d_input,
    max_pool1d_input,
    max_pool2d_input,
    max_pool3d_input,
)
from fastconv.grad.shuffle import (
    downsample1d_input,
    downsample2d_input,
    downsample3d_input,
    pixel_shuffle_input,
    pixel_unshuffle_input,
    zero_insert1d_input,
    zero_insert2d_input,
    zero_insert3d_input,
)
from fastconv.grad.signal import (
    convolve1d_input,
    convolve1d_kernel,
    convolve2d_input,
    convolve2d_kernel,
    convolve3d_input,
    convolve3d_kernel,
    correlate1d_input,
    correlate1d_kernel,
    correlate2d_input,
    correlate2d_kernel,
    correlate3d_input,
    correlate3d_kernel,
)
from fastconv.grad.unpool import max_unpool1d_input, max_unpool2d_input, max_unpool3d_input

__all__ = ["adaptive_avg_pool1d_input", "adaptive_avg_pool2d_input", "adaptive_avg_pool3d_input",
           "adaptive_max_pool1d_input", "adaptive_max_pool2d_input", "adaptive_max_pool3d_input", "avg_pool1d_input",
           "avg_pool2d_input", "avg_pool3d_input", "batch_norm_backward", "batch_norm_input", "batch_norm_parameters",
           "conv1d_input", "conv1d_parameters", "conv1d_weight", "conv2d_input", "conv2d_parameters", "conv2d_weight",
           "conv3d_input", "conv3d_parameters", "conv3d_weight", "conv_transpose1d_input",
           "conv_transpose1d_parameters", "conv_transpose1d_weight", "conv_transpose2d_input",
           "conv_transpose2d_parameters", "conv_transpose2d_weight", "conv_transpose3d_input",
           "conv_transpose3d_parameters", "conv_transpose3d_weight", "convolve1d_input", "convolve1d_kernel",
           "convolve2d_input", "convolve2d_kernel", "convolve3d_input", "convolve3d_kernel", "correlate1d_input",
           "correlate1d_kernel", "correlate2d_input", "correlate2d_kernel", "correlate3d_input", "correlate3d_kernel",
           "cross_entropy_input", "downsample1d_input", "downsample2d_input", "downsample3d_input", "dropout_input",
           "embedding_weight", "fold_input", "interpolate_input", "leaky_relu_input", "linear_input",
           "linear_parameters", "linear_weight", "log_softmax_input", "max_pool1d_input", "max_pool2d_input",
           "max_pool3d_input", "max_unpool1d_input", "max_unpool2d_input", "max_unpool3d_input", "mse_loss_input",
           "pad_input", "pixel_shuffle_input", "pixel_unshuffle_input", "prelu_input", "prelu_weight", "relu_input",
           "sigmoid_input", "softmax_input", "tanh_input", "unfold_input", "zero_insert1d_input", "zero_insert2d_input",
           "zero_insert3d_input"]
