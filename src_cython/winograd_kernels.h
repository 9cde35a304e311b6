/*
 * Winograd F(4 x 4, 3 x 3) for float: tile.c includes this once for each instruction set.
 *
 * A 6 x 6 tile of the input, the 3 x 3 kernel, and the 4 x 4 outputs are each carried to 36 points, where convolution
 * is multiplication, so that the sum over channels becomes 36 products of matrices. The weight gradient is
 * F(3 x 3, 4 x 4) with the tile of dy in the kernel's part. The input gradient is the forward pass with the flipped
 * kernel or, where dy has fewer tiles, the adjoint of the forward pass. fastconv/backends/plan_winograd.py has the
 * blocking and the workspace; fastconv/backends/numba/winograd.py says why these points: 0, +-11/16, +-11/8 and
 * infinity, exact in binary.
 */

#define P 0.6875f
#define Q 1.375f
#define P2 (P * P)
#define Q2 (Q * Q)
/* 1 / (2 a^2 (a^2 - b^2)): what the pair of points +a and -a is scaled by, b being the other pair's. */
#define SCALE(a2, b2) ((float)(1 / (2.0 * (a2) * ((double)(a2) - (b2)))))

/* Rows of the weight gradient's products at a time are whole tiles of 4, 6 and 8: a tile adds to all of its rows, and
 * those beyond would be the first of the next. */
enum { POINTS = 36, MAX_CHANNELS = 480, MAX_TILES = 128 };

/* The one-dimensional transforms. Each pairs the points +a and -a, which share their even and their odd half. */

INLINE void line_input(const VECTOR *d, VECTOR *m)
{
    const VECTOR even_p = d[4] - Q2 * d[2], odd_p = d[3] - Q2 * d[1];
    const VECTOR even_q = d[4] - P2 * d[2], odd_q = d[3] - P2 * d[1];
    m[0] = P2 * Q2 * d[0] + (d[4] - (P2 + Q2) * d[2]);
    m[1] = even_p + P * odd_p;
    m[2] = even_p - P * odd_p;
    m[3] = even_q + Q * odd_q;
    m[4] = even_q - Q * odd_q;
    m[5] = P2 * Q2 * d[1] + (d[5] - (P2 + Q2) * d[3]);
}

/* B D m: the adjoint of line_input, where D takes out what line_weight or line_grad_output scaled once too often. */
INLINE void line_scatter(const VECTOR *m, VECTOR *d)
{
    const float of_p = 2 * P2 * (P2 - Q2), of_q = 2 * Q2 * (Q2 - P2), both = P2 * Q2;
    const VECTOR sum_p = m[1] + m[2], less_p = m[1] - m[2], sum_q = m[3] + m[4], less_q = m[3] - m[4];
    d[0] = both * both * m[0];
    d[1] = -P * Q2 * of_p * less_p + (-Q * P2 * of_q * less_q + both * m[5]);
    d[2] = -Q2 * of_p * sum_p + (-P2 * of_q * sum_q - (P2 + Q2) * both * m[0]);
    d[3] = P * of_p * less_p + (Q * of_q * less_q - (P2 + Q2) * m[5]);
    d[4] = of_p * sum_p + (of_q * sum_q + both * m[0]);
    d[5] = m[5];
}

INLINE void line_weight(const VECTOR *g, VECTOR *m)
{
    const float scale_p = SCALE(P2, Q2), scale_q = SCALE(Q2, P2);
    const VECTOR even_p = scale_p * P2 * g[2] + scale_p * g[0], even_q = scale_q * Q2 * g[2] + scale_q * g[0];
    m[0] = 1 / (P2 * Q2) * g[0];
    m[1] = even_p + scale_p * P * g[1];
    m[2] = even_p - scale_p * P * g[1];
    m[3] = even_q + scale_q * Q * g[1];
    m[4] = even_q - scale_q * Q * g[1];
    m[5] = g[2];
}

INLINE void line_grad_output(const VECTOR *d, VECTOR *m)
{
    const float scale_p = SCALE(P2, Q2), scale_q = SCALE(Q2, P2);
    const VECTOR even_p = scale_p * P2 * d[2] + scale_p * d[0], odd_p = scale_p * P * P2 * d[3] + scale_p * P * d[1];
    const VECTOR even_q = scale_q * Q2 * d[2] + scale_q * d[0], odd_q = scale_q * Q * Q2 * d[3] + scale_q * Q * d[1];
    m[0] = 1 / (P2 * Q2) * d[0];
    m[1] = even_p + odd_p;
    m[2] = even_p - odd_p;
    m[3] = even_q + odd_q;
    m[4] = even_q - odd_q;
    m[5] = d[3];
}

INLINE void line_output(const VECTOR *m, VECTOR *y)
{
    const VECTOR sum_p = m[1] + m[2], less_p = m[1] - m[2], sum_q = m[3] + m[4], less_q = m[3] - m[4];
    y[0] = m[0] + sum_p + sum_q;
    y[1] = P * less_p + Q * less_q;
    y[2] = P2 * sum_p + Q2 * sum_q;
    y[3] = P * P2 * less_p + (Q * Q2 * less_q + m[5]);
}

INLINE void line_grad_weight(const VECTOR *m, VECTOR *w)
{
    const VECTOR sum_p = m[1] + m[2], less_p = m[1] - m[2], sum_q = m[3] + m[4], less_q = m[3] - m[4];
    w[0] = m[0] + sum_p + sum_q;
    w[1] = P * less_p + Q * less_q;
    w[2] = P2 * sum_p + (Q2 * sum_q + m[5]);
}

/*
 * Transform a square tile of FROM x FROM vectors into one of TO x TO: its columns, then the rows of the result, which
 * are PUT into their places. The vectors of a row lie `column` elements apart, the rows `row` elements.
 */
#define DEFINE_TRANSFORM(KIND, FROM, TO, PUT)                                                                         \
    INLINE void transform_##KIND(const float *restrict source, ptrdiff_t row, ptrdiff_t column,                \
                                        float *restrict target, ptrdiff_t row_out, ptrdiff_t column_out)              \
    {                                                                                                                 \
        VECTOR half[FROM][TO];                                                                                        \
        UNROLLED for (int j = 0; j < FROM; j++) {                                                                     \
            VECTOR in[FROM];                                                                                          \
            UNROLLED for (int i = 0; i < FROM; i++) in[i] = LOAD(source + i * row + j * column);                      \
            line_##KIND(in, half[j]);                                                                                 \
        }                                                                                                             \
        UNROLLED for (int i = 0; i < TO; i++) {                                                                       \
            VECTOR in[FROM], out[TO];                                                                                 \
            UNROLLED for (int j = 0; j < FROM; j++) in[j] = half[j][i];                                               \
            line_##KIND(in, out);                                                                                     \
            UNROLLED for (int j = 0; j < TO; j++) PUT(out[j], target + i * row_out + j * column_out);                 \
        }                                                                                                             \
    }

#define ADD(value, place) STORE(LOAD(place) + (value), place)

DEFINE_TRANSFORM(input, 6, 6, STORE)
DEFINE_TRANSFORM(scatter, 6, 6, ADD)
DEFINE_TRANSFORM(weight, 3, 6, STORE)
DEFINE_TRANSFORM(output, 6, 4, STORE)
DEFINE_TRANSFORM(grad_output, 4, 6, STORE)
DEFINE_TRANSFORM(grad_weight, 6, 3, STORE)

static inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
static inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
static inline ptrdiff_t parts_of(ptrdiff_t whole, ptrdiff_t part) { return (whole + part - 1) / part; }

/*
 * One phase of a kernel: its taps of every few rows and columns, 3 x 3 of them or a row or column less. Zeros are in
 * place of that, and then the points at infinity are zeros too or, where the kernel is flipped, those at zero.
 */
typedef struct {
    ptrdiff_t first, row, column; /* of the kernel's taps: the first one, and from one to those below and beside it */
    ptrdiff_t rows, columns;
} Phase;

/* Phase number `index` of the kernel that `taps` tells of, which is `args` of Taps in plan_winograd.py. */
INLINE Phase phase_of(const int64_t *taps, ptrdiff_t index)
{
    const ptrdiff_t columns = taps[2], down = taps[3], across = taps[4], i = index / across, j = index % across;
    const Phase phase = {i * columns + j, down * columns, across, parts_of(taps[1] - i, down),
                         parts_of(columns - j, across)};
    return phase;
}

INLINE int vanishes(const Phase *phase, ptrdiff_t flipped, ptrdiff_t xi)
{
    const ptrdiff_t at = flipped ? 0 : 5;
    return (xi / 6 == at && phase->rows < 3) || (xi % 6 == at && phase->columns < 3);
}

/* Carry a vector of the taps of a phase to the points; from tap to tap of the kernel there are `pitch` elements. */
INLINE void spread_taps(const float *source, ptrdiff_t pitch, const Phase *phase, ptrdiff_t flipped, float *target,
                        ptrdiff_t point)
{
    float stage[9 * LANES];
    ptrdiff_t row = phase->row * pitch, column = phase->column * pitch;
    source += phase->first * pitch;
    if (phase->rows < 3 || phase->columns < 3) {
        for (ptrdiff_t r = 0; r < 3; r++)
            for (ptrdiff_t s = 0; s < 3; s++)
                STORE(r < phase->rows && s < phase->columns ? LOAD(source + r * row + s * column) : (VECTOR){0},
                      stage + (3 * r + s) * LANES);
        source = stage, row = 3 * LANES, column = LANES;
    }
    if (flipped) source += 2 * (row + column), row = -row, column = -column;
    transform_weight(source, row, column, target, 6 * point, point);
}

/* Carry a vector at the points to the taps of a phase. */
INLINE void gather_taps(const float *source, ptrdiff_t point, const Phase *phase, float *target, ptrdiff_t pitch)
{
    const ptrdiff_t row = phase->row * pitch, column = phase->column * pitch;
    target += phase->first * pitch;
    if (phase->rows == 3 && phase->columns == 3) {
        transform_grad_weight(source, 6 * point, point, target, row, column);
        return;
    }
    float stage[9 * LANES];
    transform_grad_weight(source, 6 * point, point, stage, 3 * LANES, LANES);
    for (ptrdiff_t r = 0; r < phase->rows; r++)
        for (ptrdiff_t s = 0; s < phase->columns; s++)
            STORE(LOAD(stage + (3 * r + s) * LANES), target + r * row + s * column);
}

/*
 * From panels of (c, R x S) steps to panels of c steps at each of the 36 points; a work item is a (panel, c).
 *
 * Of each phase: its steps follow those of the one before, or its panels do, or, where a panel has the columns of all,
 * its columns do: these are written in that order, as a vector of them may reach into the next one's.
 */
static void winograd_weights(ptrdiff_t begin, ptrdiff_t end, const int64_t *a)
{
    const float *panels = (const float *)a[0];
    float *out = (float *)a[1];
    const ptrdiff_t depth = a[2], width = a[3], flipped = a[4], point = a[5];
    const ptrdiff_t blocks = a[6], to_phase = a[7], to_block = a[8], to_group = a[9];
    const int64_t *taps = a + 10;
    const ptrdiff_t all_taps = taps[1] * taps[2], phases = taps[3] * taps[4], wide = smaller(width, to_phase);
    for (ptrdiff_t item = begin; item < end; item++) {
        const ptrdiff_t panel = item / depth, c = item % depth;
        const float *source = panels + item * all_taps * width;
        float *target = out + panel / blocks * to_group + panel % blocks * to_block + c * width;
        for (ptrdiff_t index = 0; index < phases; index++, target += to_phase) {
            const Phase phase = phase_of(taps, index);
            for (ptrdiff_t j = 0; j < wide; j += LANES)
                spread_taps(source + j, width, &phase, flipped, target + j, point);
        }
    }
}

/* Planes of height x width elements, one a channel, `distance` apart, and the window of them that a block of tiles
 * covers. */
typedef struct {
    ptrdiff_t channels, distance, height, width, tile_rows, tile_columns;
} Window;

/* The third dimension: slice o of a result meets the slices o * stride - front + t * step of the source, t < taps. */
typedef struct {
    ptrdiff_t taps, size, output, front, stride, step;
} Depth;

/* The window at (top, left) of up to LANES planes, turned to (row, column, channel) with zeros outside the planes. */
static void turn(const float *source, ptrdiff_t channels, const Window *window, ptrdiff_t top, ptrdiff_t left,
                 ptrdiff_t rows, ptrdiff_t columns, float *slab)
{
    const ptrdiff_t height = window->height, width = window->width;
    const ptrdiff_t first = smaller(larger(0, -left), columns);
    const ptrdiff_t last = larger(first, smaller(columns, width - left));
    for (ptrdiff_t i = 0; i < rows; i++) {
        const ptrdiff_t h = top + i;
        float *line = slab + i * columns * LANES;
        if (h < 0 || h >= height || last == first) {
            memset(line, 0, columns * LANES * sizeof(float));
            continue;
        }
        const float *from = source + h * width + left;
        memset(line, 0, first * LANES * sizeof(float));
        for (ptrdiff_t next = first; next < last; next += LANES) {
            /* The last block ends with the line, and does again what overlaps the one before. */
            const ptrdiff_t j = smaller(next, larger(first, last - LANES));
            /* The planes that follow are turned next. */
            for (int l = 0; l < LANES; l++) ASK_FOR(from, j + (LANES + l) * window->distance, 0);
            transpose_lanes_float(channels, smaller(LANES, last - j), LANES, from + j, window->distance,
                                  line + j * LANES, LANES, 0);
        }
        memset(line + last * LANES, 0, (columns - last) * LANES * sizeof(float));
    }
}

typedef void Transform(const float *, ptrdiff_t, ptrdiff_t, float *, ptrdiff_t, ptrdiff_t);

/* Carry the size x size tiles of a window of all its channels to the points, target[point][tile][channel]. */
INLINE void spread(Transform *transform, ptrdiff_t size, const float *source, const Window *window,
                          ptrdiff_t top, ptrdiff_t left, float *slab, float *target, ptrdiff_t point, ptrdiff_t pitch)
{
    const ptrdiff_t tile_rows = window->tile_rows, tile_columns = window->tile_columns;
    const ptrdiff_t rows = 4 * tile_rows + size - 4, columns = 4 * tile_columns + size - 4;
    for (ptrdiff_t c = 0; c < window->channels; c += LANES) {
        turn(source + c * window->distance, smaller(LANES, window->channels - c), window, top, left,
             rows, columns, slab);
        for (ptrdiff_t i = 0; i < tile_rows; i++)
            for (ptrdiff_t j = 0; j < tile_columns; j++)
                transform(slab + 4 * (i * columns + j) * LANES, columns * LANES, LANES,
                          target + (i * tile_columns + j) * pitch + c, 6 * point, point);
    }
}

/* The slices of a volume that slice o of the result meets, one after the other; zeros for those outside. */
static void spread_input(const float *source, const Window *window, const Depth *depth, ptrdiff_t o, ptrdiff_t top,
                         ptrdiff_t left, float *slab, float *target, ptrdiff_t point, ptrdiff_t pitch)
{
    const ptrdiff_t each = pitch / depth->taps, tiles = window->tile_rows * window->tile_columns;
    for (ptrdiff_t t = 0; t < depth->taps; t++, target += each) {
        const ptrdiff_t d = o * depth->stride - depth->front + t * depth->step;
        if (d >= 0 && d < depth->size)
            spread(transform_input, 6, source + d * window->height * window->width, window, top, left, slab, target,
                   point, pitch);
        else
            for (ptrdiff_t xi = 0; xi < POINTS; xi++)
                for (ptrdiff_t i = 0; i < tiles; i++)
                    memset(target + xi * point + i * pitch, 0, each * sizeof(float));
    }
}

static void spread_grad_output(const float *source, const Window *window, ptrdiff_t top, ptrdiff_t left, float *slab,
                               float *target, ptrdiff_t point, ptrdiff_t pitch)
{
    spread(transform_grad_output, 4, source, window, top, left, slab, target, point, pitch);
}

/*
 * Of a block's products, the rows of 4 x 4 outputs of each of its tiles: out[filter][p][q], with the bias added. Rows
 * that are whole lie one behind the other, and go to their planes as one. From right to left: what the last tile has
 * beyond a row, the first one of the next overwrites.
 */
static void gather(const float *products, ptrdiff_t product_point, ptrdiff_t panel_width, ptrdiff_t wide,
                   ptrdiff_t tile_rows, ptrdiff_t tile_columns, float *outputs, float *target, ptrdiff_t first_row,
                   ptrdiff_t first_column, ptrdiff_t out_height, ptrdiff_t out_width, ptrdiff_t out_distance,
                   const float *bias)
{
    const ptrdiff_t columns = smaller(4 * tile_columns, out_width - first_column);
    const int whole = columns == out_width;
    const ptrdiff_t line = (whole ? out_width : 4 * tile_columns) * panel_width;
    for (ptrdiff_t i = 0; i < tile_rows; i++) {
        for (ptrdiff_t j = tile_columns - 1; j >= 0; j--)
            for (ptrdiff_t k = 0; k < wide; k += LANES)
                transform_output(products + (i * tile_columns + j) * panel_width + k, 6 * product_point, product_point,
                                 outputs + 4 * j * panel_width + k, line, panel_width);
        const ptrdiff_t p = first_row + 4 * i, lines = smaller(4, out_height - p);
        for (ptrdiff_t r = 0; r < lines; r += whole ? lines : 1)
            transpose_planes_float(whole ? lines * columns : columns, wide, outputs + r * line, panel_width,
                                   target + (p + r) * out_width + first_column, out_distance, bias);
    }
}

/*
 * Of the products of an image's tiles of dy, the planes of dx: what 6 x 6 positions of each tile make, 4 apart, is
 * added up. Of a row of tiles the first 4 rows are then done; the others are the first ones of the next row's.
 */
static void overlap(const float *products, ptrdiff_t product_point, ptrdiff_t panel_width, ptrdiff_t wide,
                    ptrdiff_t tile_rows, ptrdiff_t tile_columns, ptrdiff_t top, ptrdiff_t left, float *outputs,
                    float *target, ptrdiff_t height, ptrdiff_t width, ptrdiff_t distance)
{
    const ptrdiff_t line = (4 * tile_columns + 2) * panel_width;
    float *done = outputs + 6 * line; /* the same rows one behind the other, to be transposed as one */
    memset(outputs, 0, 6 * line * sizeof(float));
    for (ptrdiff_t i = 0; i < tile_rows; i++) {
        for (ptrdiff_t j = 0; j < tile_columns; j++)
            for (ptrdiff_t k = 0; k < wide; k += LANES)
                transform_scatter(products + (i * tile_columns + j) * panel_width + k, 6 * product_point, product_point,
                                  outputs + 4 * j * panel_width + k, line, panel_width);
        const ptrdiff_t first = larger(0, top - 4 * i);
        const ptrdiff_t last = smaller(i == tile_rows - 1 ? 6 : 4, height + top - 4 * i);
        for (ptrdiff_t r = first; r < last; r++)
            memcpy(done + (r - first) * width * panel_width, outputs + r * line + left * panel_width,
                   width * panel_width * sizeof(float));
        /* With much padding a row of tiles may have none that are inside. */
        transpose_planes_float((last - first) * width, wide, done, panel_width, target + (4 * i + first - top) * width,
                               distance, 0);
        memcpy(outputs, outputs + 4 * line, 2 * line * sizeof(float));
        memset(outputs + 2 * line, 0, 4 * line * sizeof(float));
    }
}

/*
 * The forward pass or the input gradient. A work item is a block of tiles (part of an image, or several whole images)
 * and a run of panels of a group. With `fused`, `panels` is the kernel itself, and each part of it is packed and
 * transformed just before its use. Where phases have products of their own, points that vanish are left out of them:
 * `sets` of steps are summed up one after the other, `column_sets` of panels follow each other. With `adjoint` the
 * tiles are those of dy, and a block has all tiles of its images.
 */
static void winograd(ptrdiff_t begin, ptrdiff_t end, const int64_t *a)
{
    const float *source = (const float *)a[0], *panels = (const float *)a[1], *bias = (const float *)a[2];
    float *out = (float *)a[3];
    const int64_t *col_a = (const int64_t *)a[4], *col_b = (const int64_t *)a[5];
    const ptrdiff_t images = a[7], groups = a[8], channels = a[9], filters = a[10], height = a[11], width = a[12];
    const ptrdiff_t top = a[13], left = a[14], out_height = a[15], out_width = a[16], tiles_h = a[17], tiles_w = a[18];
    const ptrdiff_t block_h = a[19], block_w = a[20], together = a[21], panel_width = a[22], run = a[23];
    const ptrdiff_t pitch = a[24], point = a[25], product_point = a[26], chunk = a[27], work_size = a[31];
    const ptrdiff_t parts = a[32], count = a[33], weight_point = a[34], fused = a[35], flipped = a[36];
    const Depth depth = {a[38], a[39], a[40], a[41], a[42], a[43]};
    const int64_t *taps = a + 44;
    const ptrdiff_t all_taps = taps[1] * taps[2], sets = a[49], column_sets = a[50], steps = a[51], set_panels = a[52];
    const ptrdiff_t adjoint = a[53], group_stride = a[54], step_stride = a[55], column_stride = a[56];
    /* The part of the work that begins here tells which of the `parts` workspaces is this thread's. */
    float *slab = (float *)a[6] + (begin * parts + count - 1) / count * work_size;
    float *points = slab + a[28], *products = slab + a[29], *outputs = slab + a[30], *own = slab + a[37];
    float *packed = slab + a[57];
    const ptrdiff_t panel_count = column_sets * set_panels, set_filters = filters / column_sets;
    const ptrdiff_t runs = parts_of(panel_count, run);
    const ptrdiff_t blocks_h = parts_of(tiles_h, block_h), blocks_w = parts_of(tiles_w, block_w);
    const ptrdiff_t image_blocks = parts_of(images, together);
    const ptrdiff_t plane = height * width, out_plane = out_height * out_width;
    int64_t row[MAX_TILES];
    for (ptrdiff_t item = begin; item < end; item++) {
        ptrdiff_t rest = item / runs;
        const ptrdiff_t first_panel = item % runs * run, last_panel = smaller(first_panel + run, panel_count);
        const ptrdiff_t tile_w = rest % blocks_w * block_w;
        rest /= blocks_w;
        const ptrdiff_t tile_h = rest % blocks_h * block_h;
        rest /= blocks_h;
        const ptrdiff_t image = rest % image_blocks * together, group = rest / image_blocks;
        const ptrdiff_t here = smaller(together, images - image);
        const Window window = {channels, depth.size * plane, height, width, smaller(block_h, tiles_h - tile_h),
                               smaller(block_w, tiles_w - tile_w)};
        const ptrdiff_t each = window.tile_rows * window.tile_columns, tiles = here * each;
        for (ptrdiff_t n = 0; n < here; n++) {
            const ptrdiff_t of = (image + n) / depth.output * groups + group, o = (image + n) % depth.output;
            const float *from = source + of * channels * depth.size * plane;
            float *to = points + n * each * pitch;
            if (adjoint)
                spread_grad_output(from + o * plane, &window, 0, 0, slab, to, point, pitch);
            else
                spread_input(from, &window, &depth, o, 4 * tile_h - top, 4 * tile_w - left, slab, to, point, pitch);
        }
        for (ptrdiff_t i = 0; i < tiles + MAX_TILE_ROWS; i++) row[i] = smaller(i, tiles - 1) * pitch;
        for (ptrdiff_t block = first_panel; block < last_panel; block++) {
            const ptrdiff_t column_set = block / set_panels, set_column = block % set_panels * panel_width;
            const ptrdiff_t column = column_set * set_filters + set_column;
            const ptrdiff_t wide = smaller(set_filters - set_column, panel_width);
            const float *panel = panels + (fused ? group * group_stride + set_column * column_stride
                                                 : (group * panel_count + block) * POINTS * weight_point);
            for (ptrdiff_t set = 0; set < sets; set++) {
                const Phase phase = phase_of(taps, set + column_set);
                for (ptrdiff_t c = 0; c < steps; c += chunk) {
                    const ptrdiff_t some = smaller(chunk, steps - c);
                    const float *weights = fused ? own : panel + (set * steps + c) * panel_width;
                    if (fused && step_stride == all_taps) /* the steps of a column follow each other */
                        transpose_float(wide, some * all_taps, panel + c * all_taps, column_stride, packed, panel_width,
                                        0);
                    else if (fused)
                        for (ptrdiff_t i = 0; i < some; i++)
                            transpose_float(wide, all_taps, panel + (c + i) / depth.taps * step_stride
                                                            + (c + i) % depth.taps * all_taps,
                                            column_stride, packed + i * all_taps * panel_width, panel_width, 0);
                    for (ptrdiff_t i = 0; fused && i < some; i++)
                        for (ptrdiff_t j = 0; j < wide; j += LANES)
                            spread_taps(packed + i * all_taps * panel_width + j, panel_width, &phase, flipped,
                                        own + i * panel_width + j, weight_point);
                    for (ptrdiff_t xi = 0; xi < POINTS; xi++)
                        if (sets * column_sets == 1 || !vanishes(&phase, flipped, xi))
                            multiply_float(tiles, wide, some, points + xi * point, row, col_a + set * steps + c,
                                           weights + xi * weight_point, col_b, products + xi * product_point,
                                           panel_width, set + c > 0);
                }
            }
            if (column_sets > 1) {
                const Phase phase = phase_of(taps, column_set);
                for (ptrdiff_t xi = 0; xi < POINTS; xi++)
                    if (vanishes(&phase, flipped, xi))
                        memset(products + xi * product_point, 0, tiles * panel_width * sizeof(float));
            }
            for (ptrdiff_t n = 0; n < here; n++) {
                const ptrdiff_t of = (image + n) / depth.output * groups + group, o = (image + n) % depth.output;
                const float *from = products + n * each * panel_width;
                float *to = out + ((of * filters + column) * depth.output + o) * out_plane;
                if (adjoint)
                    overlap(from, product_point, panel_width, wide, window.tile_rows, window.tile_columns, top, left,
                            outputs, to, out_height, out_width, depth.output * out_plane);
                else
                    gather(from, product_point, panel_width, wide, window.tile_rows, window.tile_columns, outputs, to,
                           4 * tile_h, 4 * tile_w, out_height, out_width, depth.output * out_plane,
                           bias ? bias + group * filters + column : 0);
            }
        }
    }
}

/* The weight gradient. A work item is a piece of the blocks of tiles and a run of panels of a group. */
static void winograd_gradient(ptrdiff_t begin, ptrdiff_t end, const int64_t *a)
{
    const float *source = (const float *)a[0], *grads = (const float *)a[1];
    float *out = (float *)a[2];
    const int64_t *natural = (const int64_t *)a[3];
    const ptrdiff_t images = a[5], groups = a[6], channels = a[7], filters = a[8], height = a[9], width = a[10];
    const ptrdiff_t top = a[11], left = a[12], out_height = a[13], out_width = a[14], tiles_h = a[15], tiles_w = a[16];
    const ptrdiff_t block_h = a[17], block_w = a[18], together = a[19], panel_width = a[20], run = a[21];
    const ptrdiff_t pitch = a[22], point = a[23], product_point = a[24], splits = a[25], grad_point = a[28];
    const ptrdiff_t work_size = a[30], parts = a[31], count = a[32];
    const Depth depth = {a[33], a[34], a[35], a[36], a[37], a[38]};
    const int64_t *taps = a + 39;
    const ptrdiff_t all_taps = taps[1] * taps[2], phases = taps[3] * taps[4], sets = a[44], set_rows = a[45];
    const ptrdiff_t steps = channels * depth.taps / phases, set_steps = channels * depth.taps / sets;
    float *slab = (float *)a[4] + (begin * parts + count - 1) / count * work_size;
    float *points = slab + a[26], *grad_points = slab + a[27], *products = slab + a[29];
    const ptrdiff_t panel_count = parts_of(filters, panel_width), runs = parts_of(panel_count, run);
    const ptrdiff_t blocks_h = parts_of(tiles_h, block_h), blocks_w = parts_of(tiles_w, block_w);
    const ptrdiff_t blocks = parts_of(images, together) * blocks_h * blocks_w;
    const ptrdiff_t plane = height * width, out_plane = out_height * out_width;
    int64_t rows[MAX_CHANNELS + MAX_TILE_ROWS], col_a[MAX_TILES], col_b[MAX_TILES];
    for (ptrdiff_t item = begin; item < end; item++) {
        const ptrdiff_t first_panel = item % runs * run, last_panel = smaller(first_panel + run, panel_count);
        const ptrdiff_t group = item / runs % groups, split = item / runs / groups;
        const ptrdiff_t first_filter = first_panel * panel_width;
        const ptrdiff_t run_filters = smaller(filters, last_panel * panel_width) - first_filter;
        const ptrdiff_t run_pitch = (last_panel - first_panel) * panel_width;
        const ptrdiff_t first_block = split * blocks / splits, last_block = (split + 1) * blocks / splits;
        for (ptrdiff_t block = first_block; block < last_block; block++) {
            const ptrdiff_t tile_w = block % blocks_w * block_w, tile_h = block / blocks_w % blocks_h * block_h;
            const ptrdiff_t image = block / blocks_w / blocks_h * together, here = smaller(together, images - image);
            const Window window = {channels, depth.size * plane, height, width, smaller(block_h, tiles_h - tile_h),
                                   smaller(block_w, tiles_w - tile_w)};
            const Window grad_window = {run_filters, depth.output * out_plane, out_height, out_width,
                                        window.tile_rows, window.tile_columns};
            const ptrdiff_t each = window.tile_rows * window.tile_columns, tiles = here * each;
            for (ptrdiff_t n = 0; n < here; n++) {
                const ptrdiff_t of = (image + n) / depth.output * groups + group, o = (image + n) % depth.output;
                spread_input(source + of * channels * depth.size * plane, &window, &depth, o, 4 * tile_h - top,
                             4 * tile_w - left, slab, points + n * each * pitch, point, pitch);
                spread_grad_output(grads + ((of * filters + first_filter) * depth.output + o) * out_plane,
                                   &grad_window, 4 * tile_h, 4 * tile_w, slab, grad_points + n * each * run_pitch,
                                   grad_point, run_pitch);
            }
            for (ptrdiff_t i = 0; i < tiles; i++) col_a[i] = i * pitch, col_b[i] = i * run_pitch;
            for (ptrdiff_t xi = 0; xi < POINTS; xi++)
                for (ptrdiff_t set = 0; set < sets; set++) {
                    const Phase phase = phase_of(taps, set);
                    if (sets > 1 && vanishes(&phase, 0, xi)) continue;
                    for (ptrdiff_t k = 0; k < run_pitch; k += panel_width)
                        for (ptrdiff_t c = 0; c < set_steps; c += MAX_CHANNELS) {
                            const ptrdiff_t some = smaller(MAX_CHANNELS, set_steps - c);
                            for (ptrdiff_t i = 0; i < some + MAX_TILE_ROWS; i++)
                                rows[i] = natural[set * set_steps + c + smaller(i, some - 1)];
                            multiply_float(some, smaller(panel_width, run_filters - k), tiles, points + xi * point,
                                           rows, col_a, grad_points + xi * grad_point + k, col_b,
                                           products + xi * product_point + (set * set_rows + c) * run_pitch + k,
                                           run_pitch, block > first_block);
                        }
                }
        }
        /* The slab is free now: gradients of LANES steps at a time, as (step, tap) rows of `run_pitch` filters. */
        float *target = out + ((split * groups + group) * filters + first_filter) * steps * all_taps;
        for (ptrdiff_t c = 0; c < steps; c += LANES) {
            const ptrdiff_t some = smaller(LANES, steps - c);
            for (ptrdiff_t index = 0; index < phases; index++) {
                const Phase phase = phase_of(taps, index);
                const float *from = products + (index * (sets == 1 ? steps : set_rows) + c) * run_pitch;
                for (ptrdiff_t i = 0; i < some; i++)
                    for (ptrdiff_t k = 0; k < run_filters; k += LANES)
                        gather_taps(from + i * run_pitch + k, product_point, &phase,
                                    slab + all_taps * i * run_pitch + k, run_pitch);
            }
            transpose_float(all_taps * some, run_filters, slab, run_pitch, target + c * all_taps, steps * all_taps, 0);
        }
    }
}

#undef ADD
#undef P
#undef Q
#undef P2
#undef Q2
#undef SCALE
