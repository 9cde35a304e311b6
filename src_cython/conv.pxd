# cython: boundscheck=False, wraparound=False, cdivision=True
"""Convolution kernels: pad the planes, pack the panels, multiply. `fastconv.backends.plan` says what is multiplied."""

from cython cimport floating
from libc.stdint cimport int64_t, uintptr_t
from libc.string cimport memcpy, memset

from tiles cimport multiply_tiles, transpose

cdef enum:
    # What the stack space below has room for, whatever the type: rows of a block and steps of the reduction at a time,
    # and what the last tile reaches beyond.
    MAX_ROWS = 256
    MAX_STEPS = 512
    BEYOND = 16
    MAX_TILE_BYTES = 256
    MAX_WIDTH = 64  # columns of a panel
    STRETCH = 1024  # elements that are added up at a time
    PIECE = 64      # steps of a column that are summed at a time
    ENTRY = 27      # numbers of a product in `plan.Batch.table`
    SHORT = 8       # positions of a row below which they are stored one by one


cdef inline char* aligned(char* space) noexcept nogil:
    """The first cache line's beginning in `space`."""
    return <char*>((<uintptr_t>space + 63) & ~<uintptr_t>63)


cdef inline void pad(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Copy planes into larger ones with zeros around; a work item is a plane."""
    cdef const floating* source = <const floating*>a[0]
    cdef floating* target = <floating*>a[1]
    cdef Py_ssize_t depth = a[3], height = a[4], width = a[5]
    cdef Py_ssize_t front = a[6], top = a[7], left = a[8]
    cdef Py_ssize_t padded_depth = a[9], padded_height = a[10], padded_width = a[11]
    cdef Py_ssize_t rows = min(height, padded_height - top), columns = min(width, padded_width - left)
    cdef Py_ssize_t plane, i, d, r
    cdef const floating* inner
    cdef floating* line
    for plane in range(begin, end):
        for i in range(padded_depth):
            d = i - front
            line = target + (plane * padded_depth + i) * padded_height * padded_width
            if d < 0 or d >= depth:
                memset(line, 0, padded_height * padded_width * sizeof(floating))
                continue
            inner = source + (plane * depth + d) * height * width
            memset(line, 0, (top * padded_width + left) * sizeof(floating))
            line += top * padded_width + left
            for r in range(rows):
                memcpy(line, inner + r * width, columns * sizeof(floating))
                # The end of this line and the beginning of the next.
                if r + 1 < rows:
                    memset(line + columns, 0, (padded_width - columns) * sizeof(floating))
                    line += padded_width
            memset(line + columns, 0,
                   ((padded_height - top - rows + 1) * padded_width - left - columns) * sizeof(floating))


cdef inline void pack(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Pack panels; a work item is one panel. Given `sums`, also add up each column: the bias gradient's parts."""
    cdef const floating* source = <const floating*>a[0]
    cdef floating* panels = <floating*>a[1]
    cdef floating* sums = <floating*>a[2]
    cdef Py_ssize_t columns = a[4], outer = a[5], inner = a[6]
    cdef Py_ssize_t group_stride = a[7], outer_stride = a[8], column_stride = a[9], width = a[10]
    cdef Py_ssize_t blocks = (columns + width - 1) // width
    cdef Py_ssize_t item, group, first, here, o, t, j
    cdef const floating* start
    cdef floating* panel
    for item in range(begin, end):
        group, first = item // blocks, item % blocks * width
        here = min(columns - first, width)
        panel = panels + item * outer * inner * width
        start = source + group * group_stride + first * column_stride
        for o in range(outer):
            if inner == 1:
                for j in range(here):
                    panel[o * width + j] = start[o * outer_stride + j * column_stride]
            else:
                transpose(here, inner, start + o * outer_stride, column_stride, panel + o * inner * width, width,
                          <const floating*>NULL)
        for t in range(outer * inner):
            for j in range(here, width):
                panel[t * width + j] = 0
        if sums != NULL:
            sum_columns(panel, outer * inner, width, here, sums + group * columns + first)


cdef inline void sum_columns(const floating* panel, Py_ssize_t steps, Py_ssize_t width, Py_ssize_t columns,
                             floating* sums) noexcept nogil:
    """Sums of the columns, in pieces: one running sum of float32 would lose digits as it grows."""
    cdef floating piece[MAX_WIDTH]
    cdef Py_ssize_t done = 0, stop, t, j
    for j in range(columns):
        sums[j] = 0
    while done < steps:
        stop = min(done + PIECE, steps)
        for j in range(width):
            piece[j] = 0
        for t in range(done, stop):
            for j in range(width):
                piece[j] += panel[t * width + j]
        for j in range(columns):
            sums[j] += piece[j]
        done = stop


cdef inline void multiply(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Rows that are positions. A work item is a group, a block of columns and a block of rows of a product."""
    cdef const int64_t* table = <const int64_t*>a[4]
    cdef Py_ssize_t count = a[5], i, first, last
    for i in range(count):
        first = table[i * ENTRY]
        last = table[(i + 1) * ENTRY] if i + 1 < count else end
        multiply_product(max(begin, first) - first, min(end, last) - first, a, table + i * ENTRY, like)


cdef inline void multiply_product(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, const int64_t* entry,
                                  floating* like) noexcept nogil:
    """The work items `begin` to `end`, if there are any, of one product.

    A block of rows is part of one image, or several whole images where they are small.
    """
    cdef const floating* source = <const floating*>a[0]
    cdef const floating* panels = <const floating*>a[1]
    cdef const floating* bias = <const floating*>a[2]
    cdef floating* out = <floating*>a[3]
    cdef const int64_t* col_a = <const int64_t*>entry[1]
    cdef const int64_t* col_b = <const int64_t*>entry[2]
    cdef const int64_t* b = entry + 3
    cdef Py_ssize_t images = b[0], depth = b[2], height = b[3], width = b[4]
    cdef Py_ssize_t image_stride = b[5], group_stride = b[6], stride_o = b[7], stride_p = b[8], stride_q = b[9]
    cdef Py_ssize_t steps = b[10], columns = b[11], panel_steps = b[12], panel_width = b[13]
    cdef Py_ssize_t out_image = b[14], out_column = b[15], out_o = b[16], out_p = b[17], out_q = b[18]
    cdef Py_ssize_t out_offset = b[19], blocks = b[20], block_rows = b[21], together = b[22], chunk = b[23]
    cdef Py_ssize_t panel_blocks = (columns + panel_width - 1) // panel_width
    cdef Py_ssize_t image_blocks = (images + together - 1) // together
    cdef Py_ssize_t length = depth * height * width
    cdef bint dense = out_q == 1 and out_p == width and out_o == height * width
    cdef Py_ssize_t item, part, image, block, group, first, here, count, rows, column, wide, i, j, n, o, p, q, t
    cdef const floating* panel
    cdef const floating* added
    cdef floating* target
    cdef char space[(MAX_ROWS + BEYOND) * MAX_TILE_BYTES + 64]
    cdef floating* c = <floating*>aligned(space)
    cdef int64_t row[MAX_ROWS + BEYOND]
    cdef int64_t place[MAX_ROWS + BEYOND]
    for item in range(begin, end):
        # All panels of a block of rows, which the second-level cache holds, come one after the other.
        block, group = item % panel_blocks, item // panel_blocks
        part, group = group % blocks, group // blocks
        image, group = group % image_blocks * together, group // image_blocks
        first = part * block_rows
        here = min(length - first, block_rows)
        count = min(images - image, together)
        rows = count * here
        if rows <= 0:
            continue

        i = 0
        for n in range(image, image + count):
            o, q = first // (height * width), first % (height * width)
            p, q = q // width, q % width
            for j in range(here):
                row[i] = n * image_stride + group * group_stride + o * stride_o + p * stride_p + q * stride_q
                place[i] = n * out_image + o * out_o + p * out_p + q * out_q
                i += 1
                q += 1
                if q == width:
                    q = 0
                    p += 1
                    if p == height:
                        p = 0
                        o += 1
        for i in range(rows, rows + BEYOND):
            row[i] = row[rows - 1]

        column = block * panel_width
        wide = min(columns - column, panel_width)
        panel = panels + (group * panel_blocks + block) * panel_steps * panel_width
        t = 0
        while t < steps:
            multiply_tiles(rows, wide, min(chunk, steps - t), source, row, col_a + t, panel, col_b + t, c,
                           panel_width, t > 0)
            t += chunk

        target = out + (group * columns + column) * out_column + out_offset
        added = bias + group * columns + column if bias != NULL else NULL
        if out_column == 1:
            for i in range(rows):
                for j in range(wide):
                    target[place[i] + j] = c[i * panel_width + j]
                if added != NULL:
                    for j in range(wide):
                        target[place[i] + j] += added[j]
        elif dense:
            for n in range(count):
                transpose(here, wide, <const floating*>c + n * here * panel_width, panel_width,
                          target + place[n * here], out_column, added)
        elif out_q == 1 and width >= SHORT:
            # A row of positions after the other.
            i, q = 0, first % width
            while i < rows:
                here = min(width - q, rows - i)
                transpose(here, wide, <const floating*>c + i * panel_width, panel_width, target + place[i], out_column,
                          added)
                i += here
                q = 0
        else:
            for j in range(wide):
                for i in range(rows):
                    target[place[i] + j * out_column] = c[i * panel_width + j]
                if added != NULL:
                    for i in range(rows):
                        target[place[i] + j * out_column] += added[j]


cdef inline void multiply_weight(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Rows that are taps. A work item is a piece of the reduction, a group, a block of columns and a block of rows."""
    cdef const floating* source = <const floating*>a[0]
    cdef const floating* panels = <const floating*>a[1]
    cdef floating* out = <floating*>a[2]
    cdef const int64_t* taps = <const int64_t*>a[3]
    cdef Py_ssize_t images = a[4], groups = a[5], depth = a[6], height = a[7], width = a[8]
    cdef Py_ssize_t image_stride = a[9], group_stride = a[10], stride_o = a[11], stride_p = a[12], stride_q = a[13]
    cdef Py_ssize_t all_rows = a[14], columns = a[15], panel_blocks = a[16], panel_width = a[17], splits = a[18]
    cdef Py_ssize_t row_blocks = a[19], chunk = a[20], block_rows = a[21], turned = a[22]
    cdef Py_ssize_t length = depth * height * width
    cdef Py_ssize_t steps = images * length
    cdef Py_ssize_t item, part, block, group, split, first, rows, column, wide, start, stop, here, i, n, o, p, q, t
    cdef char space[(MAX_ROWS + BEYOND) * MAX_TILE_BYTES + 64]
    cdef floating* c = <floating*>aligned(space)
    cdef int64_t row[MAX_ROWS + BEYOND]
    cdef int64_t col_a[MAX_STEPS]
    cdef int64_t col_b[MAX_STEPS]
    for item in range(begin, end):
        block, group = item % panel_blocks, item // panel_blocks
        part, group = group % row_blocks, group // row_blocks
        group, split = group % groups, group // groups
        first = part * block_rows
        rows = min(all_rows - first, block_rows)
        for i in range(rows):
            row[i] = taps[first + i] + group * group_stride
        for i in range(rows, rows + BEYOND):
            row[i] = row[rows - 1]
        column = block * panel_width
        wide = min(columns - column, panel_width)

        start, stop = split * steps // splits, (split + 1) * steps // splits
        t = start
        while t < stop:
            here = min(chunk, stop - t)
            n, q = t // length, t % length
            o, q = q // (height * width), q % (height * width)
            p, q = q // width, q % width
            for i in range(here):
                col_a[i] = n * image_stride + o * stride_o + p * stride_p + q * stride_q
                col_b[i] = (((n * groups + group) * panel_blocks + block) * length
                            + (o * height + p) * width + q) * panel_width
                q += 1
                if q == width:
                    q = 0
                    p += 1
                    if p == height:
                        p = 0
                        o += 1
                        if o == depth:
                            o = 0
                            n += 1
            multiply_tiles(rows, wide, here, source, row, col_a, panels, col_b, c, panel_width, t > start)
            t += chunk

        if turned:
            for i in range(rows):
                memcpy(out + (split * all_rows + first + i) * columns + column, c + i * panel_width,
                       wide * sizeof(floating))
            continue
        transpose(rows, wide, <const floating*>c, panel_width,
                  out + ((split * groups + group) * columns + column) * all_rows + first, all_rows,
                  <const floating*>NULL)


cdef inline void add_up(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    """Sum `parts` arrays in order, so that the result has the same bits however the work was shared out.

    A work item is a stretch of 1024 elements. 64 arrays at a time: one running sum of many would lose digits.
    """
    cdef const floating* parts = <const floating*>a[0]
    cdef floating* out = <floating*>a[1]
    cdef Py_ssize_t count = a[2], elements = a[3]
    cdef Py_ssize_t first = begin * STRETCH, last = min(end * STRETCH, elements), here, i, j, k
    cdef floating piece[STRETCH]
    cdef const floating* source
    while first < last:
        here = min(STRETCH, last - first)
        memset(out + first, 0, here * sizeof(floating))
        for i from 0 <= i < count by 64:
            memset(piece, 0, here * sizeof(floating))
            for k in range(i, min(i + 64, count)):
                source = parts + k * elements + first
                for j in range(here):
                    piece[j] += source[j]
            for j in range(here):
                out[first + j] += piece[j]
        first += STRETCH
