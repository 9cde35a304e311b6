# cython: boundscheck=False, wraparound=False, cdivision=True
"""The tiles in use, for both element types under one name."""

from cython cimport floating
from libc.stdint cimport int64_t

cdef extern from "isa.h":
    ctypedef struct Tiles:
        int tile_bytes
        int vector_bytes
        void multiply_float(Py_ssize_t, Py_ssize_t, Py_ssize_t, const float*, const int64_t*, const int64_t*,
                            const float*, const int64_t*, float*, Py_ssize_t, int) noexcept nogil
        void multiply_double(Py_ssize_t, Py_ssize_t, Py_ssize_t, const double*, const int64_t*, const int64_t*,
                             const double*, const int64_t*, double*, Py_ssize_t, int) noexcept nogil
        void transpose_float(Py_ssize_t, Py_ssize_t, const float*, Py_ssize_t, float*, Py_ssize_t,
                             const float*) noexcept nogil
        void transpose_double(Py_ssize_t, Py_ssize_t, const double*, Py_ssize_t, double*, Py_ssize_t,
                              const double*) noexcept nogil
        void winograd_weights(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void winograd(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void winograd_gradient(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void sum_planes_float(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void sum_planes_double(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void multiply_rows_float(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void multiply_rows_double(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void add_rows_float(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        void add_rows_double(Py_ssize_t, Py_ssize_t, const int64_t*) noexcept nogil
        int max_row_float(const float*, Py_ssize_t, const int64_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, float*,
                          int64_t*) noexcept nogil
        int max_row_double(const double*, Py_ssize_t, const int64_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, double*,
                           int64_t*) noexcept nogil
        int mean_row_float(const float*, const int64_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                           float*) noexcept nogil
        int mean_row_double(const double*, const int64_t*, Py_ssize_t, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                            double*) noexcept nogil
        void divide_row_float(const float*, Py_ssize_t, Py_ssize_t, float*) noexcept nogil
        void divide_row_double(const double*, Py_ssize_t, Py_ssize_t, double*) noexcept nogil

    ctypedef struct Isa:
        const char* name

    const Tiles* tiles
    const Isa* isas
    int ISA_COUNT
    int isa_supported(int)
    void isa_use(int)


cdef inline void multiply_tiles(Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t steps, const floating* a,
                                const int64_t* row, const int64_t* col_a, const floating* b, const int64_t* col_b,
                                floating* c, Py_ssize_t ldc, bint add) noexcept nogil:
    if floating is float:
        tiles.multiply_float(rows, columns, steps, a, row, col_a, b, col_b, c, ldc, add)
    else:
        tiles.multiply_double(rows, columns, steps, a, row, col_a, b, col_b, c, ldc, add)


cdef inline void transpose(Py_ssize_t rows, Py_ssize_t columns, const floating* source, Py_ssize_t lds,
                           floating* target, Py_ssize_t ldt, const floating* shift) noexcept nogil:
    if floating is float:
        tiles.transpose_float(rows, columns, source, lds, target, ldt, shift)
    else:
        tiles.transpose_double(rows, columns, source, lds, target, ldt, shift)


cdef inline bint max_row(const floating* x, Py_ssize_t base, const int64_t* taps, Py_ssize_t count, Py_ssize_t stride,
                         Py_ssize_t outputs, floating* y, int64_t* indices) noexcept nogil:
    if floating is float:
        return tiles.max_row_float(x, base, taps, count, stride, outputs, y, indices)
    else:
        return tiles.max_row_double(x, base, taps, count, stride, outputs, y, indices)


cdef inline bint mean_row(const floating* x, const int64_t* taps, Py_ssize_t count, Py_ssize_t stride,
                          Py_ssize_t outputs, Py_ssize_t divisor, floating* y) noexcept nogil:
    if floating is float:
        return tiles.mean_row_float(x, taps, count, stride, outputs, divisor, y)
    else:
        return tiles.mean_row_double(x, taps, count, stride, outputs, divisor, y)


cdef inline void divide_row(const floating* values, Py_ssize_t count, Py_ssize_t divisor,
                            floating* quotients) noexcept nogil:
    if floating is float:
        tiles.divide_row_float(values, count, divisor, quotients)
    else:
        tiles.divide_row_double(values, count, divisor, quotients)


cdef inline void sum_planes(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    if floating is float:
        tiles.sum_planes_float(begin, end, a)
    else:
        tiles.sum_planes_double(begin, end, a)


cdef inline void multiply_rows(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    if floating is float:
        tiles.multiply_rows_float(begin, end, a)
    else:
        tiles.multiply_rows_double(begin, end, a)


cdef inline void add_rows(Py_ssize_t begin, Py_ssize_t end, const int64_t* a, floating* like) noexcept nogil:
    if floating is float:
        tiles.add_rows_float(begin, end, a)
    else:
        tiles.add_rows_double(begin, end, a)
