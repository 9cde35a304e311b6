"""Every shape that is benchmarked or tested, once.

`SUITE` and `POOLS` are what performance is measured on; `bench.networks` has more of their kind. `CORNERS`, which is
`CONV_CORNERS` and `POOL_CORNERS`, are small: the plain loops compute one in some hundredths of a second, and between
them they reach the corners of the shape arithmetic and of kernels that work on vectors and tiles.
"""

from __future__ import annotations

from bench.kinds import Conv, Pool
from bench.networks import NETWORKS
from bench.operations import TIMED

SUITE = (
    Conv("lab7_1", (64, 1, 28, 28), (32, 1, 3, 3)),
    Conv("lab7_2", (64, 32, 13, 13), (64, 32, 3, 3)),
    Conv("lab7_3", (64, 64, 5, 5), (64, 64, 3, 3)),
    Conv("fer_1", (8, 3, 28, 28), (16, 3, 5, 5)),
    Conv("fer_2", (8, 16, 12, 12), (32, 16, 5, 5)),
    Conv("resnet_stem", (8, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3),
    Conv("resnet_56", (8, 64, 56, 56), (64, 64, 3, 3), padding=1),
    Conv("resnet_28", (8, 128, 28, 28), (128, 128, 3, 3), padding=1),
    Conv("resnet_14", (8, 256, 14, 14), (256, 256, 3, 3), padding=1),
    Conv("resnet_7", (8, 512, 7, 7), (512, 512, 3, 3), padding=1),
    Conv("pointwise_a", (8, 64, 56, 56), (256, 64, 1, 1)),
    Conv("pointwise_b", (8, 1024, 14, 14), (256, 1024, 1, 1)),
    Conv("single_56", (1, 64, 56, 56), (64, 64, 3, 3), padding=1),
    Conv("vgg_2", (8, 64, 112, 112), (128, 64, 3, 3), padding=1),
    Conv("resnet_proj", (8, 128, 56, 56), (128, 128, 3, 3), stride=2, padding=1),
    Conv("mobile_dw3", (8, 144, 56, 56), (144, 1, 3, 3), padding=1, groups=144),
    Conv("mobile_dw5s2", (8, 240, 28, 28), (240, 1, 5, 5), stride=2, padding=2, groups=240),
    Conv("dilated", (8, 128, 28, 28), (128, 128, 3, 3), padding=2, dilation=2),
    Conv("resnext_g32", (8, 128, 56, 56), (128, 4, 3, 3), padding=1, groups=32),
    Conv("sobel", (1, 1, 286, 230), (2, 1, 3, 3)),
    Conv("deconv", (8, 64, 28, 28), (64, 32, 4, 4), stride=2, padding=1, transposed=True),
    Conv("conv1d_scan", (16, 24, 4096), (56, 24, 8), stride=4),
    Conv("conv3d_video", (2, 16, 16, 56, 56), (32, 16, 3, 3, 3), padding=1),
)

POOLS = (
    Pool("max_lab7", "max", (64, 32, 26, 26), 2),
    Pool("max_112", "max", (8, 64, 112, 112), 2),
    Pool("max_224", "max", (8, 64, 224, 224), 2),
    Pool("max_overlap", "max", (8, 64, 112, 112), 3, stride=2, padding=1),
    Pool("avg_112", "avg", (8, 64, 112, 112), 2),
)

# Next to nothing to compute: what is timed is the call.
OVERHEAD = Conv("overhead", (1, 1, 5, 5), (1, 1, 3, 3))

CONV_CORNERS = (
    # One dimension.
    Conv("1d_plain", (2, 3, 17), (4, 3, 3)),
    Conv("1d_one_element", (1, 1, 1), (1, 1, 1)),
    Conv("1d_stride_4", (2, 5, 50), (7, 5, 8), stride=4),
    Conv("1d_same_even", (2, 3, 19), (5, 3, 4), padding="same"),
    Conv("1d_same_dilated", (1, 2, 23), (3, 2, 4), padding="same", dilation=3),
    Conv("1d_dilated_groups", (3, 6, 31), (9, 2, 5), stride=2, padding=4, dilation=3, groups=3),
    Conv("1d_wide_row", (1, 2, 515), (3, 2, 9), padding=4),
    Conv("1d_depthwise", (2, 7, 40), (7, 1, 7), padding=3, groups=7),
    # Two dimensions: strides, padding, dilation.
    Conv("2d_plain", (2, 3, 8, 8), (4, 3, 3, 3)),
    Conv("2d_padded", (2, 3, 7, 9), (4, 3, 3, 3), padding=1),
    Conv("2d_stride_2", (2, 3, 9, 10), (4, 3, 3, 3), stride=2, padding=1),
    Conv("2d_stride_3", (1, 2, 11, 13), (3, 2, 4, 5), stride=3, padding=2),
    Conv("2d_stride_mixed", (1, 3, 12, 11), (5, 3, 3, 2), stride=(1, 3), padding=(2, 0), dilation=(2, 1)),
    Conv("2d_stride_over_kernel", (2, 3, 10, 10), (4, 3, 2, 2), stride=3),
    Conv("2d_rows_unused", (1, 2, 10, 12), (3, 2, 3, 3), stride=(4, 5)),
    Conv("2d_same_even", (2, 3, 9, 7), (4, 3, 2, 4), padding="same"),
    Conv("2d_same_even_dilated", (1, 3, 10, 9), (4, 3, 4, 2), padding="same", dilation=(1, 3)),
    Conv("2d_padding_over_kernel", (1, 2, 4, 5), (3, 2, 2, 3), padding=(4, 5)),
    Conv("2d_padding_2_of_3", (1, 3, 6, 21), (4, 3, 3, 3), padding=2),
    Conv("2d_dilated", (2, 4, 12, 13), (4, 4, 3, 3), padding=2, dilation=2),
    Conv("2d_dilated_3", (1, 3, 15, 14), (5, 3, 3, 3), padding=3, dilation=3, stride=2),
    Conv("2d_taps_in_padding", (1, 2, 3, 4), (3, 2, 3, 3), padding=6, dilation=6),
    Conv("2d_kernel_is_input", (3, 5, 6, 4), (7, 5, 6, 4)),
    Conv("2d_kernel_is_padded_input", (1, 3, 4, 4), (4, 3, 6, 6), padding=1),
    Conv("2d_tall_kernel", (1, 2, 9, 5), (3, 2, 7, 1), padding=(3, 0)),
    Conv("2d_wide_kernel", (2, 2, 3, 40), (3, 2, 1, 11), padding=(0, 5)),
    Conv("2d_wide_row", (1, 2, 3, 150), (3, 2, 3, 3), padding=1),
    Conv("2d_one_column", (2, 3, 14, 1), (4, 3, 3, 1), padding=(1, 0)),
    Conv("2d_one_output", (1, 3, 3, 3), (5, 3, 3, 3), stride=2),
    # Maps at which a transform of 4 x 4 outputs meets its borders.
    Conv("2d_map_4", (1, 8, 4, 4), (8, 8, 3, 3), padding=1),
    Conv("2d_map_13", (2, 6, 13, 13), (8, 6, 3, 3)),
    Conv("2d_map_28x30", (1, 3, 28, 30), (4, 3, 3, 3), padding=1),
    Conv("2d_map_33x35", (1, 2, 33, 35), (3, 2, 3, 3)),
    # Channel counts around the widths of vectors and tiles.
    Conv("2d_channels_1_1", (2, 1, 9, 9), (1, 1, 3, 3), padding=1),
    Conv("2d_channels_1_33", (1, 1, 7, 9), (33, 1, 3, 3)),
    Conv("2d_channels_5_7", (1, 5, 6, 7), (7, 5, 3, 3), padding=1),
    Conv("2d_channels_7_8", (1, 7, 6, 6), (8, 7, 3, 3)),
    Conv("2d_channels_8_9", (1, 8, 5, 6), (9, 8, 3, 3), padding=1),
    Conv("2d_channels_13_17", (1, 13, 6, 5), (17, 13, 3, 3), padding=1),
    Conv("2d_channels_16_16", (1, 16, 5, 5), (16, 16, 3, 3), padding=1),
    Conv("2d_channels_17_13", (1, 17, 5, 6), (13, 17, 3, 3), padding=1),
    Conv("2d_channels_33_5", (1, 33, 5, 6), (5, 33, 3, 3), padding=1),
    Conv("2d_channels_48_49", (1, 48, 3, 3), (49, 48, 3, 3), padding=1),
    Conv("2d_channels_65_3", (1, 65, 6, 6), (3, 65, 3, 3), padding=1),
    Conv("2d_channels_3_65", (1, 3, 6, 6), (65, 3, 3, 3), padding=1),
    Conv("2d_channels_64_64", (1, 64, 3, 4), (64, 64, 3, 3), padding=1),
    # Few channels, in vectors that run from a row into the next.
    Conv("2d_first_layer", (2, 1, 9, 28), (5, 1, 3, 3)),
    Conv("2d_first_layer_padded", (1, 2, 6, 19), (4, 2, 2, 3), padding=1),
    Conv("2d_first_layer_wide", (1, 1, 12, 45), (7, 1, 5, 5), padding=2),
    Conv("2d_first_layer_many", (17, 1, 4, 20), (4, 1, 2, 2)),
    # Pointwise.
    Conv("2d_pointwise", (2, 17, 5, 7), (9, 17, 1, 1)),
    Conv("2d_pointwise_65", (1, 65, 4, 5), (33, 65, 1, 1)),
    Conv("2d_pointwise_stride", (2, 6, 9, 8), (5, 6, 1, 1), stride=2),
    Conv("2d_pointwise_narrowing", (2, 6, 5, 4), (9, 6, 1, 1)),
    Conv("2d_pointwise_padded", (1, 4, 3, 5), (3, 4, 1, 1), padding=2),
    Conv("2d_linear", (5, 130, 1, 1), (7, 130, 1, 1)),
    # Groups.
    Conv("2d_groups", (2, 6, 7, 8), (4, 3, 3, 3), padding=1, groups=2),
    Conv("2d_groups_stride_dilated", (1, 9, 12, 11), (6, 3, 3, 3), stride=2, padding=3, dilation=2, groups=3),
    Conv("2d_groups_17", (1, 34, 5, 5), (34, 17, 3, 3), padding=1, groups=2),
    Conv("2d_depthwise", (2, 5, 8, 9), (5, 1, 3, 3), padding=1, groups=5),
    Conv("2d_depthwise_17", (1, 17, 7, 19), (17, 1, 5, 5), padding=2, groups=17),
    Conv("2d_depthwise_stride_2", (1, 7, 13, 12), (7, 1, 5, 5), stride=2, padding=2, groups=7),
    Conv("2d_depthwise_dilated", (1, 3, 12, 34), (3, 1, 3, 3), padding=2, dilation=2, groups=3),
    Conv("2d_depthwise_multiplier", (2, 3, 7, 8), (9, 1, 3, 3), padding=1, groups=3),
    Conv("2d_depthwise_multiplier_stride", (1, 5, 9, 9), (10, 1, 3, 3), stride=2, groups=5),
    Conv("2d_depthwise_pointwise", (1, 6, 5, 5), (6, 1, 1, 1), groups=6),
    # Three dimensions.
    Conv("3d_plain", (1, 2, 4, 5, 6), (3, 2, 3, 3, 3)),
    Conv("3d_padded", (2, 3, 3, 5, 4), (4, 3, 3, 3, 3), padding=1),
    Conv("3d_mixed", (1, 2, 7, 6, 8), (3, 2, 2, 3, 4), stride=(2, 1, 3), padding=(1, 2, 0), dilation=(3, 1, 2)),
    Conv("3d_same_even", (1, 2, 4, 5, 6), (3, 2, 2, 3, 4), padding="same"),
    Conv("3d_groups", (1, 4, 4, 4, 5), (6, 2, 2, 3, 3), padding=1, groups=2),
    Conv("3d_depthwise", (1, 3, 4, 6, 5), (3, 1, 3, 3, 3), stride=2, padding=1, groups=3),
    Conv("3d_pointwise", (2, 5, 2, 3, 4), (7, 5, 1, 1, 1)),
    Conv("3d_channels_17", (1, 17, 3, 3, 4), (9, 17, 3, 2, 2), padding=1),
    # Transposed.
    Conv("transposed_1d", (2, 3, 9), (3, 4, 4), stride=2, padding=1, transposed=True),
    Conv("transposed_1d_extra", (1, 2, 7), (2, 3, 3), stride=3, padding=1, output_padding=2, transposed=True),
    Conv("transposed_2d", (2, 4, 5, 6), (4, 3, 4, 4), stride=2, padding=1, transposed=True),
    Conv("transposed_2d_plain", (1, 5, 6, 5), (5, 7, 3, 3), transposed=True),
    Conv("transposed_2d_gaps", (1, 2, 4, 5), (2, 3, 2, 2), stride=3, output_padding=(2, 1), transposed=True),
    Conv("transposed_2d_extra_dilated", (1, 3, 5, 4), (3, 2, 3, 3), stride=2, padding=2, output_padding=1, dilation=2,
         transposed=True),
    Conv("transposed_2d_extra_over_stride", (1, 2, 4, 4), (2, 3, 3, 2), dilation=3, padding=1, output_padding=2,
         transposed=True),
    Conv("transposed_2d_groups", (2, 6, 4, 5), (6, 2, 3, 3), stride=2, padding=1, output_padding=1, groups=3,
         transposed=True),
    Conv("transposed_2d_depthwise", (1, 5, 6, 6), (5, 1, 4, 4), stride=2, padding=1, groups=5, transposed=True),
    Conv("transposed_3d", (1, 3, 3, 4, 3), (3, 2, 2, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1),
         output_padding=(0, 1, 0), transposed=True),
)

POOL_CORNERS = (
    Pool("max_1d", "max", (2, 3, 17), 2),
    Pool("max_1d_overlap", "max", (1, 5, 70), 5, stride=2, padding=2),
    Pool("max_1d_dilated", "max", (2, 3, 20), 3, stride=2, padding=1, dilation=4),
    Pool("max_2d", "max", (2, 3, 8, 8), 2),
    Pool("max_2d_odd", "max", (1, 5, 9, 7), 2),
    Pool("max_2d_wide_rows", "max", (1, 2, 5, 133), 2),
    Pool("max_2d_3x3", "max", (2, 2, 9, 12), 3),
    Pool("max_2d_overlap", "max", (2, 3, 11, 12), 3, stride=2, padding=1),
    Pool("max_2d_overlap_wide", "max", (1, 2, 7, 69), 3, stride=2, padding=1),
    Pool("max_2d_stride_1", "max", (1, 3, 7, 8), 3, stride=1, padding=1),
    Pool("max_2d_gaps", "max", (1, 3, 11, 11), 2, stride=3),
    Pool("max_2d_ceil", "max", (2, 3, 8, 9), 3, stride=2, ceil_mode=True),
    Pool("max_2d_ceil_padded", "max", (1, 2, 7, 6), 2, stride=2, padding=1, ceil_mode=True),
    Pool("max_2d_ceil_stride_3", "max", (1, 2, 9, 8), (3, 2), stride=3, padding=1, ceil_mode=True),
    Pool("max_2d_dilated", "max", (1, 3, 11, 10), (4, 2), stride=(1, 2), padding=(2, 1), dilation=(2, 3)),
    Pool("max_2d_ceil_over_input", "max", (2, 3, 3, 4), (4, 6), stride=(2, 3), ceil_mode=True),
    Pool("max_2d_whole", "max", (2, 3, 6, 5), (6, 5)),
    Pool("max_2d_one_element", "max", (1, 1, 1, 1), 1),
    Pool("max_2d_large_window", "max", (1, 1, 20, 21), 9, stride=4, padding=4),
    Pool("max_2d_channels_17", "max", (3, 17, 6, 6), 2),
    Pool("max_3d", "max", (1, 2, 4, 6, 5), 2),
    Pool("max_3d_mixed", "max", (1, 3, 7, 6, 8), (3, 2, 3), stride=(2, 1, 3), padding=(1, 0, 1), dilation=(1, 2, 1),
         ceil_mode=True),
    Pool("avg_1d", "avg", (2, 3, 17), 3),
    Pool("avg_1d_ceil", "avg", (1, 3, 18), 4, stride=3, padding=2, ceil_mode=True),
    Pool("avg_2d", "avg", (2, 3, 8, 8), 2),
    Pool("avg_2d_odd_wide", "avg", (1, 2, 7, 133), 2),
    Pool("avg_2d_overlap", "avg", (2, 3, 11, 12), 3, stride=2, padding=1),
    Pool("avg_2d_pad_not_counted", "avg", (2, 3, 11, 12), 3, stride=2, padding=1, count_include_pad=False),
    Pool("avg_2d_divisor", "avg", (1, 3, 7, 8), (3, 2), stride=1, padding=1, divisor=5),
    Pool("avg_2d_ceil", "avg", (1, 2, 8, 9), 3, stride=2, padding=1, ceil_mode=True),
    Pool("avg_2d_ceil_pad_not_counted", "avg", (1, 2, 8, 9), (2, 4), stride=3, padding=(1, 2), ceil_mode=True,
         count_include_pad=False),
    Pool("avg_2d_ceil_divisor", "avg", (1, 2, 8, 9), 3, stride=2, ceil_mode=True, divisor=2),
    Pool("avg_2d_ceil_over_input", "avg", (2, 3, 3, 4), (4, 6), stride=(2, 3), ceil_mode=True),
    Pool("avg_2d_gaps", "avg", (1, 3, 11, 11), 2, stride=3),
    Pool("avg_2d_whole", "avg", (2, 17, 7, 7), 7),
    Pool("avg_3d", "avg", (1, 2, 4, 6, 5), 2),
    Pool("avg_3d_mixed", "avg", (1, 2, 7, 6, 8), (3, 2, 3), stride=(2, 1, 3), padding=(1, 1, 0), ceil_mode=True,
         count_include_pad=False),
)

CORNERS = CONV_CORNERS + POOL_CORNERS


def by_name(name):
    """The case, or the operation, called `name`."""
    every = (*SUITE, *POOLS, *CORNERS, *NETWORKS.values(), *TIMED.values(), OVERHEAD)
    return next(case for case in every if case.name == name)
