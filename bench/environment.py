"""Where a measurement was made, and the settings that every measuring process shares."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

from fastconv import backends

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("numpy", "numba", "llvmlite", "cython", "torch", "onnxruntime")


def numba_cache_dir():
    """A folder for Numba's cache, named from a hash of the sources.

    Numba notices an edit of the file that a cached function stands in, but not of one that it calls: by this name an
    edit anywhere leaves the old cache behind.
    """
    digest = hashlib.sha256()
    for path in sorted((ROOT / "fastconv").rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return str(Path(os.environ.get("NUMBA_CACHE_DIR", ROOT / ".cache" / "numba"), digest.hexdigest()[:16]))


def for_threads(threads):
    """The environment of a process that computes on `threads` threads."""
    count = str(threads)
    return {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "OPENBLAS_NUM_THREADS": count,
            "NUMBA_CACHE_DIR": numba_cache_dir()}


def describe():
    """{what: value} of the machine, the versions and the commit."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {"CPU": _cpu(), "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity")
                                        else os.cpu_count()),
            "system": f"{platform.system()} {platform.machine()}", "Python": platform.python_version(),
            **versions, "numba's kernels": backends.get("numba").describe(),
            "fastconv": f"{importlib.metadata.version('fastconv')}, commit {_commit()}"}


def _cpu():
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = [line.partition(":")[2].strip() for line in info.read_text().splitlines()
                  if line.startswith(("model name", "cpu family", "model\t"))]
        if len(fields) >= 3:
            family, model, name = fields[:3]
            return f"{name} (family {family}, model {model})"
    if sys.platform == "darwin":
        return subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True,
                              check=False).stdout.strip()
    return platform.processor() or "unknown"


def _commit():
    def git(*arguments):
        try:
            return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True,
                                  check=False).stdout.strip()
        except OSError:
            return ""

    commit = git("rev-parse", "--short=12", "HEAD")
    return (commit + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")) or "unknown"
