"""Edges by the Sobel filters, by a convolution with loops and by the fast one."""

from pathlib import Path

import numpy as np

import fastconv.functional as F
from fastconv.inspection import image_grid

# A picture of 286 x 230 pixels: a bright disc over a slope.
rows, columns = np.mgrid[:286, :230].astype(np.float32)
image = (np.hypot(rows - 140, columns - 110) < 70).astype(np.float32) * 0.6 + columns / 600

sobel_x = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)  # the change from left to right
sobel_y = sobel_x.T                                                   # and from top to bottom


def edges(convolution, image):
    """The length of the gradient of the brightness, at most 1."""
    length = np.sqrt(convolution(image, sobel_x)**2 + convolution(image, sobel_y)**2)
    return length / length.max()


def fast(image, kernel):
    return F.conv2d(image[None, None], kernel[None, None])[0, 0]


def at_position(i, j, image, kernel):
    """y[i, j] = sum over k, m of x[i + k, j + m] w[k, m]."""
    return sum(image[i + k, j + m] * kernel[k, m] for k, m in np.ndindex(kernel.shape))


def slow(image, kernel):
    shape = image.shape[0] - kernel.shape[0] + 1, image.shape[1] - kernel.shape[1] + 1
    return np.array([at_position(i, j, image, kernel) for i, j in np.ndindex(shape)]).reshape(shape)


found = edges(fast, image)
print(f"an image of {image.shape} has edges of {found.shape}, largest {found.max():.0f}")
assert found.shape == (284, 228)
corner = image[60:100, 80:110]  # the loops take 20 us an element
assert np.allclose(fast(corner, sobel_x), slow(corner, sobel_x), atol=1e-5)
assert np.allclose(edges(fast, corner), edges(slow, corner), atol=1e-5)
print("the loops find the same in a corner of it")

Path("out").mkdir(exist_ok=True)
picture = np.stack([image[1:-1, 1:-1], found])
image_grid(picture, columns=2, title="An image and its edges, bright and sharp in black").savefig("out/sobel.png")

print("\nNext: image_gradient.py goes the other way, from the edges to the image; out/sobel.png shows them.")
