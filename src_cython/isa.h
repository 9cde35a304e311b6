/* The instruction sets that tiles were compiled for, widest first, and the one in use. */

#ifndef FASTCONV_ISA_H
#define FASTCONV_ISA_H

#include "tile.h"

typedef struct {
    const char *name;
    const Tiles *tiles;
} Isa;

static const Isa isas[] = {
#ifdef FASTCONV_X86_TILES
    {"avx512f", &fastconv_tiles_avx512f},
    {"avx2", &fastconv_tiles_avx2},
#endif
    {"generic", &fastconv_tiles_generic},
};

enum { ISA_COUNT = sizeof(isas) / sizeof(isas[0]) };

/* Whether this CPU, and the operating system that saves its registers, can run isas[i]. */
static int isa_supported(int i)
{
#ifdef FASTCONV_X86_TILES
    __builtin_cpu_init();
    if (isas[i].tiles == &fastconv_tiles_avx512f)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (isas[i].tiles == &fastconv_tiles_avx2)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return isas[i].tiles == &fastconv_tiles_generic;
}

static const Tiles *tiles = &fastconv_tiles_generic;

static void isa_use(int i) { tiles = isas[i].tiles; }

#endif
