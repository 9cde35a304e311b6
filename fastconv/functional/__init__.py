"""The operations on arrays, under the names, arguments and corner cases of ``torch.nn.functional``.

A file holds a family. Each public function checks its arrays, has `fastconv.geometry` check and derive the shapes, and
calls one kernel of the backend in force.
"""

from fastconv.functional.activation import leaky_relu, log_softmax, prelu, relu, sigmoid, softmax, tanh
from fastconv.functional.adaptive import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool1d_with_indices,
    adaptive_max_pool2d,
    adaptive_max_pool2d_with_indices,
    adaptive_max_pool3d,
    adaptive_max_pool3d_with_indices,
)
from fastconv.functional.batch_norm import batch_norm
from fastconv.functional.conv import conv1d, conv2d, conv3d
from fastconv.functional.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from fastconv.functional.dropout import dropout, dropout_with_mask
from fastconv.functional.embedding import embedding
from fastconv.functional.fold import fold, unfold
from fastconv.functional.interpolate import interpolate
from fastconv.functional.linear import linear
from fastconv.functional.loss import cross_entropy, mse_loss
from fastconv.functional.pad import pad
from fastconv.functional.pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool1d_with_indices,
    max_pool2d,
    max_pool2d_with_indices,
    max_pool3d,
    max_pool3d_with_indices,
)
from fastconv.functional.shuffle import (
    downsample1d,
    downsample2d,
    downsample3d,
    pixel_shuffle,
    pixel_unshuffle,
    zero_insert1d,
    zero_insert2d,
    zero_insert3d,
)
from fastconv.functional.signal import convolve1d, convolve2d, convolve3d, correlate1d, correlate2d, correlate3d
from fastconv.functional.unpool import max_unpool1d, max_unpool2d, max_unpool3d

__all__ = ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
           "adaptive_max_pool1d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool2d_with_indices",
           "adaptive_max_pool3d", "adaptive_max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d",
           "batch_norm", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
           "convolve1d", "convolve2d", "convolve3d", "correlate1d", "correlate2d", "correlate3d", "cross_entropy",
           "downsample1d", "downsample2d", "downsample3d", "dropout", "dropout_with_mask", "embedding", "fold",
           "interpolate", "leaky_relu", "linear", "log_softmax", "max_pool1d", "max_pool1d_with_indices", "max_pool2d",
           "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices", "max_unpool1d", "max_unpool2d",
           "max_unpool3d", "mse_loss", "pad", "pixel_shuffle", "pixel_unshuffle", "prelu", "relu", "sigmoid",
           "softmax", "tanh", "unfold", "zero_insert1d", "zero_insert2d", "zero_insert3d"]
