"""The base class of layers."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fastconv import devices
from fastconv.backends import memory
from fastconv.checks import matching, total
from fastconv.files import load_arrays, save_arrays
from fastconv.geometry import check_shape
from fastconv.layers.calls import INPUTS, PARAMETERS, Calls, backward_call, forward_call, one_half
from fastconv.layers.parameter import DEVICE_FLOATS, FLOATS, Parameter, float_dtype


class LoadedKeys(NamedTuple):
    """What `Layer.load_state_dict` could not match."""

    missing_keys: list
    unexpected_keys: list


class Layer:
    """A differentiable function with parameters, under the conventions of ``torch.nn.Module``.

    A subclass defines ``forward(x)`` and either ``backward(grad_output)``, or ``backward_inputs(grads)`` and, if it has
    parameters, ``backward_parameters(grads)``. It keeps what these need in attributes, assigns gradients to the
    ``.grad`` of its parameters, and need not call ``super().__init__()``. Parameters and layers assigned to attributes
    are found under the attributes' names.

    A layer may occur several times within another one. Its backward calls must then come in the reverse order of its
    forward calls, as the chain rule has them; gradients of its parameters add up.

    Attributes
    ----------
    training : bool
        Set by `train` and `eval`.
    """

    training = True

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        self._calls = Calls()
        self._buffers = {}
        return self

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, wrap in _WRAPPERS.items():
            if name in vars(cls):
                setattr(cls, name, wrap(vars(cls)[name]))

    def __setattr__(self, name, value):
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(f"{type(self).__name__}.{name} is a Parameter; assign an array to its .data, "
                            f"or another Parameter, not {type(value).__name__}")
        super().__setattr__(name, value)

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    def forward(self, x):
        """The output for input `x`, which is kept (not copied) for ``backward``."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

    @backward_call(INPUTS, PARAMETERS)
    def backward(self, grad_output):
        """The gradient with respect to the input; that of each parameter overwrites its ``.grad``.

        May be called more than once after one forward.

        Parameters
        ----------
        grad_output : array of the output's shape and type
            Gradient of the loss with respect to the output.

        Returns
        -------
        array of the input's shape and type

        Raises
        ------
        RuntimeError
            If there was no forward.
        """
        self.backward_parameters(grad_output)
        return self.backward_inputs(grad_output)

    @backward_call(INPUTS)
    def backward_inputs(self, grads):
        """Only the gradient with respect to the input; no ``.grad`` changes."""
        if type(self).backward is Layer.backward:
            raise NotImplementedError(f"{type(self).__name__} defines neither backward nor backward_inputs")
        return one_half(self, INPUTS, grads)

    @backward_call(PARAMETERS)
    def backward_parameters(self, grads):
        """Only the gradients of the parameters, into their ``.grad``."""
        if type(self).backward is not Layer.backward:
            one_half(self, PARAMETERS, grads)
        elif self.trainable():
            raise NotImplementedError(f"{type(self).__name__} has parameters but defines neither backward nor "
                                      "backward_parameters")

    def register_buffer(self, name, array, persistent=True):
        """Keep an array that is not trained: in the attribute `name`, in `state_dict`, and changed by `to`.

        Write to it in place (``self.count[...] += 1``), or assign another array to the attribute.

        Parameters
        ----------
        name : str
        array : ndarray, or None for a buffer that is not used
        persistent : bool
            False leaves it out of `state_dict`.
        """
        if not (isinstance(name, str) and name and "." not in name):
            raise ValueError(f"register_buffer: name must be a string without dots, not empty, got {name!r}")
        if hasattr(self, name) and name not in self._buffers:
            raise ValueError(f"register_buffer: {type(self).__name__} has an attribute {name!r} already")
        if array is not None and not devices.is_array(array):
            raise TypeError(f"register_buffer: {name!r} must be an array or None, got {type(array).__name__}")
        self._buffers[name] = bool(persistent)
        setattr(self, name, array)

    def named_buffers(self, prefix=""):
        """(name, array) of the buffers of this layer and of all below it, under torch's names."""
        for path, layer in self.named_modules(prefix):
            for name in layer._buffers:
                if getattr(layer, name) is not None:
                    yield (f"{path}.{name}" if path else name), getattr(layer, name)

    def buffers(self):
        """The buffers of this layer and of all below it."""
        return (buffer for _, buffer in self.named_buffers())

    def named_children(self):
        """(name, layer) of the layers assigned to attributes."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Layer))

    def children(self):
        """The layers assigned to attributes."""
        return (layer for _, layer in self.named_children())

    def named_modules(self, prefix=""):
        """(name, layer) of this layer and all below it, each once, parents first."""
        seen = set()
        for name, layer in self._walk(prefix):
            if id(layer) not in seen:
                seen.add(id(layer))
                yield name, layer

    def modules(self):
        """This layer and all below it, each once, parents first."""
        return (layer for _, layer in self.named_modules())

    def named_parameters(self, prefix=""):
        """(name, parameter), each parameter once, under torch's names such as ``'0.weight'``."""
        seen = set()
        for name, parameter in self._named_state(prefix):
            if isinstance(parameter, Parameter) and id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def parameters(self):
        """The parameters of this layer and of all below it, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def trainable(self):
        """Whether any parameter of this layer, or of one below it, has ``requires_grad``."""
        return any(parameter.requires_grad for parameter in self.parameters())

    def zero_grad(self):
        """Set every parameter's ``.grad`` to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, requires_grad=True):
        """Freeze (False) or unfreeze every parameter; returns the layer."""
        for parameter in self.parameters():
            parameter.requires_grad = bool(requires_grad)
        return self

    def train(self, mode=True):
        """Put this layer and all below it into training mode; returns the layer."""
        for layer in self.modules():
            layer.training = bool(mode)
        return self

    def eval(self):
        """Put this layer and all below it into evaluation mode; returns the layer."""
        return self.train(False)

    def to(self, target):
        """Change the type of all parameters and buffers of floats, or move all to a device; returns the layer.

        The last forward is forgotten.

        Parameters
        ----------
        target : float32, float64, 'cpu', 'cuda' or such as 'cuda:1'
            'cuda' is the current device. There parameters are CuPy's arrays if CuPy is installed; else Numba's device
            arrays, with which convolution, pooling and linear layers work, but neither activations nor optimizers.
            float16 too once the layer is on a device.

        Raises
        ------
        TypeError, ValueError
            For other types and devices, and float16 on the host.
        BackendUnavailable
            If there is no CUDA here.
        """
        op, parameters = f"{type(self).__name__}.to", list(self.parameters())
        if devices.is_device(target):
            number = devices.device(op, target)
            if number is None:
                for name, parameter in self.named_parameters():
                    if parameter.dtype not in FLOATS:
                        raise TypeError(f"{op}: {name} is {parameter.dtype}, which only devices compute with; call "
                                        ".to(np.float32) first")
            change = functools.partial(devices.move, number=number)
        else:
            on_device = bool(parameters) and all(memory.device_of(p.data) is not None for p in parameters)
            dtype = float_dtype(op, target, DEVICE_FLOATS if on_device else FLOATS)
            change = functools.partial(devices.cast, dtype=dtype)
        # All or, where memory does not suffice, none.
        new = [(parameter, parameter.converted(change)) for parameter in parameters]
        buffers = [(layer, name, change(getattr(layer, name))) for layer in self.modules() for name in layer._buffers
                   if _changes(getattr(layer, name), target)]
        for parameter, arrays in new:
            parameter.replace(*arrays)
        for layer, name, array in buffers:
            setattr(layer, name, array)
        for layer in self.modules():
            layer._calls = Calls()
        return self

    def state_dict(self):
        """{name: array} of all parameters and buffers, under torch's names.

        Copy the arrays to keep them: they are the layer's, and on a device they are device arrays.
        """
        return {name: value.data if isinstance(value, Parameter) else value for name, value in self._named_state()}

    def load_state_dict(self, state_dict, strict=True):
        """Copy arrays into the parameters and buffers, converting them to the types of these.

        Parameters
        ----------
        state_dict : dict of str to array_like
            Under the names of `state_dict`, which are torch's; CPU tensors are taken too, and arrays on any device.
        strict : bool
            False ignores missing and unexpected names.

        Returns
        -------
        LoadedKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        ValueError
            Lists all missing, unexpected and mis-shaped arrays. Nothing was loaded then.
        TypeError
            If something is not an array of real numbers. Nothing was loaded then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: state_dict must map names to arrays, got {type(state_dict).__name__}")
        own = self.state_dict()
        given = {name: np.asarray(value) if memory.device_of(value) is None else value
                 for name, value in state_dict.items()}
        missing = [name for name in own if name not in given]
        unexpected = [name for name in given if name not in own]
        problems = []
        if strict:
            problems += [f"missing {', '.join(map(repr, missing))}"] * bool(missing)
            problems += [f"unexpected {', '.join(map(repr, unexpected))}"] * bool(unexpected)
        for name in own:
            if name in given and memory.dtype_of(given[name]).kind not in "fiub":
                raise TypeError(f"load_state_dict: {name!r} must hold real numbers, got {given[name].dtype}")
        shapes = {name: tuple(value.shape) for name, value in given.items()}
        problems += [f"{name!r} has shape {shapes[name]} instead of {tuple(array.shape)}"
                     for name, array in own.items() if shapes.get(name, array.shape) != tuple(array.shape)]
        if problems:
            raise ValueError(f"load_state_dict: {type(self).__name__} does not match: {'; '.join(problems)}")
        for name, array in own.items():
            if name in given:
                devices.assign(array, given[name])
        return LoadedKeys(missing, unexpected)

    def save(self, path):
        """Write `state_dict` into a file; see `fastconv.files.save_arrays`.

        Parameters
        ----------
        path : str or path
            Ending in ``.npz`` or ``.safetensors``.
        """
        save_arrays(path, {name: devices.to_host(array) for name, array in self.state_dict().items()})

    def load(self, path, strict=True):
        """Copy the arrays of a file into the parameters and buffers, as `load_state_dict` does.

        Parameters
        ----------
        path : str or path
            Ending in ``.npz`` or ``.safetensors``: written by `save`, or by torch's users with safetensors.
        strict : bool
            False ignores missing and unexpected names.

        Returns
        -------
        LoadedKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, or lists all missing, unexpected and mis-shaped arrays. Nothing was loaded then.
        """
        return self.load_state_dict(load_arrays(path), strict)

    def extra_repr(self):
        """What stands between the parentheses of the layer's repr."""
        return ""

    def __repr__(self):
        lines = [f"  ({name}): " + repr(layer).replace("\n", "\n  ") for name, layer in self.named_children()]
        if not lines:
            return f"{type(self).__name__}({self.extra_repr()})"
        return "\n".join([f"{type(self).__name__}({self.extra_repr()}", *lines, ")"])

    def _walk(self, prefix=""):
        yield prefix, self
        for name, layer in self.named_children():
            yield from layer._walk(f"{prefix}.{name}" if prefix else name)

    def _named_state(self, prefix=""):
        """(name, parameter or array) of all that a state holds: of each layer the parameters, then the buffers."""
        for path, layer in self._walk(prefix):
            own = [(name, value) for name, value in vars(layer).items() if isinstance(value, Parameter)]
            own += [(name, getattr(layer, name)) for name, persistent in layer._buffers.items()
                    if persistent and getattr(layer, name) is not None]
            for name, value in own:
                yield (f"{path}.{name}" if path else name), value


_WRAPPERS = {"forward": forward_call, "backward": backward_call(INPUTS, PARAMETERS),
             "backward_inputs": backward_call(INPUTS), "backward_parameters": backward_call(PARAMETERS)}


def _changes(buffer, target):
    """Whether `Layer.to` changes a buffer: a move changes each, another type those of floats."""
    return buffer is not None and (devices.is_device(target) or memory.dtype_of(buffer).kind == "f")


def bias_gradient(op, grad_output, bias, output_shape, axis):
    """The sum of `grad_output` over all axes but `axis`: for a bias that is trained while its weight is frozen."""
    dy = matching(op, "grad_output", grad_output, bias, "bias")
    check_shape(op, "grad_output", dy.shape, output_shape)
    return total(op, "grad_output", dy, tuple(i for i in range(dy.ndim) if i != axis % dy.ndim))
