"""The gradient of an embedding: rows added to rows of a table. A work item is a strip of columns."""

from fastconv.backends.numba.elementwise import run
from fastconv.backends.numba.jit import ints, pointer, range_kernel

STRIP = 64


@range_kernel
def _add_rows(begin, end, a, like):
    rows, dy, dw, count, columns = ints(a[0]), pointer(a[1], like), pointer(a[2], like), a[3], a[4]
    for strip in range(begin, end):
        first, last = strip * STRIP, min((strip + 1) * STRIP, columns)
        for i in range(count):
            source, target = i * columns, rows[i] * columns
            for j in range(first, last):
                dw[target + j] += dy[source + j]


def embedding_weight(rows, dy, dw):
    """dw[rows[i]] += dy[i] for each i in turn; rows are int64, from 0 to len(dw) - 1."""
    count, columns = dy.shape
    run(_add_rows, -(-columns // STRIP), (rows, dy, dw), (count, columns), dy, dy.nbytes // 20)
