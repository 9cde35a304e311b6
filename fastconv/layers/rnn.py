"""The recurrent layer."""

import math
import warnings

import numpy as np

from fastconv import functional, geometry, grad
from fastconv.checks import arithmetic, as_generator, contiguous, copied, empty, matching, real, total, zeros
from fastconv.layers.layer import Layer
from fastconv.layers.parameter import Parameter, float_dtype


class RNN(Layer):
    """h_t = tanh(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh), over the steps of a sequence.

    The initial values are uniform within 1 / sqrt(hidden_size) of 0, as torch's.

    Parameters
    ----------
    input_size, hidden_size : int
    num_layers : int
        Each takes the outputs of the one below it for its inputs.
    nonlinearity : {'tanh', 'relu'}
    bias : bool
    batch_first : bool
        Whether sequences are (N, T, C) instead of (T, N, C). States are (layers, N, hidden_size) in any case.
    dropout : float
        Probability of a dropout between layers, in training.
    bidirectional : bool
        Whether every layer also runs from the end to the beginning; its outputs follow the others along the last axis.
    dtype : float32 or float64
    generator : numpy.random.Generator or seed, optional
        Where the initial values and the dropout come from.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 : Parameter
        (hidden_size, inputs), (hidden_size, hidden_size), (hidden_size,), (hidden_size,); of further layers with their
        number, of the other direction with ``_reverse`` behind it.
    """

    def __init__(self, input_size, hidden_size, num_layers=1, nonlinearity="tanh", bias=True, batch_first=False,
                 dropout=0.0, bidirectional=False, *, dtype=np.float32, generator=None):
        dtype = float_dtype("RNN", dtype)
        (self.input_size,) = geometry.sizes("RNN", "input_size", input_size, 1, 1)
        (self.hidden_size,) = geometry.sizes("RNN", "hidden_size", hidden_size, 1, 1)
        (self.num_layers,) = geometry.sizes("RNN", "num_layers", num_layers, 1, 1)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        for name, value in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(value, bool):
                raise TypeError(f"RNN: {name} must be a bool, got {value!r}")
        self.dropout = real("RNN", "dropout", dropout, 0, 1)
        if self.dropout and self.num_layers == 1:
            warnings.warn(f"RNN: dropout={dropout} stands between layers, but num_layers is 1: it changes nothing",
                          stacklevel=2)
        self.nonlinearity, self.bias, self.batch_first = nonlinearity, bias, batch_first
        self.bidirectional = bool(bidirectional)
        self.generator = as_generator("RNN", generator)
        bound = 1 / math.sqrt(self.hidden_size)
        for suffix in self._suffixes():
            inputs = self.input_size if suffix.startswith("l0") else self.hidden_size * self._directions
            shapes = {"weight_ih": (self.hidden_size, inputs), "weight_hh": (self.hidden_size, self.hidden_size)}
            shapes |= {"bias_ih": (self.hidden_size,), "bias_hh": (self.hidden_size,)} if bias else {}
            for name, shape in shapes.items():
                values = self.generator.random(shape, dtype=dtype)
                values *= 2 * bound
                values -= bound
                setattr(self, f"{name}_{suffix}", Parameter(values))

    def forward(self, input, hx=None):
        """The states of the last layer at every step, and those of every layer after the last step.

        Parameters
        ----------
        input : array (T, N, C), (N, T, C) with `batch_first`, or (T, C)
        hx : array (layers, N, hidden_size) or, of an input without a batch, (layers, hidden_size), optional
            The states before the first step, 0 if not given. Of two directions, `layers` counts both.

        Returns
        -------
        output : array (T, N, hidden_size), (N, T, hidden_size) or (T, hidden_size)
            Of two directions twice as wide.
        h_n : array of the shape of `hx`
        """
        x = matching("RNN", "input", input, self.weight_ih_l0.data, "weight")
        xp = arithmetic("RNN", "input", x)
        self._batched, self._given = x.ndim == 3, hx is not None
        if x.ndim not in (2, 3):
            raise ValueError(f"RNN: input must have 3 dimensions (or 2, unbatched), got shape {x.shape}")
        if x.shape[-1] != self.input_size:
            raise ValueError(f"RNN: input must have {self.input_size} features in its last axis, got shape {x.shape}")
        self._input_shape = x.shape
        x = self._by_time(x)
        if not x.shape[0]:
            raise ValueError(f"RNN: input must have at least 1 step, got shape {self._input_shape}")
        states = (self.num_layers * self._directions, x.shape[1], self.hidden_size)
        self._state_shape = states if self._batched else (states[0], states[2])
        if hx is None:
            first = zeros(states, x)
        else:
            hx = matching("RNN", "hx", hx, x)
            geometry.check_shape("RNN", "hx", hx.shape, self._state_shape)
            first = hx.reshape(states)
        self._runs, self._masks = [], []
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._of_layer(layer)):
                sequence = contiguous(xp.flip(x, axis=0) if direction else x)
                found = self._run(sequence, first[layer * self._directions + direction], suffix)
                self._runs.append((sequence, found))
                outputs.append(xp.flip(found[1:], axis=0) if direction else found[1:])
            x = outputs[0] if len(outputs) == 1 else xp.concat(outputs, axis=2)
            if self.dropout and self.training and layer < self.num_layers - 1:
                x, mask = functional.dropout_with_mask(x, self.dropout, generator=self.generator)
                self._masks.append(mask)
        last = xp.stack([found[-1] for _, found in self._runs])
        self._output_shape = self._shape_of(x)
        return copied(self._by_caller(x)), last.reshape(self._state_shape)

    def backward(self, grad_output):
        """The gradient with respect to the input; that of each parameter overwrites its ``.grad``.

        Parameters
        ----------
        grad_output : array of the output's shape, or tuple of that and one of the shape of ``h_n``
            In a tuple either may be None, for 0.

        Returns
        -------
        array of the input's shape, or with `hx` given to ``forward`` a tuple of that and one of its shape
        """
        dy, dh = grad_output if isinstance(grad_output, tuple | list) else (grad_output, None)
        like = self._runs[0][0]
        dy = self._checked("grad_output", dy, self._output_shape, like)
        dh = self._checked("the gradient of h_n", dh, self._state_shape, like)
        states = (len(self._runs), *self._runs[0][1].shape[1:])
        before, xp = copied(dh.reshape(states)), arithmetic("RNN", "grad_output", like)
        dy = self._by_time(dy)
        masks = list(self._masks)
        for layer in reversed(range(self.num_layers)):
            dx = None
            for direction, suffix in reversed(list(enumerate(self._of_layer(layer)))):
                part = dy[..., direction * self.hidden_size:(direction + 1) * self.hidden_size]
                i = layer * self._directions + direction
                part = xp.flip(part, axis=0) if direction else part
                found, before[i] = self._run_back(*self._runs[i], part, before[i], suffix)
                found = xp.flip(found, axis=0) if direction else found
                dx = found if dx is None else dx + found
            dy = grad.dropout_input(masks.pop(), dx, self.dropout) if layer and self._masks else dx
        dx = contiguous(self._by_caller(dy))
        return (dx, before.reshape(self._state_shape)) if self._given else dx

    def extra_repr(self):
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"{name}={getattr(self, name)}" for name, default in
                  (("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0), ("bidirectional", False))
                  if getattr(self, name) != default]
        return ", ".join(parts)

    @property
    def _directions(self):
        return 2 if self.bidirectional else 1

    def _of_layer(self, layer):
        return [f"l{layer}", f"l{layer}_reverse"][:self._directions]

    def _suffixes(self):
        return [suffix for layer in range(self.num_layers) for suffix in self._of_layer(layer)]

    def _by_time(self, x):
        """The caller's array as (T, N, C)."""
        if not self._batched:
            return x[:, None]
        return self._swapped(x) if self.batch_first else x

    def _by_caller(self, x):
        if not self._batched:
            return x[:, 0]
        return self._swapped(x) if self.batch_first else x

    @staticmethod
    def _swapped(x):
        return arithmetic("RNN", "input", x).permute_dims(x, (1, 0, 2))

    def _shape_of(self, x):
        return self._by_caller(x).shape

    def _checked(self, name, gradient, shape, like):
        if gradient is None:
            return zeros(shape, like)
        gradient = matching("RNN", name, gradient, like)
        geometry.check_shape("RNN", name, gradient.shape, shape)
        return gradient

    def _run(self, x, first, suffix):
        """The states before the first step and after each, (T + 1, N, hidden_size), of one direction of a layer."""
        bias = None
        if self.bias:
            bias = getattr(self, f"bias_ih_{suffix}").data + getattr(self, f"bias_hh_{suffix}").data
        inputs = functional.linear(x, getattr(self, f"weight_ih_{suffix}").data, bias)
        weight = getattr(self, f"weight_hh_{suffix}").data
        states, xp = empty((x.shape[0] + 1, *inputs.shape[1:]), x), arithmetic("RNN", "input", x)
        states[0] = first
        with np.errstate(all="ignore"):
            for t, step in enumerate(inputs):
                step += functional.linear(states[t], weight)
                if self.nonlinearity == "tanh":
                    xp.tanh(step, out=states[t + 1])
                else:
                    xp.maximum(step, 0, out=states[t + 1])
        return states

    def _run_back(self, x, states, dy, after, suffix):
        """(gradient of the inputs, of the state before the first step) of one direction; sets the parameters'."""
        weight_ih, weight_hh = getattr(self, f"weight_ih_{suffix}"), getattr(self, f"weight_hh_{suffix}")
        inner = empty(states[1:].shape, states)
        with np.errstate(all="ignore"):
            for t in reversed(range(len(inner))):
                both = dy[t] + after
                if self.nonlinearity == "tanh":
                    inner[t] = grad.tanh_input(states[t + 1], both)
                else:
                    inner[t] = grad.relu_input(states[t + 1], both)
                after = grad.linear_input(after.shape, weight_hh.data, inner[t])
        if weight_hh.requires_grad:
            weight_hh.grad = grad.linear_weight(states[:-1], weight_hh.shape, inner)
        if weight_ih.requires_grad:
            weight_ih.grad, by_bias = grad.linear_parameters(x, weight_ih.shape, inner)
        elif self.bias:
            by_bias = total("RNN", "grad_output", inner, (0, 1))
        for name in ("bias_ih", "bias_hh") if self.bias else ():
            bias = getattr(self, f"{name}_{suffix}")
            if bias.requires_grad:
                bias.grad = copied(by_bias)
        return grad.linear_input(x.shape, weight_ih.data, inner), after
