"""Convolution and maximum of a 3 x 3 map, small enough to do on paper."""

import numpy as np

import fastconv.functional as F
from fastconv.layers import Conv2d, MaxPool2d

x = np.array([[1, 0, 2], [2, 1, -1], [0, 0, 2]], np.float32)[None, None]  # (examples, channels, height, width)
w = np.array([[1, -1], [0, 2]], np.float32)[None, None]

for options, expected in [({"stride": 1, "padding": 0}, [[3, -4], [1, 6]]),
                          ({"stride": 3, "padding": 1}, [[2, 0], [0, 2]]),
                          ({"stride": 1, "padding": 0, "dilation": 2}, [[3]])]:
    layer = Conv2d(1, 1, kernel_size=2, bias=False, **options)
    layer.weight.data = w
    y = layer(x)
    print(f"conv(x, w, {', '.join(f'{name}={value}' for name, value in options.items())}) =\n{y[0, 0]}")
    assert y[0, 0].tolist() == expected
    assert np.array_equal(y, F.conv2d(x, w, **options))  # the same as a function

print(f"max(x, 2 x 2) = {MaxPool2d(2)(x)[0, 0]}, and with stride 1:\n{MaxPool2d(2, stride=1)(x)[0, 0]}")
assert F.max_pool2d(x, 2).item() == 2
assert F.max_pool2d(x, 2, stride=1)[0, 0].tolist() == [[2, 2], [2, 2]]

print("\nNext: learning_by_hand.py takes the gradient of both; own_convolution.py writes the loops.")
