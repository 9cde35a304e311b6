"""Small calls as a whole in compiled code: Python takes longer to start one of their steps than that takes.

A table says what to do: of each step the kernel's address, its work items, and its arguments, each a base and what is
added to it, as `Program.origin` gives them.
"""

import numba
import numpy as np
from numba import types

from fastconv.backends.numba.jit import CACHE, WORTH_SHARING, call, first_element, ints, place, shift, stack

MOST_ARGUMENTS = 96  # of a kernel
ARRAYS = 4  # of a call
BASES = ARRAYS + 2
OWN = 4096  # elements of 8 bytes of a workspace that lies on the thread's own stack


@numba.njit(types.void(*[types.int64] * (ARRAYS + 1)), cache=CACHE, nogil=True)
def _run(table, first, second, third, fourth):
    """Do the steps of a table on the arrays whose ids are given, None's for one that is missing."""
    nothing, steps, step = ints(table)[0], ints(table)[1], shift(ints(table), 2)
    bases, a, own = stack(BASES, step), stack(MOST_ARGUMENTS, step), stack(OWN, step)
    bases[0], bases[1], bases[2], bases[3], bases[4], bases[5] = 0, place(own), first, second, third, fourth
    for i in range(2, BASES):
        bases[i] = 0 if bases[i] == nothing else first_element(bases[i])
    for _ in range(steps):
        arguments = step[2]
        for i in range(arguments):
            a[i] = bases[step[3 + 2 * i]] + step[4 + 2 * i]
        call(step[0], 0, step[1], place(a))
        step = shift(step, 3 + 2 * arguments)


def compiled(program, kernels):
    """``call(*arrays)`` that does the steps of a Program in one call of compiled code; None for one that is not small.

    Parameters
    ----------
    program : fastconv.backends.program.Program
    kernels : dict of str to fastconv.backends.numba.jit.RangeKernel
    """
    small = program.bytes <= 8 * OWN and len(program.arguments) <= ARRAYS and all(
        step.kernel is not None and len(step.numbers) + len(step.arrays) <= MOST_ARGUMENTS
        and (step.work < WORTH_SHARING or min(step.most, step.count) == 1) for step in program.steps)
    if not small:
        return None
    numbers = [id(None), len(program.steps)]
    for step in program.steps:
        numbers += [kernels[step.kernel].address(program.dtype), step.count, len(step.arrays) + len(step.numbers)]
        for argument in [*map(program.origin, step.arrays), *((0, number) for number in step.numbers)]:
            numbers += argument
    table = np.array(numbers, np.int64)
    start = table.__array_interface__["data"][0]

    def whole(first, second, third=None, fourth=None, run=_run, start=start, keep=(table, program)):
        run(start, id(first), id(second), id(third), id(fourth))

    return whole
