"""One step of training, forward, loss, backward and RMSprop: `fastconv.models.digits_cnn` and its twin in torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.reference import Invalid

CHECKED = 4  # steps whose losses are compared
RATE = 1e-3
TIMED_RATE = 1e-9  # so that thousands of timed steps do the work of the first ones: no loss that vanishes
# Of a loss. The first step of RMSprop moves every weight by a hundredth along its gradient's sign, however
# small that gradient is: one that is smaller than its error may go the wrong way. With products of halves gradients err
# by up to 5e-6 of the largest one, and the losses of 16 to 256 images by 3e-5 to 1.2e-4; without by 2e-6.
TOLERANCE = 3e-4


@dataclass(frozen=True)
class Step:
    """A step with so many images."""

    batch: int

    @property
    def name(self):
        """What its row is called."""
        return f"step of {self.batch} images"


STEPS = (Step(64), Step(256))


def data(batch):
    """Images (N, 1, 28, 28) and labels (N,), the same in every process."""
    rng = np.random.default_rng(batch)
    return rng.random((batch, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, batch)


def expected(batch):
    """The losses of the first steps, by torch in float64."""
    step, _ = _of_torch(batch, False, "float64")
    return [step() for _ in range(CHECKED)]


def prepare(implementation, batch, losses):
    """A function that does a step and returns the loss, and the largest error of the first losses.

    Parameters
    ----------
    implementation : bench.implementations.Implementation
        One of fastconv's or of torch's.
    batch : int
    losses : list of float
        What `expected` returns.

    Raises
    ------
    Invalid
        If a loss differs by more than `TOLERANCE` of it.
    """
    if implementation.peer:
        step, optimizer = _of_torch(batch, implementation.channels_last)
    else:
        step, optimizer = _of_fastconv(batch)
    found = [step() for _ in losses]
    error = max(abs(got - want) / want for got, want in zip(found, losses, strict=True))
    if not error <= TOLERANCE:
        raise Invalid(f"training with {batch} images: losses {found}, expected {losses}")
    optimizer.param_groups[0]["lr"] = TIMED_RATE
    return step, error


def _of_fastconv(batch):
    from fastconv import layers
    from fastconv.models import digits_cnn
    from fastconv.training.optimizers import RMSprop

    model, loss = digits_cnn(generator=0), layers.CrossEntropyLoss()
    optimizer = RMSprop(model.parameters(), lr=RATE)
    images, labels = data(batch)

    def step():
        value = loss(model(images), labels)
        model.backward_parameters(loss.backward())  # as torch, which computes no gradient of the images
        optimizer.step()
        return float(value)

    return step, optimizer


def _of_torch(batch, channels_last, dtype="float32"):
    import torch
    from torch import nn

    from fastconv.models import digits_cnn

    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))
    weights = digits_cnn(generator=0).state_dict()
    model.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    images, labels = map(torch.from_numpy, data(batch))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    dtype = getattr(torch, dtype)
    model, images = model.to(dtype=dtype, memory_format=layout), images.to(dtype=dtype, memory_format=layout)
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.RMSprop(model.parameters(), lr=RATE)

    def step():
        optimizer.zero_grad()
        value = loss(model(images), labels)
        value.backward()
        optimizer.step()
        return value.item()

    return step, optimizer
