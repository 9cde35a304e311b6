/*
 * Kernels of one channel that slide down a plane where it lies, for one type of ELEMENT. A row of the plane is read
 * once for all that it meets; there is no copy with zeros around it, since what lies beyond it is left out by masks.
 */

/*
 * Slide a kernel of N x N taps down a stripe of NV vectors of results, reading the plane b in place:
 *
 *     c[p * pitch + j] = start + sum of a[col_a[r * N + s]] * b[p * STRIDE + r - top, j * STRIDE + s - left]
 *
 * for p < `rows`, with zeros around b. A row of b is read once for all the rows of c that it belongs to; `zeros` is one
 * of zeros. The last vector starts at `last`, and `written` elements of it are written.
 */
#if defined(__AVX2__)

/* Add a row of b, the row `oldest` of those that the oldest row of c meets; sum[i] is that of the i-th oldest. */
INLINE void NAME(slide_row)(const int N, const int STRIDE, const int NV, const int oldest, VECTOR sum[][4],
                            const ELEMENT *restrict tap, const ELEMENT *restrict line, ptrdiff_t left, ptrdiff_t last,
                            const NAME(Mask) *restrict first_mask, const NAME(Mask) *restrict last_mask)
{
    UNROLLED for (int j = 0; j < NV; j++) {
        const ptrdiff_t begin = (j < NV - 1 ? j * LANES : last) * STRIDE - left;
        /* Only the outer vectors can reach beyond a row. */
        const NAME(Mask) *mask = j == NV - 1 ? last_mask : first_mask;
        const int whole = j > 0 && j < NV - 1;
        VECTOR operand[8];
        UNROLLED for (int s = 0; s < N; s += STRIDE) {
            const VECTOR left_half = whole ? LOAD(line + begin + s) : NAME(load_masked)(line, begin + s, mask[s]);
            if (STRIDE == 1) {
                operand[s] = left_half;
            } else {
                const VECTOR right_half = whole ? LOAD(line + begin + s + LANES)
                                                : NAME(load_masked)(line, begin + s + LANES, mask[s + 1]);
                operand[s] = SHUFFLE(left_half, right_half, NAME(Lanes), EACH_LANE(EVEN_OF, 0));
                operand[s + 1] = SHUFFLE(left_half, right_half, NAME(Lanes), EACH_LANE(ODD_OF, 0));
            }
        }
        UNROLLED for (int i = 0; i < N; i++)
            if (i * STRIDE <= oldest) {
                /* Few vectors leave the chains of additions as what takes the time: a row gets its own. */
                VECTOR found = NV == 1 ? (VECTOR){0} : sum[i][j];
                UNROLLED for (int s = 0; s < N; s++) found += tap[(oldest - i * STRIDE) * N + s] * operand[s];
                sum[i][j] = NV == 1 ? sum[i][j] + found : found;
            }
    }
}

INLINE void NAME(slide)(const int N, const int STRIDE, const int NV, const ELEMENT *restrict a,
                        const int64_t *restrict col_a, const ELEMENT *restrict b, ptrdiff_t height, ptrdiff_t width,
                        ptrdiff_t top, ptrdiff_t left, const ELEMENT *restrict zeros, ELEMENT start,
                        ELEMENT *restrict c, ptrdiff_t pitch, ptrdiff_t rows, ptrdiff_t last, ptrdiff_t written)
{
    ELEMENT tap[49];
    VECTOR sum[8][4];
    NAME(Mask) first_mask[8], last_mask[8];
    for (int t = 0; t < N * N; t++) tap[t] = a[col_a[t]];
    UNROLLED for (int s = 0; s < N; s += STRIDE)
        UNROLLED for (int part = 0; part < STRIDE; part++) {
            const ptrdiff_t from = s + part * LANES - left;
            first_mask[s + part] = NAME(inside)(from, width);
            last_mask[s + part] = NAME(inside)(last * STRIDE + from, width);
        }
    UNROLLED for (int i = 0; i < N; i++)
        UNROLLED for (int j = 0; j < NV; j++) sum[i][j] = (VECTOR){0} + start;
#define SLIDE_ROW(index, h)                                                                                           \
    {                                                                                                                 \
        const ptrdiff_t at = (index) - top;                                                                           \
        const ELEMENT *line = at >= 0 && at < height ? b + at * width : zeros;                                        \
        NAME(slide_row)(N, STRIDE, NV, h, sum, tap, line, left, last, NV == 1 ? last_mask : first_mask, last_mask);   \
    }
    UNROLLED for (int h = 0; h < N - STRIDE; h++) SLIDE_ROW(h, h)
    ROLLED for (ptrdiff_t p = 0; p < rows; p++) {
        UNROLLED for (int h = N - STRIDE; h < N; h++) SLIDE_ROW(p * STRIDE + h, h)
        ELEMENT *target = c + p * pitch;
        UNROLLED for (int j = 0; j < NV - 1; j++) STORE(sum[0][j], target + j * LANES);
        if (written == LANES)
            STORE(sum[0][NV - 1], target + last);
        else
            NAME(store_part)(sum[0][NV - 1], target + last, written);
        UNROLLED for (int i = 0; i < N; i++)
            UNROLLED for (int j = 0; j < NV; j++)
                sum[i][j] = (i + 1) * STRIDE < N ? sum[i + 1][j] : (VECTOR){0} + start;
    }
#undef SLIDE_ROW
}

#define DEFINE_SLIDE(N, STRIDE, NV)                                                                                   \
    static __attribute__((noinline)) void NAME(slide_##N##_##STRIDE##_##NV)(                                          \
        const ELEMENT *a, const int64_t *col_a, const ELEMENT *b, ptrdiff_t height, ptrdiff_t width, ptrdiff_t top,   \
        ptrdiff_t left, const ELEMENT *zeros, ELEMENT start, ELEMENT *c, ptrdiff_t pitch, ptrdiff_t rows,             \
        ptrdiff_t last, ptrdiff_t written)                                                                            \
    {                                                                                                                 \
        NAME(slide)(N, STRIDE, NV, a, col_a, b, height, width, top, left, zeros, start, c, pitch, rows, last,         \
                    written);                                                                                         \
    }

#define SLIDE_CASE(N, STRIDE, NV)                                                                                     \
    case (N * 4 + STRIDE) * 8 + NV:                                                                                   \
        NAME(slide_##N##_##STRIDE##_##NV)(a, col_a, b, height, width, top - row * stride, left - q * stride, zeros,   \
                                          start, c + q, out_width, rows, last, written);                              \
        break;

#define FOR_EACH_SLIDE_OF_2(use)                                                                                      \
    use(3, 1, 1) use(3, 1, 2) use(3, 2, 1) use(3, 2, 2) use(5, 1, 1) use(5, 1, 2) use(5, 2, 1) use(5, 2, 2)           \
        use(7, 1, 1) use(7, 1, 2)
#if VECTORS == 4
#define FOR_EACH_SLIDE(use)                                                                                           \
    FOR_EACH_SLIDE_OF_2(use) use(3, 1, 3) use(3, 1, 4) use(3, 2, 3) use(3, 2, 4)
#else
#define FOR_EACH_SLIDE(use) FOR_EACH_SLIDE_OF_2(use)
#endif

FOR_EACH_SLIDE(DEFINE_SLIDE)

/*
 * `rows` rows of results of a kernel without gaps, from row `row` on, in stripes whose last vectors overlap. `kernel`
 * holds the taps down and across, the stride, the most vectors, and the zeros above and to the left.
 */
static void NAME(stripes)(const int64_t *kernel, const ELEMENT *a, const int64_t *col_a, const ELEMENT *b,
                          ptrdiff_t height, ptrdiff_t width, ptrdiff_t row, const ELEMENT *zeros, ELEMENT start,
                          ELEMENT *c, ptrdiff_t out_width, ptrdiff_t rows)
{
    const ptrdiff_t stride = kernel[2], most = kernel[3], top = kernel[4], left = kernel[5];
    const ptrdiff_t vectors = (out_width + LANES - 1) / LANES, written = out_width < LANES ? out_width : LANES;
    ptrdiff_t first = 0;
    for (ptrdiff_t tiles = (vectors + most - 1) / most; tiles > 0; tiles--) {
        const ptrdiff_t here = (vectors - first + tiles - 1) / tiles, q = first * LANES;
        const ptrdiff_t last = tiles > 1 ? (here - 1) * LANES : (out_width > LANES ? out_width - LANES : 0) - q;
        first += here;
        switch ((kernel[0] * 4 + stride) * 8 + here) { FOR_EACH_SLIDE(SLIDE_CASE) }
    }
}

/*
 * Add to 3 x 3 vectors of sums over a stripe of one vector, and to one more the sums of y:
 *
 *     sums[r * 3 + s] += y[p * pitch + j] * x[p + r - top, j + s - left]     p < rows, j < count
 *
 * with zeros around the plane x. A row of x is read once for all the taps that it meets. The sums start at 0, as those
 * of `dots` do.
 */
static __attribute__((noinline)) void NAME(slide_dots)(const ELEMENT *restrict x, ptrdiff_t height, ptrdiff_t width,
                                                       ptrdiff_t top, ptrdiff_t left, const ELEMENT *restrict zeros,
                                                       const ELEMENT *restrict y, ptrdiff_t pitch, ptrdiff_t rows,
                                                       ptrdiff_t count, ELEMENT *restrict sums)
{
    const NAME(Mask) mask = NAME(inside)(0, count);
    NAME(Mask) masks[3];
    VECTOR line[3][3], sum[10];
    UNROLLED for (int s = 0; s < 3; s++) masks[s] = mask & NAME(inside)(s - left, width);
    UNROLLED for (int t = 0; t < 10; t++) sum[t] = (VECTOR){0};
#define READ_ROW(r, index)                                                                                            \
    {                                                                                                                 \
        const ptrdiff_t at = (index) - top;                                                                           \
        const ELEMENT *start = at >= 0 && at < height ? x + at * width : zeros;                                       \
        UNROLLED for (int s = 0; s < 3; s++) line[r][s] = NAME(load_masked)(start, s - left, masks[s]);               \
    }
    READ_ROW(0, 0)
    READ_ROW(1, 1)
    ROLLED for (ptrdiff_t p = 0; p < rows; p++) {
        READ_ROW(2, p + 2)
        const VECTOR factor = NAME(load_masked)(y, p * pitch, mask);
        /* Stripe by stripe, the hardware foresees no more than a line; the next planes follow these. */
        __builtin_prefetch((const char *)((uintptr_t)y + (p + rows) * pitch * sizeof(ELEMENT)));
        __builtin_prefetch((const char *)((uintptr_t)x + ((p + height) * width + 2 - left) * sizeof(ELEMENT)));
        UNROLLED for (int r = 0; r < 3; r++)
            UNROLLED for (int s = 0; s < 3; s++) sum[r * 3 + s] += factor * line[r][s];
        sum[9] += factor;
        UNROLLED for (int r = 0; r < 2; r++)
            UNROLLED for (int s = 0; s < 3; s++) line[r][s] = line[r + 1][s];
    }
#undef READ_ROW
    UNROLLED for (int t = 0; t < 10; t++) STORE(LOAD(sums + t * LANES) + sum[t], sums + t * LANES);
}

#define SLIDING(flag) ((flag) != 0)
#else
/* The planner is told that nothing slides. */
#define SLIDING(flag) 0
INLINE void NAME(stripes)(const int64_t *kernel, const ELEMENT *a, const int64_t *col_a, const ELEMENT *b,
                          ptrdiff_t height, ptrdiff_t width, ptrdiff_t row, const ELEMENT *zeros, ELEMENT start,
                          ELEMENT *c, ptrdiff_t out_width, ptrdiff_t rows)
{
}
INLINE void NAME(slide_dots)(const ELEMENT *x, ptrdiff_t height, ptrdiff_t width, ptrdiff_t top, ptrdiff_t left,
                             const ELEMENT *zeros, const ELEMENT *y, ptrdiff_t pitch, ptrdiff_t rows, ptrdiff_t count,
                             ELEMENT *sums)
{
}
#endif

#undef DEFINE_SLIDE
#undef SLIDE_CASE
#undef FOR_EACH_SLIDE
#undef FOR_EACH_SLIDE_OF_2
