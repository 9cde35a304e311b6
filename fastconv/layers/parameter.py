"""A trainable array and its gradient."""

import math

import numpy as np

from fastconv import devices
from fastconv.backends import memory

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
DEVICE_FLOATS = (np.dtype(np.float16), *FLOATS)


def float_dtype(op, dtype, allowed=FLOATS):
    """`dtype` as a NumPy dtype; TypeError unless it is float32 or float64, or another one of those `allowed`."""
    try:
        # None would be float64 to NumPy.
        result = None if dtype is None else np.dtype(dtype)
    except TypeError:
        result = None
    if result is None or result not in allowed:
        raise TypeError(f"{op}: dtype must be {' or '.join(map(str, allowed))}, got {dtype!r}")
    return result


class Parameter(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that an optimizer may change, with the gradient of the loss with respect to it.

    NumPy functions and operators take a parameter as they take its array. From one in device memory, functions that ask
    for a NumPy array get a copy.

    Parameters
    ----------
    data : array_like of float32 or float64, or array in device memory, of float16 too
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
        on_device = memory.device_of(data) is not None
        data = data if on_device else np.asarray(data)
        if memory.dtype_of(data) not in (DEVICE_FLOATS if on_device else FLOATS):
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

    shape = property(lambda self: tuple(self._data.shape))
    dtype = property(lambda self: memory.dtype_of(self._data))
    ndim = property(lambda self: len(self._data.shape))
    size = property(lambda self: math.prod(self._data.shape))
    nbytes = property(lambda self: self.size * self.dtype.itemsize)
    T = property(lambda self: self._data.T)

    def cast(self, dtype):
        """Change the type of the data and of the gradient; both are copied unless they have it already."""
        self.replace(*self.converted(lambda array: devices.cast(array, np.dtype(dtype))))

    def converted(self, function):
        """(``function(data)``, the same of the gradient or None), for `replace`."""
        return function(self._data), None if self._grad is None else function(self._grad)

    def replace(self, data, grad):
        """Put other arrays in the place of data and gradient, perhaps of another type or in another memory."""
        self._data, self._grad = data, grad

    def _checked(self, name, value):
        here = memory.device_of(self._data)
        if not isinstance(value, np.ndarray) if here is None else memory.device_of(value) != here:
            where = "" if here is None else f" on cuda:{here}"
            raise TypeError(f"Parameter.{name}: expected an array{where}, got {_described(value)}")
        if memory.dtype_of(value) != self.dtype:
            raise TypeError(f"Parameter.{name}: expected {self.dtype}, got {value.dtype}; cast it with astype")
        if tuple(value.shape) != self.shape:
            raise ValueError(f"Parameter.{name}: expected shape {self.shape}, got {tuple(value.shape)}")
        # Optimizers compute with data and gradient together: both are of one library.
        return value if here is None or type(value) is type(self._data) else devices.like(value, self._data)

    def __array__(self, dtype=None, copy=None):
        return np.array(devices.to_host(self._data), dtype=dtype, copy=copy)

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


def _described(value):
    kind = type(value).__name__
    number = memory.device_of(value)
    return kind if number is None else f"{kind} on cuda:{number}"
