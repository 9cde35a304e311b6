"""A network of convolutions for signals: the layers in a row, and how long the last one must be."""

import numpy as np

from fastconv.inspection import check_gradients, summary
from fastconv.layers import Conv1d, Flatten, Linear, Sequential, Tanh

width, channels = 128, 24
convolutions = Sequential(Conv1d(channels, 56, 5, stride=1, generator=0), Tanh(),
                          Conv1d(56, 28, 6, stride=2, generator=1), Tanh(),
                          Conv1d(28, 14, 2, stride=2, generator=2), Tanh(), Flatten())

# Only one thing to think about: what the final Linear takes. Width after width, (W - K) // S + 1:
last = width
for kernel, stride in ((5, 1), (6, 2), (2, 2)):
    last = (last - kernel) // stride + 1
features = summary(convolutions, (channels, width)).rows[-1].output_shape[1]
print(f"14 channels of {last} elements are {features} features")
assert features == 14 * last == 14 * 30

model = Sequential(*convolutions, Linear(features, 10, generator=3))
summary(model, (channels, width)).print()
x = np.random.default_rng(0).standard_normal((2, channels, width), np.float32)
assert model(x).shape == (2, 10)
report = check_gradients(model, x, samples=10)
print(f"\nbeside finite differences:\n{report}")
assert report

print("\nNext: resampling.py for what makes signals longer and shorter.")
