"""Convolution three times: by loops (slow), by tensordot (better), by the engine."""

import time

import numpy as np

import fastconv
import fastconv.functional as F
from fastconv import grad

rng = np.random.default_rng(0)


def integers(*shape):
    """Whole numbers, so that sums are exact and ``==`` can compare them."""
    return rng.integers(-4, 5, shape).astype(float)


def conv1d(x, w, stride):
    """One loop: over the positions. A window and the weights match in channels and taps."""
    width = (x.shape[2] - w.shape[2]) // stride + 1
    return np.stack([np.tensordot(x[:, :, q * stride:q * stride + w.shape[2]], w, axes=((1, 2), (1, 2)))
                     for q in range(width)], axis=2)


def conv2d(x, w):
    """Two loops."""
    height, width = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    y = np.empty((len(x), len(w), height, width))
    for p, q in np.ndindex(height, width):
        window = x[:, :, p:p + w.shape[2], q:q + w.shape[3]]
        y[:, :, p, q] = np.tensordot(window, w, axes=((1, 2, 3), (1, 2, 3)))
    return y


def conv2d_loops(x, w):
    """Seven loops."""
    y = np.zeros((len(x), len(w), x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1))
    for n, k, p, q in np.ndindex(y.shape):
        for c, r, s in np.ndindex(w.shape[1:]):
            y[n, k, p, q] += x[n, c, p + r, q + s] * w[k, c, r, s]
    return y


# The output's axes are those that do not match, in order: X (A, B, C) with W (P, B, C) gives (A, P).
assert np.tensordot(integers(5, 3, 4), integers(2, 3, 4), axes=((1, 2), (1, 2))).shape == (5, 2)

x, w = integers(2, 3, 11), integers(4, 3, 3)
for stride in (1, 2, 3):
    assert np.array_equal(conv1d(x, w, stride), F.conv1d(x, w, stride=stride))

x, w = integers(2, 3, 9, 8), integers(4, 3, 3, 2)
times = {}
for name, function in {"loops": conv2d_loops, "tensordot": conv2d, "fastconv": F.conv2d}.items():
    function(x, w)  # compiled, where there is something to compile
    begin = time.perf_counter()
    y = function(x, w)
    times[name] = time.perf_counter() - begin
    assert np.array_equal(y, F.conv2d(x, w))
print(", ".join(f"{name}: {1e3 * seconds:.3f} ms" for name, seconds in times.items()))

# The package has both as backends too.
for backend in ("loops", "tensordot"):
    with fastconv.use_backend(backend):
        assert np.array_equal(F.conv2d(x, w), conv2d(x, w))

# One input map and two kernels make two output maps: each of them has a share in the one map's gradient.
w, dz = integers(2, 1, 2, 2), integers(1, 2, 3, 3)
da = grad.conv2d_input((1, 1, 4, 4), w, dz)
shares = [grad.conv2d_input((1, 1, 4, 4), w[i:i + 1], dz[:, i:i + 1]) for i in range(2)]
print(f"two maps of gradients {dz.shape} become one {da.shape}: the sum of two shares")
assert np.array_equal(da, shares[0] + shares[1])

print("\nNext: `make bench ARGS='-k lab7_2'` compares them on real layers; pooling_by_loops.py.")
