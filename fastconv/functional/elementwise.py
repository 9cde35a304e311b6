"""Chains of element-wise NumPy functions without large temporaries: block by block, over the threads."""

import math

import numpy as np

from fastconv.backends import threads
from fastconv.checks import empty

# Elements of a block: the result's and its arguments' stay in the second-level cache between the steps of a chain.
# A sigmoid of 1.6 million float32 takes 1.0 ms so, 2.0 by blocks of 4096.
BLOCK = 1 << 15
# Blocks that pay for waking a thread.
SHARE = 4


def blockwise(chain, *arrays):
    """A new array of the shape and type of the first of `arrays`, computed one block at a time.

    Blocks are the same for any number of threads, and so are the bits of the result.

    Parameters
    ----------
    chain : callable
        ``chain(result, *arrays)`` fills a block of the result from the arrays' own. Its warnings are off.
    *arrays : ndarray
        C-contiguous, of one shape.
    """
    result = empty(arrays[0].shape, arrays[0])
    flat = [a.reshape(-1) for a in (result, *arrays)]
    blocks = math.ceil(result.size / BLOCK)

    def work(begin, end):
        # Threads do not share the caller's error state.
        with np.errstate(all="ignore"):
            for i in range(begin, end):
                chain(*(a[i * BLOCK:(i + 1) * BLOCK] for a in flat))

    chunks = min(threads.get_num_threads(), blocks // SHARE)
    if chunks > 1:
        threads.share(work, blocks, chunks)
    else:
        work(0, blocks)
    return result
