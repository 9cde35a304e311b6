"""The gradient of a convolution with respect to the image, and the image that makes most of a filter."""

import itertools
from pathlib import Path

import numpy as np

import fastconv.functional as F
from fastconv import grad
from fastconv.inspection import activation_grid

rng = np.random.default_rng(0)
sobel_x = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])[None, None]


def by_loops(dy, kernel):
    """dL/dx[i, j]: the sum over the taps k, m of dL/dy[i - k, j - m] w[k, m], with care at the borders."""
    height, width = dy.shape[0] + kernel.shape[0] - 1, dy.shape[1] + kernel.shape[1] - 1
    dx = np.zeros((height, width))
    for i, j in np.ndindex(height, width):
        for k in range(max(0, i - height + kernel.shape[0]), min(kernel.shape[0], i + 1)):
            for m in range(max(0, j - width + kernel.shape[1]), min(kernel.shape[1], j + 1)):
                dx[i, j] += dy[i - k, j - m] * kernel[k, m]
    return dx


def loss(image):
    return float((F.conv2d(image, sobel_x)**2).sum())


def gradient(image):
    return grad.conv2d_input(image.shape, sobel_x, 2 * F.conv2d(image, sobel_x))


image = rng.random((1, 1, 286, 230))
found = gradient(image)
print(f"L = the sum of y²; its gradient by the image: {found.shape[2:]}")
assert found.shape == image.shape
small = image[:, :, :9, :8]
assert np.allclose(gradient(small)[0, 0], by_loops(2 * F.conv2d(small, sobel_x)[0, 0], sobel_x[0, 0]))

i, j, eps = 100, 0, 1e-3
above, below = image.copy(), image.copy()
above[0, 0, i, j] += eps
below[0, 0, i, j] -= eps
empirical = ((F.conv2d(above, sobel_x)**2 - F.conv2d(below, sobel_x)**2).sum()) / (2 * eps)
print(f"empirical gradient: {empirical:.5f}    analytical: {found[0, 0, i, j]:.5f}")
assert abs(empirical - found[0, 0, i, j]) < 1e-6

# Six pixels and three taps: at the borders fewer taps reach a pixel.
dy, taps = np.array([[[1.0, 10, 100, 1000]]]), np.array([[[2.0, 3, 5]]])
assert grad.conv1d_input((1, 1, 6), taps, dy)[0, 0].tolist() == [2, 23, 235, 2350, 3500, 5000]

# Which image makes the loss largest? Go up the gradient.
best = rng.random((1, 1, 9, 9))
start, losses = best[0, 0].copy(), []
for _ in range(100):
    losses.append(loss(best))
    best += 0.01 * gradient(best)
print(f"gradient ascent: the loss goes from {losses[0]:.1f} to {losses[-1]:.1e}")
assert all(a < b for a, b in itertools.pairwise(losses))

Path("out").mkdir(exist_ok=True)
pictures = np.stack([picture / abs(picture).max() for picture in (start, best[0, 0])])
activation_grid(pictures, columns=2, title="Before and after the ascent").savefig("out/ascent.png")

print("\nNext: look at out/ascent.png. Why stripes? layer_gradients.py has the gradient by the kernel.")
