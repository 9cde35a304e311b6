"""How long a new process takes to its first results: imports, compilation, what the disk cache keeps."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from bench import environment

IMPORT = """
import time, numpy
begin = time.perf_counter()
import fastconv
print(time.perf_counter() - begin)
"""

FIRST_CALLS = """
import time, numpy as np
begin = time.perf_counter()
import fastconv
from fastconv import functional, grad
fastconv.set_backend({backend!r})
x, w = np.ones((8, 16, 28, 28), np.float32), np.ones((32, 16, 3, 3), np.float32)
y = functional.conv2d(x, w)
grad.conv2d_input(x.shape, w, y)
grad.conv2d_weight(x, w.shape, y)
print(time.perf_counter() - begin)
"""


def seconds(script, cache=None, repeats=1):
    """What `script` prints in a new process, the least of some; `cache` is a folder for Numba's."""
    environ = environment.for_threads(1) | ({"NUMBA_CACHE_DIR": cache} if cache else {})
    return min(float(subprocess.run([sys.executable, "-c", script], cwd=environment.ROOT, env=environ, text=True,
                                    capture_output=True, check=True).stdout) for _ in range(repeats))


def measured(backends):
    """{what: seconds}; takes half a minute where Numba is among the backends, which then compiles anew."""
    found = {"import": seconds(IMPORT, repeats=3)}
    for backend in backends:
        script = FIRST_CALLS.format(backend=backend)
        with tempfile.TemporaryDirectory() as folder:
            found[f"{backend} cold"] = seconds(script, folder)
            found[f"{backend} warm"] = seconds(script, folder, repeats=3)
    return found
