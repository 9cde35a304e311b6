"""A ReLU and the maximum pooling after it, as `Sequential` calls them."""

from fastconv.functional.pool import max_pool_relu
from fastconv.grad.pool import max_pool_relu_input
from fastconv.layers.calls import forget
from fastconv.layers.layer import Layer


class PooledReLU(Layer):
    """``pool(relu(x))``, computed as ``relu(pool(x))``.

    What never falls does not change which element of a window is the largest, so that results and gradients are the
    same: where all of a window are below 0 the gradient of the first one is 0 in place of that of the largest. But ReLU
    has fewer elements to do, or none where a kernel does both: with windows of 2 x 2 a training step of `digits_cnn`
    takes 1.0 ms less of 12 by the first, and with 256 images 4 ms less of 33 by the second.

    Parameters
    ----------
    relu : ReLU
    pool : MaxPool1d, MaxPool2d or MaxPool3d
        Without ``return_indices``.
    """

    def __init__(self, relu, pool):
        self.relu, self.pool = relu, pool

    def forward(self, x):
        pool = self.pool
        both = max_pool_relu(f"max_pool{pool.nd}d", pool.nd, x, pool.kernel_size, pool.stride, pool.padding,
                             pool.dilation, pool.ceil_mode)
        if both is None:
            self._codes = None
            return self.relu(pool(x))
        forget(pool)
        forget(self.relu)
        self._input_shape = x.shape
        self._output, self._codes = both
        return self._output

    def backward_inputs(self, grads):
        if self._codes is None:
            return self.pool.backward_inputs(self.relu.backward_inputs(grads))
        nd = self.pool.nd
        return max_pool_relu_input(f"max_pool{nd}d_input", nd, self._input_shape, self._output, self._codes, grads)
