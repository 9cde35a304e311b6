"""A library of device arrays that stands for CuPy: on the simulator, whose device memory is the host's.

As CuPy's, its arrays follow the array API standard, describe themselves by ``__cuda_array_interface__`` (version 3,
with the current stream) and DLPack, refuse to be mixed with NumPy arrays and are never turned into them unasked.
"""

import inspect
import operator

import array_api_compat.numpy
import numpy as np

CUDA = 2
stream = 7  # the number of the current stream
memory_left = [None]  # bytes, or None for no limit


class Device:
    """A device, which is current within a ``with`` block; new arrays are made on the current one."""

    current = [0]

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        self.current.append(self.number)

    def __exit__(self, *error):
        self.current.pop()

    def __eq__(self, other):
        return self.number == (other.number if isinstance(other, Device) else other)

    __hash__ = None


class OutOfMemoryError(MemoryError):
    pass


class Array:
    """An array in the memory of a simulated device."""

    def __init__(self, values, device=None):
        assert type(values) is np.ndarray
        device = Device.current[-1] if device is None else device
        self._values, self.device = values, device if isinstance(device, Device) else Device(device)

    dtype = property(lambda self: self._values.dtype)
    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    nbytes = property(lambda self: self._values.nbytes)
    flags = property(lambda self: self._values.flags)
    T = property(lambda self: Array(self._values.T, self.device))

    @property
    def __cuda_array_interface__(self):
        a = self._values
        return {"shape": a.shape, "typestr": a.dtype.str, "stream": stream, "version": 3,
                "data": (a.ctypes.data if a.size else 0, not a.flags.writeable),
                "strides": None if a.flags.c_contiguous else a.strides}

    def __dlpack_device__(self):
        return CUDA, self.device.number

    def __array_namespace__(self, api_version=None):
        return namespace

    __array_ufunc__ = None

    def __array__(self, dtype=None, copy=None):
        raise TypeError("implicit conversion to a NumPy array")

    def get(self):
        """A copy in host memory."""
        return self._values.copy()

    def reshape(self, *shape):
        return Array(self._values.reshape(*shape), self.device)

    def __getitem__(self, index):
        return Array(np.asarray(self._values[unwrapped(index)]), self.device)

    def __setitem__(self, index, value):
        self._values[unwrapped(index)] = unwrapped(value)

    def __len__(self):
        return len(self._values)

    def __bool__(self):
        return bool(self._values)

    def __float__(self):
        return float(self._values)

    def __int__(self):
        return int(self._values)

    def __deepcopy__(self, memo):
        return Array(self._values.copy(), self.device)


def unwrapped(value, device=None):
    """NumPy's form of an argument; NumPy arrays are refused."""
    if isinstance(value, Array):
        return value._values
    if isinstance(value, (tuple, list)):
        return type(value)(unwrapped(v) for v in value)
    if isinstance(value, np.ndarray):
        raise TypeError("unsupported type numpy.ndarray")
    return value


def device_of(*values):
    found = {v.device.number for v in values if isinstance(v, Array)}
    assert len(found) <= 1, "arrays of two devices"
    return found.pop() if found else None


def _operator(function):
    def call(self, other):
        return Array(np.asarray(function(self._values, unwrapped(other))), device_of(self, other))
    return call


def _reflected(function):
    return _operator(lambda a, b: function(b, a))


def _in_place(function):
    def call(self, other):
        if function(self._values, unwrapped(other)) is not self._values:
            raise AssertionError("not in place")
        return self
    return call


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and_", "or_"):
    _dunder = _name.strip("_")
    setattr(Array, f"__{_dunder}__", _operator(getattr(operator, _name)))
    setattr(Array, f"__r{_dunder}__", _reflected(getattr(operator, _name)))
    setattr(Array, f"__i{_dunder}__", _in_place(getattr(operator, f"i{_dunder}")))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Array, f"__{_name}__", _operator(getattr(operator, _name)))
Array.__neg__ = lambda self: Array(-self._values, self.device)
Array.__invert__ = lambda self: Array(~self._values, self.device)
Array.__hash__ = object.__hash__


class Namespace:
    """The functions of the array API standard, and a few of CuPy's beyond it."""

    __name__ = "device_arrays"

    def __init__(self, functions):
        self._functions = functions

    def asarray(self, values, *, dtype=None, device=None, copy=None):
        if isinstance(values, Array):
            device = values.device
            values = values._values
        elif hasattr(values, "__cuda_array_interface__"):
            interface = values.__cuda_array_interface__
            device = values.__dlpack_device__()[1]
            values = np.asarray(Description(interface))
        else:
            copy = True
        return Array(np.array(values, dtype=dtype, copy=True if copy else None), device)

    def empty(self, shape, *, dtype=None, device=None):
        return self._new(np.empty, shape, dtype)

    def zeros(self, shape, *, dtype=None, device=None):
        return self._new(np.zeros, shape, dtype)

    def arange(self, *bounds, device=None, dtype=None):
        return Array(np.arange(*bounds, dtype=dtype), device)

    def _new(self, make, shape, dtype):
        result = make(shape, dtype)
        if memory_left[0] is not None and result.nbytes > memory_left[0]:
            raise OutOfMemoryError(f"out of memory allocating {result.nbytes} bytes")
        if make is np.empty:
            result.fill(np.nan if result.dtype.kind == "f" else -1)
        # As CuPy's, whatever device is asked for: on the current one.
        return Array(result)

    def isdtype(self, dtype, kind):
        return array_api_compat.numpy.isdtype(dtype, kind)

    def __getattr__(self, name):
        function = getattr(self._functions, name)
        if isinstance(function, type):
            return np.dtype(function)
        if inspect.ismodule(function):
            return Namespace(function)

        def call(*args, **kwargs):
            out = kwargs.get("out")
            result = function(*map(unwrapped, args), **{key: unwrapped(value) for key, value in kwargs.items()})
            if out is not None:
                return out
            made = isinstance(result, (np.ndarray, np.generic))
            return Array(np.asarray(result), device_of(*args)) if made else result
        return call


class Description:
    """Device memory seen as the host's, which it is."""

    def __init__(self, interface):
        self.__array_interface__ = {**interface, "version": 3}


namespace = Namespace(array_api_compat.numpy)


def to_device(values, device=None):
    """A copy of a NumPy array in device memory."""
    return Array(np.array(values), device)
