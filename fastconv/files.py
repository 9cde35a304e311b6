"""Named arrays in files, without pickle: nothing in a file is ever run."""

import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastconv.extras import require


def save_arrays(path, arrays):
    """Write named arrays, such as a layer's ``state_dict()``, into a file.

    The file appears under its name only when it is complete: whoever reads it meanwhile, or after a crash, finds the
    one before.

    Parameters
    ----------
    path : str or path
        Ending in ``.npz``, which NumPy reads, or ``.safetensors``, which torch and others read too; that needs
        the package safetensors.
    arrays : dict of str to array
        Of numbers.

    Raises
    ------
    ValueError
        For another ending.
    TypeError
        For names that are no strings and arrays of Python objects.
    MissingExtra
        If safetensors is needed and not installed.
    """
    path = Path(path)
    arrays = {_name(name): _plain(name, array) for name, array in arrays.items()}
    if _ending("save_arrays", path) == ".npz":
        with replacing(path) as file:
            write_npz(file, arrays)
    else:
        content = require("safetensors.numpy", "files").save(arrays)
        with replacing(path) as file:
            file.write(content)


def load_arrays(path):
    """{name: array} of a file that `save_arrays` wrote, or another library in one of its formats.

    Parameters
    ----------
    path : str or path
        Ending in ``.npz`` or ``.safetensors``.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        For another ending, and a file that is not of the format that its name says, or is damaged.
    MissingExtra
        If safetensors is needed and not installed.
    """
    path = Path(path)
    if _ending("load_arrays", path) == ".npz":
        try:
            return read_npz(path)
        except DAMAGED as error:
            raise ValueError(f"load_arrays: {path} is no .npz file, or is damaged ({error})") from error
    library = require("safetensors.numpy", "files")
    content = path.read_bytes()
    try:
        return dict(library.load(content))
    except Exception as error:  # the library's own error is derived from nothing more special
        raise ValueError(f"load_arrays: {path} is no .safetensors file, is damaged, or holds a type that NumPy lacks "
                         f"({error})") from error


@contextmanager
def replacing(path):
    """A file to write to, which takes the place of `path` when the block ends, and is deleted if that raises."""
    path = Path(path)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


# What reading a file that is no archive of arrays may raise, besides OSError.
DAMAGED = (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile)


def write_npz(file, arrays):
    """Write arrays into an open file as ``np.savez`` does, whatever their names are."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def read_npz(path):
    """{name: array} of an .npz file; `DAMAGED` says what it raises if that is none."""
    # Opened here because np.load leaves a file open that turns out to be no archive.
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _ending(op, path):
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{op}: path must end in .npz or .safetensors, got {str(path)!r}")
    return path.suffix


def _name(name):
    if not isinstance(name, str):
        raise TypeError(f"save_arrays: names must be strings, got {name!r}")
    return name


def _plain(name, array):
    array = np.asarray(array)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"save_arrays: {name!r} must hold numbers, got {array.dtype}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
