"""The kernels of a call: planned once for a geometry, then run by every call with its own arrays.

A small convolution is over in less time than Python needs to plan it: 1 x 1 x 5 x 5 takes 9.2 us in place of 12.7 with
each call asking for its plans, counting its workspaces and listing its arguments. Where an engine does all steps at
once, they take 3.0 us in place of 14.5 on Zen 1.
"""

import struct
from functools import cached_property
from operator import add, itemgetter
from typing import NamedTuple

from fastconv.backends.plan import Table
from fastconv.backends.workspace import LINE, Workspace


class Slot(NamedTuple):
    """A place for an array: the call's `index`-th argument, or in the workspace from byte `offset` on."""

    index: int
    size: int
    offset: int = -1


class Step(NamedTuple):
    """What `Program.do` was told, or the function of `Program.then` as `arrays`, without a kernel."""

    kernel: str
    count: int
    arrays: tuple
    numbers: tuple
    work: int
    most: int


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
    steps : list of Step
    bytes : int
        Of the workspace.
    """

    def __init__(self, engine, dtype, most, exact, sizes):
        self.engine, self.dtype, self.most, self.exact = engine, dtype, most, exact
        self.arguments = [Slot(i, size) for i, size in enumerate(sizes)]
        self.steps = []
        self.bytes = self._top = 0

    def space(self, size):
        """A Slot for `size` elements of the workspace, the first one aligned to a cache line."""
        slot = Slot(-1, size, self._top)
        self._top += -(-size * self.dtype.itemsize // LINE) * LINE
        self.bytes = max(self.bytes, self._top)
        return slot

    def drop(self, slot):
        """Let what is planned next take the workspace from `slot` on, which no later step reads."""
        self._top = slot.offset

    def do(self, kernel, count, arrays, numbers, work, most=None):
        """Add a step: the work items 0 .. `count` of the kernel called `kernel`, on `most` threads at most.

        `arrays` are Slots, Tables, and None for an address of 0; `work` is an estimate of the nanoseconds that it takes
        one core.
        """
        self.steps.append(Step(kernel, count, arrays, tuple(map(int, numbers)), work, most or self.most))

    def then(self, function):
        """Add a step: ``function(*arguments)``."""
        self.steps.append(Step(None, 0, function, (), 0, 0))

    def origin(self, array):
        """(base, what is added to it) of the address of a Slot, a Table or None.

        The bases are 0, the address of the workspace, and those of the arguments in order.
        """
        if array is None:
            return 0, 0
        if isinstance(array, Table):
            return 0, array.address
        return (2 + array.index, 0) if array.offset < 0 else (1, array.offset)

    def ready(self):
        """What does the steps, called with the arrays: the program, to which no step is added any more, or better."""
        return self.engine.whole(self) or self

    @cached_property
    def _steps(self):
        steps = []
        for kernel, count, arrays, numbers, work, most in self.steps:
            if kernel is None:
                steps.append((None, 0, arrays, None, None, b"", 0, 0))
                continue
            bases, added = zip(*map(self.origin, arrays), strict=True)
            steps.append((kernel, count, itemgetter(*bases), added, struct.Struct(f"{len(bases)}q").pack,
                          struct.pack(f"{len(numbers)}q", *numbers), work, most))
        return steps

    def __call__(self, *arrays):
        address, dtype, run = self.engine.address, self.dtype, self.engine.run
        # One piece of memory for all workspaces: it lives until the return.
        space = Workspace(self.bytes, address) if self.bytes else None
        bases = [0, space and space.address, *map(address, arrays)]
        for kernel, count, pick, added, pack, tail, work, most in self._steps:
            if kernel is None:
                pick(*arrays)
            else:
                run(kernel, count, pack(*map(add, pick(bases), added)) + tail, dtype, work, most)
