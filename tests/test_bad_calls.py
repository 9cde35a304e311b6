"""Calls that must be refused: with which exception, and with what in its message, before any kernel runs."""

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided

from fastconv import backends
from fastconv import functional as F
from fastconv import grad as G

LOADED = [name for name, missing in backends.available().items() if missing is None]


def ones(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def huge(*shape):
    """An array of one element in memory that says it has more."""
    return as_strided(np.ones(1, np.float32), shape, (0,) * len(shape), writeable=False)


X1, X2, X3 = ones(2, 4, 9), ones(2, 4, 9, 8), ones(2, 4, 5, 6, 7)
W1, W2, W3 = ones(6, 4, 3), ones(6, 4, 3, 3), ones(6, 4, 3, 3, 3)
DY2 = ones(2, 6, 7, 6)
LABELS = np.array([0, 2, 1])
SCORES = ones(3, 4)
INDICES = np.zeros((2, 4, 4, 4), np.int64)
LOWEST = np.iinfo(np.int64).min
OBJECT = np.array([[[[None]]]], object)
ROWS = [[1.0, 2.0], [3.0, 4.0]]
MASKED = np.ma.masked_array(X2, mask=X2 > 0)

# (call, exception, what the message must match: function, argument, given, expected)
CALLS = {
    # Not arrays of floats
    "list": (lambda: F.conv2d([[[[1.0]]]], W2), TypeError, r"^conv2d: input must be a NumPy array, got list"),
    "None": (lambda: F.conv2d(None, W2), TypeError, r"^conv2d: input must be a NumPy array, got NoneType"),
    "number": (lambda: F.max_pool2d(3.0, 2), TypeError, r"^max_pool2d: input must be a NumPy array, got float"),
    "string": (lambda: F.unfold("image", 2), TypeError, r"^unfold: input must be a NumPy array, got str"),
    "bytes": (lambda: F.avg_pool1d(b"image", 2), TypeError, r"^avg_pool1d: input must be a NumPy array, got bytes"),
    "memoryview": (lambda: F.linear(memoryview(SCORES), SCORES), TypeError,
                   r"^linear: input must be a NumPy array, got memoryview"),
    "list for a weight": (lambda: F.linear(SCORES, ROWS), TypeError,
                          r"^linear: weight must be a NumPy array, got list"),
    "list for a bias": (lambda: F.conv1d(X1, W1, [0.0] * 6), TypeError,
                        r"^conv1d: bias must be a NumPy array, got list"),
    "number for a bias": (lambda: F.conv1d(X1, W1, 0), TypeError, r"^conv1d: bias must be a NumPy array, got int"),
    "list in relu": (lambda: F.relu([1.0]), TypeError, r"^relu: input must be a NumPy array, got list"),
    "list in softmax": (lambda: F.softmax([1.0], 0), TypeError, r"^softmax: input must be a NumPy array, got list"),
    "list of labels": (lambda: F.cross_entropy(SCORES, [0, 2, 1]), TypeError,
                       r"^cross_entropy: target must be a NumPy array, got list"),
    "masked array": (lambda: F.conv2d(MASKED, W2), TypeError, r"^conv2d: input .* masked array; pass input.filled"),
    "masked weight": (lambda: F.conv2d(X2, np.ma.masked_array(W2)), TypeError, r"^conv2d: weight .* masked array"),
    "masked scores": (lambda: F.softmax(np.ma.masked_array(SCORES), 1), TypeError, r"^softmax: input .* masked array"),
    "integers": (lambda: F.conv2d(X2.astype(int), W2), TypeError,
                 r"^conv2d: input must be float32 or float64, got int64; cast it"),
    "uint8 image": (lambda: F.max_pool2d(X2.astype(np.uint8), 2), TypeError,
                    r"^max_pool2d: input must be float32 or float64, got uint8"),
    "bools": (lambda: F.avg_pool2d(X2 > 0, 2), TypeError, r"^avg_pool2d: input .* got bool"),
    "complex": (lambda: F.convolve2d(SCORES + 0j, SCORES), TypeError,
                r"^convolve2d: input must be float32 or float64, got complex64"),
    "float16": (lambda: F.conv3d(X3.astype(np.float16), W3), TypeError, r"^conv3d: input .* got float16; cast it"),
    "long double": (lambda: F.conv_transpose1d(X1.astype(np.longdouble), W1), TypeError,
                    r"^conv_transpose1d: input must be float32 or float64, got "),
    "objects": (lambda: F.fold(OBJECT[0], 1, 1), TypeError, r"^fold: input must be float32 or float64, got object"),
    "strings": (lambda: F.linear(np.array(["a"]), SCORES), TypeError, r"^linear: input .* got <U1"),
    "dates": (lambda: F.relu(np.array(["2020-01-01"], "M8[D]")), TypeError, r"^relu: input .* got datetime64"),
    "records": (lambda: F.relu(np.zeros(3, [("a", np.float32)])), TypeError, r"^relu: input .* got \[\('a'"),
    "integers in relu": (lambda: F.relu(LABELS), TypeError, r"^relu: input .* got int64; cast it"),
    "integers in softmax": (lambda: F.log_softmax(LABELS, 0), TypeError, r"^log_softmax: input .* got int64"),
    "complex to softmax": (lambda: F.softmax(SCORES + 0j, 1, dtype=np.float32), TypeError,
                           r"^softmax: input .* got complex64"),
    "softmax in integers": (lambda: F.softmax(SCORES, 1, dtype=np.int64), TypeError,
                            r"^softmax: dtype must be float32 or float64, got <class 'numpy.int64'>"),
    "softmax in nonsense": (lambda: F.softmax(SCORES, 1, dtype="flaot"), TypeError,
                            r"^softmax: dtype must be float32 or float64, got 'flaot'"),

    # Mixed types
    "float64 weight": (lambda: F.conv2d(X2, W2.astype(np.float64)), TypeError,
                       r"^conv2d: weight is float64 but input is float32; cast one of them, .*weight.astype"),
    "float64 bias": (lambda: F.conv_transpose2d(ones(2, 6, 3, 3), W2, np.ones(4)), TypeError,
                     r"^conv_transpose2d: bias is float64 but input is float32"),
    "float64 kernel": (lambda: F.correlate1d(X1[0, 0], np.ones(3)), TypeError,
                       r"^correlate1d: kernel is float64 but input is float32"),
    "float64 target": (lambda: F.mse_loss(SCORES, np.ones((3, 4))), TypeError,
                       r"^mse_loss: target is float64 but input is float32"),
    "float64 class weight": (lambda: F.cross_entropy(SCORES, LABELS, np.ones(4)), TypeError,
                             r"^cross_entropy: weight is float64 but input is float32"),
    "float64 probabilities": (lambda: F.cross_entropy(SCORES, np.ones((3, 4))), TypeError,
                              r"^cross_entropy: target is float64 but input is float32"),
    "float64 grad_output": (lambda: G.conv2d_input(X2.shape, W2, DY2.astype(np.float64)), TypeError,
                            r"^conv2d_input: grad_output is float64 but weight is float32"),

    # Ranks and shapes
    "0-d": (lambda: F.conv2d(np.float32(1), W2), ValueError,
            r"^conv2d: input must have 4 dimensions .* got shape \(\)"),
    "0-d pooled": (lambda: F.max_pool1d(np.array(1.0), 1), ValueError, r"^max_pool1d: input must have 3 .* \(\)"),
    "0-d linear": (lambda: F.linear(np.float32(1), SCORES), ValueError,
                   r"^linear: input must have at least 1 dimension, got shape \(\)"),
    "0-d scores": (lambda: F.cross_entropy(np.float32(1), np.int64(0)), ValueError,
                   r"^cross_entropy: input must have at least 1 dimension, got shape \(\)"),
    "too few axes": (lambda: F.conv2d(ones(9, 8), W2), ValueError,
                     r"^conv2d: input must have 4 dimensions \(or 3, unbatched\), got shape \(9, 8\)"),
    "too many axes": (lambda: F.conv1d(X2, W1), ValueError, r"^conv1d: input must have 3 .* \(2, 4, 9, 8\)"),
    "pooled image without channels": (lambda: F.max_pool2d(ones(9, 8), 2), ValueError,
                                      r"^max_pool2d: input must have 4 .* got shape \(9, 8\)"),
    "3-D unfold": (lambda: F.unfold(X3, 2), ValueError, r"^unfold: input must have 4 .* \(2, 4, 5, 6, 7\)"),
    "rank of fold": (lambda: F.fold(X2, 4, 2), ValueError, r"^fold: input must have 3 dimensions .* \(2, 4, 9, 8\)"),
    "rank of the weight": (lambda: F.conv2d(X2, ones(6, 4, 3)), ValueError,
                           r"^conv2d: weight must have 4 dimensions, got shape \(6, 4, 3\)"),
    "rank of a linear weight": (lambda: F.linear(SCORES, ones(2, 2, 4)), ValueError,
                                r"^linear: weight must have 2 dimensions .* got shape \(2, 2, 4\)"),
    "rank of a signal": (lambda: F.convolve2d(X1, SCORES), ValueError,
                         r"^convolve2d: input must have 2 dimensions, got shape \(2, 4, 9\)"),
    "rank of a signal's kernel": (lambda: F.correlate3d(X1, SCORES), ValueError,
                                  r"^correlate3d: kernel must have 3 dimensions, got shape \(3, 4\)"),
    "empty signal": (lambda: F.convolve1d(ones(0), ones(3)), ValueError,
                     r"^convolve1d: input must not be empty.*\(0,\)"),
    "empty kernel": (lambda: F.convolve1d(ones(3), ones(0)), ValueError, r"^convolve1d: kernel must not be empty"),
    "channels": (lambda: F.conv2d(X2, ones(6, 3, 3, 3)), ValueError,
                 r"^conv2d: input of shape \(2, 4, 9, 8\) has 4 channels, but weight .* groups=1 takes 3"),
    "channels by group": (lambda: F.conv2d(X2, W2, groups=2), ValueError, r"^conv2d: input .* 4 channels.* takes 8"),
    "groups and output channels": (lambda: F.conv2d(X2, ones(5, 2, 3, 3), groups=2), ValueError,
                                   r"^conv2d: weight .* has 5 output channels, which groups=2 does not divide"),
    "transposed channels": (lambda: F.conv_transpose2d(X2, W2), ValueError,
                            r"^conv_transpose2d: input .* has 4 channels, but weight .* takes 6"),
    "transposed groups": (lambda: F.conv_transpose2d(X2, ones(4, 2, 3, 3), groups=3), ValueError,
                          r"^conv_transpose2d: input .* 4 channels, which groups=3 does not divide"),
    "features": (lambda: F.linear(SCORES, ones(2, 5)), ValueError,
                 r"^linear: input of shape \(3, 4\) has 4 features .* weight of shape \(2, 5\) takes 5"),
    "bias": (lambda: F.conv2d(X2, W2, ones(4)), ValueError, r"^conv2d: bias must have shape \(6,\), got \(4,\)"),
    "bias with too many axes": (lambda: F.conv2d(X2, W2, ones(6, 1)), ValueError,
                                r"^conv2d: bias must have shape \(6,\), got \(6, 1\)"),
    "transposed bias": (lambda: F.conv_transpose2d(DY2, W2, ones(6)), ValueError,
                        r"^conv_transpose2d: bias must have shape \(4,\), got \(6,\)"),
    "linear bias": (lambda: F.linear(SCORES, ones(2, 4), ones(3)), ValueError,
                    r"^linear: bias must have shape \(2,\), got \(3,\)"),
    "no channels": (lambda: F.conv2d(ones(2, 0, 9, 8), ones(6, 0, 3, 3)), ValueError,
                    r"^conv2d: no axis but the batch of input may be empty, got shape \(2, 0, 9, 8\)"),
    "empty maps": (lambda: F.max_pool2d(ones(2, 4, 0, 8), 2), ValueError, r"^max_pool2d: .* input may be empty"),
    "empty weight": (lambda: F.conv2d(X2, ones(0, 4, 3, 3)), ValueError, r"^conv2d: no axis of weight may be empty"),
    "kernel larger than the input": (lambda: F.conv2d(X2, ones(6, 4, 10, 3)), ValueError,
                                     r"^conv2d: the kernel's extent 10 .* exceeds the padded input's 9"),
    "dilated kernel larger than the padded input": (
        lambda: F.conv2d(X2, W2, dilation=6, padding=1), ValueError,
        r"^conv2d: the kernel's extent 13 \(kernel size 3, dilation 6\) exceeds the padded input's 11"),
    "window larger than the input": (lambda: F.avg_pool3d(X3, 6), ValueError, r"^avg_pool3d: .* 6 .* exceeds .* 5 "),
    "unfold larger than the input": (lambda: F.unfold(X2, 10), ValueError, r"^unfold: .* extent 10 .* exceeds .* 9 "),
    "valid kernel larger than the signal": (lambda: F.convolve1d(ones(3), ones(5), "valid"), ValueError,
                                            r"^convolve1d: the kernel's extent 5 .* exceeds .* 3 "),
    "no transposed output": (lambda: F.conv_transpose2d(ones(2, 6, 1, 1), W2, padding=2), ValueError,
                             r"^conv_transpose2d: the output would have -1 elements along height .* at least 1"),
    "rows of fold": (lambda: F.fold(ones(2, 7, 9), 4, 2), ValueError,
                     r"^fold: input .* has 7 rows, which must be a positive multiple of the 4 elements of"),
    "columns of fold": (lambda: F.fold(ones(2, 8, 8), 4, 2), ValueError,
                        r"^fold: input must have shape \(2, 8, 9\), got \(2, 8, 8\)"),
    "output_size of fold": (lambda: F.fold(ones(2, 8, 9), (4, 5), 2), ValueError,
                            r"^fold: input must have shape \(2, 8, 12\), got \(2, 8, 9\)"),
    "length of output_size": (lambda: F.fold(ones(2, 8, 9), (4, 4, 4), 2), ValueError,
                              r"^fold: output_size must be an int or a tuple of 2 ints, got \(4, 4, 4\)"),
    "type of output_size": (lambda: F.fold(ones(2, 8, 9), 4.0, 2), TypeError, r"^fold: output_size .* got 4.0"),
    "zero output_size": (lambda: F.fold(ones(2, 8, 9), 0, 2), ValueError, r"^fold: output_size must be at least 1.* 0"),

    # Strides and the like
    "zero stride": (lambda: F.conv2d(X2, W2, stride=0), ValueError, r"^conv2d: stride must be at least 1, got 0"),
    "negative stride": (lambda: F.conv2d(X2, W2, stride=(1, -2)), ValueError, r"^conv2d: stride must be .* 1, got -2"),
    "zero stride of a pool": (lambda: F.max_pool2d(X2, 2, 0), ValueError, r"^max_pool2d: stride must be at least 1"),
    "bool stride": (lambda: F.conv2d(X2, W2, stride=True), TypeError, r"^conv2d: stride must be an int.* got True"),
    "bool in a stride": (lambda: F.conv2d(X2, W2, stride=(1, True)), TypeError, r"^conv2d: stride .* int, got True"),
    "NumPy bool stride": (lambda: F.conv2d(X2, W2, stride=np.True_), TypeError, r"^conv2d: stride must be an int"),
    "float stride": (lambda: F.conv2d(X2, W2, stride=2.0), TypeError, r"^conv2d: stride must be an int.* got 2.0"),
    "float in a stride": (lambda: F.conv2d(X2, W2, stride=(1.0, 1)), TypeError, r"^conv2d: stride .* int, got 1.0"),
    "NaN stride": (lambda: F.conv2d(X2, W2, stride=float("nan")), TypeError, r"^conv2d: stride .* got nan"),
    "string stride": (lambda: F.conv2d(X2, W2, stride="2"), TypeError, r"^conv2d: stride must be an int.* got '2'"),
    "dict stride": (lambda: F.conv2d(X2, W2, stride={1: 2}), TypeError, r"^conv2d: stride must be .* got \{1: 2\}"),
    "no stride": (lambda: F.conv2d(X2, W2, stride=None), TypeError, r"^conv2d: stride must be .* got None"),
    "float array for a stride": (lambda: F.conv2d(X2, W2, stride=np.array([1.0, 2.0])), TypeError,
                                 r"^conv2d: stride must be an int, got np.float64\(1.0\)"),
    "length of a stride": (lambda: F.conv2d(X2, W2, stride=(1, 1, 1)), ValueError,
                           r"^conv2d: stride must be an int or a tuple of 2 ints, got \(1, 1, 1\)"),
    "enormous stride": (lambda: F.conv2d(X2, W2, stride=2**64), ValueError, r"^conv2d: stride must fit a 64-bit .*"),
    "zero dilation": (lambda: F.conv2d(X2, W2, dilation=0), ValueError, r"^conv2d: dilation must be at least 1, got 0"),
    "negative padding": (lambda: F.conv2d(X2, W2, padding=-1), ValueError, r"^conv2d: padding .* at least 0, got -1"),
    "padding mode": (lambda: F.conv2d(X2, W2, padding="smae"), ValueError,
                     r"^conv2d: padding must be .* 'same' or 'valid', got 'smae'"),
    "padding mode in a tuple": (lambda: F.conv2d(X2, W2, padding=("same", 1)), TypeError,
                                r"^conv2d: padding must be an int, got 'same'"),
    "'same' with a stride": (lambda: F.conv2d(X2, W2, stride=2, padding="same"), ValueError,
                             r"^conv2d: padding='same' needs stride=1, got stride=\(2, 2\)"),
    "'same' transposed": (lambda: F.conv_transpose2d(DY2, W2, padding="same"), TypeError,
                          r"^conv_transpose2d: padding must be an int .* got 'same'"),
    "zero groups": (lambda: F.conv2d(X2, W2, groups=0), ValueError, r"^conv2d: groups must be at least 1, got 0"),
    "float groups": (lambda: F.conv2d(X2, W2, groups=1.0), TypeError, r"^conv2d: groups must be an int, got 1.0"),
    "list of groups": (lambda: F.conv2d(X2, W2, groups=[1]), TypeError, r"^conv2d: groups must be an int, got"),
    "output_padding": (lambda: F.conv_transpose2d(DY2, W2, stride=2, output_padding=2), ValueError,
                       r"^conv_transpose2d: output_padding must be smaller than stride or dilation, got 2 with"),
    "negative output_padding": (lambda: F.conv_transpose2d(DY2, W2, output_padding=-1), ValueError,
                                r"^conv_transpose2d: output_padding must be at least 0, got -1"),
    "zero kernel_size": (lambda: F.max_pool2d(X2, 0), ValueError,
                         r"^max_pool2d: kernel_size must be at least 1, got 0"),
    "no kernel_size": (lambda: F.avg_pool2d(X2, None), TypeError, r"^avg_pool2d: kernel_size must be .* got None"),
    "length of kernel_size": (lambda: F.max_pool1d(X1, (2, 2)), ValueError,
                              r"^max_pool1d: kernel_size must be an int or a tuple of 1 ints, got \(2, 2\)"),
    "padding over half a window": (lambda: F.max_pool2d(X2, 3, padding=2), ValueError,
                                   r"^max_pool2d: padding must be at most half of kernel_size=3, got 2 along height"),
    "padding over half a mean": (lambda: F.avg_pool2d(X2, (4, 2), padding=(2, 2)), ValueError,
                                 r"^avg_pool2d: padding must be at most half of kernel_size=2, got 2 along width"),
    "zero divisor": (lambda: F.avg_pool2d(X2, 2, divisor_override=0), ValueError,
                     r"^avg_pool2d: divisor_override must .*, got 0"),
    "float divisor": (lambda: F.avg_pool2d(X2, 2, divisor_override=1.5), TypeError,
                      r"^avg_pool2d: divisor_override must be an int, got 1.5"),
    "mode": (lambda: F.convolve2d(SCORES, SCORES, "ful"), ValueError,
             r"^convolve2d: mode must be one of 'valid', 'same', 'full', got 'ful'"),
    "number for a mode": (lambda: F.correlate1d(ones(3), ones(3), 2), ValueError, r"^correlate1d: mode .* got 2"),

    # Sizes that no memory holds
    "overflowing input": (lambda: F.conv2d(huge(2**15, 1, 2**22, 2**22), ones(2**6, 1, 1, 1)), ValueError,
                          r"^conv2d: an array of shape .* more bytes than a 64-bit integer can count"),
    "overflowing padding": (lambda: F.conv2d(X2, W2, padding=2**62), ValueError, r"^conv2d: .* 64-bit integer"),
    "overflowing pool": (lambda: F.avg_pool2d(huge(2**20, 2**20, 2**10, 2**10), 1), ValueError,
                         r"^avg_pool2d: an array of shape \(1048576, 1048576, .*64-bit integer"),
    "overflowing unfold": (lambda: F.unfold(huge(2**14, 2**14, 2**14, 2**14), 2**12), ValueError,
                           r"^unfold: an array of shape .*64-bit integer"),
    "overflowing transposition": (lambda: F.conv_transpose1d(ones(1, 6, 4), W1, stride=2**62), ValueError,
                                  r"^conv_transpose1d: an array of shape .*64-bit integer"),
    "overflowing fold": (lambda: F.fold(ones(1, 4, 9), (2**40, 2**40), 2), ValueError, r"^fold: .*64-bit integer"),
    "overflowing input_size": (lambda: G.conv2d_input((2**31, 4, 2**31, 8), W2, DY2), ValueError,
                               r"^conv2d_input: input_size must describe .*64-bit integer.* got \(2147483648, 4"),
    "overflowing weight_size": (lambda: G.conv2d_weight(X2, (2**62, 4, 3, 3), DY2), ValueError,
                                r"^conv2d_weight: weight_size must describe .*64-bit integer"),
    "overflowing max_pool gradient": (
        lambda: G.max_pool2d_input((2**30, 2**30, 2, 2), INDICES, ones(2, 4, 4, 4)), ValueError,
        r"^max_pool2d_input: input_size must describe"),

    # Activations and losses
    "axis": (lambda: F.softmax(SCORES, 2), ValueError, r"^softmax: dim must be from -2 to 1 .* got 2"),
    "axis of a 0-d array": (lambda: F.log_softmax(np.array(1.0), 1), ValueError, r"^log_softmax: dim .* -1 to 0 .* 1"),
    "float axis": (lambda: F.softmax(SCORES, 1.0), TypeError, r"^softmax: dim must be an int, got 1.0"),
    "bool axis": (lambda: F.softmax(SCORES, True), TypeError, r"^softmax: dim must be an int, got True"),
    "label too large": (lambda: F.cross_entropy(SCORES, np.array([0, 4, 1])), ValueError,
                        r"^cross_entropy: target must hold class indices from 0 to 3, .* got 4"),
    "negative label": (lambda: F.cross_entropy(SCORES, np.array([0, -1, 1])), ValueError,
                       r"^cross_entropy: target must hold class indices from 0 to 3, .* got -1"),
    "default ignore_index replaced": (lambda: F.cross_entropy(SCORES, np.array([0, -100, 1]), ignore_index=-1),
                                      ValueError, r"^cross_entropy: target .* or ignore_index=-1, got -100"),
    "huge label": (lambda: F.cross_entropy(SCORES, np.array([0, 2**63, 1], np.uint64)), ValueError,
                   r"^cross_entropy: target .* got 9223372036854775808"),
    "float labels": (lambda: F.cross_entropy(SCORES, LABELS.astype(np.float32)), TypeError,
                     r"^cross_entropy: target must hold integers .* got float32 of shape \(3,\)"),
    "NaN label": (lambda: F.cross_entropy(SCORES, np.array([0, np.nan, 1])), TypeError,
                  r"^cross_entropy: target must hold integers .* got float64"),
    "bool labels": (lambda: F.cross_entropy(SCORES, LABELS > 0), TypeError, r"^cross_entropy: target .* got bool"),
    "object labels": (lambda: F.cross_entropy(SCORES, LABELS.astype(object)), TypeError, r"target .* got object"),
    "integer probabilities": (lambda: F.cross_entropy(SCORES, np.ones((3, 4), int)), TypeError,
                              r"^cross_entropy: target has input's shape \(3, 4\), so .* must be float32 .* got int64"),
    "number of labels": (lambda: F.cross_entropy(SCORES, np.array([0, 1])), ValueError,
                         r"^cross_entropy: target must have shape \(3,\) .* got \(2,\)"),
    "shape of labels": (lambda: F.cross_entropy(ones(2, 4, 3), np.zeros((2, 4), int)), ValueError,
                        r"^cross_entropy: target must have shape \(2, 3\) .* got \(2, 4\)"),
    "class weight": (lambda: F.cross_entropy(SCORES, LABELS, ones(3)), ValueError,
                     r"^cross_entropy: weight must have shape \(4,\), one for each class, got \(3,\)"),
    "no classes": (lambda: F.cross_entropy(ones(3, 0), LABELS), ValueError,
                   r"^cross_entropy: input must have at least one class along axis 1, got shape \(3, 0\)"),
    "smoothing too large": (lambda: F.cross_entropy(SCORES, LABELS, label_smoothing=1.5), ValueError,
                            r"^cross_entropy: label_smoothing must be from 0 to 1, got 1.5"),
    "NaN smoothing": (lambda: F.cross_entropy(SCORES, LABELS, label_smoothing=float("nan")), ValueError,
                      r"^cross_entropy: label_smoothing must be from 0 to 1, got nan"),
    "string smoothing": (lambda: F.cross_entropy(SCORES, LABELS, label_smoothing="0.1"), TypeError,
                         r"^cross_entropy: label_smoothing must be a number from 0 to 1, got '0.1'"),
    "float ignore_index": (lambda: F.cross_entropy(SCORES, LABELS, ignore_index=1.0), TypeError,
                           r"^cross_entropy: ignore_index must be an int, got 1.0"),
    "ignore_index of probabilities": (lambda: F.cross_entropy(SCORES, SCORES, ignore_index=1), ValueError,
                                      r"^cross_entropy: ignore_index=1 needs a target of class indices"),
    "reduction": (lambda: F.cross_entropy(SCORES, LABELS, reduction="avg"), ValueError,
                  r"^cross_entropy: reduction must be one of 'none', 'mean', 'sum', got 'avg'"),
    "reduction of mse_loss": (lambda: F.mse_loss(SCORES, SCORES, reduction=None), ValueError,
                              r"^mse_loss: reduction must be one of .* got None"),
    "shape of a target": (lambda: F.mse_loss(SCORES, ones(3, 5)), ValueError,
                          r"^mse_loss: target must have input's shape \(3, 4\), got \(3, 5\)"),
    "shape of mse weights": (lambda: F.mse_loss(SCORES, SCORES, weight=ones(4)), ValueError,
                             r"^mse_loss: weight must have input's shape \(3, 4\), got \(4,\)"),

    # Gradients
    "grad_output": (lambda: G.conv2d_input(X2.shape, W2, ones(2, 6, 6, 6)), ValueError,
                    r"^conv2d_input: grad_output must have shape \(2, 6, 7, 6\), got \(2, 6, 6, 6\)"),
    "grad_output's batch": (lambda: G.conv2d_weight(X2, W2.shape, DY2[:1]), ValueError,
                            r"^conv2d_weight: grad_output must have shape \(2, 6, 7, 6\), got \(1, 6, 7, 6\)"),
    "grad_output without a batch": (lambda: G.conv2d_parameters(X2[:1], W2.shape, DY2[0]), ValueError,
                                    r"^conv2d_parameters: grad_output must have shape \(1, 6, 7, 6\), got \(6, 7, 6\)"),
    "grad_output of no type": (lambda: G.conv2d_input(X2.shape, W2, None), TypeError,
                               r"^conv2d_input: grad_output must be a NumPy array, got NoneType"),
    "grad_output of integers": (lambda: G.relu_input(SCORES, LABELS), TypeError, r"^relu_input: grad_output .* int64"),
    "rank of input_size": (lambda: G.conv2d_input((9, 8), W2, DY2), ValueError,
                           r"^conv2d_input: input_size must have 4 dimensions .* got shape \(9, 8\)"),
    "type of input_size": (lambda: G.conv2d_input(9, W2, DY2), TypeError,
                           r"^conv2d_input: input_size must be a tuple of ints, got 9"),
    "float in input_size": (lambda: G.avg_pool2d_input((2, 4, 9.0, 8), ones(2, 4, 4, 4), 2), TypeError,
                            r"^avg_pool2d_input: input_size must be a tuple of ints, got \(2, 4, 9.0, 8\)"),
    "string for input_size": (lambda: G.linear_input("34", SCORES, SCORES), TypeError,
                              r"^linear_input: input_size must be a tuple of ints, got '34'"),
    "negative input_size": (lambda: G.unfold_input((2, 4, -9, 8), ones(2, 16, 56), 2), ValueError,
                            r"^unfold_input: input_size must hold no negative number, got \(2, 4, -9, 8\)"),
    "negative weight_size": (lambda: G.conv2d_weight(X2, (-6, 4, 3, 3), DY2), ValueError,
                             r"^conv2d_weight: weight_size must hold no negative number, got"),
    "rank of weight_size": (lambda: G.conv2d_weight(X2, (6, 4, 3), DY2), ValueError,
                            r"^conv2d_weight: weight must have 4 dimensions, got shape \(6, 4, 3\)"),
    "linear weight_size": (lambda: G.linear_weight(SCORES, (2, 5), ones(3, 2)), ValueError,
                           r"^linear_weight: input .* has 4 features .* weight_size of shape \(2, 5\) takes 5"),
    "linear grad_output": (lambda: G.linear_parameters(SCORES, (2, 4), ones(3, 3)), ValueError,
                           r"^linear_parameters: grad_output must have shape \(3, 2\), got \(3, 3\)"),
    "transposed grad_output": (lambda: G.conv_transpose2d_input(DY2.shape, W2, ones(2, 4, 9, 9)), ValueError,
                               r"^conv_transpose2d_input: grad_output must have shape \(2, 4, 9, 8\), got"),
    "index too large": (lambda: G.max_pool2d_input(X2.shape, INDICES + 72, ones(2, 4, 4, 4)), ValueError,
                        r"^max_pool2d_input: indices must be at least 0 and below 72, .* got 72"),
    "negative index": (lambda: G.max_pool2d_input(X2.shape, INDICES - 1, ones(2, 4, 4, 4)), ValueError,
                       r"^max_pool2d_input: indices must be at least 0 and below 72, .* got -1"),
    "smallest index": (lambda: G.max_pool2d_input(X2.shape, INDICES + LOWEST, ones(2, 4, 4, 4)), ValueError,
                       r"^max_pool2d_input: indices .* got -9223372036854775808"),
    "float indices": (lambda: G.max_pool2d_input(X2.shape, INDICES * np.nan, ones(2, 4, 4, 4)), TypeError,
                      r"^max_pool2d_input: indices must be int64, .* got float64"),
    "int32 indices": (lambda: G.max_pool2d_input(X2.shape, INDICES.astype(np.int32), ones(2, 4, 4, 4)), TypeError,
                      r"^max_pool2d_input: indices must be int64, .* got int32"),
    "no indices": (lambda: G.max_pool2d_input(X2.shape, None, ones(2, 4, 4, 4)), TypeError,
                   r"^max_pool2d_input: indices must be a NumPy array, got NoneType"),
    "shape of indices": (lambda: G.max_pool2d_input(X2.shape, INDICES[..., :3], ones(2, 4, 4, 4)), ValueError,
                         r"^max_pool2d_input: indices must have shape \(2, 4, 4, 4\), got \(2, 4, 4, 3\)"),
    "channels of indices": (lambda: G.max_pool2d_input((2, 5, 9, 8), INDICES, ones(2, 4, 4, 4)), ValueError,
                            r"^max_pool2d_input: grad_output must have shape \(2, 5, 4, 4\), got \(2, 4, 4, 4\)"),
    "avg_pool grad_output": (lambda: G.avg_pool2d_input(X2.shape, ones(2, 4, 4, 3), 2), ValueError,
                             r"^avg_pool2d_input: grad_output must have shape \(2, 4, 4, 4\), got \(2, 4, 4, 3\)"),
    "unfold grad_output": (lambda: G.unfold_input(X2.shape, ones(2, 16, 55), 2), ValueError,
                           r"^unfold_input: grad_output must have shape \(2, 16, 56\), got \(2, 16, 55\)"),
    "fold grad_output": (lambda: G.fold_input(ones(9, 8), 2), ValueError,
                         r"^fold_input: grad_output must have 4 dimensions .* got shape \(9, 8\)"),
    "relu grad_output": (lambda: G.relu_input(SCORES, ones(4)), ValueError,
                         r"^relu_input: grad_output must have shape \(3, 4\), got \(4,\)"),
    "softmax grad_output": (lambda: G.softmax_input(SCORES, ones(3), 1), ValueError,
                            r"^softmax_input: grad_output must have shape \(3, 4\), got \(3,\)"),
    "softmax gradient's axis": (lambda: G.log_softmax_input(SCORES, SCORES, None), TypeError,
                                r"^log_softmax_input: dim must be an int, got None"),
    "cross_entropy grad_output": (lambda: G.cross_entropy_input(SCORES, LABELS, ones(3)), ValueError,
                                  r"^cross_entropy_input: grad_output must have shape \(\), got \(3,\)"),
    "string for a loss's grad_output": (lambda: G.mse_loss_input(SCORES, SCORES, "1"), TypeError,
                                        r"^mse_loss_input: grad_output must be a float or an array, got '1'"),
    "bool for a loss's grad_output": (lambda: G.mse_loss_input(SCORES, SCORES, True), TypeError,
                                      r"^mse_loss_input: grad_output must be a float or an array, got True"),
    "label of a gradient": (lambda: G.cross_entropy_input(SCORES, LABELS + 2), ValueError,
                            r"^cross_entropy_input: target must hold class indices from 0 to 3, .* got 4"),
    "reduction of a gradient": (lambda: G.cross_entropy_input(SCORES, LABELS, reduction=""), ValueError,
                                r"^cross_entropy_input: reduction must be one of .* got ''"),
}


@pytest.fixture(params=LOADED)
def unused_backend(request, monkeypatch):
    """Each backend in turn, whose kernels fail the test when one is called."""
    module = backends.get(request.param)

    def fail(*_):
        pytest.fail(f"a kernel of {request.param} was called")

    for kernel in backends.KERNELS:
        monkeypatch.setattr(module, kernel, fail)
    with backends.use_backend(request.param):
        yield


@pytest.mark.parametrize("call, error, message", CALLS.values(), ids=CALLS)
def test_bad_call(call, error, message, unused_backend):
    for _ in range(2):  # the second time past every cache
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            call()
        assert caught.type is error


def test_arrays_of_two_libraries():
    tensor = torch.ones(3, 4)
    for call, message in [
        (lambda: F.mse_loss(tensor, SCORES), r"^mse_loss: target and input must be arrays of the same library, got "
                                             r"numpy.ndarray and torch.Tensor"),
        (lambda: F.cross_entropy(SCORES, torch.tensor([0, 1, 2])), r"^cross_entropy: target and input must be arrays"),
        (lambda: F.cross_entropy(tensor, torch.tensor([0, 1, 2]), ones(4)), r"^cross_entropy: weight and input must"),
        (lambda: F.conv2d(torch.ones(1, 4, 5, 5), W2), r"^conv2d: input must be a NumPy array, got torch.Tensor"),
        (lambda: F.relu(torch.ones(3).int()), r"^relu: input must be float32 or float64, got torch.int32"),
        (lambda: F.softmax(tensor, 1, dtype=torch.int32), r"^softmax: dtype must be float32 or float64"),
        (lambda: F.softmax(tensor.to(torch.complex64), 1, dtype=torch.float32), r"^softmax: input must be float32"),
    ]:
        with pytest.raises(TypeError, match=message):
            call()


def test_there_are_enough():
    assert len(CALLS) >= 60
