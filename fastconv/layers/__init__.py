"""Layers under torch's names and constructor arguments, each with its own backward: see `Layer`."""

from fastconv.layers.activation import LogSoftmax, ReLU, Softmax
from fastconv.layers.container import Sequential
from fastconv.layers.conv import Conv1d, Conv2d, Conv3d
from fastconv.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.layers.flatten import Flatten
from fastconv.layers.layer import Layer
from fastconv.layers.linear import Linear
from fastconv.layers.loss import CrossEntropyLoss, MSELoss
from fastconv.layers.parameter import Parameter
from fastconv.layers.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

__all__ = ["AvgPool1d", "AvgPool2d", "AvgPool3d", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d",
           "ConvTranspose3d", "CrossEntropyLoss", "Flatten", "Layer", "Linear", "LogSoftmax", "MSELoss", "MaxPool1d",
           "MaxPool2d", "MaxPool3d", "Parameter", "ReLU", "Sequential", "Softmax"]
