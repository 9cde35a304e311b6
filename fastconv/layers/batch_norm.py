"""Batch normalisation layers."""

import numpy as np

from fastconv import geometry
from fastconv.checks import real
from fastconv.functional.batch_norm import batch_norm_with_moments
from fastconv.grad.batch_norm import gradients
from fastconv.layers.layer import Layer
from fastconv.layers.parameter import Parameter, float_dtype


class _BatchNorm(Layer):
    """Batch normalisation of inputs of so many axes: arguments, statistics and parameters."""

    axes = ()

    def __init__(self, num_features, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True, *, bias=True,
                 dtype=np.float32):
        op = type(self).__name__
        dtype = float_dtype(op, dtype)
        (self.num_features,) = geometry.sizes(op, "num_features", num_features, 1, 1)
        real(op, "eps", eps, 0)
        if momentum is not None:
            real(op, "momentum", momentum)
        self.eps, self.momentum = eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(np.ones(self.num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(self.num_features, dtype)) if affine and bias else None
        tracked = (np.zeros(self.num_features, dtype), np.ones(self.num_features, dtype), np.zeros((), np.int64))
        for name, array in zip(("running_mean", "running_var", "num_batches_tracked"), tracked, strict=True):
            self.register_buffer(name, array if track_running_stats else None)

    def reset_running_stats(self):
        """Forget the batches seen: mean 0, variance 1."""
        if self.track_running_stats:
            self.running_mean[...] = 0
            self.running_var[...] = 1
            self.num_batches_tracked[...] = 0

    def forward(self, x):
        op = type(self).__name__
        shape = getattr(x, "shape", None)
        if shape is not None and len(shape) not in self.axes:
            raise ValueError(f"{op}: input must have {' or '.join(map(str, self.axes))} dimensions, got shape "
                             f"{tuple(shape)}")
        if shape is not None and shape[1] != self.num_features:
            raise ValueError(f"{op}: input must have {self.num_features} channels along axis 1, got shape "
                             f"{tuple(shape)}")
        self._from_batch = self.training or self.running_mean is None
        tracked = self.running_mean is not None and (not self.training or self.track_running_stats)
        running = (self.running_mean, self.running_var) if tracked else (None, None)
        y, self._moments = batch_norm_with_moments(
            op, x, *running, *(None if p is None else p.data for p in (self.weight, self.bias)), self._from_batch,
            self._share(), self.eps)
        if self.training and tracked:
            self.num_batches_tracked[...] += 1
        self._input = x
        return y

    def backward(self, grad_output):
        dx, *parameters = self._gradients(grad_output, parameters=self.trainable())
        self._keep(*parameters)
        return dx

    def backward_inputs(self, grads):
        return self._gradients(grads, parameters=False)[0]

    def backward_parameters(self, grads):
        if self.trainable():
            self._keep(*self._gradients(grads, inputs=False)[1:])

    def extra_repr(self):
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
                f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}")

    def _share(self):
        """The share of this batch in the running statistics: without a momentum all batches count alike."""
        if self.momentum is not None:
            return self.momentum
        return 1 / (int(self.num_batches_tracked) + 1) if self.training and self.track_running_stats else 0.0

    def _gradients(self, grads, **wanted):
        weight = None if self.weight is None else self.weight.data
        return gradients(type(self).__name__, self._input, grads, self._moments, weight, self._from_batch, self.eps,
                         **wanted)

    def _keep(self, grad_weight, grad_bias):
        for parameter, gradient in ((self.weight, grad_weight), (self.bias, grad_bias)):
            if parameter is not None and parameter.requires_grad:
                parameter.grad = gradient


class BatchNorm1d(_BatchNorm):
    """Each channel of (N, C) or (N, C, L) shifted and scaled to mean 0 and variance 1, then by `weight` and `bias`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype
        As of `BatchNorm2d`.
    """

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel of (N, C, H, W) shifted and scaled to mean 0 and variance 1, then by `weight` and `bias`.

    In training mean and variance are the batch's, and the running statistics move towards them; in evaluation they
    are the running ones.

    Parameters
    ----------
    num_features : int
        Channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The share of a batch in the running statistics; None weighs all batches alike.
    affine : bool
        Whether there are a weight and a bias.
    track_running_stats : bool
        False takes mean and variance from the batch in evaluation too.
    bias : bool
        Whether there is a bias.
    dtype : float32 or float64

    Attributes
    ----------
    weight, bias : Parameter (num_features,) or None
    running_mean, running_var : array (num_features,) or None
        The variance divides by the number of elements less 1.
    num_batches_tracked : array () of int64, or None
    """

    axes = (4,)


class BatchNorm3d(_BatchNorm):
    """Each channel of (N, C, D, H, W) shifted and scaled to mean 0 and variance 1, then by `weight` and `bias`.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, bias, dtype
        As of `BatchNorm2d`.
    """

    axes = (5,)
