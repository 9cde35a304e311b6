"""Memory that kernels use beside their arguments and results."""

import threading

import numpy as np

# Bytes kept for the next call, and the smallest piece worth it. Memory fresh from the system costs a page fault for
# each 4 KiB: 5 of the 10 ms of a dilated 3 x 3 convolution of 8 x 128 x 28 x 28.
KEPT = 64 << 20
LEAST = 256 << 10


class _Pool:
    """Pieces of memory that were given back, by their size."""

    def __init__(self):
        self.pieces = {}
        self.bytes = 0
        # Never waited for: who finds it taken does without the pool. A lock held while another thread forks stays
        # taken in the child, which then only lacks the pool.
        self.lock = threading.Lock()

    def take(self, size):
        """A piece of `size` bytes, or None."""
        if not self.lock.acquire(blocking=False):
            return None
        try:
            found = self.pieces.get(size)
            if not found:
                return None
            self.bytes -= size
            return found.pop()
        finally:
            self.lock.release()

    def give(self, size, piece):
        """Keep a piece; where there are too many, those kept before are let go first."""
        if size > KEPT or not self.lock.acquire(blocking=False):
            return
        try:
            if self.bytes + size > KEPT:
                self.pieces.clear()
                self.bytes = 0
            self.pieces.setdefault(size, []).append(piece)
            self.bytes += size
        finally:
            self.lock.release()


_pool = _Pool()


class Workspace:
    """Uninitialized elements, the first one aligned to a cache line.

    Parameters
    ----------
    size : int
        Elements.
    dtype : dtype
    address : function
        Tells an array's address.

    Attributes
    ----------
    address : int
    """

    __slots__ = ("_bytes", "_piece", "address")

    def __init__(self, size, dtype, address):
        self._bytes = size * dtype.itemsize + 64
        self._piece = _pool.take(self._bytes) if self._bytes >= LEAST else None
        if self._piece is None:
            self._piece = np.empty(self._bytes, np.uint8)
        first = address(self._piece)
        self.address = first + -first % 64

    def __del__(self):
        # None where there was no memory left for it.
        if self._bytes >= LEAST and self._piece is not None:
            _pool.give(self._bytes, self._piece)
