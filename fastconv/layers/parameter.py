"""A trainable array and its gradient."""

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def float_dtype(op, dtype):
    """`dtype` as a NumPy dtype; TypeError unless it is float32 or float64."""
    try:
        # None would be float64 to NumPy.
        result = None if dtype is None else np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result not in FLOATS:
        raise TypeError(f"{op}: dtype must be float32 or float64, got {dtype!r}")
    return result


class Parameter(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that an optimizer may change, with the gradient of the loss with respect to it.

    NumPy functions and operators take a parameter as they take its array.

    Parameters
    ----------
    data : array_like of float32 or float64
        Kept as it is, not copied, if it is an array.
    requires_grad : bool
        False freezes the parameter: layers compute no gradient for it and optimizers leave it alone.

    Raises
    ------
    TypeError
        If `data` has another type; cast it first, with ``np.asarray(data, np.float32)``.
    """

    __slots__ = ("_data", "_grad", "requires_grad")

    def __init__(self, data, requires_grad=True):
        data = np.asarray(data)
        if data.dtype not in FLOATS:
            raise TypeError(f"Parameter: data must be float32 or float64, got {data.dtype}; cast it with astype")
        self._data = data
        self._grad = None
        self.requires_grad = bool(requires_grad)

    @property
    def data(self):
        """The array itself. Assigning another one of the same shape and type puts it in its place, without a copy."""
        return self._data

    @data.setter
    def data(self, value):
        self._data = self._checked("data", value)

    @property
    def grad(self):
        """The gradient that the last ``backward`` left, an array of the shape and type of `data`, or None."""
        return self._grad

    @grad.setter
    def grad(self, value):
        # A sum over a 0-d parameter gives a NumPy scalar.
        value = np.asarray(value) if isinstance(value, np.generic) else value
        self._grad = None if value is None else self._checked("grad", value)

    shape = property(lambda self: self._data.shape)
    dtype = property(lambda self: self._data.dtype)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    T = property(lambda self: self._data.T)

    def cast(self, dtype):
        """Change the type of the data and of the gradient; both are copied unless they have it already."""
        self._data = self._data.astype(dtype, copy=False)
        if self._grad is not None:
            self._grad = self._grad.astype(dtype, copy=False)

    def _checked(self, name, value):
        if not isinstance(value, np.ndarray):
            raise TypeError(f"Parameter.{name}: expected an array, got {type(value).__name__}")
        if value.dtype != self.dtype:
            raise TypeError(f"Parameter.{name}: expected {self.dtype}, got {value.dtype}; cast it with astype")
        if value.shape != self.shape:
            raise ValueError(f"Parameter.{name}: expected shape {self.shape}, got {value.shape}")
        return value

    def __array__(self, dtype=None, copy=None):
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        inputs = [value._data if isinstance(value, Parameter) else value for value in inputs]
        if out:
            kwargs["out"] = tuple(value._data if isinstance(value, Parameter) else value for value in out)
        result = getattr(ufunc, method)(*inputs, **kwargs)
        # ``weight *= 2`` must leave the parameter, not its array, in the attribute.
        return out[0] if len(out) == 1 else result

    def __getitem__(self, index):
        return self._data[index]

    def __setitem__(self, index, value):
        self._data[index] = value

    def __len__(self):
        return len(self._data)

    # ``==`` compares the elements, as for an array; as a key of a dictionary a parameter is itself.
    __hash__ = object.__hash__

    def __repr__(self):
        frozen = "" if self.requires_grad else ", requires_grad=False"
        return f"Parameter({self._data!r}{frozen})"
