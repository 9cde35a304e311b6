"""Layers under torch's names and constructor arguments, each with its own backward: see `Layer`."""

from fastconv.layers.activation import LeakyReLU, LogSoftmax, PReLU, ReLU, Sigmoid, Softmax, Tanh
from fastconv.layers.adaptive import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
)
from fastconv.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastconv.layers.container import ModuleDict, ModuleList, Residual, Sequential, TimeDistributed
from fastconv.layers.conv import Conv1d, Conv2d, Conv3d
from fastconv.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.layers.dropout import Dropout
from fastconv.layers.embedding import Embedding
from fastconv.layers.flatten import Flatten, Identity, Unflatten
from fastconv.layers.fold import Fold, Unfold
from fastconv.layers.layer import Layer
from fastconv.layers.linear import Linear
from fastconv.layers.loss import CrossEntropyLoss, MSELoss
from fastconv.layers.pad import (
    CircularPad1d,
    CircularPad2d,
    CircularPad3d,
    ConstantPad1d,
    ConstantPad2d,
    ConstantPad3d,
    ReflectionPad1d,
    ReflectionPad2d,
    ReflectionPad3d,
    ReplicationPad1d,
    ReplicationPad2d,
    ReplicationPad3d,
    ZeroPad1d,
    ZeroPad2d,
    ZeroPad3d,
)
from fastconv.layers.parameter import Parameter
from fastconv.layers.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from fastconv.layers.resample import (
    Downsample1d,
    Downsample2d,
    Downsample3d,
    PixelShuffle,
    PixelUnshuffle,
    Upsample,
    Upsample1d,
    Upsample2d,
    Upsample3d,
    UpsamplingBilinear2d,
    UpsamplingNearest2d,
)
from fastconv.layers.rnn import RNN

__all__ = ["RNN", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d",
           "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BatchNorm1d",
           "BatchNorm2d", "BatchNorm3d", "CircularPad1d", "CircularPad2d", "CircularPad3d", "ConstantPad1d",
           "ConstantPad2d", "ConstantPad3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d",
           "ConvTranspose3d", "CrossEntropyLoss", "Downsample1d", "Downsample2d", "Downsample3d", "Dropout",
           "Embedding", "Flatten", "Fold", "Identity", "Layer", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss",
           "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "ModuleDict",
           "ModuleList", "PReLU", "Parameter", "PixelShuffle", "PixelUnshuffle", "ReLU", "ReflectionPad1d",
           "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "Residual",
           "Sequential", "Sigmoid", "Softmax", "Tanh", "TimeDistributed", "Unflatten", "Unfold", "Upsample",
           "Upsample1d", "Upsample2d", "Upsample3d", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d",
           "ZeroPad2d", "ZeroPad3d"]
