/* The register tiles, and what else is compiled for each instruction set, as the engine sees them. */

#ifndef FASTCONV_TILE_H
#define FASTCONV_TILE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Multiply rows x columns of c, of at least one step, tile by tile:
 *
 *     c[i * ldc + j] (+)= sum over t < steps of a[row[i] + col_a[t]] * b[col_b[t] + j]
 *
 * With `add` it adds to what is in c. Tiles are whole: up to MAX_TILE_ROWS - 1 entries of `row` beyond the last are
 * read and must be offsets into a; columns are rounded up to whole vectors in b and in c; as many rows of c are
 * written.
 */
typedef void MultiplyFloat(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t steps, const float *a, const int64_t *row,
                           const int64_t *col_a, const float *b, const int64_t *col_b, float *c, ptrdiff_t ldc,
                           int add);
typedef void MultiplyDouble(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t steps, const double *a, const int64_t *row,
                            const int64_t *col_a, const double *b, const int64_t *col_b, double *c, ptrdiff_t ldc,
                            int add);

/*
 * Transpose rows x columns elements, adding shift[j] to each element of column j unless `shift` is null:
 *
 *     target[j * ldt + i] = source[i * lds + j] + shift[j]
 */
typedef void TransposeFloat(ptrdiff_t rows, ptrdiff_t columns, const float *source, ptrdiff_t lds, float *target,
                            ptrdiff_t ldt, const float *shift);
typedef void TransposeDouble(ptrdiff_t rows, ptrdiff_t columns, const double *source, ptrdiff_t lds, double *target,
                             ptrdiff_t ldt, const double *shift);

/* A range kernel: do the work items begin <= i < end; fastconv/backends/engine.py says what `a` holds. */
typedef void RangeKernel(ptrdiff_t begin, ptrdiff_t end, const int64_t *a);

/*
 * Maxima of `outputs` neighboring windows inside a map x, `stride` elements apart, and unless `indices` is null where
 * in the map they are: the last NaN, or the first of the largest. The first window has its taps at x[base + taps[t]];
 * offsets are below 2**31.
 *
 * This and the next do whole rows or nothing: 0 is returned where there are fewer outputs than lanes in the narrowest
 * vector.
 */
typedef int MaxRowFloat(const float *x, ptrdiff_t base, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride,
                        ptrdiff_t outputs, float *y, int64_t *indices);
typedef int MaxRowDouble(const double *x, ptrdiff_t base, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride,
                         ptrdiff_t outputs, double *y, int64_t *indices);

/* Sums of such windows, over `divisor`. */
typedef int MeanRowFloat(const float *x, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride, ptrdiff_t outputs,
                         ptrdiff_t divisor, float *y);
typedef int MeanRowDouble(const double *x, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride, ptrdiff_t outputs,
                          ptrdiff_t divisor, double *y);

/* Each of `count` elements over `divisor`. */
typedef void DivideRowFloat(const float *values, ptrdiff_t count, ptrdiff_t divisor, float *quotients);
typedef void DivideRowDouble(const double *values, ptrdiff_t count, ptrdiff_t divisor, double *quotients);

#define MAX_TILE_ROWS 8

typedef struct {
    int tile_bytes; /* of a row of the widest tile */
    MultiplyFloat *multiply_float;
    MultiplyDouble *multiply_double;
    TransposeFloat *transpose_float;
    TransposeDouble *transpose_double;
    RangeKernel *sum_planes_float, *sum_planes_double;
    int vector_bytes; /* 0 where the compiler has no vectors, and the next four are null */
    RangeKernel *multiply_rows_float, *multiply_rows_double, *add_rows_float, *add_rows_double;
    RangeKernel *winograd_weights, *winograd, *winograd_gradient; /* on float */
    MaxRowFloat *max_row_float;
    MaxRowDouble *max_row_double;
    MeanRowFloat *mean_row_float;
    MeanRowDouble *mean_row_double;
    DivideRowFloat *divide_row_float;
    DivideRowDouble *divide_row_double;
} Tiles;

extern const Tiles fastconv_tiles_generic;
#ifdef FASTCONV_X86_TILES
extern const Tiles fastconv_tiles_avx2;
extern const Tiles fastconv_tiles_avx512f;
#endif

#endif
