"""A report of what was found on this machine, and compilation ahead of the first call."""

import importlib.metadata
import platform
import sys

from fastconv import backends
from fastconv.backends import precision, threads
from fastconv.version import __version__

CUPY = ("cupy-cuda12x", "cupy-cuda13x", "cupy")  # CuPy's packages, by CUDA's version


def versions():
    """{package: version, or None if it is not installed} of what fastconv may use."""
    found = {"fastconv": __version__, "python": platform.python_version()}
    for name in ("numpy", "numba", "llvmlite", "cython", "torch", "onnxruntime", "numba-cuda", "cupy"):
        found[name] = next(filter(None, map(_version, CUPY if name == "cupy" else [name])), None)
    return found


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_features():
    """Names of the CPU's vector instruction sets, as NumPy found them; none where this NumPy does not say."""
    try:
        from numpy._core._multiarray_umath import __cpu_features__ as features
    except ImportError:
        return []
    told = ("SSE", "AVX", "FMA", "NEON", "ASIMD", "SVE", "VSX", "RVV", "LSX")
    return [name for name, present in features.items() if present and name.startswith(told)]


def show_config(file=None):
    """Print versions, the CPU's features, the backends found (and why any is missing) and the number of threads."""
    lines = [f"{name:12s}{version or 'not installed'}" for name, version in versions().items()]
    lines += ["", f"machine     {platform.machine()}, {threads.cores()} cores, {threads.get_num_threads()} threads in "
                  "use", f"features    {' '.join(cpu_features()) or 'unknown'}"]
    missing = backends.available()
    for name, why in missing.items():
        if why is None:
            describe = getattr(backends.get(name), "describe", None)
            lines.append(f"{name:12s}found" + (f": {describe()}" if describe else ""))
        else:
            lines.append(f"{name:12s}missing: {why}")
    lines += ["", f"backend     {backends.current_name()}", f"precision   {precision.get_float32_precision()}"]
    print("\n".join(lines), file=file or sys.stdout)


def warmup():
    """Compile (or load from the disk cache) every kernel of the backend in force, with a progress bar if tqdm is here.

    Without it a kernel is compiled at its first call.
    """
    backend = backends.get(backends.current_name())
    if not hasattr(backend, "warmup"):
        return
    try:
        from tqdm import tqdm
    except ImportError:
        return backend.warmup()
    backend.warmup(lambda kernels: tqdm(kernels, desc="compiling", unit="kernel"))
