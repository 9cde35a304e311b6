/*
 * The register tile, the register transpose, and what else works on vectors: Winograd's transforms, rows of pooling
 * windows, and convolutions of few channels. Compiled once for each instruction set: -DTILE_SUFFIX=avx2 -mavx2 ...
 *
 * Everything that multiplies goes through the tile. It keeps MR x NV vectors of results in registers and, for each step
 * of the reduction, loads NV vectors of b, broadcasts MR elements of a, and does MR * NV multiply-adds. Both operands
 * are addressed through tables of offsets (tile.h), so that stride, dilation, groups, and one to three dimensions
 * change the tables only.
 *
 * Written in the vector types of GCC and Clang, which are arrays of lanes with arithmetic; other compilers get vectors
 * of one lane, and plain loops under the same names.
 */

#include "tile.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/*
 * Bytes and lanes of a vector, vectors of the widest tile, and the rows of the tiles of one to four vectors: as many
 * accumulators as the registers hold beside the operands, and never so many row pointers that they spill.
 */
#if !defined(__GNUC__)
#define VECTOR_BYTES 16
#define FLOATS 1
#define DOUBLES 1
#define VECTORS 2
#elif defined(__AVX512F__)
#define VECTOR_BYTES 64
#define FLOATS 16
#define DOUBLES 8
#define VECTORS 4
#define FOR_EACH_TILE(define) define(8, 1) define(8, 2) define(8, 3) define(6, 4)
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#define FLOATS 8
#define DOUBLES 4
#define VECTORS 2
#define FOR_EACH_TILE(define) define(6, 1) define(6, 2)
#elif defined(__aarch64__)
#define VECTOR_BYTES 16
#define FLOATS 4
#define DOUBLES 2
#define VECTORS 4
#define FOR_EACH_TILE(define) define(8, 1) define(8, 2) define(8, 3) define(6, 4)
#else
#define VECTOR_BYTES 16
#define FLOATS 4
#define DOUBLES 2
#define VECTORS 2
#define FOR_EACH_TILE(define) define(6, 1) define(6, 2)
#endif

#define PASTE(left, right) PASTE_EXPANDED(left, right)
#define PASTE_EXPANDED(left, right) left##_##right
#define NAME(name) PASTE(name, ELEMENT)

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#define VECTOR NAME(Vector)
#define LOAD(place) ((VECTOR)*(const NAME(Stored) *)(place))
#define STORE(value, place) (*(NAME(Stored) *)(place) = (value))
/* Ask for the cache line so many elements behind `place`, to write to it or, further away, to read it. */
#define ASK_FOR(place, elements, written)                                                                              \
    __builtin_prefetch((const char *)((uintptr_t)(place) + (elements) * sizeof(ELEMENT)), written, (written) ? 3 : 2)
#else
#define ASK_FOR(place, elements, written) ((void)0)
#define INLINE static __inline
#define restrict
#define VECTOR ELEMENT
#define LOAD(place) (*(place))
#define STORE(value, place) (*(place) = (value))
#endif

/* Of the loops below, those over rows and vectors are unrolled in full, so that each accumulator is a variable of its
 * own. That over steps is not: unrolled by two, it would run out of registers and spill accumulators. */
#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#define ROLLED _Pragma("nounroll")
#elif defined(__GNUC__)
#define UNROLLED _Pragma("GCC unroll 16")
#define ROLLED _Pragma("GCC unroll 1")
#else
#define UNROLLED
#endif

#if defined(__clang__)
#define SHUFFLE(left, right, lanes, ...) __builtin_shufflevector(left, right, __VA_ARGS__)
#else
#define SHUFFLE(left, right, lanes, ...) __builtin_shuffle(left, right, (lanes){__VA_ARGS__})
#endif

#define DEFINE_TILE(MR, NV)                                                                                           \
    static __attribute__((noinline)) void NAME(tile_##MR##_##NV)(                                                     \
        ptrdiff_t steps, const ELEMENT *restrict a, const int64_t *restrict row, const int64_t *restrict col_a,       \
        const ELEMENT *restrict b, const int64_t *restrict col_b, ELEMENT *restrict c, ptrdiff_t ldc, int add)        \
    {                                                                                                                 \
        const ELEMENT *start[MR];                                                                                     \
        VECTOR sum[MR][NV];                                                                                           \
        UNROLLED for (int i = 0; i < MR; i++) start[i] = a + row[i];                                                  \
        UNROLLED for (int i = 0; i < MR; i++)                                                                         \
            UNROLLED for (int j = 0; j < NV; j++)                                                                     \
                sum[i][j] = (VECTOR){0};                                                                              \
        ROLLED for (ptrdiff_t t = 0; t < steps; t++) {                                                                \
            const ELEMENT *line = b + col_b[t];                                                                       \
            const int64_t here = col_a[t];                                                                            \
            VECTOR factor[NV];                                                                                        \
            UNROLLED for (int j = 0; j < NV; j++) factor[j] = LOAD(line + j * LANES);                                 \
            UNROLLED for (int i = 0; i < MR; i++)                                                                     \
                UNROLLED for (int j = 0; j < NV; j++) sum[i][j] += start[i][here] * factor[j];                        \
        }                                                                                                             \
        if (add) /* to whole sums: one running sum would lose digits */                                               \
            UNROLLED for (int i = 0; i < MR; i++)                                                                     \
                UNROLLED for (int j = 0; j < NV; j++) sum[i][j] += LOAD(c + i * ldc + j * LANES);                     \
        UNROLLED for (int i = 0; i < MR; i++)                                                                         \
            UNROLLED for (int j = 0; j < NV; j++) STORE(sum[i][j], c + i * ldc + j * LANES);                          \
    }

#define TILE_CASE(MR, NV)                                                                                             \
    case NV:                                                                                                          \
        for (ptrdiff_t i = 0; i < rows; i += MR)                                                                      \
            NAME(tile_##MR##_##NV)(steps, a, row + i, col_a, b, col_b, c + i * ldc, ldc, add);                        \
        break;

/* A square block is transposed in log2(LANES) rounds; round S exchanges bit S of the lane with bit S of the line. */
#define ROUND(S)                                                                                                      \
    UNROLLED for (int i = 0; i < LANES; i++)                                                                          \
        if (!(i & S)) {                                                                                               \
            const VECTOR left = line[i], right = line[i + S];                                                         \
            line[i] = SHUFFLE(left, right, NAME(Lanes), EACH_LANE(LOW_LANE, S));                                      \
            line[i + S] = SHUFFLE(left, right, NAME(Lanes), EACH_LANE(HIGH_LANE, S));                                 \
        }
#define LOW_LANE(j, S) ((j) & S ? LANES + (j) - S : (j))
#define HIGH_LANE(j, S) ((j) & S ? LANES + (j) : (j) + S)
#define OWN_LANE(j, S) (j)
/* Lanes of two vectors: every other one, and their halves joined again. */
#define EVEN_OF(j, S) (2 * (j))
#define ODD_OF(j, S) (2 * (j) + 1)
#define LOWER_OF(j, S) ((j) / 2 + ((j) % 2) * LANES)
#define UPPER_OF(j, S) (LANES / 2 + (j) / 2 + ((j) % 2) * LANES)
#define EACH_2(lane, j, S) lane(j, S), lane(j + 1, S)
#define EACH_4(lane, j, S) EACH_2(lane, j, S), EACH_2(lane, j + 2, S)
#define EACH_8(lane, j, S) EACH_4(lane, j, S), EACH_4(lane, j + 4, S)
#define EACH_16(lane, j, S) EACH_8(lane, j, S), EACH_8(lane, j + 8, S)

enum { SUMS = 64 }; /* running sums of sum_planes */

#define ELEMENT float
#define INTEGER int32_t
#define LANES FLOATS
#define PRECISION ps
#define EACH_LANE(lane, S) PASTE(EACH, FLOATS)(lane, 0, S)
#include "tile_kernels.h"
#include "winograd_kernels.h"
#include "window_kernels.h"
#if defined(__GNUC__)
#include "copies_kernels.h"
#include "slide_kernels.h"
#include "rows_kernels.h"
#endif
#undef ELEMENT
#undef INTEGER
#undef LANES
#undef PRECISION
#undef EACH_LANE

#define ELEMENT double
#define INTEGER int64_t
#define LANES DOUBLES
#define PRECISION pd
#define EACH_LANE(lane, S) PASTE(EACH, DOUBLES)(lane, 0, S)
#include "tile_kernels.h"
#include "window_kernels.h"
#if defined(__GNUC__)
#include "copies_kernels.h"
#include "slide_kernels.h"
#include "rows_kernels.h"
#endif

#if defined(__GNUC__)
#define ROWS_KERNELS VECTOR_BYTES, multiply_rows_float, multiply_rows_double, add_rows_float, add_rows_double
#else
#define ROWS_KERNELS 0, 0, 0, 0, 0
#endif

const Tiles PASTE(fastconv_tiles, TILE_SUFFIX) = {
    VECTORS * VECTOR_BYTES, multiply_float,    multiply_double, transpose_float, transpose_double, sum_planes_float,
    sum_planes_double,      ROWS_KERNELS,      winograd_weights, winograd,       winograd_gradient,
    max_row_float,          max_row_double,    mean_row_float,  mean_row_double,  divide_row_float, divide_row_double,
};
