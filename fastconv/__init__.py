"""Convolution and max-pooling for NumPy, under torch's names: see `fastconv.functional`, `.grad` and `.layers`."""

import importlib

from fastconv.backends import BackendUnavailable, set_backend, use_backend
from fastconv.backends.precision import get_float32_precision, set_float32_precision
from fastconv.backends.threads import get_num_threads, set_num_threads
from fastconv.backends.workspace import clear as empty_cache
from fastconv.config import show_config, warmup
from fastconv.version import __version__

__all__ = ["BackendUnavailable", "__version__", "empty_cache", "functional", "get_float32_precision",
           "get_num_threads", "grad", "inspection", "layers",
           "models", "set_backend", "set_float32_precision", "set_num_threads", "show_config", "training",
           "use_backend", "warmup"]

_LAZY = ("functional", "grad", "inspection", "layers", "models", "training")


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"fastconv.{name}")
    raise AttributeError(f"module 'fastconv' has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
