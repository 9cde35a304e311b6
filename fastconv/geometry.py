"""Shape arithmetic of convolution and pooling: the only place where an output size is computed or a shape refused.

Every operation is three-dimensional here. One- and two-dimensional ones have unit leading axes, so that a kernel
knows a single form::

    x  (N, C, D, H, W)      w  (K, C / groups, T, R, S)      y  (N, K, O, P, Q)

The constructors take torch's arguments, check them, and return a `Geometry`; equal arguments give the same object.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

Triple = tuple[int, int, int]
Pairs = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

AXES = ("depth", "height", "width")
MAX_BYTES = 2**63 - 1
WIDEST = 8  # bytes of the largest element that a result may have: float64, or an int64 index


@dataclass(frozen=True)
class Geometry:
    """The shapes and strides of one convolution or pooling, immutable and hashable.

    Attributes
    ----------
    n, c, k : int
        Batch size, input channels, output channels (for pooling ``k == c``).
    input, kernel, output : (int, int, int)
        (D, H, W), (T, R, S) and (O, P, Q).
    stride, dilation : (int, int, int)
    padding : ((int, int), (int, int), (int, int))
        Elements of padding (before, after) each axis. A window may reach further than ``after`` where `ceil_mode`
        or an output padding says so: kernels clip taps to ``0 <= position < input`` and take sizes from ``output``.
    groups : int
    count_include_pad : bool
        Average pooling: padding counts in the divisor.
    divisor : int
        Average pooling: the divisor, or 0 for the size of the window.
    """

    n: int
    c: int
    k: int
    input: Triple
    kernel: Triple
    output: Triple
    stride: Triple = (1, 1, 1)
    padding: Pairs = ((0, 0), (0, 0), (0, 0))
    dilation: Triple = (1, 1, 1)
    groups: int = 1
    count_include_pad: bool = True
    divisor: int = 0
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self):
        # Hashed at every call as the key of a plan: 0.1 us kept here against 1.5 us each time over nested tuples.
        values = (self.n, self.c, self.k, self.input, self.kernel, self.output, self.stride, self.padding,
                  self.dilation, self.groups, self.count_include_pad, self.divisor)
        object.__setattr__(self, "_hash", hash(values))

    def __hash__(self):
        return self._hash

    @cached_property
    def x_shape(self):
        return (self.n, self.c, *self.input)

    @cached_property
    def w_shape(self):
        return (self.k, self.c // self.groups, *self.kernel)

    @cached_property
    def bias_shape(self):
        return (self.k,)

    @cached_property
    def y_shape(self):
        return (self.n, self.k, *self.output)

    @cached_property
    def cols_shape(self):
        """(N, C * T * R * S, O * P * Q), as torch's ``unfold`` lays it out."""
        return (self.n, self.c * math.prod(self.kernel), math.prod(self.output))

    @cached_property
    def multiply_adds(self):
        """Multiply-adds of the direct form, those that meet padding counted in."""
        return self.n * self.k * math.prod(self.output) * (self.c // self.groups) * math.prod(self.kernel)


def conv(op, input_shape, weight_shape, stride=1, padding=0, dilation=1, groups=1):
    """Geometry of a convolution.

    Parameters
    ----------
    op : str
        The caller's name, such as ``"conv2d"``; it opens every error message.
    input_shape : tuple of int
        (N, C, [D, [H,]] W).
    weight_shape : tuple of int
        (K, C / groups, [T, [R,]] S).
    stride, dilation : int or tuple of int
    padding : int, tuple of int, 'same' or 'valid'
    groups : int

    Raises
    ------
    ValueError, TypeError
        As torch does, naming the argument, what was given and what was expected.
    """
    return _conv(op, tuple(input_shape), tuple(weight_shape), _freeze(stride), _freeze(padding), _freeze(dilation),
                 _freeze(groups))


def conv_call(op, nd, input_shape, weight_shape, stride, padding, dilation, groups):
    """(geometry of a convolution whose input may lack the batch axis, the shape of its result); as `conv`."""
    if not type(stride) is type(padding) is type(dilation) is type(groups) is int:
        stride, padding, dilation, groups = map(_freeze, (stride, padding, dilation, groups))
    return _conv_call(op, nd, tuple(input_shape), tuple(weight_shape), stride, padding, dilation, groups)


@lru_cache(maxsize=4096)
def _conv_call(op, nd, input_shape, weight_shape, *more):
    shape, batched = with_batch(op, "input", input_shape, nd)
    g = _conv(op, shape, weight_shape, *more)
    return g, user_shape(g.y_shape, nd, batched)


@lru_cache(maxsize=4096)
def _conv(op, input_shape, weight_shape, stride, padding, dilation, groups):
    nd = len(input_shape) - 2
    _check_rank(op, "weight", weight_shape, nd + 2)
    stride, dilation = _ints(op, "stride", stride, nd, 1), _ints(op, "dilation", dilation, nd, 1)
    groups = _int(op, "groups", groups, 1)
    n, c, *size = input_shape
    k, c_group, *kernel = weight_shape
    _check_not_empty(op, "input", input_shape)
    _check_not_empty(op, "weight", weight_shape, first=0)
    if c != c_group * groups:
        raise ValueError(f"{op}: input of shape {input_shape} has {c} channels, but weight of shape {weight_shape} "
                         f"with groups={groups} takes {c_group * groups}")
    if k % groups:
        raise ValueError(f"{op}: weight of shape {weight_shape} has {k} output channels, which groups={groups} "
                         "does not divide")
    padding = _conv_padding(op, padding, stride, kernel, dilation)
    output = tuple(_output_size(op, *axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True))
    return _build(op, n, c, k, size, kernel, output, stride, padding, dilation, groups=groups)


def conv_transpose(op, input_shape, weight_shape, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Geometry of the convolution whose input gradient a transposed convolution is.

    The transposed convolution's input is that convolution's ``y`` and its output is that convolution's ``x``:
    ``conv_backward_input(input, weight, output, g)`` computes it.

    Parameters
    ----------
    input_shape : tuple of int
        (N, C_in, [D, [H,]] W) of the transposed convolution.
    weight_shape : tuple of int
        (C_in, C_out / groups, [T, [R,]] S).
    stride, padding, output_padding, dilation : int or tuple of int
    groups : int
    """
    return _conv_transpose(op, tuple(input_shape), tuple(weight_shape), _freeze(stride), _freeze(padding),
                           _freeze(output_padding), _freeze(groups), _freeze(dilation))


@lru_cache(maxsize=4096)
def _conv_transpose(op, input_shape, weight_shape, stride, padding, output_padding, groups, dilation):
    nd = len(input_shape) - 2
    _check_rank(op, "weight", weight_shape, nd + 2)
    stride, dilation = _ints(op, "stride", stride, nd, 1), _ints(op, "dilation", dilation, nd, 1)
    padding = tuple((p, p) for p in _ints(op, "padding", padding, nd, 0))
    output_padding = _ints(op, "output_padding", output_padding, nd, 0)
    groups = _int(op, "groups", groups, 1)
    n, k, *size = input_shape
    k_weight, c_group, *kernel = weight_shape
    _check_not_empty(op, "input", input_shape)
    _check_not_empty(op, "weight", weight_shape, first=0)
    if k != k_weight:
        raise ValueError(f"{op}: input of shape {input_shape} has {k} channels, but weight of shape {weight_shape} "
                         f"takes {k_weight}")
    if k % groups:
        raise ValueError(f"{op}: input of shape {input_shape} has {k} channels, which groups={groups} does not divide")
    output = []
    for axis, (i, f, s, (before, after), d, extra) in enumerate(
            zip(size, kernel, stride, padding, dilation, output_padding, strict=True)):
        if extra >= max(s, d):
            raise ValueError(f"{op}: output_padding must be smaller than stride or dilation, got {extra} with "
                             f"stride={s} and dilation={d} along {_axis(axis, nd)}")
        o = (i - 1) * s - before - after + d * (f - 1) + extra + 1
        if o < 1:
            raise ValueError(f"{op}: the output would have {o} elements along {_axis(axis, nd)} (input {i}, kernel "
                             f"{f}, stride {s}, padding {before}); expected at least 1")
        output.append(o)
    return _build(op, n, c_group * groups, k, output, kernel, size, stride, padding, dilation, groups=groups)


def pool(op, input_shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, count_include_pad=True,
         divisor_override=None):
    """Geometry of a pooling.

    Parameters
    ----------
    input_shape : tuple of int
        (N, C, [D, [H,]] W).
    kernel_size, stride, padding, dilation : int or tuple of int
        ``stride=None`` means `kernel_size`.
    ceil_mode : bool
        Round the output size up; a window must still start inside the input or its leading padding.
    count_include_pad, divisor_override
        Of average pooling only.
    """
    return _pool(op, tuple(input_shape), _freeze(kernel_size), _freeze(stride), _freeze(padding), _freeze(dilation),
                 bool(ceil_mode), bool(count_include_pad), _freeze(divisor_override))


@lru_cache(maxsize=4096)
def _pool(op, input_shape, kernel, stride, padding, dilation, ceil_mode, count_include_pad, divisor):
    nd = len(input_shape) - 2
    kernel = _ints(op, "kernel_size", kernel, nd, 1)
    stride = kernel if stride is None or stride == () else _ints(op, "stride", stride, nd, 1)
    padding, dilation = _ints(op, "padding", padding, nd, 0), _ints(op, "dilation", dilation, nd, 1)
    divisor = 0 if divisor is None else _int(op, "divisor_override", divisor, 1)
    n, c, *size = input_shape
    _check_not_empty(op, "input", input_shape)
    output = []
    for axis, (i, f, s, p, d) in enumerate(zip(size, kernel, stride, padding, dilation, strict=True)):
        if 2 * p > f:
            raise ValueError(f"{op}: padding must be at most half of kernel_size={f}, got {p} along {_axis(axis, nd)}")
        o = _output_size(op, i, f, s, (p, p), d, ceil_mode)
        # Only a dilated window that starts in the padding can step over the whole input: torch then answers with an
        # index outside it. The first tap that has left the padding is at `first % d`.
        if d > i and any(first % d >= i for first in range(-p, min(0, o * s - p), s)):
            raise ValueError(f"{op}: a window of {f} taps with dilation={d} and padding={p} holds no element of an "
                             f"input of {i} along {_axis(axis, nd)}")
        output.append(o)
    return _build(op, n, c, c, size, kernel, output, stride, tuple((p, p) for p in padding), dilation, groups=c,
                  count_include_pad=count_include_pad, divisor=divisor)


def unfold(op, input_shape, kernel_size, dilation=1, padding=0, stride=1):
    """Geometry of the sliding blocks of an input (N, C, [D, [H,]] W), as of ``torch.nn.functional.unfold``."""
    return _unfold(op, tuple(input_shape), _freeze(kernel_size), _freeze(dilation), _freeze(padding), _freeze(stride))


@lru_cache(maxsize=4096)
def _unfold(op, input_shape, kernel, dilation, padding, stride):
    nd = len(input_shape) - 2
    kernel, stride = _ints(op, "kernel_size", kernel, nd, 1), _ints(op, "stride", stride, nd, 1)
    dilation, padding = _ints(op, "dilation", dilation, nd, 1), _ints(op, "padding", padding, nd, 0)
    n, c, *size = input_shape
    _check_not_empty(op, "input", input_shape)
    padding = tuple((p, p) for p in padding)
    output = tuple(_output_size(op, *axis) for axis in zip(size, kernel, stride, padding, dilation, strict=True))
    g = _build(op, n, c, c, size, kernel, output, stride, padding, dilation)
    check_total(op, g.cols_shape)
    return g


def adaptive(op, input_shape, output_size):
    """Output sizes of an adaptive pooling.

    Parameters
    ----------
    input_shape : tuple of int
        (N, C, [D, [H,]] W).
    output_size : int or tuple of int
        With None in a tuple of 2 or 3 for the input's size.
    """
    nd = len(input_shape) - 2
    if isinstance(output_size, (tuple, list)):
        if len(output_size) != nd:
            raise ValueError(f"{op}: output_size must be an int or a tuple of {nd} ints, got {output_size!r}")
        if nd > 1:
            output_size = tuple(i if o is None else o for i, o in zip(input_shape[2:], output_size, strict=True))
    size = _ints(op, "output_size", _freeze(output_size), nd, 0)
    _check_not_empty(op, "input", input_shape)
    check_total(op, (*input_shape[:2], *size))
    return size


def unpool(op, input_shape, kernel_size, stride=None, padding=0, output_size=None):
    """Geometry of the max pooling whose output has `input_shape`: ``g.input`` is the unpooled map.

    Parameters
    ----------
    input_shape : tuple of int
        (N, C, [D, [H,]] W).
    kernel_size, stride, padding : int or tuple of int
        ``stride=None`` means `kernel_size`.
    output_size : tuple of int, optional
        The spatial axes alone, or after batch and channels. Without it the smallest size that the windows fill.
    """
    nd = len(input_shape) - 2
    kernel = _ints(op, "kernel_size", _freeze(kernel_size), nd, 1)
    stride = kernel if stride is None else _ints(op, "stride", _freeze(stride), nd, 1)
    padding = _ints(op, "padding", _freeze(padding), nd, 0)
    n, c, *size = input_shape
    _check_not_empty(op, "input", input_shape)
    output = [(i - 1) * s + f - 2 * p for i, f, s, p in zip(size, kernel, stride, padding, strict=True)]
    if output_size is not None:
        given = _freeze(output_size)
        if not isinstance(given, tuple) or len(given) not in (nd, nd + 2):
            raise ValueError(f"{op}: output_size must be a tuple of {nd} or {nd + 2} ints, got {output_size!r}")
        given = _ints(op, "output_size", given[-nd:], nd, 0)
        for axis, (o, usual, s) in enumerate(zip(given, output, stride, strict=True)):
            if not usual - s < o < usual + s:
                raise ValueError(f"{op}: output_size must lie between {usual - s} and {usual + s} along "
                                 f"{_axis(axis, nd)}, got {o}")
        output = given
    if min(output) < 1:
        raise ValueError(f"{op}: the output would have size {tuple(output)}; expected at least 1 along each axis")
    return _build(op, n, c, c, output, kernel, size, stride, ((0, 0),) * nd, (1,) * nd)


def with_batch(op, name, shape, nd):
    """(`shape` with a batch axis, whether it had one); refuses any rank but nd + 1 and nd + 2."""
    shape = tuple(shape)
    if len(shape) == nd + 2:
        return shape, True
    if len(shape) == nd + 1:
        return (1, *shape), False
    raise ValueError(f"{op}: {name} must have {nd + 2} dimensions (or {nd + 1}, unbatched), got shape {shape}")


def user_shape(shape, nd, batched):
    """The caller's form of a kernel's 5-D `shape`: `nd` spatial axes, with the batch axis or without."""
    return (shape[:2] if batched else shape[1:2]) + shape[5 - nd:]


def check_shape(op, name, shape, expected):
    """Raise ValueError unless `shape` is `expected`."""
    if tuple(shape) != tuple(expected):
        raise ValueError(f"{op}: {name} must have shape {tuple(expected)}, got {tuple(shape)}")


def check_total(op, shape):
    """Raise ValueError for a shape whose bytes no 64-bit integer counts."""
    if math.prod(shape) * WIDEST > MAX_BYTES:
        raise ValueError(f"{op}: an array of shape {shape} has more bytes than a 64-bit integer can count")


def sizes(op, name, value, nd, minimum=0):
    """`value`, an int or a sequence of `nd` ints, as a tuple of `nd` ints not below `minimum` (None: any)."""
    return _ints(op, name, _freeze(value), nd, minimum)


class _NotAnInt:
    """Stands for an argument that is no int, in the key of a cache, to which True and 1.0 would be 1."""

    def __init__(self, value):
        self.text = repr(value)

    def __repr__(self):
        return self.text


def _freeze(value):
    if type(value) is int or value is None or isinstance(value, str):
        return value
    if isinstance(value, (tuple, list)) or getattr(value, "ndim", 0):
        return tuple(v if type(v) is int else _frozen_int(v) for v in value)
    return _frozen_int(value)


def _frozen_int(value):
    if isinstance(value, bool) or getattr(value, "ndim", 0):
        return _NotAnInt(value)
    try:
        return operator.index(value)
    except TypeError:
        return _NotAnInt(value)


def _int(op, name, value, minimum):
    if isinstance(value, bool):
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: {name} must be an int, got {value!r}") from None
    if minimum is not None and result < minimum:
        raise ValueError(f"{op}: {name} must be at least {minimum}, got {value!r}")
    if abs(result) > MAX_BYTES:
        raise ValueError(f"{op}: {name} must fit a 64-bit integer, got {value!r}")
    return result


def _ints(op, name, value, nd, minimum):
    if not isinstance(value, tuple):
        if isinstance(value, str) or not hasattr(value, "__index__"):
            raise TypeError(f"{op}: {name} must be an int or a tuple of {nd} ints, got {value!r}")
        return (_int(op, name, value, minimum),) * nd
    if len(value) == 1:
        value = value * nd
    if len(value) != nd:
        raise ValueError(f"{op}: {name} must be an int or a tuple of {nd} ints, got {value!r}")
    return tuple(_int(op, name, v, minimum) for v in value)


def _conv_padding(op, padding, stride, kernel, dilation):
    nd = len(kernel)
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * nd
        if padding != "same":
            raise ValueError(f"{op}: padding must be an int, a tuple of ints, 'same' or 'valid', got {padding!r}")
        if any(s != 1 for s in stride):
            raise ValueError(f"{op}: padding='same' needs stride=1, got stride={stride}")
        totals = [d * (f - 1) for f, d in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((p, p) for p in _ints(op, "padding", padding, nd, 0))


def _output_size(op, size, kernel, stride, padding, dilation, ceil_mode=False):
    before, after = padding
    window = dilation * (kernel - 1) + 1
    room = size + before + after - window
    output = (-(-room // stride) if ceil_mode else room // stride) + 1
    if output < 1:
        raise ValueError(f"{op}: the kernel's extent {window} (kernel size {kernel}, dilation {dilation}) exceeds the "
                         f"padded input's {size + before + after} (input {size}, padding {before} + {after})")
    return output - 1 if ceil_mode and (output - 1) * stride >= size + before else output


def _check_rank(op, name, shape, rank):
    if len(shape) != rank:
        raise ValueError(f"{op}: {name} must have {rank} dimensions, got shape {shape}")


def _check_not_empty(op, name, shape, first=1):
    if 0 in shape[first:]:
        what = "no axis but the batch" if first else "no axis"
        raise ValueError(f"{op}: {what} of {name} may be empty, got shape {shape}")


def _axis(axis, nd):
    return AXES[3 - nd + axis]


def _build(op, n, c, k, size, kernel, output, stride, padding, dilation, **more):
    lead = 3 - len(size)
    g = Geometry(n, c, k, (1,) * lead + tuple(size), (1,) * lead + tuple(kernel), (1,) * lead + tuple(output),
                 (1,) * lead + tuple(stride), ((0, 0),) * lead + tuple(padding), (1,) * lead + tuple(dilation), **more)
    check_total(op, g.x_shape)
    check_total(op, g.y_shape)
    check_total(op, (n, c, *(i + a + b for i, (a, b) in zip(g.input, g.padding, strict=True))))
    return g
