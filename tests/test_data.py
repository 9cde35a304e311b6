"""Loading, splitting and batching of labelled images."""

import gzip

import idx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastconv import extras
from fastconv.training.data import batches, load_digits, load_idx, read_idx, stratified_split

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def test_digits_are_mlxtends():
    images, labels = load_digits()
    assert images.shape == (5000, 1, 28, 28)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (0, 1)
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == [500] * 10


def test_digits_split_as_the_demo_does():
    _, labels = load_digits()
    parts = stratified_split(labels, [3500, 500, 1000], seed=0)
    assert [np.bincount(labels[part]).tolist() for part in parts] == [[350] * 10, [50] * 10, [100] * 10]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(5000))


def test_split_is_determined_by_its_seed():
    labels = np.arange(100) % 7
    first, again, other = (stratified_split(labels, [60, 20], seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.lists(st.integers(0, 60), max_size=4),
       st.integers(0, 99))
def test_split_is_disjoint_and_proportional(labels, sizes, seed):
    labels = np.array(labels)
    if sum(sizes) > len(labels):
        with pytest.raises(ValueError, match="add up to"):
            stratified_split(labels, sizes, seed)
        return
    parts = stratified_split(labels, sizes, seed)
    assert [len(part) for part in parts] == sizes
    together = np.concatenate([*parts, np.empty(0, np.int64)])
    assert len(np.unique(together)) == len(together)
    for part, size in zip(parts, sizes, strict=True):
        exact = np.bincount(labels, minlength=6) * size / len(labels)
        assert np.abs(np.bincount(labels[part], minlength=6) - exact).max() < 4


@pytest.mark.parametrize(("labels", "sizes", "message"), [
    (np.zeros((3, 2), int), [1], r"vector of integers, got shape \(3, 2\)"),
    (np.zeros(3), [1], "vector of integers.*float64"),
    (np.zeros(3, int), [2, 2], r"sizes \[2, 2\] add up to 4, but there are 3 labels"),
    (np.zeros(3, int), [-1], "sizes must be at least 0, got -1"),
])
def test_split_refuses(labels, sizes, message):
    with pytest.raises(ValueError, match=message):
        stratified_split(labels, sizes)


def test_split_refuses_a_share():
    with pytest.raises(TypeError, match=r"sizes must be an int, got 0\.7"):
        stratified_split(np.zeros(10, int), [0.7])


def test_batches_cover_everything_in_order():
    x, y = np.arange(10), np.arange(10) * 2
    parts = list(batches(x, y, batch_size=4))
    assert [len(a) for a, _ in parts] == [4, 4, 2]
    assert np.array_equal(np.concatenate([a for a, _ in parts]), x)
    assert all(np.array_equal(b, 2 * a) for a, b in parts)


def test_batches_shuffle_anew_and_reproducibly():
    x = np.arange(50)
    rng = np.random.default_rng(1)
    first, second = (np.concatenate([a for a, in batches(x, batch_size=7, rng=rng)]) for _ in range(2))
    again = np.concatenate([a for a, in batches(x, batch_size=7, rng=np.random.default_rng(1))])
    assert np.array_equal(np.sort(first), x)
    assert np.array_equal(np.sort(second), x)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, again)


@pytest.mark.parametrize(("arrays", "size", "error", "message"), [
    ((), 1, ValueError, "at least one array"),
    ((np.zeros(3), np.zeros(4)), 1, ValueError, r"one length, got \[3, 4\]"),
    ((np.zeros(3),), 0, ValueError, "batch_size must be at least 1, got 0"),
    ((np.zeros(3),), 1.5, TypeError, r"batch_size must be an int, got 1\.5"),
    ((np.zeros(3),), True, TypeError, "batch_size must be an int, got True"),
])
def test_batches_refuse_at_once(arrays, size, error, message):
    with pytest.raises(error, match=message):
        batches(*arrays, batch_size=size)


@pytest.mark.parametrize("pack", [(), (IMAGES, "t10k-labels-idx1-ubyte")])
def test_idx_files_are_read(tmp_path, pack):
    idx.write(tmp_path, pack=pack)
    (images, labels), (test_images, test_labels) = load_idx(tmp_path)
    drawn, classes = idx.digits(200, 0)
    assert images.shape == (200, 1, 28, 28)
    assert images.dtype == np.float32
    assert np.array_equal(images[:, 0], drawn.astype(np.float32) / np.float32(255))
    assert labels.dtype == np.int64
    assert np.array_equal(labels, classes)
    assert len(test_images) == len(test_labels) == 40


def _images(**change):
    return idx.encode(np.zeros(change.get("shape", (20, 28, 28)), np.uint8))


def _labels(values=(0,) * 20):
    return idx.encode(np.array(values, np.uint8))


PACKED = gzip.compress(_images())
DAMAGED = [
    (IMAGES, b"", "magic number must be 2051, got a file of fewer than 4 bytes"),
    (IMAGES, b"\x00\x00", "magic number must be 2051"),
    (IMAGES, _labels(), "magic number must be 2051, got 2049"),
    (LABELS, _images(), "magic number must be 2049, got 2051"),
    (IMAGES, b"\x00\x00\x0d\x03" + _images()[4:], "magic number must be 2051, got 3331"),
    (IMAGES, _images()[:10], "truncated in its header of 16 bytes"),
    (IMAGES, _images()[:-1], "header 20x28x28 promises 15680 bytes, but 15679 follow"),
    (IMAGES, _images() + b"\x00", "promises 15680 bytes, but more follow"),
    (IMAGES, b"\x00\x00\x08\x03" + b"\xff" * 12, "4294967295x4294967295x4294967295 promises 79228162458924105385300"),
    (IMAGES, _images(shape=(20, 28, 27)), "images must be 28x28, got 28x27"),
    (IMAGES, _images(shape=(19, 28, 28)), "holds 19 images, but .*train-labels-idx1-ubyte holds 20 labels"),
    (LABELS, _labels([0] * 21), "holds 20 images, but .* holds 21 labels"),
    (LABELS, _labels([0] * 7 + [10] + [0] * 12), "labels must lie between 0 and 9, got 10 at position 7"),
    (IMAGES, PACKED[:-30], "damaged or truncated gzip"),
    (IMAGES, PACKED[:20] + b"\xff" * 20 + PACKED[40:], "damaged or truncated gzip"),
    (IMAGES, b"\x1f\x8b" + b"\x00" * 30, "damaged or truncated gzip"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGED)
def test_damaged_idx_files_are_named(tmp_path, name, content, message):
    idx.write(tmp_path, train=20, test=10)
    (tmp_path / IMAGES).write_bytes(_images())
    (tmp_path / LABELS).write_bytes(_labels())
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        load_idx(tmp_path)
    assert str(tmp_path / name) in str(error.value)


def test_empty_idx_files_are_refused(tmp_path):
    idx.write(tmp_path, train=0)
    with pytest.raises(ValueError, match="at least one image, got none"):
        load_idx(tmp_path)


def test_missing_idx_files_are_named(tmp_path):
    idx.write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte: there is no such file, with or without \.gz"):
        load_idx(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        load_idx(tmp_path / "nowhere")


def test_read_idx_takes_any_dimensions(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    (tmp_path / "file").write_bytes(idx.encode(array))
    assert np.array_equal(read_idx(tmp_path / "file", 4), array)


def test_missing_extra_says_what_to_install():
    with pytest.raises(extras.MissingExtra, match=r'nonesuch is not installed.*pip install "fastconv\[demo\]"'):
        extras.require("nonesuch.part")


def test_a_failure_within_a_package_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import nonesuch")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nonesuch") as error:
        extras.require("broken_package")
    assert not isinstance(error.value, extras.MissingExtra)
