"""Writes the four files of MNIST, small, with drawn digits that a network can tell apart."""

import gzip

import numpy as np

NAMES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
         "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")}


def encode(array):
    """`array` of uint8 as the bytes of an IDX file."""
    header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def digits(count, seed):
    """(images, labels): noise, and for each class a bright square at a place of its own."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 10).astype(np.uint8)
    images = rng.integers(0, 60, (count, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 4)
        image[2 + 8 * row:8 + 8 * row, 1 + 7 * column:7 + 7 * column] = 250
    return images, labels


def write(folder, train=200, test=40, pack=()):
    """Write the four files into `folder`; those named in `pack` gzipped."""
    for seed, (part, count) in enumerate((("train", train), ("test", test))):
        for name, array in zip(NAMES[part], digits(count, seed), strict=True):
            if name in pack:
                (folder / f"{name}.gz").write_bytes(gzip.compress(encode(array)))
            else:
                (folder / name).write_bytes(encode(array))
