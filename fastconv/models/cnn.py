"""Convolutional networks for small images."""

import numpy as np

from fastconv.checks import as_generator
from fastconv.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential, Softmax


def digits_cnn(*, dtype=np.float32, generator=None):
    """A network that tells handwritten digits apart: 93,322 parameters.

    Parameters
    ----------
    dtype : float32 or float64
    generator : numpy.random.Generator or seed, optional
        Where the initial values come from.

    Returns
    -------
    Sequential
        (N, 1, 28, 28) to scores (N, 10), for `fastconv.layers.CrossEntropyLoss`.
    """
    options = {"dtype": dtype, "generator": as_generator("digits_cnn", generator)}
    return Sequential(
        Conv2d(1, 32, 3, **options), ReLU(), MaxPool2d(2),
        Conv2d(32, 64, 3, **options), ReLU(), MaxPool2d(2),
        Conv2d(64, 64, 3, **options), Flatten(),
        Linear(576, 64, **options), ReLU(), Linear(64, 10, **options))


def small_rgb_cnn(*, dtype=np.float32, generator=None):
    """A network for RGB images of 28 x 28 pixels in ten classes: 19,178 parameters.

    It ends in a softmax; to train it with `fastconv.layers.CrossEntropyLoss`, which takes scores, use
    ``small_rgb_cnn()[:-1]``.

    Parameters
    ----------
    dtype : float32 or float64
    generator : numpy.random.Generator or seed, optional
        Where the initial values come from.

    Returns
    -------
    Sequential
        (N, 3, 28, 28) to probabilities (N, 10).
    """
    options = {"dtype": dtype, "generator": as_generator("small_rgb_cnn", generator)}
    return Sequential(
        Conv2d(3, 16, 5, **options), ReLU(), MaxPool2d(2),
        Conv2d(16, 32, 5, **options), ReLU(), MaxPool2d(2),
        Flatten(), Linear(512, 10, **options), Softmax(dim=-1))
