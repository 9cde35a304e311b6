"""What needs CUDA, on Numba's simulator: in a process of its own: it is chosen before Numba is imported."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "cuda_simulator"


def test_on_the_simulator():
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER)],
                          env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}, cwd=FOLDER.parent.parent, text=True,
                          capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
