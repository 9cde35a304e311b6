"""Training: optimizers, the loop around them, measures of what came out, and data to train on."""

from fastconv.training import data, metrics
from fastconv.training.checkpoint import load_checkpoint, save_checkpoint
from fastconv.training.metrics import accuracy, confusion_matrix, top_k_accuracy
from fastconv.training.optimizers import SGD, Adam, Optimizer, RMSprop
from fastconv.training.solver import Progress, Solver

__all__ = ["SGD", "Adam", "Optimizer", "Progress", "RMSprop", "Solver", "accuracy", "confusion_matrix", "data",
           "load_checkpoint", "metrics", "save_checkpoint", "top_k_accuracy"]
