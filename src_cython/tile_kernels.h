/* multiply and transpose for one type of ELEMENT, LANES of them in a vector; tile.c includes this once for each. */

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

static void NAME(transpose_block)(const ELEMENT *restrict source, ptrdiff_t lds, ELEMENT *restrict target,
                                  ptrdiff_t ldt, const ELEMENT *restrict shift)
{
    VECTOR line[LANES];
    UNROLLED for (int i = 0; i < LANES; i++) line[i] = LOAD(source + i * lds);
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
    if (shift)
        UNROLLED for (int j = 0; j < LANES; j++) line[j] += shift[j];
    UNROLLED for (int j = 0; j < LANES; j++) STORE(line[j], target + j * ldt);
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

#endif

static void NAME(transpose)(ptrdiff_t rows, ptrdiff_t columns, const ELEMENT *source, ptrdiff_t lds, ELEMENT *target,
                            ptrdiff_t ldt, const ELEMENT *shift)
{
    for (ptrdiff_t i = 0; i < rows; i += LANES) {
        const ptrdiff_t high = rows - i < LANES ? rows - i : LANES;
        for (ptrdiff_t j = 0; j < columns; j += LANES) {
            const ptrdiff_t wide = columns - j < LANES ? columns - j : LANES;
            const ELEMENT *from = source + i * lds + j;
            ELEMENT *to = target + j * ldt + i;
#if defined(__GNUC__)
            if (high == LANES && wide == LANES) {
                NAME(transpose_block)(from, lds, to, ldt, shift ? shift + j : 0);
                continue;
            }
#endif
            for (ptrdiff_t v = 0; v < wide; v++)
                if (shift)
                    for (ptrdiff_t u = 0; u < high; u++) to[v * ldt + u] = from[u * lds + v] + shift[j + v];
                else
                    for (ptrdiff_t u = 0; u < high; u++) to[v * ldt + u] = from[u * lds + v];
        }
    }
}
