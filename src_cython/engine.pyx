# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: freethreading_compatible=True
"""The engine of the Cython backend: kernels by name, and the instruction set of their tiles.

A kernel is a *range kernel*: it does the work items ``begin <= i < end`` and reads its arguments, addresses and sizes,
from an array of int64. `fastconv.backends.engine` says what they are. Kernels stand in the .pxd files; those that work
on vectors throughout, and what the others multiply and transpose with, in tile.c and its headers.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cython cimport floating
from libc.stdint cimport intptr_t
from libc.stdint cimport int64_t

from columns cimport col2im, im2col
from conv cimport MAX_ROWS as _MAX_ROWS, MAX_STEPS as _MAX_STEPS, add_up, multiply, multiply_weight, pack, pad
from phases cimport join, split
from pool cimport avg_backward, avg_forward, max_backward, max_forward
from tiles cimport ISA_COUNT, add_rows, isa_supported, isa_use, isas, multiply_rows, sum_planes, tiles

cdef extern from *:
    int CYTHON_HEX_VERSION

CYTHON = ".".join(str(CYTHON_HEX_VERSION >> shift & 255) for shift in (24, 16, 8))
# {kernel: number of its arguments}, in the order in which `dispatch` counts kernels.
ARGUMENTS = {"pad": 12, "pack": 11, "multiply": 7, "multiply_weight": 23, "add_up": 4, "im2col": 20, "col2im": 20,
             "max_forward": 22, "max_backward": 10, "avg_forward": 23, "avg_backward": 22,
             "winograd_weights": 15, "winograd": 59, "winograd_gradient": 46, "sum_planes": 3,
             "split": 11, "join": 11, "multiply_rows": 62, "add_rows": 53}
# As of `fastconv.backends.engine`, which counts the changes of the arguments.
REVISION = 4
FLOAT_ONLY = {"winograd_weights", "winograd", "winograd_gradient"}
# What a block of a product may have.
MAX_ROWS, MAX_STEPS = _MAX_ROWS, _MAX_STEPS

cdef dict _NUMBERS = {name: number for number, name in enumerate(ARGUMENTS)}


cdef void dispatch(int kernel, Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Call a kernel; `like`, a null pointer, says for which type."""
    if kernel == 0:
        pad(begin, end, a, like)
    elif kernel == 1:
        pack(begin, end, a, like)
    elif kernel == 2:
        multiply(begin, end, a, like)
    elif kernel == 3:
        multiply_weight(begin, end, a, like)
    elif kernel == 4:
        add_up(begin, end, a, like)
    elif kernel == 5:
        im2col(begin, end, a, like)
    elif kernel == 6:
        col2im(begin, end, a, like)
    elif kernel == 7:
        max_forward(begin, end, a, like)
    elif kernel == 8:
        max_backward(begin, end, a, like)
    elif kernel == 9:
        avg_forward(begin, end, a, like)
    elif kernel == 10:
        avg_backward(begin, end, a, like)
    elif kernel == 11:
        tiles.winograd_weights(begin, end, a)
    elif kernel == 12:
        tiles.winograd(begin, end, a)
    elif kernel == 13:
        tiles.winograd_gradient(begin, end, a)
    elif kernel == 14:
        sum_planes(begin, end, a, like)
    elif kernel == 15:
        split(begin, end, a, like)
    elif kernel == 16:
        join(begin, end, a, like)
    elif kernel == 17:
        multiply_rows(begin, end, a, like)
    elif kernel == 18:
        add_rows(begin, end, a, like)


def address(array):
    """Address of the first element of a C-contiguous array, a Workspace or a Table, or 0 for None.

    ``__array_interface__`` tells it in 0.9 us; this takes 0.1, and a call asks up to 7 times.
    """
    cdef Py_buffer view
    if array is None:
        return 0
    if not PyObject_CheckBuffer(array):
        return array.address
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE)
    cdef intptr_t found = <intptr_t>view.buf
    PyBuffer_Release(&view)
    return found


def run(str name not None, Py_ssize_t begin, Py_ssize_t end, const int64_t[::1] args not None, bint double):
    """Do the work items `begin` .. `end` of a kernel, without the GIL.

    Parameters
    ----------
    name : str
        One of `ARGUMENTS`.
    begin, end : int
    args : ndarray of int64
        The kernel's arguments; the arrays whose addresses it holds must stay alive until the return.
    double : bool
        Whether the arrays are float64, not float32; the kernels of `FLOAT_ONLY` take none.
    """
    cdef int kernel = _NUMBERS[name]
    if len(args) != ARGUMENTS[name]:
        raise ValueError(f"run: {name} takes {ARGUMENTS[name]} arguments, got {len(args)}")
    if double and name in FLOAT_ONLY:
        raise TypeError(f"run: {name} takes float32, got float64")
    with nogil:
        if double:
            dispatch(kernel, begin, end, &args[0], <double*>NULL)
        else:
            dispatch(kernel, begin, end, &args[0], <float*>NULL)


def supported():
    """Names of the instruction sets that tiles were compiled for and that this CPU has, the widest first."""
    return [isas[i].name.decode() for i in range(ISA_COUNT) if isa_supported(i)]


def compiled():
    """Names of the instruction sets that tiles were compiled for, the widest first."""
    return [isas[i].name.decode() for i in range(ISA_COUNT)]


def use(str name not None):
    """Multiply with the tiles of instruction set `name` from now on, one of `supported()`."""
    if name not in supported():
        raise ValueError(f"use: expected one of {', '.join(supported())}, got {name!r}")
    isa_use(compiled().index(name))


def tile_bytes():
    """Bytes of a row of the widest tile in use."""
    return tiles.tile_bytes


def vector_bytes():
    """Bytes of a vector, or 0 where the compiler had none; then the kernels on rows are missing."""
    return tiles.vector_bytes
