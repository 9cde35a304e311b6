"""The kernels of a call: planned once for a geometry, then run by every call with its own arrays.

A small convolution is over in less time than Python needs to plan it: 1 x 1 x 5 x 5 takes 9.2 us in place of 12.7 with
each call asking for its plans, counting its workspaces and listing its arguments.
"""

import struct
from operator import itemgetter
from typing import NamedTuple

from fastconv.backends.plan import Table
from fastconv.backends.workspace import LINE, Workspace


class Slot(NamedTuple):
    """A place for an array: the call's `index`-th argument, or of the workspace from byte `offset` on."""

    index: int
    size: int
    offset: int = -1


class Program:
    """Steps in order, each a range kernel of `fastconv.backends.engine` or a function of Python.

    Parameters
    ----------
    engine : fastconv.backends.engine.Engine
        Whose kernels run, and whose `address` tells where an array lies.
    dtype : dtype
        Of the arrays.
    most : int
        Threads at most.
    exact : bool
        Whether transforms are ruled out.
    sizes : tuple of int
        Elements of the arguments.

    Attributes
    ----------
    arguments : list of Slot
    """

    def __init__(self, engine, dtype, most, exact, sizes):
        self.engine, self.dtype, self.most, self.exact = engine, dtype, most, exact
        self.arguments = [Slot(i, size) for i, size in enumerate(sizes)]
        self._steps = []
        self._bytes = self._top = 0
        # What follows the arguments' addresses in the list of all: the workspaces' offsets, then fixed addresses.
        self._offsets = []
        self._fixed = [0]
        self._tables = []  # kept alive

    def space(self, size):
        """A Slot for `size` elements of the workspace, the first one aligned to a cache line."""
        slot = Slot(len(self._offsets), size, self._top)
        self._offsets.append(self._top)
        self._top += -(-size * self.dtype.itemsize // LINE) * LINE
        self._bytes = max(self._bytes, self._top)
        return slot

    def drop(self, slot):
        """Let what is planned next take the workspace from `slot` on, which no later step reads."""
        self._top = slot.offset

    def do(self, kernel, count, arrays, numbers, work, most=None):
        """Add a step: the work items 0 .. `count` of the kernel called `kernel`, on `most` threads at most.

        `arrays` are Slots, Tables, and None for an address of 0; `work` is an estimate of the nanoseconds that it takes
        one core.
        """
        tail = struct.pack(f"{len(numbers)}q", *numbers)
        self._steps.append((kernel, count, [self._place(array) for array in arrays], tail, work, most or self.most))

    def then(self, function):
        """Add a step: ``function(*arguments)``."""
        self._steps.append((None, 0, function, b"", 0, 0))

    def ready(self):
        """The program, to which no step is added any more."""
        first = len(self.arguments)
        starts = {"argument": 0, "space": first, "fixed": first + len(self._offsets)}
        for i, (kernel, count, places, *rest) in enumerate(self._steps):
            if kernel is not None:
                pick = itemgetter(*(starts[kind] + index for kind, index in places))
                self._steps[i] = (kernel, count, (pick, struct.Struct(f"{len(places)}q").pack), *rest)
        return self

    def __call__(self, *arrays):
        address, dtype = self.engine.address, self.dtype
        addresses = [address(array) for array in arrays]
        if self._bytes:
            # One piece of memory for all: it lives until the return.
            space = Workspace(self._bytes, address)
            first = space.address
            addresses += [first + offset for offset in self._offsets]
        addresses += self._fixed
        run = self.engine.run
        for kernel, count, places, tail, work, most in self._steps:
            if kernel is None:
                places(*arrays)
            else:
                pick, pack = places
                run(kernel, count, pack(*pick(addresses)) + tail, dtype, work, most)

    def _place(self, array):
        if array is None:
            return "fixed", 0
        if isinstance(array, Table):
            self._tables.append(array)
            self._fixed.append(array.address)
            return "fixed", len(self._fixed) - 1
        return ("argument", array.index) if array.offset < 0 else ("space", array.index)
