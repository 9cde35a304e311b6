"""A convolution of one's own: for loops and stacked rows, padded so that the output keeps the input's shape."""

import numpy as np

import fastconv
import fastconv.functional as F
from fastconv.layers import Conv2d


def convolution(image, kernel):
    """Slide an odd kernel over an image of zeros beyond its borders."""
    height, width = kernel.shape
    padded = np.pad(image, ((height // 2,) * 2, (width // 2,) * 2))
    rows = []
    for i in range(image.shape[0]):
        row = []
        for j in range(image.shape[1]):
            row.append((padded[i:i + height, j:j + width] * kernel).sum())
        rows.append(np.stack(row))
    return np.stack(rows)


rng = np.random.default_rng(0)
image, kernel = rng.integers(-4, 5, (7, 9)).astype(float), rng.integers(-4, 5, (3, 5)).astype(float)
mine = convolution(image, kernel)
print(f"an image of {image.shape} stays {mine.shape}")
assert mine.shape == image.shape
assert np.array_equal(mine, F.conv2d(image[None, None], kernel[None, None], padding="same")[0, 0])

layer = Conv2d(1, 1, (3, 5), padding="same", bias=False, dtype=np.float64)
layer.weight.data[0, 0] = kernel
assert np.array_equal(mine, layer(image[None, None])[0, 0])

with fastconv.use_backend("loops"):  # the package's own plain loops
    assert np.array_equal(mine, F.correlate2d(image, kernel, mode="same"))
print("the same numbers as conv2d, Conv2d and the backend of plain loops")

print("\nNext: tensordot_convolution.py needs two loops only; fastconv/backends/loops.py needs seven.")
