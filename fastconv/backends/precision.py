"""How exact float32 convolution must be."""

LEVELS = ("highest", "high", "medium")

_level = "high"


def set_float32_precision(level):
    """Say how exact float32 convolution must be, under the names of ``torch.set_float32_matmul_precision``.

    Parameters
    ----------
    level : {'highest', 'high', 'medium'}
        'highest' multiplies directly. 'high', the default, also allows transforms (Winograd) that keep the largest
        error within 1e-5 of the largest output; with these a NaN or an infinity may spread over its 4 x 4 block of
        outputs. 'medium' also allows TF32 tensor cores, where there are any.

    Raises
    ------
    ValueError
        For any other level.
    """
    global _level
    if level not in LEVELS:
        raise ValueError(f"set_float32_precision: level must be one of {', '.join(map(repr, LEVELS))}, got {level!r}")
    _level = level


def get_float32_precision():
    """The level in force."""
    return _level
