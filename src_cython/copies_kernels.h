/* Rows copied, for one type of ELEMENT: with zeros around them, cut into even and odd elements, joined again. */

INLINE ptrdiff_t NAME(clip)(ptrdiff_t value) { return value < 0 ? 0 : value > LANES ? LANES : value; }

/* Which lanes of line[first ...] are inside 0 .. `width`, and the vector of those, with zeros for what is not read. */
#if defined(__AVX512F__)

typedef unsigned NAME(Mask);

INLINE NAME(Mask) NAME(inside)(ptrdiff_t first, ptrdiff_t width)
{
    return ((1u << NAME(clip)(width - first)) - 1) & ~((1u << NAME(clip)(-first)) - 1);
}

INLINE VECTOR NAME(load_masked)(const ELEMENT *line, ptrdiff_t first, NAME(Mask) mask)
{
    return (VECTOR)PASTE(_mm512_maskz_loadu, PRECISION)(mask, line + first);
}

#elif defined(__AVX2__)

typedef NAME(Lanes) NAME(Mask);

INLINE NAME(Mask) NAME(inside)(ptrdiff_t first, ptrdiff_t width)
{
    const NAME(Lanes) lane = {EACH_LANE(OWN_LANE, 0)};
    return (lane >= (INTEGER)NAME(clip)(-first)) & (lane < (INTEGER)NAME(clip)(width - first));
}

INLINE VECTOR NAME(load_masked)(const ELEMENT *line, ptrdiff_t first, NAME(Mask) mask)
{
    return (VECTOR)PASTE(_mm256_maskload, PRECISION)(line + first, (__m256i)mask);
}

#endif

INLINE VECTOR NAME(load_inside)(const ELEMENT *line, ptrdiff_t first, ptrdiff_t width)
{
    if (first >= 0 && first + LANES <= width) return LOAD(line + first);
#if defined(__AVX2__)
    return NAME(load_masked)(line, first, NAME(inside)(first, width));
#else
    ELEMENT every[LANES] = {0};
    for (ptrdiff_t j = NAME(clip)(-first); j < LANES && first + j < width; j++) every[j] = line[first + j];
    return LOAD(every);
#endif
}

/*
 * Copy the zero-padded lines of a strip into the scratch, each cut into `parts` by position modulo `step`. Sizes hold a
 * value an axis; the strip is `extent` slices and lines from `origin` of the padded planes on. Rows are written in
 * whole vectors, so up to LANES - 1 elements beyond `filled`.
 */
static void NAME(fill)(const ELEMENT *source, const int64_t *size, const int64_t *before, const ptrdiff_t *origin,
                       ptrdiff_t slices, ptrdiff_t lines, ptrdiff_t step, ptrdiff_t parts, ptrdiff_t pitch,
                       ptrdiff_t filled, ptrdiff_t channels, ELEMENT *target)
{
    const ptrdiff_t depth = size[0], height = size[1], width = size[2], left = before[2];
    /* The source of the next item lies behind this one, unless there are strips. */
    const ptrdiff_t ahead = channels * depth * height * width;
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t i = 0; i < slices; i++)
            for (ptrdiff_t j = 0; j < lines; j++) {
                const ptrdiff_t d = origin[0] + i - before[0], h = origin[1] + j - before[1];
                const int inside = d >= 0 && d < depth && h >= 0 && h < height;
                const ptrdiff_t here = inside ? width : 0;
                const ELEMENT *start = source + (inside ? ((c * depth + d) * height + h) * width : 0);
                if (step == 1) {
                    for (ptrdiff_t q = 0; q < filled; q += LANES) {
                        __builtin_prefetch((const char *)((uintptr_t)start + (q + ahead) * sizeof(ELEMENT)));
                        STORE(NAME(load_inside)(start, q - left, here), target + q);
                    }
                } else if (step == 2 && parts == 2) {
                    for (ptrdiff_t q = 0; q < filled; q += LANES) {
                        const VECTOR first = NAME(load_inside)(start, 2 * q - left, here);
                        const VECTOR second = NAME(load_inside)(start, 2 * q + LANES - left, here);
                        __builtin_prefetch((const char *)((uintptr_t)start + (2 * q + ahead) * sizeof(ELEMENT)));
                        STORE(SHUFFLE(first, second, NAME(Lanes), EACH_LANE(EVEN_OF, 0)), target + q);
                        STORE(SHUFFLE(first, second, NAME(Lanes), EACH_LANE(ODD_OF, 0)), target + pitch + q);
                    }
                } else {
                    for (ptrdiff_t part = 0; part < parts; part++)
                        for (ptrdiff_t q = 0; q < filled; q++) {
                            const ptrdiff_t place = q * step + part - left;
                            target[part * pitch + q] = place >= 0 && place < here ? start[place] : 0;
                        }
                }
                target += parts * pitch;
            }
}

/*
 * Copy the zero-padded lines of a strip into the scratch, once for each of `shifts`, from that column on: `width`
 * elements of a line, next to each other, so that all rows of results are one.
 */
static void NAME(fill_joined)(const ELEMENT *source, const int64_t *size, const int64_t *before,
                              const ptrdiff_t *origin, ptrdiff_t slices, ptrdiff_t lines, const int64_t *shifts,
                              ptrdiff_t copies, ptrdiff_t width, ptrdiff_t channels, ELEMENT *target)
{
    for (ptrdiff_t c = 0; c < channels; c++)
        for (ptrdiff_t s = 0; s < copies; s++) {
            const ptrdiff_t first = shifts[s] - before[2];
            const int whole = first >= 0 && first + width <= size[2] && width >= LANES;
            for (ptrdiff_t i = 0; i < slices; i++)
                for (ptrdiff_t j = 0; j < lines; j++, target += width) {
                    const ptrdiff_t d = origin[0] + i - before[0], h = origin[1] + j - before[1];
                    if (d < 0 || d >= size[0] || h < 0 || h >= size[1]) {
                        memset(target, 0, width * sizeof(ELEMENT));
                        continue;
                    }
                    const ELEMENT *line = source + ((c * size[0] + d) * size[1] + h) * size[2];
                    if (whole) {
                        for (ptrdiff_t q = 0; q < width - LANES; q += LANES) STORE(LOAD(line + first + q), target + q);
                        STORE(LOAD(line + first + width - LANES), target + width - LANES);
                        continue;
                    }
                    for (ptrdiff_t q = 0; q < width; q++)
                        target[q] = first + q >= 0 && first + q < size[2] ? line[first + q] : 0;
                }
        }
}

/* Join the rows that hold the results of each position modulo `step`; whole vectors of them are read. */
static void NAME(weave)(const ELEMENT *parts, ptrdiff_t pitch, ptrdiff_t step, ELEMENT *target, ptrdiff_t width)
{
    if (step == 2) {
        for (ptrdiff_t q = 0; q < width; q += 2 * LANES) {
            const VECTOR even = LOAD(parts + q / 2), odd = LOAD(parts + pitch + q / 2);
            const VECTOR lower = SHUFFLE(even, odd, NAME(Lanes), EACH_LANE(LOWER_OF, 0));
            const VECTOR upper = SHUFFLE(even, odd, NAME(Lanes), EACH_LANE(UPPER_OF, 0));
            if (q + 2 * LANES <= width) {
                STORE(lower, target + q);
                STORE(upper, target + q + LANES);
            } else {
                NAME(store_part)(lower, target + q, NAME(clip)(width - q));
                if (width - q > LANES) NAME(store_part)(upper, target + q + LANES, width - q - LANES);
            }
        }
    } else {
        for (ptrdiff_t part = 0; part < step && part < width; part++)
            for (ptrdiff_t j = 0; part + j * step < width; j++) target[part + j * step] = parts[part * pitch + j];
    }
}
