"""Training states in .npz files, without pickle: nothing in a file is ever run."""

import json

import numpy as np

from fastconv import devices
from fastconv.files import DAMAGED, read_npz, replacing, write_npz

FORMAT = 1
_META = "meta"


def save_checkpoint(path, arrays, meta):
    """Write named arrays and a JSON-able value into one .npz file.

    The file appears under its name only when it is complete: whoever reads it meanwhile, or after a crash, finds the
    one before.

    Parameters
    ----------
    path : str or path
        Taken as it is, whatever its ending.
    arrays : dict of str to array
        Of numbers, in any memory; no name may be ``'meta'``.
    meta : dict
        Of what JSON knows, and of arrays.
    """
    text = json.dumps({"format": FORMAT, **meta}, default=_encode)
    arrays = {name: devices.to_host(array) for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"save_checkpoint: {name!r} holds Python objects, which only pickle could write")
    with replacing(path) as file:
        write_npz(file, {_META: np.array(text), **arrays})


def load_checkpoint(path):
    """(arrays, meta) of a file that `save_checkpoint` wrote.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no such file, or is damaged.
    """
    try:
        arrays = read_npz(path)
        meta = json.loads(str(arrays.pop(_META)), object_hook=_decode)
        version = meta.pop("format")
    except DAMAGED as error:
        raise ValueError(f"load_checkpoint: {path} is no checkpoint, or is damaged ({error})") from error
    if version != FORMAT:
        raise ValueError(f"load_checkpoint: {path} has format {version}, expected {FORMAT}")
    return arrays, meta


def _encode(value):
    # NumPy's numbers, and the arrays within the states of some random generators.
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"__array__": value.tolist(), "dtype": value.dtype.str}
    raise TypeError(f"save_checkpoint: meta holds {type(value).__name__}, which JSON does not know")


def _decode(value):
    return np.array(value["__array__"], value["dtype"]) if "__array__" in value else value
