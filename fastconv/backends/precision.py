"""How exact float32 convolution must be."""

LEVELS = ("highest", "high", "medium")

_level = "high"


def set_float32_precision(level):
    """Say how exact float32 convolution must be, under the names of ``torch.set_float32_matmul_precision``.

    Parameters
    ----------
    level : {'highest', 'high', 'medium'}
        'highest' multiplies directly: in the benchmark's cases it errs at most twice as much as torch. 'high', the
        default, also allows what keeps the largest error within 1e-5 of the largest output: transforms (Winograd) and,
        on CPUs with AMX, sums of products of bfloat16 numbers, each float32 as two of them. 'medium' also allows TF32
        tensor cores, where there are any.

    Raises
    ------
    ValueError
        For any other level.

    Notes
    -----
    Winograd's transforms evaluate polynomials at six points; what is multiplied and added there is larger than the
    result, and so are its rounding errors, by powers of the points and their inverses. With 0, +-11/16, +-11/8 and
    infinity all of these stay near 1: the largest error is 1.5e-6 of the largest output at 64 channels and 2.5e-6 at
    256, where the customary 0, +-1, +-2 and infinity err by 5.9e-6 and 9.2e-6, and direct sums by 3e-7. A NaN or an
    infinity may spread over the outputs that are transformed together, of 3 x 3 kernels 4 x 4.

    Two bfloat16 numbers hold a float32 to 2^-17 of its size, and the product of the two smaller ones, up to 2^-16 of
    the whole, is left out: the largest error is 4e-6 to 9e-6 of the largest output. Errors of few terms do not even
    out: sums of fewer than 48 are computed otherwise. Infinities and NaN come out as of direct sums, but that they may
    spread to more of a weight's gradient; numbers below 1e-36 lose digits, and below 1e-38 are zeros.

    On x86 CPUs other than AMD's Zen, Numba's convolutions take numbers below 1.2e-38, in float64 2.2e-308, for zeros,
    at every level.
    """
    global _level
    if level not in LEVELS:
        raise ValueError(f"set_float32_precision: level must be one of {', '.join(map(repr, LEVELS))}, got {level!r}")
    _level = level


def get_float32_precision():
    """The level in force."""
    return _level
