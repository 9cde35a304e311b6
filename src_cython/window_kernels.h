/*
 * Rows of pooling windows for one type of ELEMENT; tile.c includes this once for each.
 *
 * A row is done with the widest vectors that it fills: whole ones, halves, or quarters of at least two lanes. Masks
 * would do for any row, but are slow on some processors.
 */

#if LANES == 16
#define FOR_EACH_WIDTH(use) use(16) use(8) use(4)
#elif LANES == 8
#define FOR_EACH_WIDTH(use) use(8) use(4) use(2)
#elif LANES == 4
#define FOR_EACH_WIDTH(use) use(4) use(2)
#elif LANES == 2
#define FOR_EACH_WIDTH(use) use(2)
#else
#define FOR_EACH_WIDTH(use)
#endif

#define OF(name, WIDTH) PASTE(NAME(name), WIDTH)
/* Of two vectors, the second of which begins with the first's last element, every other element. */
#define EVEN_LANE(j, WIDTH) (j) < (WIDTH) / 2 ? 2 * (j) : 2 * (j) + 1
#define SELECT(mask, yes, no, WIDTH)                                                                                  \
    (((mask) & (OF(Lanes, WIDTH))(yes)) | (~(mask) & (OF(Lanes, WIDTH))(no)))

/*
 * value / divisor as a product with the reciprocal whose rounding its rest corrects. The bits are those of a division
 * but for a half of the smallest subnormal number, which may go the other way. A division, and a product that is not
 * part of a multiply-add, takes twice the time where it is subnormal. The rest, exact because multiply-adds are fused,
 * is NaN where the value is infinite or NaN.
 */
#if defined(__FMA__) || defined(__aarch64__)
#define QUOTIENT(value, divisor, WIDTH)                                                                               \
    ({                                                                                                                \
        const ELEMENT inverse = 1 / (divisor);                                                                        \
        const OF(Vector, WIDTH) product = (value) * inverse + 0, rest = (value) - product * (divisor);                \
        (OF(Vector, WIDTH))SELECT(rest == rest, product + rest * inverse, product, WIDTH);                            \
    })
#else
#define QUOTIENT(value, divisor, WIDTH) ((value) / (divisor))
#endif

#define DEFINE_WINDOWS(WIDTH)                                                                                         \
    typedef ELEMENT OF(Vector, WIDTH) __attribute__((vector_size(WIDTH * sizeof(ELEMENT))));                          \
    typedef INTEGER OF(Lanes, WIDTH) __attribute__((vector_size(WIDTH * sizeof(INTEGER))));                           \
    typedef int64_t OF(Places, WIDTH) __attribute__((vector_size(WIDTH * sizeof(int64_t))));                          \
    typedef ELEMENT OF(Stored, WIDTH)                                                                                 \
        __attribute__((vector_size(WIDTH * sizeof(ELEMENT)), aligned(sizeof(ELEMENT)), may_alias));                   \
    typedef int64_t OF(StoredPlaces, WIDTH)                                                                           \
        __attribute__((vector_size(WIDTH * sizeof(int64_t)), aligned(sizeof(int64_t)), may_alias));                   \
                                                                                                                      \
    /* One tap of WIDTH neighboring windows: nothing beyond the last of them is read. */                              \
    INLINE OF(Vector, WIDTH) OF(load, WIDTH)(const ELEMENT *place, ptrdiff_t stride)                                  \
    {                                                                                                                 \
        if (stride > 2) {                                                                                             \
            OF(Vector, WIDTH) every;                                                                                  \
            UNROLLED for (int j = 0; j < WIDTH; j++) every[j] = place[j * stride];                                    \
            return every;                                                                                             \
        }                                                                                                             \
        const OF(Vector, WIDTH) left = *(const OF(Stored, WIDTH) *)place;                                             \
        if (stride == 1) return left;                                                                                 \
        const OF(Vector, WIDTH) right = *(const OF(Stored, WIDTH) *)(place + WIDTH - 1);                              \
        return SHUFFLE(left, right, OF(Lanes, WIDTH), PASTE(EACH, WIDTH)(EVEN_LANE, 0, WIDTH));                       \
    }                                                                                                                 \
                                                                                                                      \
    INLINE void OF(max_windows, WIDTH)(const ELEMENT *x, ptrdiff_t base, const int64_t *taps, ptrdiff_t count,        \
                                       ptrdiff_t stride, int indexed, ELEMENT *y, int64_t *indices)                   \
    {                                                                                                                 \
        OF(Vector, WIDTH) best = (OF(Vector, WIDTH)){0} - (ELEMENT)INFINITY;                                          \
        OF(Lanes, WIDTH) which = (OF(Lanes, WIDTH)){0} + (INTEGER)taps[0];                                            \
        ROLLED for (ptrdiff_t t = 0; t < count; t++) {                                                                \
            const OF(Vector, WIDTH) value = OF(load, WIDTH)(x + base + taps[t], stride);                              \
            const OF(Lanes, WIDTH) larger = (value > best) | (value != value);                                        \
            best = (OF(Vector, WIDTH))SELECT(larger, value, best, WIDTH);                                             \
            if (indexed) which = SELECT(larger, (OF(Lanes, WIDTH)){0} + (INTEGER)taps[t], which, WIDTH);              \
        }                                                                                                             \
        *(OF(Stored, WIDTH) *)y = best;                                                                               \
        if (indexed)                                                                                                  \
            *(OF(StoredPlaces, WIDTH) *)indices =                                                                     \
                __builtin_convertvector(which, OF(Places, WIDTH)) + base                                              \
                + (OF(Places, WIDTH)){PASTE(EACH, WIDTH)(OWN_LANE, 0, 0)} * (int64_t)stride;                          \
    }                                                                                                                 \
                                                                                                                      \
    INLINE void OF(mean_windows, WIDTH)(const ELEMENT *x, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride,     \
                                        ELEMENT divisor, ELEMENT *y)                                                  \
    {                                                                                                                 \
        OF(Vector, WIDTH) sum = {0};                                                                                  \
        ROLLED for (ptrdiff_t t = 0; t < count; t++) sum += OF(load, WIDTH)(x + taps[t], stride);                     \
        *(OF(Stored, WIDTH) *)y = QUOTIENT(sum, divisor, WIDTH);                                                      \
    }                                                                                                                 \
                                                                                                                      \
    INLINE void OF(divide_some, WIDTH)(const ELEMENT *values, ELEMENT divisor, ELEMENT *quotients)                    \
    {                                                                                                                 \
        const OF(Vector, WIDTH) value = *(const OF(Stored, WIDTH) *)values;                                           \
        *(OF(Stored, WIDTH) *)quotients = QUOTIENT(value, divisor, WIDTH);                                            \
    }

/* The last vector ends with the row, and does again what overlaps the one before. */
#define FOR_EACH_START(WIDTH)                                                                                         \
    for (ptrdiff_t next = 0, q = 0; next < outputs; next += WIDTH, q = next + WIDTH < outputs ? next : outputs - WIDTH)

#define MAX_CASE(WIDTH)                                                                                               \
    if (outputs >= WIDTH) {                                                                                           \
        FOR_EACH_START(WIDTH)                                                                                         \
            OF(max_windows, WIDTH)(x, base + q * stride, taps, count, stride, indexed, y + q,                         \
                                   indexed ? indices + q : 0);                                                        \
        return 1;                                                                                                     \
    }

#define MEAN_CASE(WIDTH)                                                                                              \
    if (outputs >= WIDTH) {                                                                                           \
        FOR_EACH_START(WIDTH)                                                                                         \
            OF(mean_windows, WIDTH)(x + q * stride, taps, count, stride, (ELEMENT)divisor, y + q);                    \
        return 1;                                                                                                     \
    }

#define DIVIDE_CASE(WIDTH)                                                                                            \
    if (outputs >= WIDTH) {                                                                                           \
        FOR_EACH_START(WIDTH) OF(divide_some, WIDTH)(values + q, (ELEMENT)divisor, quotients + q);                    \
        return;                                                                                                       \
    }

FOR_EACH_WIDTH(DEFINE_WINDOWS)

INLINE int NAME(max_row_of)(const ELEMENT *x, ptrdiff_t base, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride,
                            int indexed, ptrdiff_t outputs, ELEMENT *y, int64_t *indices)
{
    FOR_EACH_WIDTH(MAX_CASE)
    return 0;
}

static int NAME(max_row)(const ELEMENT *x, ptrdiff_t base, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride,
                         ptrdiff_t outputs, ELEMENT *y, int64_t *indices)
{
    if (stride == 1)
        return indices ? NAME(max_row_of)(x, base, taps, count, 1, 1, outputs, y, indices)
                       : NAME(max_row_of)(x, base, taps, count, 1, 0, outputs, y, indices);
    if (stride == 2)
        return indices ? NAME(max_row_of)(x, base, taps, count, 2, 1, outputs, y, indices)
                       : NAME(max_row_of)(x, base, taps, count, 2, 0, outputs, y, indices);
    return indices ? NAME(max_row_of)(x, base, taps, count, stride, 1, outputs, y, indices)
                   : NAME(max_row_of)(x, base, taps, count, stride, 0, outputs, y, indices);
}

INLINE int NAME(mean_row_of)(const ELEMENT *x, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride,
                             ptrdiff_t outputs, ptrdiff_t divisor, ELEMENT *y)
{
    FOR_EACH_WIDTH(MEAN_CASE)
    return 0;
}

static int NAME(mean_row)(const ELEMENT *x, const int64_t *taps, ptrdiff_t count, ptrdiff_t stride, ptrdiff_t outputs,
                          ptrdiff_t divisor, ELEMENT *y)
{
    if (stride == 1) return NAME(mean_row_of)(x, taps, count, 1, outputs, divisor, y);
    if (stride == 2) return NAME(mean_row_of)(x, taps, count, 2, outputs, divisor, y);
    return NAME(mean_row_of)(x, taps, count, stride, outputs, divisor, y);
}

/* Each of `outputs` elements over `divisor`. */
static void NAME(divide_row)(const ELEMENT *values, ptrdiff_t outputs, ptrdiff_t divisor, ELEMENT *quotients)
{
    FOR_EACH_WIDTH(DIVIDE_CASE)
    const ELEMENT inverse = 1 / (ELEMENT)divisor;
    for (ptrdiff_t q = 0; q < outputs; q++) {
        const ELEMENT product = values[q] * inverse + 0, rest = values[q] - product * (ELEMENT)divisor;
        quotients[q] = rest == rest ? product + rest * inverse : product;
    }
}

#undef FOR_EACH_WIDTH
#undef OF
#undef EVEN_LANE
#undef SELECT
#undef QUOTIENT
#undef DEFINE_WINDOWS
#undef FOR_EACH_START
#undef MAX_CASE
#undef MEAN_CASE
#undef DIVIDE_CASE
