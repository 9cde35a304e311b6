"""Calls as a whole in compiled code: Python takes longer to start a step of a small one than that takes.

A table says what to do: of each step the kernel's address, its work items, into how many chunks these are shared out,
and its arguments, each a base and what is added to it, as `Program.origin` gives them.
"""

import numba
import numpy as np
from numba import types

from fastconv.backends import threads
from fastconv.backends.numba import jit
from fastconv.backends.numba.jit import CACHE, WORTH_SHARING, call, first_element, ints, parallel, place, shift, stack
from fastconv.backends.workspace import Workspace

MOST_ARGUMENTS = 96  # of a kernel
ARRAYS = 4  # of a call
BASES = ARRAYS + 2
OWN = 4096  # elements of 8 bytes of a workspace that lies on the thread's own stack


@numba.njit(types.void(*[types.int64] * (ARRAYS + 3)), cache=CACHE, nogil=True)
def _run(table, space, shared, first, second, third, fourth):
    """Do the steps of a table on the arrays whose ids are given, None's for one that is missing.

    `space` is the address of a workspace, 0 for one that lies on the stack; `shared` says whether steps may be shared
    out among threads.
    """
    nothing, steps, step = ints(table)[0], ints(table)[1], shift(ints(table), 2)
    bases, a, own = stack(BASES, step), stack(MOST_ARGUMENTS, step), stack(OWN, step)
    bases[0], bases[1] = 0, place(own) if space == 0 else space
    bases[2], bases[3], bases[4], bases[5] = first, second, third, fourth
    for i in range(2, BASES):
        bases[i] = 0 if bases[i] == nothing else first_element(bases[i])
    for _ in range(steps):
        chunks, arguments = step[2], step[3]
        for i in range(arguments):
            a[i] = bases[step[4 + 2 * i]] + step[5 + 2 * i]
        if chunks > 1 and shared != 0:
            parallel(step[0], step[1], chunks, place(a))
        else:
            call(step[0], 0, step[1], place(a))
        step = shift(step, 4 + 2 * arguments)


def compiled(program, kernels):
    """``call(*arrays)`` that does the steps of a Program in one call of compiled code; None if Python has to do some.

    Parameters
    ----------
    program : fastconv.backends.program.Program
    kernels : dict of str to fastconv.backends.numba.jit.RangeKernel
    """
    if len(program.arguments) > ARRAYS or any(
            step.kernel is None or len(step.numbers) + len(step.arrays) > MOST_ARGUMENTS for step in program.steps):
        return None
    numbers, most = [id(None), len(program.steps)], 1
    for step in program.steps:
        chunks = min(step.most, step.count) if step.work >= WORTH_SHARING else 1
        most = max(most, chunks)
        numbers += [kernels[step.kernel].address(program.dtype), step.count, chunks,
                    len(step.arrays) + len(step.numbers)]
        for argument in [*map(program.origin, step.arrays), *((0, number) for number in step.numbers)]:
            numbers += argument
    table = np.array(numbers, np.int64)
    start = table.__array_interface__["data"][0]

    def whole(first, second, third=None, fourth=None, run=_run, start=start, keep=(table, program)):
        run(start, 0, 0, id(first), id(second), id(third), id(fourth))

    def large(first, second, third=None, fourth=None, keep=table):
        if most > 1 and threads.forked():
            program(first, second, third, fourth)  # whose steps Python's threads can share
            return
        space = Workspace(program.bytes, jit.address) if program.bytes else None
        leads = most > 1 and jit.driving.acquire(blocking=False)
        try:
            _run(start, space.address if space else 0, leads, id(first), id(second), id(third), id(fourth))
        finally:
            if leads:
                jit.driving.release()

    return whole if most == 1 and program.bytes <= 8 * OWN else large
