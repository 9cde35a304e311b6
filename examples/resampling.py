"""Up- and downsampling: zeros between the elements, every other element, and the way back."""

import numpy as np

import fastconv.functional as F
from fastconv.layers import Conv1d, Downsample1d, Downsample2d, Sequential, Upsample1d, Upsample2d

k = 3
x = np.arange(1.0, 5)[None, None]  # (examples, channels, width)

up = Upsample1d(k)
y = up(x)
print(f"upsampled by {k}: {y[0, 0].astype(int)}")
assert y.shape[2] == (x.shape[2] - 1) * k + 1
assert y[0, 0].tolist() == [1, 0, 0, 2, 0, 0, 3, 0, 0, 4]
# No loop is needed: a Kronecker product, or a slice with a step.
assert np.array_equal(np.kron(x, [1, 0, 0])[..., :y.shape[2]], y)
sliced = np.zeros_like(y)
sliced[..., ::k] = x
assert np.array_equal(sliced, y)

down = Downsample1d(k)
for width in (10, 11, 12):  # three widths give the same four elements ...
    signal = np.arange(float(width))[None, None]
    assert np.array_equal(down(signal), signal[..., ::k])
    gradient = down.backward(np.ones((1, 1, 4)))
    assert gradient.shape == signal.shape  # ... and the layer remembers which it was
    assert np.array_equal(np.flatnonzero(gradient), [0, 3, 6, 9])
print(f"downsampled by {k}, widths 10, 11 and 12 give 4; on the way back the width is right again")

dy = np.arange(10.0)[None, None]
assert np.array_equal(up.backward(dy), dy[..., ::k])  # the gradient of the one is the other
assert np.array_equal(down(up(x)), x)

# In two dimensions: convolution with a stride is a convolution and a downsampling ...
rng = np.random.default_rng(0)
image, kernel = rng.integers(-4, 5, (2, 3, 9, 8)).astype(float), rng.integers(-4, 5, (4, 3, 3, 3)).astype(float)
assert np.array_equal(F.conv2d(image, kernel, stride=2), Downsample2d(2)(F.conv2d(image, kernel)))
# ... and a transposed one is an upsampling and a full convolution.
back = rng.integers(-4, 5, (2, 4, 4, 3)).astype(float)
flipped = kernel[:, :, ::-1, ::-1].transpose(1, 0, 2, 3).copy()
assert np.array_equal(F.conv_transpose2d(back, kernel, stride=2), F.conv2d(Upsample2d(2)(back), flipped, padding=2))
print("conv with a stride = conv, then downsampling; transposed conv = upsampling, then a full conv")

model = Sequential(Upsample1d(2), Conv1d(1, 1, 3, padding=1, dtype=np.float64, generator=0), Downsample1d(2))
assert model(x).shape == x.shape

print("\nNext: functional.interpolate fills the gaps with more than zeros; own_convolution.py.")
