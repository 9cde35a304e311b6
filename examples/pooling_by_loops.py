"""Maximum and mean pooling by loops, forward and backward."""

import numpy as np

import fastconv.functional as F
from fastconv.layers import AvgPool2d, MaxPool2d

rng = np.random.default_rng(0)
x = rng.permutation(2 * 3 * 6 * 6).astype(float).reshape(2, 3, 6, 6)
dy = rng.integers(-4, 5, (2, 3, 3, 3)).astype(float)

largest, mean = np.empty((2, 3, 3, 3)), np.empty((2, 3, 3, 3))
by_largest, by_mean = np.zeros_like(x), np.zeros_like(x)
for n, c, p, q in np.ndindex(largest.shape):
    window = (n, c, slice(2 * p, 2 * p + 2), slice(2 * q, 2 * q + 2))
    largest[n, c, p, q], mean[n, c, p, q] = x[window].max(), x[window].mean()
    r, s = np.unravel_index(x[window].argmax(), (2, 2))
    by_largest[n, c, 2 * p + r, 2 * q + s] += dy[n, c, p, q]  # all to the one that was largest
    by_mean[window] += dy[n, c, p, q] / 4                     # or a share for each

for layer, expected, gradient in ((MaxPool2d(2), largest, by_largest), (AvgPool2d(2), mean, by_mean)):
    assert np.array_equal(layer(x), expected)
    assert np.array_equal(layer.backward(dy), gradient)
    print(f"{layer}: the same forward and backward")

values, indices = F.max_pool2d(x, 2, return_indices=True)
maps = x.reshape(2, 3, 36)
assert np.array_equal(np.take_along_axis(maps, indices.reshape(2, 3, 9), axis=2), values.reshape(2, 3, 9))
print(f"the largest of the first window\n{x[0, 0, :2, :2]}\n"
      f"is {values[0, 0, 0, 0]}, number {indices[0, 0, 0, 0]} of its map")

print("\nNext: windows that overlap: MaxPool2d(3, stride=1). What changes in the loops of the way back?")
