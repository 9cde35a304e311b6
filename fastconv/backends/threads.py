"""How many threads the kernels may use, and a pool of Python threads for kernels that bring none of their own."""

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

_forked = False
_pool = None
_threads = None


def cores():
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads():
    """Threads that a call may use: what `set_num_threads` said, else OMP_NUM_THREADS, else the number of cores."""
    global _threads
    if _threads is None:
        # OMP_NUM_THREADS may list a number for each nesting level; the first is ours.
        first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
        _threads = min(int(first), cores()) if first.isdigit() and int(first) > 0 else cores()
    return _threads


def set_num_threads(n):
    """Let every later call of this process use at most `n` threads.

    Parameters
    ----------
    n : int
        At least 1. More than there are cores is lowered to the number of cores, with a RuntimeWarning.
    """
    global _threads
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"set_num_threads: n must be an int, got {n!r}")
    n = n.__index__()
    if n < 1:
        raise ValueError(f"set_num_threads: n must be at least 1, got {n}")
    if n > cores():
        warnings.warn(f"set_num_threads({n}): this process has {cores()} cores; using {cores()} threads",
                      RuntimeWarning, stacklevel=2)
        n = cores()
    _threads = n


def forked():
    """Whether this process was forked from one that had imported fastconv: its thread pools did not survive."""
    return _forked


def share(function, count, chunks):
    """Call ``function(begin, end)`` for `chunks` equal parts of ``range(count)`` at once, on Python threads.

    The caller's thread does the first part. Waking a thread takes about 50 us.
    """
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="fastconv")
    jobs = [_pool.submit(function, part * count // chunks, (part + 1) * count // chunks) for part in range(1, chunks)]
    function(0, count // chunks)
    for job in jobs:
        job.result()


def _after_fork_in_child():
    global _forked, _pool
    _forked, _pool = True, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
