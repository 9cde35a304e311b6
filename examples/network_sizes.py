"""A network on paper: dimensions, parameters, memory of a training step and receptive fields."""

from pathlib import Path

import numpy as np

from fastconv.inspection import draw, receptive_field, summary
from fastconv.models import small_rgb_cnn

model = small_rgb_cnn(generator=0)  # two convolutions of 5 x 5 with ReLU and maximum, a linear layer, softmax
found = summary(model, (3, 28, 28), batch_size=8)
found.print()

# 1.1 and 1.2: dimensions and parameters
assert [row.output_shape[1:] for row in found.rows] == [
    (16, 24, 24), (16, 24, 24), (16, 12, 12), (32, 8, 8), (32, 8, 8), (32, 4, 4), (512,), (10,), (10,)]
assert [row.parameters for row in found.rows if row.parameters] == [
    5 * 5 * 3 * 16 + 16, 5 * 5 * 16 * 32 + 32, 512 * 10 + 10]
assert found.parameters == 19_178

# 1.3: parameters, and for the way back the input of every layer (but Flatten's) for each of the 8 images
assert found.parameter_bytes == 19_178 * 4 == 76_712
assert found.activation_bytes == 8 * 4 * (28 * 28 * 3 + 2 * 24 * 24 * 16 + 12 * 12 * 16 + 2 * 8 * 8 * 32
                                          + 512 + 10 + 10) == 886_912
assert found.total_bytes == 963_624
print(f"\nmemory when the loss is known: {found.parameter_bytes:,} B + {found.activation_bytes:,} B = "
      f"{found.total_bytes:,} B")

# 1.4: receptive fields
first, pooled, linear = (found.rows[i].receptive_field for i in (0, 2, 7))
print(f"receptive fields: first convolution {first.size}, first pooling {pooled.size}, linear layer {linear.size}")
assert (first.size, pooled.size, linear.size) == ((5, 5), (6, 6), (28, 28))

# 1.5: the output is a distribution, and the loss its negative logarithm at the label
x, label = np.random.default_rng(0).random((8, 3, 28, 28), np.float32), np.eye(10)[np.arange(8)]
probabilities = model(x)
loss = -(np.log(probabilities) * label).sum(axis=-1).mean()
print(f"loss of an untrained network: {loss:.3f} (log 10 is {np.log(10):.3f})")
assert abs(loss - np.log(10)) < 0.1

Path("out").mkdir(exist_ok=True)
draw(model, (3, 28, 28), batch_size=8).savefig("out/sizes_graph.png")
receptive_field(x[0], model, "2").savefig("out/sizes_field.png")
print("\nNext: three_tap_layer.py. And what becomes of the receptive fields (out/sizes_field.png) with a stride of 2?")
