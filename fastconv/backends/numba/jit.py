"""Every Numba option in one place: how a kernel is compiled, addressed, and spread over threads.

A kernel is a *range kernel*, ``kernel(begin, end, a, like)``: it does the work items ``begin <= i < end``, reads its
arguments from the int64 array ``a`` (addresses and sizes), and takes its element type from the null pointer ``like``.
As all of them have one signature, a single parallel driver, compiled once, runs any kernel by its address; a
``parallel=True`` wrapper for each would cost a second of compilation apiece.
"""

import os
import threading
import warnings

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

from fastconv.backends import threads

# Nanoseconds of work that pay for a parallel region, which takes 6 us.
WORTH_SHARING = 20_000

INTS = types.CPointer(types.int64)
DRIVER = types.void(types.int64, types.int64, types.int64, types.int64)
OPTIONS = {"error_model": "numpy"}


def _cache_works():
    """Whether Numba finds a directory it can write its cache to: where it does not, ``cache=True`` raises."""

    def probe():
        pass

    try:
        numba.njit(cache=True)(probe)
    except RuntimeError:
        warnings.warn("Numba has no writable cache directory: fastconv compiles its kernels anew in every process "
                      "(set NUMBA_CACHE_DIR to a writable one)", RuntimeWarning, stacklevel=2)
        return False
    return True


CACHE = _cache_works()


def helper(function):
    """A function that kernels call, and nobody else: the wrappers for others would take a tenth of the compile time."""
    return numba.njit(cache=CACHE, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, **OPTIONS)(function)


FLOAT32, BOTH = (np.dtype(np.float32),), (np.dtype(np.float32), np.dtype(np.float64))


class RangeKernel:
    """A kernel with its machine code for each element type of `dtypes`, compiled at the first use."""

    every = []

    def __init__(self, function, dtypes=BOTH):
        self.every.append(self)
        self.function, self.dtypes = function, dtypes
        self.compiled = {}
        self.lock = threading.Lock()

    def address(self, dtype):
        """Address of the machine code for `dtype`."""
        code = self.compiled.get(dtype)
        if code is None:
            with self.lock:
                like = types.CPointer(numba.from_dtype(dtype))
                signature = types.void(types.int64, types.int64, INTS, like)
                code = numba.cfunc(signature, cache=CACHE, **OPTIONS)(self.function)
                self.compiled[dtype] = code
        return code.address


range_kernel = RangeKernel


@intrinsic
def pointer(typingctx, address, like):
    """`address` as a pointer of the type of `like`."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return like(address, like), generate


@intrinsic
def ints(typingctx, address):
    """`address` as a pointer to int64."""

    def generate(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return INTS(address), generate


@intrinsic
def shift(typingctx, base, offset):
    """The pointer `base` moved by `offset` elements."""

    def generate(context, builder, signature, args):
        return builder.gep(*args[:1], [args[1]])

    return base(base, types.int64), generate


def ask_for(builder, place, write=False, level=1):
    """Code that asks for the cache line at `place`, which may lie outside of any array, up to a level of the cache."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    builder.call(function, [builder.bitcast(place, byte), number(int(write)), number(4 - level), number(1)])


@intrinsic
def prefetch(typingctx, place):
    """Ask for the cache line at `place`, to write to it."""

    def generate(context, builder, signature, args):
        ask_for(builder, args[0], write=True)
        return context.get_dummy_value()

    return types.void(place), generate


@intrinsic
def stack(typingctx, size, like):
    """`size` (a literal) elements of the thread's own stack, aligned to a cache line."""
    if not isinstance(size, types.IntegerLiteral):
        return None
    count = size.literal_value

    def generate(context, builder, signature, args):
        element = context.get_data_type(like.dtype)
        with builder.goto_entry_block():
            space = builder.alloca(ir.ArrayType(element, count))
        space.align = 64
        return builder.bitcast(space, element.as_pointer())

    return like(size, like), generate


@intrinsic
def place(typingctx, pointer):
    """The address that a pointer holds."""

    def generate(context, builder, signature, args):
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(pointer), generate


@intrinsic
def call(typingctx, address, begin, end, args):
    """Call the range kernel at `address`."""

    def generate(context, builder, signature, values):
        integer, nothing = ir.IntType(64), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [integer, integer, nothing, nothing])
        function = builder.inttoptr(values[0], kind.as_pointer())
        a = builder.inttoptr(values[3], nothing)
        builder.call(function, [values[1], values[2], a, ir.Constant(nothing, None)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64), generate


@numba.njit(DRIVER, cache=CACHE, nogil=True)
def _serial(address, begin, end, args):
    call(address, begin, end, args)


@numba.njit(DRIVER, cache=CACHE, nogil=True, parallel=True)
def parallel(address, count, chunks, args):
    for chunk in numba.prange(chunks):
        call(address, chunk * count // chunks, (chunk + 1) * count // chunks, args)


# One Python thread at a time drives Numba's threads; a second one that calls meanwhile works alone. Numba's
# `workqueue` layer aborts the process when two threads enter it, and two regions at once would share the cores anyway.
driving = threading.Lock()


def run(kernel, count, args, dtype, most, work=WORTH_SHARING):
    """Do the work items 0 .. `count` of `kernel`.

    Parameters
    ----------
    kernel : RangeKernel
    count : int
    args : bytes, or ndarray of int64
        The kernel's arguments; the arrays whose addresses it holds must stay alive until the return.
    dtype : dtype
    most : int
        Threads at most.
    work : int
        Estimate of the nanoseconds that it takes one thread.
    """
    code, data = kernel.address(dtype), id(args) + BYTES if type(args) is bytes else address(args)
    chunks = min(most, count)
    if chunks > 1 and work >= WORTH_SHARING and driving.acquire(blocking=False):
        try:
            if threads.forked():
                # GNU OpenMP kills a forked child that enters a parallel region.
                threads.share(lambda begin, end: _serial(code, begin, end, data), count, chunks)
            else:
                parallel(code, count, chunks, data)
        finally:
            driving.release()
    else:
        _serial(code, 0, count, data)


def _after_fork_in_child():
    global driving
    driving = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# An object's id is its address in CPython. It begins with what all objects begin with; in NumPy's array, in all of its
# versions, the address of the elements comes next.
HEAD = object.__basicsize__
# Those of bytes follow all else, and end with a zero that their size counts.
BYTES = bytes.__basicsize__ - 1


@intrinsic
def _load(typingctx, place):
    """The integer at the address `place`."""

    def generate(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], ir.IntType(64).as_pointer()))

    return types.int64(place), generate


@numba.njit(types.int64(types.int64), cache=CACHE)
def first_element(number):
    """Address of the first element of the array whose id is `number`."""
    return _load(number + HEAD)


def address(array):
    """Address of the first element of an array, or 0 for None.

    Compiled code tells it in 0.1 us, ``__array_interface__`` in 0.9: a call asks up to 7 times. Given the array itself,
    that code would be compiled anew for each number of axes, each type, and for read-only arrays.
    """
    if array is None:
        return 0
    return first_element(id(array))


def disabled():
    """Whether NUMBA_DISABLE_JIT is set: kernels that are LLVM code cannot run then."""
    return bool(config.DISABLE_JIT)
