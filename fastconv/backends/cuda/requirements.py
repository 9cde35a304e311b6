"""What a machine needs for CUDA, and which command installs what it lacks."""

from fastconv.backends import BackendUnavailable
from fastconv.backends.cuda import jit

PACKAGES = 'pip install "fastconv[cuda]"'
OLDER = 'with a driver older than 580: `pip install "fastconv[cuda12]"`'
DRIVER = ("install NVIDIA's driver with the system's package manager (Debian: `apt-get install nvidia-driver`; Ubuntu: "
          f"`ubuntu-drivers install`; others: https://www.nvidia.com/drivers), then `{PACKAGES}`")


def check():
    """Raise `BackendUnavailable`, which names what is missing, unless kernels can be compiled and run here."""
    missing = _missing()
    if missing:
        raise BackendUnavailable(f"backend 'cuda' cannot run here: {missing}")


def describe():
    """One line for `show_config`."""
    implementation = f"numba.cuda ({getattr(jit.cuda, 'implementation', 'Built-in')})"
    if jit.SIMULATED:
        return f"{implementation} on its simulator"
    devices = ", ".join(_name(device) for device in jit.cuda.gpus)
    return f"{implementation}, {devices}"


def _name(device):
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    return f"{name} (compute capability {'.'.join(map(str, device.compute_capability))})"


def _missing():
    if jit.SIMULATED or jit.cuda.is_available():
        return None
    error = jit.cuda.cuda_error()
    if error:
        return f"there is no NVIDIA driver that can be used ({str(error).strip().splitlines()[0]}); {DRIVER}"
    if not len(jit.cuda.gpus):
        return "the driver finds no NVIDIA GPU; `nvidia-smi` lists those that it sees"
    return ("the CUDA toolkit's compiler (NVVM) was not found; install it with "
            f"`{PACKAGES}` ({OLDER}), or set CUDA_HOME to where a toolkit is installed")
