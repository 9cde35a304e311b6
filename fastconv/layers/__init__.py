"""Layers under torch's names and constructor arguments, each with its own backward: see `Layer`."""

from fastconv.layers.activation import LeakyReLU, LogSoftmax, PReLU, ReLU, Sigmoid, Softmax, Tanh
from fastconv.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from fastconv.layers.container import ModuleDict, ModuleList, Residual, Sequential, TimeDistributed
from fastconv.layers.conv import Conv1d, Conv2d, Conv3d
from fastconv.layers.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.layers.dropout import Dropout
from fastconv.layers.embedding import Embedding
from fastconv.layers.flatten import Flatten, Identity, Unflatten
from fastconv.layers.layer import Layer
from fastconv.layers.linear import Linear
from fastconv.layers.loss import CrossEntropyLoss, MSELoss
from fastconv.layers.parameter import Parameter
from fastconv.layers.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d
from fastconv.layers.rnn import RNN

__all__ = ["RNN", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Conv1d",
           "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CrossEntropyLoss", "Dropout",
           "Embedding", "Flatten", "Identity", "Layer", "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "MaxPool1d",
           "MaxPool2d", "MaxPool3d", "ModuleDict", "ModuleList", "PReLU", "Parameter", "ReLU", "Residual",
           "Sequential", "Sigmoid", "Softmax", "Tanh", "TimeDistributed", "Unflatten"]
