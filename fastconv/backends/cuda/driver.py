"""What is asked of CUDA's driver at every call, through ctypes: a launch, and which device and context are in force.

Through Numba a launch of seven numbers takes the host 17 us, to ask for the device in force 9, and to enter a device's
context and leave it 18, measured with a driver that does nothing; these take 3, 0.7 and 0.6. Everything else, from
loading the driver to compiling kernels, stays with Numba, which has done it before any of this is called.
"""

import ctypes
import os
import sys
from contextlib import nullcontext
from functools import cache

from fastconv.backends.cuda import jit
from fastconv.backends.cuda.jit import cuda

THREAD_STREAM = 2
# Numba's stream 0, on which it copies: the legacy default stream, or with NUMBA_CUDA_PER_THREAD_DEFAULT_STREAM the
# thread's own.
DEFAULT_STREAM = THREAD_STREAM if jit.STREAM_OF_THREAD else 0
_HERE = nullcontext()
_contexts = {}  # of each device, the handle of its primary context, in which Numba works


@cache
def library():
    """The driver, which Numba has loaded already."""
    found = ctypes.CDLL(os.environ.get("NUMBA_CUDA_DRIVER")
                        or ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"))
    found.cuLaunchKernel.argtypes = [ctypes.c_void_p, *[ctypes.c_uint] * 7, *[ctypes.c_void_p] * 3]
    found.cuStreamSynchronize.argtypes = [ctypes.c_void_p]
    found.cuGetErrorName.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    found.cuCtxGetDevice.argtypes = [ctypes.POINTER(ctypes.c_int)]
    found.cuCtxGetCurrent.argtypes = [ctypes.POINTER(ctypes.c_void_p)]
    return found


def device():
    """The number of the device in force."""
    number = ctypes.c_int()
    if library().cuCtxGetDevice(number):
        # This thread has worked on none yet: Numba chooses, and enters its context.
        return cuda.get_current_device().id
    return number.value


def on(number):
    """A block within which device `number` is in force; nothing is done where it is."""
    current = _current()
    if current is None and number == 0:
        # As with Numba's own functions, a thread without a context gets that of device 0, and keeps it.
        cuda.current_context()
        current = _contexts[0] = _current()
    return _HERE if current is not None and current == _contexts.get(number) else _Entered(number)


def _current():
    """The handle of the context in force; None where this thread has none."""
    found = ctypes.c_void_p()
    library().cuCtxGetCurrent(found)
    return found.value


class _Entered:
    def __init__(self, number):
        self.number, self.gpu = number, cuda.gpus[number]

    def __enter__(self):
        self.gpu.__enter__()
        _contexts[self.number] = _current()

    def __exit__(self, *error):
        return self.gpu.__exit__(*error)


def launch(kernel, blocks, threads, stream, arguments):
    """Launch a kernel of Numba's, all of whose `arguments` are int64, on the device in force and on stream `stream`."""
    count = len(arguments)
    numbers, places = _types(count)
    values = numbers(*arguments)
    first = ctypes.addressof(values)
    _check("cuLaunchKernel", library().cuLaunchKernel(
        function(kernel, count, device()), blocks, 1, 1, threads, 1, 1, 0, stream or DEFAULT_STREAM,
        places(*range(first, first + 8 * count, 8)), None))


def synchronize(stream):
    """Have the host wait until `stream` has nothing left to do."""
    _check("cuStreamSynchronize", library().cuStreamSynchronize(stream or DEFAULT_STREAM))


@cache
def _types(count):
    return ctypes.c_int64 * count, ctypes.c_void_p * count


@cache
def function(kernel, count, number):
    """The handle of a kernel of `count` numbers on device `number`, which is in force; compiled if it is not yet."""
    compiled = kernel.compile((jit.types.int64,) * count)
    return handle(compiled.library.get_cufunc().handle)


def handle(value):
    """A handle or an address of Numba's as an int: one of ctypes, or, of the package `numba-cuda`, NVIDIA's."""
    return int(getattr(value, "value", value) or 0)


def _check(what, error):
    """Raise for an error of the driver, as Numba does."""
    if error:
        name = ctypes.c_char_p()
        library().cuGetErrorName(error, name)
        raise cuda.cudadrv.driver.CudaAPIError(error, f"Call to {what} results in {(name.value or b'?').decode()}")
