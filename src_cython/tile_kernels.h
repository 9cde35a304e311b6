/*
 * multiply, transpose and sum_planes for one type of ELEMENT, LANES of them in a vector; tile.c includes this once for
 * each.
 */

#if defined(__GNUC__)

typedef ELEMENT NAME(Vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef INTEGER NAME(Lanes) __attribute__((vector_size(VECTOR_BYTES)));
/* A vector in memory: at any address, and of a type that may alias ELEMENT. */
typedef ELEMENT NAME(Stored) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(ELEMENT)), may_alias));

FOR_EACH_TILE(DEFINE_TILE)

static void NAME(multiply)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t steps, const ELEMENT *a, const int64_t *row,
                           const int64_t *col_a, const ELEMENT *b, const int64_t *col_b, ELEMENT *c, ptrdiff_t ldc,
                           int add)
{
    switch ((columns + LANES - 1) / LANES) {
        FOR_EACH_TILE(TILE_CASE)
    }
}

/* The first `count` lanes of a vector in memory; nothing beyond them is read or written, and they read as zeros. */
#if defined(__AVX512F__)

INLINE VECTOR NAME(load_part)(const ELEMENT *place, ptrdiff_t count)
{
    return (VECTOR)PASTE(_mm512_maskz_loadu, PRECISION)((1u << count) - 1, place);
}

INLINE void NAME(store_part)(VECTOR value, ELEMENT *place, ptrdiff_t count)
{
    PASTE(_mm512_mask_storeu, PRECISION)(place, (1u << count) - 1, value);
}

#elif defined(__AVX2__)

#define FIRST(count) ((__m256i)((NAME(Lanes)){EACH_LANE(OWN_LANE, 0)} < (INTEGER)(count)))

INLINE VECTOR NAME(load_part)(const ELEMENT *place, ptrdiff_t count)
{
    return (VECTOR)PASTE(_mm256_maskload, PRECISION)(place, FIRST(count));
}

INLINE void NAME(store_part)(VECTOR value, ELEMENT *place, ptrdiff_t count)
{
    PASTE(_mm256_maskstore, PRECISION)(place, FIRST(count), value);
}

#undef FIRST

#else

INLINE VECTOR NAME(load_part)(const ELEMENT *place, ptrdiff_t count)
{
    ELEMENT every[LANES] = {0};
    for (ptrdiff_t j = 0; j < count; j++) every[j] = place[j];
    return LOAD(every);
}

INLINE void NAME(store_part)(VECTOR value, ELEMENT *place, ptrdiff_t count)
{
    ELEMENT every[LANES];
    STORE(value, every);
    for (ptrdiff_t j = 0; j < count; j++) place[j] = every[j];
}

#endif

INLINE void NAME(flip)(VECTOR *line)
{
    ROUND(1)
#if LANES > 2
    ROUND(2)
#endif
#if LANES > 4
    ROUND(4)
#endif
#if LANES > 8
    ROUND(8)
#endif
}

static void NAME(transpose_block)(const ELEMENT *restrict source, ptrdiff_t lds, ELEMENT *restrict target,
                                  ptrdiff_t ldt, const ELEMENT *restrict shift)
{
    VECTOR line[LANES];
    UNROLLED for (int i = 0; i < LANES; i++) line[i] = LOAD(source + i * lds);
    NAME(flip)(line);
    if (shift)
        UNROLLED for (int j = 0; j < LANES; j++) line[j] += shift[j];
    UNROLLED for (int j = 0; j < LANES; j++) STORE(line[j], target + j * ldt);
}

/* The same for a block of fewer rows and columns, `width` elements of each line of which are written: zeros beyond. */
static __attribute__((noinline)) void NAME(transpose_part)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width,
                                                           const ELEMENT *restrict source, ptrdiff_t lds,
                                                           ELEMENT *restrict target, ptrdiff_t ldt,
                                                           const ELEMENT *restrict shift)
{
    VECTOR line[LANES];
    UNROLLED for (int i = 0; i < LANES; i++)
        line[i] = i < rows ? NAME(load_part)(source + i * lds, columns) : (VECTOR){0};
    NAME(flip)(line);
    UNROLLED for (int j = 0; j < LANES; j++)
        if (j < columns) NAME(store_part)(shift ? line[j] + shift[j] : line[j], target + j * ldt, width);
}

INLINE void NAME(transpose_lanes)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const ELEMENT *source,
                                  ptrdiff_t lds, ELEMENT *target, ptrdiff_t ldt, const ELEMENT *shift)
{
    if (rows == LANES && columns == LANES && width == LANES)
        NAME(transpose_block)(source, lds, target, ldt, shift);
    else
        NAME(transpose_part)(rows, columns, width, source, lds, target, ldt, shift);
}

#else

static void NAME(multiply)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t steps, const ELEMENT *a, const int64_t *row,
                           const int64_t *col_a, const ELEMENT *b, const int64_t *col_b, ELEMENT *c, ptrdiff_t ldc,
                           int add)
{
    for (ptrdiff_t i = 0; i < rows; i++) {
        ELEMENT *line = c + i * ldc;
        for (ptrdiff_t j = 0; j < columns && !add; j++) line[j] = 0;
        for (ptrdiff_t t = 0; t < steps; t++) {
            const ELEMENT factor = a[row[i] + col_a[t]];
            for (ptrdiff_t j = 0; j < columns; j++) line[j] += factor * b[col_b[t] + j];
        }
    }
}

static void NAME(transpose_lanes)(ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t width, const ELEMENT *source,
                                  ptrdiff_t lds, ELEMENT *target, ptrdiff_t ldt, const ELEMENT *shift)
{
    for (ptrdiff_t j = 0; j < columns; j++)
        for (ptrdiff_t i = 0; i < width; i++)
            target[j * ldt + i] = (i < rows ? source[i * lds + j] : 0) + (shift ? shift[j] : 0);
}

#endif

static void NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const ELEMENT *source, ptrdiff_t lds, ELEMENT *target,
                            ptrdiff_t ldt, const ELEMENT *shift)
{
    for (ptrdiff_t i = 0; i < rows; i += LANES) {
        const ptrdiff_t high = rows - i < LANES ? rows - i : LANES;
        for (ptrdiff_t j = 0; j < columns; j += LANES)
            NAME(transpose_lanes)(high, columns - j < LANES ? columns - j : LANES, high, source + i * lds + j, lds,
                                  target + j * ldt + i, ldt, shift ? shift + j : 0);
    }
}

/*
 * The same to planes: some of them after the other, as the hardware does not foresee more, and in whole blocks, of which
 * the last one overlaps the one before.
 */
INLINE void NAME(transpose_planes)(ptrdiff_t rows, ptrdiff_t columns, const ELEMENT *source, ptrdiff_t lds,
                                   ELEMENT *target, ptrdiff_t ldt, const ELEMENT *shift)
{
    for (ptrdiff_t j = 0; j < columns; j += LANES)
        for (ptrdiff_t next = 0; next < rows; next += LANES) {
            const ptrdiff_t i = rows - next < LANES && rows > LANES ? rows - LANES : next;
            const ptrdiff_t high = rows - i < LANES ? rows - i : LANES;
            ELEMENT *planes = target + j * ldt + i;
            for (int l = 0; l < LANES; l++) ASK_FOR(planes, l * ldt + 2 * LANES, 1);
            NAME(transpose_lanes)(high, columns - j < LANES ? columns - j : LANES, high, source + i * lds + j, lds,
                                  planes, ldt, shift ? shift + j : 0);
        }
}

/* The sum of each plane, in SUMS running sums: the bias gradient's parts. A work item is a plane. */
static void NAME(sum_planes)(ptrdiff_t begin, ptrdiff_t end, const int64_t *a)
{
    const ELEMENT *source = (const ELEMENT *)a[0];
    ELEMENT *sums = (ELEMENT *)a[1];
    const ptrdiff_t size = a[2];
    for (ptrdiff_t plane = begin; plane < end; plane++) {
        const ELEMENT *start = source + plane * size;
        VECTOR running[SUMS / LANES];
        ELEMENT partial[SUMS];
        ptrdiff_t i = 0;
        UNROLLED for (int j = 0; j < SUMS / LANES; j++) running[j] = (VECTOR){0};
        for (; i + SUMS <= size; i += SUMS)
            UNROLLED for (int j = 0; j < SUMS / LANES; j++) running[j] += LOAD(start + i + j * LANES);
        for (int j = 0; j < SUMS / LANES; j++) STORE(running[j], partial + j * LANES);
        for (int j = 0; i + j < size; j++) partial[j] += start[i + j];
        for (int half = SUMS / 2; half > 0; half /= 2)
            for (int j = 0; j < half; j++) partial[j] += partial[j + half];
        sums[plane] = partial[0];
    }
}
