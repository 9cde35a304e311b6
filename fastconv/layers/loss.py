"""Losses: layers of two inputs whose output is a number."""

from fastconv import devices, functional, grad
from fastconv.backends import memory
from fastconv.functional.loss import old_reduction
from fastconv.layers.layer import Layer
from fastconv.layers.parameter import FLOATS


class CrossEntropyLoss(Layer):
    """Cross-entropy between the softmax of scores and the right classes.

    Parameters
    ----------
    weight : array (C,), optional
        What each class counts, of the scores' type.
    ignore_index : int
        A target that does not count.
    reduction : {'mean', 'sum', 'none'}
    label_smoothing : float
        Share of the target probability that is spread over all classes, 0 to 1.
    size_average, reduce : bool, optional
        Old names of `reduction`, which they override with a warning.
    """

    def __init__(self, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                 label_smoothing=0.0):
        if weight is not None and not (devices.is_array(weight) and memory.dtype_of(weight) in FLOATS):
            raise TypeError("CrossEntropyLoss: weight must be an array of float32 or float64, got "
                            f"{getattr(weight, 'dtype', type(weight).__name__)}")
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.reduction = old_reduction("CrossEntropyLoss", size_average, reduce, reduction)
        self.label_smoothing = label_smoothing

    def forward(self, input, target):
        """The loss.

        Parameters
        ----------
        input : array (N, C), (C,) or (N, C, d1, ...), float32 or float64
            A score for each class.
        target : array of int (N,), () or (N, d1, ...), or of the input's shape and type
            The right classes, or the probability of each.

        Returns
        -------
        array () of the input's type, or of the target's shape with reduction='none'
        """
        loss = functional.cross_entropy(input, target, **self._arguments())
        self._input, self._target = input, target
        return loss

    def backward(self, grad_output=1.0):
        """The gradient with respect to the scores, an array of their shape."""
        return grad.cross_entropy_input(self._input, self._target, grad_output, **self._arguments())

    def _arguments(self):
        return {"weight": self.weight, "ignore_index": self.ignore_index, "reduction": self.reduction,
                "label_smoothing": self.label_smoothing}


class MSELoss(Layer):
    """Squared difference.

    Parameters
    ----------
    reduction : {'mean', 'sum', 'none'}
        The mean is over all elements.
    size_average, reduce : bool, optional
        Old names of `reduction`, which they override with a warning.
    """

    def __init__(self, size_average=None, reduce=None, reduction="mean"):
        self.reduction = old_reduction("MSELoss", size_average, reduce, reduction)

    def forward(self, input, target):
        """The loss.

        Parameters
        ----------
        input, target : arrays of the same shape and type, float32 or float64

        Returns
        -------
        array () of that type, or of the input's shape with reduction='none'
        """
        loss = functional.mse_loss(input, target, reduction=self.reduction)
        self._input, self._target = input, target
        return loss

    def backward(self, grad_output=1.0):
        """The gradient with respect to `input`, an array of its shape."""
        return grad.mse_loss_input(self._input, self._target, grad_output, self.reduction)
