/*
 * Convolutions of few channels a group for one type of ELEMENT: vectors of positions next to each other in a row.
 * fastconv/backends/plan_rows.py says when, and in what strips; tile.c includes this once for each type.
 *
 * A work item is an image, a group and a strip of positions. Items are dealt to as many chunks as there are threads,
 * since a chunk needs a scratch of its own; what an item computes does not depend on its chunk.
 */

/* The sum of a vector in memory, in halves. */
INLINE ELEMENT NAME(total)(const ELEMENT *source)
{
    ELEMENT every[LANES];
    STORE(LOAD(source), every);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int j = 0; j < half; j++) every[j] += every[j + half];
    return every[0];
}

/*
 * A tile of MR rows of NV vectors of neighbors:
 *
 *     c[row_c[i] + j] = start[i] + sum over t < steps of a[row_a[i] + col_a[t]] * b[row_b[i] + col_b[t] + j]
 *
 * All rows share the a of row_a[0], or with SHARED 0 the b of row_b[0]. The last vector starts at `last`; whole vectors
 * are read, and `written` elements of the last one written. Sums of more than `run` steps are sums of such sums, for
 * which `totals` has space.
 */
#define DEFINE_LINE(SHARED, MR, NV)                                                                                   \
    static __attribute__((noinline)) void NAME(line_##SHARED##_##MR##_##NV)(                                          \
        ptrdiff_t steps, ptrdiff_t run, ELEMENT *restrict totals, const ELEMENT *restrict a,                          \
        const int64_t *restrict row_a, const int64_t *restrict col_a, const ELEMENT *restrict b,                      \
        const int64_t *restrict row_b, const int64_t *restrict col_b, const ELEMENT *restrict start,                  \
        ELEMENT *restrict c, const int64_t *restrict row_c, ptrdiff_t last, ptrdiff_t written)                        \
    {                                                                                                                 \
        enum { AS = SHARED ? 1 : MR, BS = SHARED ? MR : 1 };                                                          \
        const ELEMENT *left[AS], *right[BS];                                                                          \
        VECTOR sum[MR][NV];                                                                                           \
        UNROLLED for (int i = 0; i < AS; i++) left[i] = a + row_a[i];                                                 \
        UNROLLED for (int i = 0; i < BS; i++) right[i] = b + row_b[i];                                                \
        UNROLLED for (int i = 0; i < MR; i++)                                                                         \
            UNROLLED for (int j = 0; j < NV; j++) sum[i][j] = (VECTOR){0} + start[i];                                 \
        ROLLED for (ptrdiff_t t = 0; t < steps;) {                                                                    \
            const ptrdiff_t begun = t, stop = steps - t > run ? t + run : steps;                                      \
            ROLLED for (; t < stop; t++) {                                                                            \
                const int64_t here = col_a[t], there = col_b[t];                                                      \
                if (SHARED) {                                                                                         \
                    const VECTOR factor = (VECTOR){0} + left[0][here];                                                \
                    UNROLLED for (int i = 0; i < MR; i++)                                                             \
                        UNROLLED for (int j = 0; j < NV; j++)                                                         \
                            sum[i][j] += factor * LOAD(right[i % BS] + there + (j < NV - 1 ? j * LANES : last));      \
                } else {                                                                                              \
                    VECTOR factor[NV];                                                                                \
                    UNROLLED for (int j = 0; j < NV; j++)                                                             \
                        factor[j] = LOAD(right[0] + there + (j < NV - 1 ? j * LANES : last));                         \
                    UNROLLED for (int i = 0; i < MR; i++)                                                             \
                        UNROLLED for (int j = 0; j < NV; j++) sum[i][j] += left[i % AS][here] * factor[j];            \
                }                                                                                                     \
            }                                                                                                         \
            if (begun)                                                                                                \
                UNROLLED for (int i = 0; i < MR; i++)                                                                 \
                    UNROLLED for (int j = 0; j < NV; j++) sum[i][j] += LOAD(totals + (i * NV + j) * LANES);           \
            if (t < steps)                                                                                            \
                UNROLLED for (int i = 0; i < MR; i++)                                                                 \
                    UNROLLED for (int j = 0; j < NV; j++) {                                                           \
                        STORE(sum[i][j], totals + (i * NV + j) * LANES);                                              \
                        sum[i][j] = (VECTOR){0};                                                                      \
                    }                                                                                                 \
        }                                                                                                             \
        UNROLLED for (int i = 0; i < MR; i++) {                                                                       \
            ELEMENT *target = c + row_c[i];                                                                           \
            UNROLLED for (int j = 0; j < NV - 1; j++) STORE(sum[i][j], target + j * LANES);                           \
            if (written == LANES)                                                                                     \
                STORE(sum[i][NV - 1], target + last);                                                                 \
            else                                                                                                      \
                NAME(store_part)(sum[i][NV - 1], target + last, written);                                             \
        }                                                                                                             \
    }

#define LINE_CASE(SHARED, MR, NV)                                                                                     \
    case MR * 8 + NV:                                                                                                 \
        NAME(line_##SHARED##_##MR##_##NV)(steps, run, totals, a, row_a, col_a, b + q, row_b, col_b, start, c + q,     \
                                          row_c, last, written);                                                      \
        break;

#if VECTORS == 4
#define FOR_EACH_SHARED(use) use(1, 8, 1) use(1, 4, 1) use(1, 4, 2) use(1, 4, 3) use(1, 4, 4)
#define FOR_EACH_OWN(use)                                                                                             \
    use(0, 2, 1) use(0, 2, 2) use(0, 2, 3) use(0, 2, 4) use(0, 3, 1) use(0, 3, 2) use(0, 3, 3) use(0, 3, 4)           \
        use(0, 4, 1) use(0, 4, 2) use(0, 4, 3) use(0, 4, 4)
#define FOR_EACH_DOTS(use) use(1, 1) use(1, 3) use(1, 9) use(2, 9) use(4, 6)
#else
#define FOR_EACH_SHARED(use) use(1, 8, 1) use(1, 4, 1) use(1, 4, 2)
#define FOR_EACH_OWN(use) use(0, 2, 1) use(0, 2, 2) use(0, 3, 1) use(0, 3, 2) use(0, 4, 1) use(0, 4, 2)
#define FOR_EACH_DOTS(use) use(1, 1) use(1, 3) use(1, 9) use(2, 4)
#endif

FOR_EACH_SHARED(DEFINE_LINE)
FOR_EACH_OWN(DEFINE_LINE)

/* `together` rows of `width` results, in tiles of vectors of which the last one overlaps the one before. */
static void NAME(lines)(ptrdiff_t together, ptrdiff_t columns, ptrdiff_t steps, ptrdiff_t run, ELEMENT *totals,
                        const ELEMENT *a, const int64_t *row_a, const int64_t *col_a, const ELEMENT *b,
                        const int64_t *row_b, const int64_t *col_b, const ELEMENT *start, ELEMENT *c,
                        const int64_t *row_c, ptrdiff_t width)
{
    if (steps == 0) {
        for (ptrdiff_t i = 0; i < together; i++)
            for (ptrdiff_t j = 0; j < width; j++) c[row_c[i] + j] = start[i];
        return;
    }
    const ptrdiff_t vectors = (width + LANES - 1) / LANES, written = width < LANES ? width : LANES;
    ptrdiff_t first = 0;
    for (ptrdiff_t tiles = (vectors + VECTORS - 1) / VECTORS; tiles > 0; tiles--) {
        const ptrdiff_t here = (vectors - first + tiles - 1) / tiles, q = first * LANES;
        const ptrdiff_t last = tiles > 1 ? (here - 1) * LANES : (width > LANES ? width - LANES : 0) - q;
        first += here;
        if (columns == 1) {
            switch (together * 8 + here) { FOR_EACH_SHARED(LINE_CASE) }
        } else {
            switch (together * 8 + here) { FOR_EACH_OWN(LINE_CASE) }
        }
    }
}

/* The forward pass, or the input gradient. A work item is a chunk: see above. */
static void NAME(multiply_rows)(ptrdiff_t begin, ptrdiff_t end, const int64_t *a)
{
    const ELEMENT *source = (const ELEMENT *)a[0], *w = (const ELEMENT *)a[1], *bias = (const ELEMENT *)a[2];
    ELEMENT *out = (ELEMENT *)a[3], *space = (ELEMENT *)a[4];
    const int64_t *col_a = (const int64_t *)a[5], *col_b = (const int64_t *)a[6], *phases = (const int64_t *)a[7];
    const ptrdiff_t chunks = a[8], items = a[9], space_size = a[10], scratch_size = a[11], line_size = a[12];
    const ptrdiff_t groups = a[13], channels = a[14], columns = a[15], column_stride = a[16], group_stride = a[17];
    const ptrdiff_t together = a[18];
    const int64_t *size = a + 19, *before = a + 22;
    const ptrdiff_t stride_d = a[25], stride_h = a[26], stride_w = a[27];
    const ptrdiff_t step_d = a[28], step_h = a[29], step_w = a[30];
    const ptrdiff_t phases_d = a[31], phases_h = a[32], phases_w = a[33];
    const ptrdiff_t height = a[35], width = a[36], plane = a[34] * height * width;
    const ptrdiff_t copied = a[37], depth = a[38], rows = a[39], across = a[40], down = a[41];
    const ptrdiff_t slices = a[42], lines = a[43], parts = a[44], pitch = a[45], filled = a[46];
    const ptrdiff_t slice_stride = a[48], row_stride = a[49];
    const int sliding = SLIDING(a[50]);
    const ptrdiff_t run = a[58], joined = a[60];
    const int64_t *at_h = phases + 2 * phases_d, *at_w = at_h + 2 * phases_h, *starts = at_w + 2 * phases_w;
    int64_t row_a[8] = {0}, row_b[8] = {0}, row_c[8], row_y[8];
    ELEMENT start[8];
    for (ptrdiff_t chunk = begin; chunk < end; chunk++) {
        ELEMENT *scratch = space + chunk * space_size, *buffer = scratch + scratch_size, *totals = scratch + a[59];
        if (sliding) memset(scratch, 0, scratch_size * sizeof(ELEMENT));
        for (ptrdiff_t item = chunk * items / chunks; item < (chunk + 1) * items / chunks; item++) {
            const ptrdiff_t strip = item % (across * down), rest = item / (across * down), group = rest % groups;
            const ptrdiff_t first_d = strip / down * depth, first_h = strip % down * rows;
            const ELEMENT *base = source + rest * channels * size[0] * size[1] * size[2];
            ptrdiff_t origin[2] = {0, 0};
            if (copied) {
                origin[0] = first_d * stride_d;
                origin[1] = first_h * stride_h;
                if (joined)
                    NAME(fill_joined)(base, size, before, origin, slices, lines, phases + joined, parts, pitch,
                                      channels, scratch);
                else
                    NAME(fill)(base, size, before, origin, slices, lines, stride_w, parts, pitch, filled, channels,
                               scratch);
                base = scratch;
            }
            for (ptrdiff_t phase_d = 0; phase_d < phases_d; phase_d++)
                for (ptrdiff_t i = first_d; i < first_d + depth && i < phases[2 * phase_d + 1]; i++) {
                    const ptrdiff_t source_d = (i * stride_d - origin[0]) * slice_stride;
                    const ptrdiff_t out_d = (phases[2 * phase_d] + i * step_d) * height;
                    for (ptrdiff_t phase_h = 0; phase_h < phases_h; phase_h++) {
                        const ptrdiff_t count = at_h[2 * phase_h + 1];
                        const ptrdiff_t stop = first_h + rows < count ? first_h + rows : count;
                        if (sliding) {
                            NAME(stripes)(a + 50, w + group * group_stride, col_a, base + source_d, size[1], size[2],
                                          first_h, scratch, bias ? bias[group] : 0,
                                          out + rest * plane + (out_d + first_h) * width, width, stop - first_h);
                            continue;
                        }
                        const ptrdiff_t high = joined ? stop - first_h : 1; /* rows that are one */
                        for (ptrdiff_t block = first_h; block < stop; block += columns == 1 ? together : high)
                            for (ptrdiff_t m = 0; m < columns; m += together) {
                                for (ptrdiff_t j = 0; j < together; j++) {
                                    const ptrdiff_t column = m + j < columns ? m + j : columns - 1;
                                    const ptrdiff_t p = columns > 1 ? block : block + j < stop ? block + j : stop - 1;
                                    row_a[j] = column * column_stride;
                                    row_b[j] = source_d + (p * stride_h - origin[1]) * row_stride;
                                    row_y[j] = (rest * columns + column) * plane
                                             + (out_d + at_h[2 * phase_h] + p * step_h) * width;
                                    start[j] = bias ? bias[group * columns + column] : 0;
                                    row_c[j] = phases_w == 1 ? row_y[j] : j * phases_w * line_size;
                                }
                                for (ptrdiff_t phase_w = 0; phase_w < phases_w; phase_w++) {
                                    const ptrdiff_t which = (phase_d * phases_h + phase_h) * phases_w + phase_w;
                                    const ptrdiff_t begun = starts[which];
                                    NAME(lines)(together, columns, starts[which + 1] - begun, run, totals,
                                                w + group * group_stride, row_a, col_a + begun, base, row_b,
                                                col_b + begun, start,
                                                phases_w == 1 ? out : buffer + phase_w * line_size, row_c,
                                                high * at_w[2 * phase_w + 1]);
                                }
                                for (ptrdiff_t j = 0; j < together && phases_w > 1; j++)
                                    NAME(weave)(buffer + row_c[j], line_size, step_w, out + row_y[j], width);
                            }
                    }
                }
        }
    }
}

/*
 * Add to MR x NR vectors of sums over positions, of which q goes to lane q modulo LANES; nothing beyond `rows` and
 * `width` is read:
 *
 *     c[i * ldc + j] += a[row_a[i] + p * pitch_a + q] * b[col_b[j] + p * pitch_b + q]     p < rows, q < width
 *
 * The sums start at 0 even so: one running sum over all calls would lose digits.
 */
#define DEFINE_DOTS(MR, NR)                                                                                           \
    static __attribute__((noinline)) void NAME(dots_##MR##_##NR)(                                                     \
        ptrdiff_t rows, ptrdiff_t width, const ELEMENT *restrict a, const int64_t *restrict row_a, ptrdiff_t pitch_a, \
        const ELEMENT *restrict b, const int64_t *restrict col_b, ptrdiff_t pitch_b, ELEMENT *restrict c,             \
        ptrdiff_t ldc)                                                                                                \
    {                                                                                                                 \
        const ptrdiff_t part = width % LANES, whole = width - part;                                                   \
        const ELEMENT *left[MR], *right[NR];                                                                          \
        VECTOR sum[MR][NR];                                                                                           \
        UNROLLED for (int i = 0; i < MR; i++) left[i] = a + row_a[i];                                                 \
        UNROLLED for (int j = 0; j < NR; j++) right[j] = b + col_b[j];                                                \
        UNROLLED for (int i = 0; i < MR; i++)                                                                         \
            UNROLLED for (int j = 0; j < NR; j++) sum[i][j] = (VECTOR){0};                                            \
        ROLLED for (ptrdiff_t p = 0; p < rows; p++) {                                                                 \
            const ptrdiff_t at_a = p * pitch_a, at_b = p * pitch_b;                                                   \
            VECTOR factor[MR];                                                                                        \
            ROLLED for (ptrdiff_t q = 0; q < whole; q += LANES) {                                                     \
                UNROLLED for (int i = 0; i < MR; i++) factor[i] = LOAD(left[i] + at_a + q);                           \
                UNROLLED for (int j = 0; j < NR; j++) {                                                               \
                    const VECTOR other = LOAD(right[j] + at_b + q);                                                   \
                    UNROLLED for (int i = 0; i < MR; i++) sum[i][j] += factor[i] * other;                             \
                }                                                                                                     \
            }                                                                                                         \
            if (part) {                                                                                               \
                UNROLLED for (int i = 0; i < MR; i++) factor[i] = NAME(load_part)(left[i] + at_a + whole, part);      \
                UNROLLED for (int j = 0; j < NR; j++) {                                                               \
                    const VECTOR other = NAME(load_part)(right[j] + at_b + whole, part);                              \
                    UNROLLED for (int i = 0; i < MR; i++) sum[i][j] += factor[i] * other;                             \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
        UNROLLED for (int i = 0; i < MR; i++)                                                                         \
            UNROLLED for (int j = 0; j < NR; j++) {                                                                   \
                ELEMENT *target = c + (i * ldc + j) * LANES;                                                          \
                STORE(LOAD(target) + sum[i][j], target);                                                              \
            }                                                                                                         \
    }

#define DOTS_CASE(MR, NR)                                                                                             \
    case MR * 16 + NR:                                                                                                \
        NAME(dots_##MR##_##NR)(rows, width, a, row_a, pitch_a, b, col_b, pitch_b, c, ldc);                            \
        break;

FOR_EACH_DOTS(DEFINE_DOTS)

static void NAME(dots)(ptrdiff_t mr, ptrdiff_t nr, ptrdiff_t rows, ptrdiff_t width, const ELEMENT *a,
                       const int64_t *row_a, ptrdiff_t pitch_a, const ELEMENT *b, const int64_t *col_b,
                       ptrdiff_t pitch_b, ELEMENT *c, ptrdiff_t ldc)
{
    switch (mr * 16 + nr) { FOR_EACH_DOTS(DOTS_CASE) }
}

/* Add to the sums of a group those of `rows` rows, and behind them, unless `ones` is null, the sums of dy. */
static void NAME(group_dots)(const ELEMENT *source, ptrdiff_t pitch, const ELEMENT *dy, ptrdiff_t pitch_dy,
                             ptrdiff_t plane, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t filters, ptrdiff_t steps,
                             const int64_t *taps, const ELEMENT *ones, ptrdiff_t mr, ptrdiff_t nr, ELEMENT *sums)
{
    const ptrdiff_t all_filters = (filters + mr - 1) / mr * mr;
    const int64_t one = 0;
    int64_t row[8];
    for (ptrdiff_t m = 0; m < all_filters; m += mr) {
        for (ptrdiff_t r = 0; r < mr; r++) row[r] = (m + r < filters ? m + r : filters - 1) * plane;
        for (ptrdiff_t t = 0; t < steps; t += nr)
            NAME(dots)(mr, nr, rows, width, dy, row, pitch_dy, source, taps + t, pitch, sums + (m * steps + t) * LANES,
                       steps);
        for (ptrdiff_t r = 0; r < mr && ones; r++)
            NAME(dots)(1, 1, rows, width, dy, row + r, pitch_dy, ones, &one, 0,
                       sums + (all_filters * steps + m + r) * LANES, 1);
    }
}

/* The weight gradient. A work item is a chunk of groups and pieces of the reduction. */
static void NAME(add_rows)(ptrdiff_t begin, ptrdiff_t end, const int64_t *a)
{
    const ELEMENT *x = (const ELEMENT *)a[0], *dy = (const ELEMENT *)a[1];
    ELEMENT *dw = (ELEMENT *)a[2], *db = (ELEMENT *)a[3], *space = (ELEMENT *)a[4];
    const int64_t *taps = (const int64_t *)a[5];
    const ptrdiff_t chunks = a[6], items = a[7], space_size = a[8], scratch_size = a[9], ones_size = a[10];
    const ptrdiff_t groups = a[11], channels = a[12], filters = a[13], steps = a[14], mr = a[15], nr = a[16];
    const ptrdiff_t images = a[17], splits = a[18];
    const int64_t *size = a + 19, *before = a + 22;
    const ptrdiff_t stride_d = a[25], stride_h = a[26], stride_w = a[27];
    const ptrdiff_t out_depth = a[28], height = a[29], width = a[30];
    const ptrdiff_t copied = a[31], depth = a[32], rows = a[33], across = a[34], down = a[35];
    const ptrdiff_t slices = a[36], lines = a[37], parts = a[38], pitch = a[39], filled = a[40];
    const ptrdiff_t slice_stride = a[42], row_stride = a[43], together = a[44];
    const int sliding = SLIDING(a[45]);
    const ptrdiff_t top = a[49], left = a[50], run = a[51], joined = a[52];
    const ptrdiff_t plane = out_depth * height * width, units = images * across * down;
    /* Positions of a running sum, `run` vectors: so many rows of so many columns. */
    const ptrdiff_t longest = joined ? rows * width : width;
    const ptrdiff_t wide = sliding ? LANES : longest < run * LANES ? longest : run * LANES;
    const ptrdiff_t high = run / ((wide + LANES - 1) / LANES);
    const ptrdiff_t all_filters = (filters + mr - 1) / mr * mr, all_steps = (steps + nr - 1) / nr * nr;
    const ptrdiff_t sums_size = all_filters * (all_steps + 1) * LANES;
    for (ptrdiff_t chunk = begin; chunk < end; chunk++) {
        ELEMENT *scratch = space + chunk * space_size, *ones = scratch + scratch_size, *every = ones + ones_size;
        for (ptrdiff_t j = 0; j < ones_size; j++) ones[j] = 1;
        if (sliding) memset(scratch, 0, scratch_size * sizeof(ELEMENT));
        ptrdiff_t count;
        for (ptrdiff_t item = chunk * items / chunks, last = (chunk + 1) * items / chunks; item < last; item += count) {
            /* Some groups at a time, so that x and dy are read in the order in which they lie in memory. */
            const ptrdiff_t first_group = item % groups, piece = item / groups;
            count = last - item < groups - first_group ? last - item : groups - first_group;
            if (count > together) count = together;
            memset(every, 0, count * sums_size * sizeof(ELEMENT));
            for (ptrdiff_t unit = piece * units / splits; unit < (piece + 1) * units / splits; unit++) {
                const ptrdiff_t strip = unit % (across * down), image = unit / (across * down);
                const ptrdiff_t first_d = strip / down * depth, first_h = strip % down * rows;
                const ptrdiff_t strip_rows = rows < height - first_h ? rows : height - first_h;
                /* Rows that are one. */
                const ptrdiff_t here = joined ? 1 : strip_rows, length = joined ? strip_rows * width : width;
                for (ptrdiff_t j = 0; j < count; j++) {
                    const ptrdiff_t number = image * groups + first_group + j;
                    const ELEMENT *base = x + number * channels * size[0] * size[1] * size[2];
                    ELEMENT *sums = every + j * sums_size;
                    ptrdiff_t origin[2] = {0, 0};
                    if (copied) {
                        origin[0] = first_d * stride_d;
                        origin[1] = first_h * stride_h;
                        if (joined)
                            NAME(fill_joined)(base, size, before, origin, slices, lines, taps + joined, parts, pitch,
                                              channels, scratch);
                        else
                            NAME(fill)(base, size, before, origin, slices, lines, stride_w, parts, pitch, filled,
                                       channels, scratch);
                        base = scratch;
                    }
                    for (ptrdiff_t i = first_d; i < first_d + depth && i < out_depth; i++) {
                        const ELEMENT *grads = dy + number * filters * plane + (i * height + first_h) * width;
                        const ELEMENT *from = base + (i * stride_d - origin[0]) * slice_stride;
                        for (ptrdiff_t p = 0; p < here; p += high)
                            for (ptrdiff_t q = 0; q < length; q += wide) {
                                const ELEMENT *begun = grads + p * width + q;
                                const ptrdiff_t tall = here - p < high ? here - p : high;
                                const ptrdiff_t some = length - q < wide ? length - q : wide;
                                if (sliding)
                                    NAME(slide_dots)(from, size[1], size[2], top - first_h - p, left - q, scratch,
                                                     begun, width, tall, some, sums);
                                else
                                    NAME(group_dots)(from + ((first_h + p) * stride_h - origin[1]) * row_stride + q,
                                                     stride_h * row_stride, begun, width, plane, tall, some, filters,
                                                     all_steps, taps, db ? ones : 0, mr, nr, sums);
                            }
                    }
                }
            }
            for (ptrdiff_t j = 0; j < count; j++) {
                const ptrdiff_t group = piece * groups + first_group + j;
                const ELEMENT *sums = every + j * sums_size;
                for (ptrdiff_t m = 0; m < filters; m++) {
                    for (ptrdiff_t t = 0; t < steps; t++)
                        dw[(group * filters + m) * steps + t] = NAME(total)(sums + (m * all_steps + t) * LANES);
                    /* A kernel that slides has one filter: either way this is the vector behind those of the taps. */
                    const ptrdiff_t behind = sliding ? steps : all_filters * all_steps + m;
                    if (db) db[group * filters + m] = NAME(total)(sums + behind * LANES);
                }
            }
        }
    }
}

#undef DEFINE_LINE
#undef LINE_CASE
#undef FOR_EACH_SHARED
#undef FOR_EACH_OWN
#undef FOR_EACH_DOTS
#undef DEFINE_DOTS
#undef DOTS_CASE
#undef SLIDING
