"""Vectors for numbered things, such as words."""

import numpy as np

from fastconv import functional, geometry, grad
from fastconv.checks import as_generator, matching, real
from fastconv.functional.embedding import padding_row, refuse_sparse
from fastconv.layers.layer import Layer
from fastconv.layers.parameter import FLOATS, Parameter, float_dtype


class Embedding(Layer):
    """The rows of a learned table that the input numbers.

    The initial values are normally distributed with mean 0 and variance 1; the row of `padding_idx` is 0.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
    padding_idx : int, optional
        A row that gets no gradient; from the end if negative.
    max_norm : float, optional
        Rows that are used and have a larger norm are first scaled to it, in `weight`.
    norm_type : float
        Which norm; 2 is the Euclidean one.
    scale_grad_by_freq : bool
        Divide each row's gradient by the number of its occurrences.
    sparse : False
        Gradients are dense arrays: True is refused.
    dtype : float32 or float64
    generator : numpy.random.Generator or seed, optional
        Where the initial values come from. Pass one generator, not one seed, to all layers of a network.

    Attributes
    ----------
    weight : Parameter (num_embeddings, embedding_dim)
    """

    def __init__(self, num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0,
                 scale_grad_by_freq=False, sparse=False, _weight=None, _freeze=False, *, dtype=np.float32,
                 generator=None):
        op = "Embedding"
        dtype = float_dtype(op, dtype)
        (self.num_embeddings,) = geometry.sizes(op, "num_embeddings", num_embeddings, 1)
        (self.embedding_dim,) = geometry.sizes(op, "embedding_dim", embedding_dim, 1)
        self.padding_idx = padding_row(op, padding_idx, self.num_embeddings)
        refuse_sparse(op, sparse)
        real(op, "norm_type", norm_type)
        if max_norm is not None:
            real(op, "max_norm", max_norm)
        self.max_norm, self.norm_type, self.scale_grad_by_freq = max_norm, norm_type, scale_grad_by_freq
        if _weight is None:
            shape = self.num_embeddings, self.embedding_dim
            _weight = as_generator(op, generator).standard_normal(shape, dtype=dtype)
            if self.padding_idx is not None:
                _weight[self.padding_idx] = 0
        self.weight = Parameter(_weight, requires_grad=not _freeze)

    @classmethod
    def from_pretrained(cls, embeddings, freeze=True, padding_idx=None, max_norm=None, norm_type=2.0,
                        scale_grad_by_freq=False, sparse=False):
        """An embedding whose table is `embeddings`, which is not copied.

        Parameters
        ----------
        embeddings : array (V, D), float32 or float64
        freeze : bool
            Whether the table is not trained.
        padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
            As of the class.
        """
        if not isinstance(embeddings, np.ndarray) or embeddings.dtype not in FLOATS:
            raise TypeError("Embedding.from_pretrained: embeddings must be an array of float32 or float64, got "
                            f"{getattr(embeddings, 'dtype', type(embeddings).__name__)}")
        if embeddings.ndim != 2:
            raise ValueError("Embedding.from_pretrained: embeddings must have 2 dimensions, got shape "
                             f"{embeddings.shape}")
        return cls(*embeddings.shape, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, embeddings, freeze)

    def forward(self, rows):
        """The rows' vectors.

        Parameters
        ----------
        rows : array of integers, of any shape

        Returns
        -------
        array (*rows.shape, embedding_dim)
        """
        y = functional.embedding(rows, self.weight, self.padding_idx, self.max_norm, self.norm_type)
        self._rows, self._output_shape = rows, y.shape
        return y

    def backward_inputs(self, grads):
        """None: numbers of rows have no gradient."""
        grads = matching("Embedding", "grad_output", grads, self.weight.data, "weight")
        geometry.check_shape("Embedding", "grad_output", grads.shape, self._output_shape)

    def backward_parameters(self, grads):
        if self.weight.requires_grad:
            self.weight.grad = grad.embedding_weight(self._rows, self.weight.shape, grads, self.padding_idx,
                                                     self.scale_grad_by_freq)

    def extra_repr(self):
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        parts += [f"{name}={getattr(self, name)}" for name, default in
                  (("padding_idx", None), ("max_norm", None), ("norm_type", 2), ("scale_grad_by_freq", False))
                  if getattr(self, name) != default]
        return ", ".join(parts)
