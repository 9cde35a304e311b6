"""Memory that kernels use beside their arguments, and that of large results: kept for the next call when it is free."""

import threading
from math import prod

import numpy as np

# Bytes kept for the next call, of results and of workspaces, and the smallest pieces worth it. Memory fresh from the
# system costs a page fault for each 4 KiB, about a microsecond: 5 of the 10 ms of a dilated 3 x 3 convolution of
# 8 x 128 x 28 x 28, 2 of the 10 ms of a training step.
KEPT, KEPT_SPACES = 128 << 20, 48 << 20
LEAST = 256 << 10
LEAST_RESULT = 1 << 20
LINE = 64  # bytes of a cache line


class _Pool:
    """Pieces of memory that were given back, the latest last."""

    def __init__(self):
        self.pieces = []
        self.bytes = 0
        # Never waited for: who finds it taken does without the pool. A lock held while another thread forks stays
        # taken in the child, which then only lacks the pool.
        self.lock = threading.Lock()

    def take(self, size):
        """A piece of `size` bytes, or None."""
        if not self.lock.acquire(blocking=False):
            return None
        try:
            return self._found(size)
        finally:
            self.lock.release()

    def give(self, piece, most):
        """Keep a piece; where there are more than `most` bytes, the earliest are let go."""
        if piece.nbytes > most or not self.lock.acquire(blocking=False):
            return
        try:
            self.pieces.append(piece)
            self.bytes += piece.nbytes
            while self.bytes > most:
                self.bytes -= self.pieces.pop(0).nbytes
        finally:
            self.lock.release()

    def clear(self):
        """Let go of every piece; of none while another thread takes or gives one."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            self.pieces.clear()
            self.bytes = 0
        finally:
            self.lock.release()

    def _found(self, size):
        for i in range(len(self.pieces) - 1, -1, -1):
            if self.pieces[i].nbytes == size:
                self.bytes -= size
                return self.pieces.pop(i)
        return None


class _Spaces(_Pool):
    """Pieces that serve any call that needs no more, so that layers by turns work in the same memory."""

    def _found(self, size):
        enough = [i for i, piece in enumerate(self.pieces) if piece.nbytes >= size]
        if not enough:  # a larger one is going to take their place
            self.pieces.clear()
            self.bytes = 0
            return None
        piece = self.pieces.pop(min(enough, key=lambda i: self.pieces[i].nbytes))
        self.bytes -= piece.nbytes
        return piece


_pool, _spaces = _Pool(), _Spaces()


def clear():
    """Give back to the system what is kept for later calls."""
    _pool.clear()
    _spaces.clear()


class Workspace:
    """Uninitialized memory, the first byte of which is aligned to a cache line.

    Parameters
    ----------
    size : int
        Bytes.
    address : function
        Tells an array's address.

    Attributes
    ----------
    address : int
    """

    __slots__ = ("_piece", "address")

    def __init__(self, size, address):
        self._piece = _spaces.take(size + LINE) if size >= LEAST else None
        if self._piece is None:
            self._piece = np.empty(size + LINE, np.uint8)
        first = address(self._piece)
        self.address = first + -first % LINE

    def __del__(self):
        # None where there was no memory left for it, or where an interrupt came before it was set.
        piece = getattr(self, "_piece", None)
        if piece is not None and piece.nbytes >= LEAST:
            _spaces.give(piece, KEPT_SPACES)


class _Result:
    """The owner of an array's memory, which gives it back when the array and all its views are gone."""

    __slots__ = ("__array_interface__", "_piece")

    def __init__(self, piece, interface):
        self._piece, self.__array_interface__ = piece, interface

    def __del__(self):
        piece = getattr(self, "_piece", None)  # as above
        if piece is not None:
            _pool.give(piece, KEPT)


def empty(shape, dtype):
    """An uninitialized C-contiguous array: ``numpy.empty``, but for where the memory of a large one comes from.

    That is aligned to a cache line. As it has another owner, such an array cannot be resized in place.
    """
    size = prod(shape) * dtype.itemsize
    if size < LEAST_RESULT:
        return np.empty(shape, dtype)
    size += LINE
    piece = _pool.take(size)
    if piece is None:
        piece = np.empty(size, np.uint8)
    first = piece.__array_interface__["data"][0]
    address = first + -first % LINE
    return np.asarray(_Result(piece, {"shape": shape, "typestr": dtype.str, "data": (address, False), "version": 3}))
