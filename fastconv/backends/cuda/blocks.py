"""How a convolution is divided among blocks of threads: one written table, so that a call always gives the same bits.

A tile is (BM, BN, BK, TM, TN) as in `fastconv.backends.cuda.gather.tile`; ptxas gives the 8 x 8 ones 150 to 180
registers a thread (`bench/CUDA_KERNELS.md`), so that an SM holds one block of 256 threads, or three of 128.
"""

from fastconv.backends.cuda.jit import SIMULATED

ENOUGH = 264            # blocks: two for each of the 132 SMs of an H200
FEW = 16                # output channels a group, up to which nothing is shared

# (rows of the product at least, tile), by the bytes of an element; the first that gives ENOUGH blocks, else the last.
_SINGLE = ((96, (128, 128, 8, 8, 8)), (33, (64, 128, 8, 8, 8)), (33, (64, 64, 8, 8, 4)), (1, (32, 128, 8, 4, 8)),
           (1, (32, 64, 8, 4, 4)), (1, (32, 32, 32, 4, 4)))
_DOUBLE = ((1, (64, 64, 8, 4, 4)), (1, (32, 32, 16, 4, 4)))
GATHER = {2: _SINGLE, 4: _SINGLE, 8: _DOUBLE}

# By tensor cores: (BM, BN, BK, rows and columns of a warp), of elements of 2 and 4 bytes alike.
TENSOR = ((96, (128, 128, 16, 64, 32)), (33, (64, 128, 16, 64, 32)), (33, (64, 64, 16, 32, 32)),
          (1, (32, 64, 16, 32, 16)))

# (rows at least, columns at least, tile) of the weight gradient: its pixels are divided until there are ENOUGH blocks.
_WEIGHT_SINGLE = ((96, 96, (128, 128, 8, 8, 8)), (33, 33, (64, 128, 8, 8, 8)), (33, 1, (64, 32, 16, 4, 4)),
                  (1, 33, (32, 64, 16, 4, 4)), (1, 1, (32, 32, 16, 4, 4)))
_WEIGHT_DOUBLE = ((33, 33, (64, 64, 16, 4, 4)), (1, 1, (32, 32, 16, 4, 4)))
WEIGHT = {2: _WEIGHT_SINGLE, 4: _WEIGHT_SINGLE, 8: _WEIGHT_DOUBLE}
WEIGHT_TENSOR = ((96, 96, (128, 128, 16, 64, 32)), (33, 33, (64, 128, 16, 64, 32)), (1, 1, (32, 64, 16, 32, 16)))
LEAST_STEPS = 16        # of a range of pixels: what a block's start and end are worth

# (output channels a group at most, (TM, PX)) of `direct`: TM * PX sums a thread.
DIRECT = ((1, (1, 4)), (4, (4, 4)), (8, (8, 4)), (16, (16, 2)))
DIRECT_WEIGHT = 9       # columns a block, at most: a 3 x 3 kernel's
THREADS, BIAS_THREADS, IM2COL_ROWS = 128, 512, 16
STRIP, LARGEST_STRIP = 4, 7
UNROLLED = 3            # height and width of a pooling window, up to which its loops are unrolled

if SIMULATED:
    # A Python thread stands for each thread.
    ENOUGH, LEAST_STEPS, FEW = 2, 2, 4
    GATHER = dict.fromkeys((2, 4, 8), ((1, (16, 8, 4, 4, 4)),))
    WEIGHT = dict.fromkeys((2, 4, 8), ((1, 1, (16, 8, 4, 4, 4)),))
    DIRECT = ((1, (1, 2)), (4, (4, 2)))
    TENSOR, WEIGHT_TENSOR = ((1, (16, 8, 8, 16, 8)),), ((1, 1, (16, 8, 8, 16, 8)),)
    THREADS, BIAS_THREADS, IM2COL_ROWS = 8, 8, 4


def strips(g):
    """Rows of a strip of `depthwise.strips`; 0 where another kernel serves the geometry.

    Kernel sizes are literals there, so that a size that no network has would be compiled for a single call.
    """
    _, r, s = g.kernel
    fits = g.c == g.k == g.groups and g.dilation[1:] == (1, 1) and r * s > 1 and max(r, s) <= LARGEST_STRIP
    return STRIP if fits and g.stride[1] <= 2 and g.output[1] > 1 else 0


def threads(tile, tensor):
    """The threads of a block."""
    bm, bn, _, tm, tn = tile
    return bm // tm * (bn // tn) * (32 if tensor else 1)


def by_fours(tile, threads):
    """Whether the threads fetch a step of the pixels four at a time without a remainder."""
    _, bn, bk, _, _ = tile
    return threads % (bn // 4) == 0 and bk % (threads // (bn // 4)) == 0


def gather_tile(rows, pixels, batches, size, tensor):
    """The tile of a product of `rows` by `pixels`, `batches` times."""
    found = None
    for least, tile in TENSOR if tensor else GATHER[size]:
        if rows >= least:
            found = tile
            if -(-rows // tile[0]) * -(-pixels // tile[1]) * batches >= ENOUGH:
                break
    return found


def direct(rows):
    """(TM, PX) for `rows` output channels a group; None where there are too many."""
    return next((shape for most, shape in DIRECT if rows <= most), None) if rows <= FEW else None


def weight_tile(rows, columns, size, tensor):
    """The tile of the weight gradient, or None where `direct` is better."""
    if rows <= FEW and columns <= 4 * DIRECT_WEIGHT:
        return None
    return next(tile for least_rows, least_columns, tile in (WEIGHT_TENSOR if tensor else WEIGHT[size])
                if rows >= least_rows and columns >= least_columns)


def splits(blocks, pixels, each_step):
    """Into how many ranges the pixels of a weight gradient are divided, of which `blocks` blocks do each."""
    return max(1, min(-(-2 * ENOUGH // blocks), pixels // (each_step * LEAST_STEPS)))
