"""The kernel contract, and which backend serves it.

A backend is a module with these functions, inputs first, results last but for the geometry::

    im2col(x, cols, g)                              col2im(cols, x, g)
    conv_forward(x, w, bias, y, g)                  conv_backward_input(dy, w, dx, g)
    conv_backward_weight(x, dy, dw, db, g)
    max_pool_forward(x, y, indices, g)              max_pool_backward(dy, indices, dx, g)
    avg_pool_forward(x, y, g)                       avg_pool_backward(dy, dx, g)

Arrays are C-contiguous, of one type (float32 or float64; for "cuda" also float16), in one memory (the host's; for
"cuda" that of one device), with the elements of the shapes of `fastconv.geometry.Geometry`, in that order: x (N, C, D,
H, W), w (K, C / groups, T, R, S), y (N, K, O, P, Q), cols (N, C * T * R * S, O * P * Q), bias and db (K,). Whatever
shapes they come in, most backends only ask where they begin; one that says ``SHAPED = True`` gets them in these:
`fastconv.backends.shapes`. ``bias``, ``db`` and the ``indices`` of
``max_pool_forward`` may be None. ``indices`` are int64, flat within one (D, H, W) map, as torch's. Inputs may be
read-only. No array is empty. Every element of a result is written, whatever it held before; nothing else is. Kernels
validate nothing, raise nothing and keep no reference to an array.

A NaN in a pooling window wins, the last one of several, as in torch; ties go to the first element; the argmax of a
window of -inf is its first element inside the input.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from fastconv.backends.shapes import shaped

KERNELS = ("im2col", "col2im", "conv_forward", "conv_backward_input", "conv_backward_weight", "max_pool_forward",
           "max_pool_backward", "avg_pool_forward", "avg_pool_backward")

# Fastest first: the automatic choice is the first that loads. It is never "cuda", to which NumPy arrays must be copied.
NAMES = ("numba", "cython", "tensordot", "loops", "cuda")

INSTALL = {"numba": "install it with `pip install numba`",
           "cython": "build it, with a C compiler present: `pip install --force-reinstall --no-binary fastconv "
                     "fastconv`, or `pip install -e .` in a checkout",
           "tensordot": "install NumPy with `pip install numpy`",
           "loops": "install NumPy with `pip install numpy`",
           "cuda": "it needs an NVIDIA GPU, its driver, and what `pip install \"fastconv[cuda]\"` installs"}

_override = ContextVar("fastconv_backend", default=None)
_chosen = None
_loaded = {}
_hosting = {}


class BackendUnavailable(ImportError):
    """A backend was asked for that cannot run here; the message names the command that installs it."""


def get(name):
    """The backend module called `name`.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    BackendUnavailable
        If it cannot run here.
    """
    module = _loaded.get(name)
    if module is None:
        if name not in NAMES:
            raise ValueError(f"there is no backend {name!r}; expected one of {', '.join(map(repr, NAMES))}")
        try:
            module = importlib.import_module(f"fastconv.backends.{name}")
            # That of "cuda" can be imported, and its kernels compiled, where there is no GPU to run them.
            getattr(module, "check", lambda: None)()
        except BackendUnavailable:
            raise
        except ImportError as error:
            raise BackendUnavailable(f"backend {name!r} cannot run here: {error}; {INSTALL[name]}") from error
        _loaded[name] = module
    return module


def current():
    """What computes on NumPy arrays: `use_backend`, else `set_backend`, else FASTCONV_BACKEND, else the fastest here.

    It has the functions of the contract; those of "cuda" copy their arrays to the device here, and results back.
    """
    return hosting(_override.get() or _chosen or _default())


def serving(x):
    """What computes on `x`: `current` for a NumPy array, for every other one "cuda", on arrays in device memory."""
    if type(x) is np.ndarray:
        # As `current` does, but found at once: this is on the way of every call.
        return _hosting.get(_override.get() or _chosen) or current()
    return cuda_arrays().on_device


def hosting(name):
    """The functions of the contract, for NumPy arrays, of the backend called `name`; raises as `get` does."""
    backend = _hosting.get(name)
    if backend is None:
        module = get(name)
        if name == "cuda":
            module = cuda_arrays().on_host
        elif getattr(module, "SHAPED", False):
            module = shaped(module)
        backend = _hosting[name] = module
    return backend


def cuda_arrays():
    """The module that knows arrays in device memory; raises `BackendUnavailable` where there is no device."""
    # A submodule becomes an attribute when it is first imported; to import it again takes 2 us.
    return getattr(get("cuda"), "arrays", None) or importlib.import_module("fastconv.backends.cuda.arrays")


def extra(name, x):
    """A kernel beyond the contract, of the backend in force; None where it has none of that name, or not for `x`.

    What can be written in the array's own namespace is, in `fastconv.functional`; a backend may bring a faster form of
    it, which that function then calls for NumPy arrays that are not empty, as `x` tells. It takes C-contiguous arrays,
    inputs first and results last, and gives the same bits for any number of threads. An activation's is named as the
    function is. Of these, planes (N * C) are the arrays' first axis, and `fastconv.sampling` describes the axes::

        resample(x, y, axes, fill)                      padding, interpolation, zeros put in, elements left out
        adaptive_avg(x, y, regions)                     adaptive_avg_backward(dy, dx, regions)
        adaptive_max(x, y, indices or None, regions)
        max_unpool(x, indices, y)                       max_unpool_backward(dy, indices, dx)
        pixel_shuffle(small, large, factor, back)
        max_pool_backward_checked(dy, indices, dx, g)   of the contract's arrays; whether all indices lie in their maps
        max_pool_relu(x, y, codes, g)                   max_pool_relu_backward(dy, codes, dx, g)
    """
    return getattr(current(), name, None) if type(x) is np.ndarray and x.size else None


def current_name():
    """The name of the backend in force."""
    return current().__name__.rpartition(".")[2]


def set_backend(name):
    """Compute on backend `name` from now on, in every thread; None returns to the automatic choice.

    Parameters
    ----------
    name : {'numba', 'cython', 'tensordot', 'loops', 'cuda'} or None
        Whatever it is, arrays that lie in a GPU's memory are computed there, by 'cuda'.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    BackendUnavailable
        If it cannot run here. The choice in force stays.
    """
    global _chosen
    if name is not None:
        get(name)
    _chosen = name


@contextmanager
def use_backend(name):
    """Compute on backend `name` within a ``with`` block, in this thread (or task) only."""
    get(name)
    token = _override.set(name)
    try:
        yield
    finally:
        _override.reset(token)


def available():
    """{name: None, or why the backend cannot run here} for every backend, fastest first."""
    report = {}
    for name in NAMES:
        try:
            get(name)
            report[name] = None
        except ImportError as error:
            report[name] = str(error)
    return report


def _default():
    global _chosen
    name = os.environ.get("FASTCONV_BACKEND") or next(name for name in NAMES if _loads(name))
    set_backend(name)
    return name


def _loads(name):
    try:
        return get(name)
    except ImportError:
        return None
