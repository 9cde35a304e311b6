"""Layers of well-known networks, none of them in the suite: a mix by which nobody has tuned alone.

Names begin with the network, and end with the size of the map where one has several. Batches are 8 images, fewer of
large ones; what runs on one image at a time is measured so.
"""

from __future__ import annotations

from bench.kinds import Conv, Pool

LAYERS = (
    # Small networks for digits and small pictures.
    Conv("lenet_1", (64, 1, 28, 28), (6, 1, 5, 5), padding=2),
    Conv("lenet_2", (64, 6, 14, 14), (16, 6, 5, 5)),
    Conv("mnist_1", (64, 1, 28, 28), (20, 1, 5, 5)),
    Conv("mnist_2", (64, 20, 12, 12), (50, 20, 5, 5)),
    Conv("cifar_1", (64, 3, 32, 32), (32, 3, 3, 3), padding=1),
    Conv("cifar_2", (64, 32, 32, 32), (32, 32, 3, 3), padding=1),
    Conv("cifar_3", (64, 64, 16, 16), (64, 64, 3, 3), padding=1),
    Conv("cifar_4", (32, 128, 4, 4), (256, 128, 3, 3), padding=1),
    # First layers of large ones.
    Conv("alexnet_1", (8, 3, 224, 224), (64, 3, 11, 11), stride=4, padding=2),
    Conv("vgg_1", (4, 3, 224, 224), (64, 3, 3, 3), padding=1),
    Conv("mobilenet_stem", (8, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1),
    Conv("convnext_stem", (8, 3, 224, 224), (96, 3, 4, 4), stride=4),
    Conv("vit_patches", (8, 3, 224, 224), (192, 3, 16, 16), stride=16),
    # 3 x 3 and larger.
    Conv("alexnet_2", (8, 64, 27, 27), (192, 64, 5, 5), padding=2),
    Conv("alexnet_3", (8, 192, 13, 13), (384, 192, 3, 3), padding=1),
    Conv("vgg_14", (8, 512, 14, 14), (512, 512, 3, 3), padding=1),
    Conv("resnet_s2_14", (8, 512, 14, 14), (512, 512, 3, 3), stride=2, padding=1),
    Conv("densenet_56", (8, 128, 56, 56), (32, 128, 3, 3), padding=1),
    Conv("densenet_14", (8, 128, 14, 14), (32, 128, 3, 3), padding=1),
    Conv("googlenet_3x3", (8, 96, 28, 28), (208, 96, 3, 3), padding=1),
    Conv("googlenet_5x5", (8, 16, 28, 28), (32, 16, 5, 5), padding=2),
    Conv("inception_5x5", (8, 48, 35, 35), (64, 48, 5, 5), padding=2),
    Conv("inception_1x7", (8, 128, 17, 17), (128, 128, 1, 7), padding=(0, 3)),
    Conv("inception_7x1", (8, 128, 17, 17), (192, 128, 7, 1), padding=(3, 0)),
    Conv("yolo_s2_104", (4, 32, 104, 104), (64, 32, 3, 3), stride=2, padding=1),
    Conv("yolo_52", (4, 128, 52, 52), (256, 128, 3, 3), padding=1),
    Conv("unet_128", (2, 64, 128, 128), (64, 64, 3, 3), padding=1),
    Conv("unet_16", (2, 512, 16, 16), (512, 512, 3, 3), padding=1),
    Conv("deeplab_6", (2, 256, 33, 33), (256, 256, 3, 3), padding=6, dilation=6),
    Conv("deeplab_12", (2, 256, 33, 33), (256, 256, 3, 3), padding=12, dilation=12),
    # One image.
    Conv("resnet_single_14", (1, 256, 14, 14), (256, 256, 3, 3), padding=1),
    Conv("resnet_single_7", (1, 512, 7, 7), (512, 512, 3, 3), padding=1),
    Conv("srcnn_1", (1, 3, 96, 96), (64, 3, 9, 9), padding=4),
    Conv("srcnn_2", (1, 64, 96, 96), (32, 64, 5, 5), padding=2),
    Conv("srcnn_3", (1, 32, 96, 96), (3, 32, 5, 5), padding=2),
    Conv("style_residual", (1, 128, 64, 64), (128, 128, 3, 3), padding=1),
    Conv("gaussian_15", (1, 1, 256, 256), (1, 1, 15, 15), padding=7),
    # Pointwise.
    Conv("mobilenet_expand_56", (8, 24, 56, 56), (144, 24, 1, 1)),
    Conv("mobilenet_project_56", (8, 144, 56, 56), (24, 144, 1, 1)),
    Conv("mobilenet_project_28", (8, 192, 28, 28), (32, 192, 1, 1)),
    Conv("mobilenet_expand_14", (8, 96, 14, 14), (576, 96, 1, 1)),
    Conv("mobilenet_last_7", (8, 320, 7, 7), (1280, 320, 1, 1)),
    Conv("resnet_expand_7", (8, 512, 7, 7), (2048, 512, 1, 1)),
    Conv("resnet_shortcut_56", (8, 256, 56, 56), (512, 256, 1, 1), stride=2),
    Conv("squeezenet_squeeze", (8, 64, 55, 55), (16, 64, 1, 1)),
    Conv("squeezenet_expand", (8, 16, 55, 55), (64, 16, 1, 1)),
    Conv("shufflenet_28", (8, 240, 28, 28), (240, 80, 1, 1), groups=3),
    Conv("efficientnet_excite", (8, 28, 1, 1), (672, 28, 1, 1)),
    Conv("convnext_single_28", (1, 192, 28, 28), (768, 192, 1, 1)),
    # Depthwise and other groups.
    Conv("mobilenet_dw_112", (8, 32, 112, 112), (32, 1, 3, 3), padding=1, groups=32),
    Conv("mobilenet_dw_s2_56", (8, 144, 56, 56), (144, 1, 3, 3), stride=2, padding=1, groups=144),
    Conv("mobilenet_dw_14", (8, 576, 14, 14), (576, 1, 3, 3), padding=1, groups=576),
    Conv("efficientnet_dw5_28", (8, 240, 28, 28), (240, 1, 5, 5), padding=2, groups=240),
    Conv("efficientnet_dw5_14", (8, 672, 14, 14), (672, 1, 5, 5), padding=2, groups=672),
    Conv("efficientnet_dw5_s2_56", (8, 144, 56, 56), (144, 1, 5, 5), stride=2, padding=2, groups=144),
    Conv("convnext_dw7_56", (8, 96, 56, 56), (96, 1, 7, 7), padding=3, groups=96),
    Conv("convnext_dw7_14", (8, 384, 14, 14), (384, 1, 7, 7), padding=3, groups=384),
    Conv("resnext_14", (8, 256, 14, 14), (256, 8, 3, 3), padding=1, groups=32),
    Conv("resnext_s2_14", (8, 512, 14, 14), (512, 16, 3, 3), stride=2, padding=1, groups=32),
    Conv("alexnet_2_groups", (8, 96, 27, 27), (256, 48, 5, 5), padding=2, groups=2),
    # One dimension: text, sound and series.
    Conv("text_cnn", (32, 128, 56), (100, 128, 5)),
    Conv("wavenet_dilated", (4, 64, 8000), (128, 64, 2), dilation=8),
    Conv("tasnet_dw", (4, 512, 2000), (512, 1, 3), padding=4, dilation=4, groups=512),
    Conv("wav2vec_1", (2, 1, 16000), (512, 1, 10), stride=5),
    Conv("wav2vec_2", (2, 512, 3199), (512, 512, 3), stride=2),
    Conv("whisper_1", (2, 80, 3000), (384, 80, 3), padding=1),
    # Three dimensions: films and volumes.
    Conv("c3d_1", (1, 3, 16, 112, 112), (64, 3, 3, 3, 3), padding=1),
    Conv("c3d_2", (1, 64, 8, 56, 56), (128, 64, 3, 3, 3), padding=1),
    Conv("r2plus1d_space", (1, 64, 8, 56, 56), (144, 64, 1, 3, 3), padding=(0, 1, 1)),
    Conv("r2plus1d_time", (1, 144, 8, 56, 56), (64, 144, 3, 1, 1), padding=(1, 0, 0)),
    Conv("unet3d_16", (1, 32, 16, 32, 32), (64, 32, 3, 3, 3), padding=1),
    # Transposed.
    Conv("unet_up", (2, 128, 64, 64), (128, 64, 2, 2), stride=2, transposed=True),
    Conv("dcgan_8", (16, 256, 8, 8), (256, 128, 4, 4), stride=2, padding=1, transposed=True),
    Conv("dcgan_32", (16, 64, 32, 32), (64, 3, 4, 4), stride=2, padding=1, transposed=True),
    Conv("style_up", (1, 128, 64, 64), (128, 64, 3, 3), stride=2, padding=1, output_padding=1, transposed=True),
)

WINDOWS = (
    Pool("alexnet_pool", "max", (8, 64, 55, 55), 3, stride=2),
    Pool("googlenet_pool_s1", "max", (8, 192, 28, 28), 3, stride=1, padding=1),
    Pool("yolo_spp", "max", (8, 256, 13, 13), 5, stride=1, padding=2),
    Pool("lenet_pool", "max", (64, 16, 10, 10), 2),
    Pool("vgg_pool_14", "max", (8, 512, 14, 14), 2),
    Pool("text_pool", "max", (32, 100, 52), 52),
    Pool("c3d_pool", "max", (1, 64, 16, 56, 56), 2),
    Pool("densenet_pool", "avg", (8, 128, 56, 56), 2),
    Pool("inception_pool", "avg", (8, 192, 35, 35), 3, stride=1, padding=1),
    Pool("resnet_global", "avg", (8, 2048, 7, 7), 7),
)

NETWORKS = {case.name: case for case in (*LAYERS, *WINDOWS)}
