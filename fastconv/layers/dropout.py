"""Dropout."""

from fastconv import functional, grad
from fastconv.checks import as_generator
from fastconv.functional.dropout import check_probability
from fastconv.layers.layer import Layer


class Dropout(Layer):
    """In training each element with probability `p` times 0, else times ``1 / (1 - p)``; in evaluation unchanged.

    Parameters
    ----------
    p : float
        From 0 to 1.
    inplace : bool
        Taken for torch's sake and ignored: layers do not write to their inputs.
    generator : numpy.random.Generator or seed, optional
        Where the random numbers come from. Pass one generator, not one seed, to all layers of a network.
    """

    def __init__(self, p=0.5, inplace=False, *, generator=None):
        check_probability("Dropout", p)
        self.p, self.inplace = p, inplace
        self.generator = as_generator("Dropout", generator)

    def forward(self, x):
        y, self._mask = functional.dropout_with_mask(x, self.p, self.training, generator=self.generator)
        self._dropped = self.p if self.training else 0
        return y

    def backward_inputs(self, grads):
        return grad.dropout_input(self._mask, grads, self._dropped)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"
