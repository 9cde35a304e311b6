"""An embedding: rows of a table copied, and its gradient: rows added to rows of a table."""

from fastconv.backends.numba.elementwise import run
from fastconv.backends.numba.jit import ints, pointer, range_kernel, shift
from fastconv.backends.numba.lines import copy

STRIP = 64


@range_kernel
def _copy_rows(begin, end, a, like):
    rows, w, y, columns = ints(a[0]), pointer(a[1], like), pointer(a[2], like), a[3]
    for i in range(begin, end):
        copy(shift(w, rows[i] * columns), shift(y, i * columns), columns)


# A work item is a strip of columns: a row of the result has one thread.
@range_kernel
def _add_rows(begin, end, a, like):
    rows, dy, dw, count, columns = ints(a[0]), pointer(a[1], like), pointer(a[2], like), a[3], a[4]
    for strip in range(begin, end):
        first, last = strip * STRIP, min((strip + 1) * STRIP, columns)
        for i in range(count):
            source, target = i * columns, rows[i] * columns
            for j in range(first, last):
                dw[target + j] += dy[source + j]


def embedding(rows, w, y):
    """y[i] = w[rows[i]]; rows are int64, from 0 to len(w) - 1."""
    run(_copy_rows, len(rows), (rows, w, y), y.shape[1:], y, y.nbytes // 40)


def embedding_weight(rows, dy, dw):
    """dw[rows[i]] += dy[i] for each i in turn; rows are int64, from 0 to len(dw) - 1."""
    count, columns = dy.shape
    run(_add_rows, -(-columns // STRIP), (rows, dy, dw), (count, columns), dy, dy.nbytes // 20)
