"""Layers made of layers."""

import operator
from collections.abc import Iterable, Mapping

from fastconv.checks import floating
from fastconv.geometry import check_shape
from fastconv.layers.activation import ReLU
from fastconv.layers.layer import Layer
from fastconv.layers.pool import MaxPool1d, MaxPool2d, MaxPool3d
from fastconv.layers.rectified import PooledReLU


class _Container(Layer):
    """Layers under names, which are attributes too."""

    def __init__(self, named=()):
        self._layers = {}
        for name, layer in named:
            self._add(name, layer)

    def _add(self, name, layer):
        op = type(self).__name__
        if not isinstance(layer, Layer):
            raise TypeError(f"{op}: {name!r} must be a Layer, got {layer!r}")
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"{op}: a layer's name must be a string without dots, not empty, got {name!r}")
        self._layers[name] = layer

    def named_children(self):
        yield from self._layers.items()
        yield from super().named_children()

    def __len__(self):
        return len(self._layers)

    def __getattr__(self, name):
        # Only what is no ordinary attribute comes here; copy and pickle ask before there are any layers.
        layers = vars(self).get("_layers", {})
        if name in layers:
            return layers[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name, value):
        if name in vars(self).get("_layers", {}):
            self._add(name, value)
        else:
            super().__setattr__(name, value)


class _List(_Container):
    """What `Sequential` and `ModuleList` share: positions, from the end if negative, and slices."""

    def append(self, layer):
        """Add a layer at the end, named by its position; returns the container."""
        name = str(len(self._layers))
        if name in self._layers:
            raise ValueError(f"{type(self).__name__}.append: there is a layer {name!r} already")
        self._add(name, layer)
        return self

    def extend(self, layers):
        """Add layers at the end, named by their positions; returns the container."""
        if not isinstance(layers, Iterable):
            raise TypeError(f"{type(self).__name__}.extend: layers must be iterable, got {type(layers).__name__}")
        for layer in list(layers):
            self.append(layer)
        return self

    def insert(self, index, layer):
        """Add a layer before position `index`; all are then named by their positions."""
        index = operator.index(index)
        if not -len(self) <= index <= len(self):
            raise IndexError(f"{type(self).__name__}.insert: index {index} is out of range for {len(self)} layers")
        layers = list(self)
        layers.insert(index, layer)
        self._renew(layers)
        return self

    def pop(self, key):
        """Take out the layer at a position, or those of a slice, and return it."""
        layer = self[key]
        del self[key]
        return layer

    def __iter__(self):
        return iter(self._layers.values())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return self._of(list(self._layers.items())[index])
        return self._layers[self._name(index)]

    def __setitem__(self, index, layer):
        self._add(self._name(index), layer)

    def __delitem__(self, index):
        names = list(self._layers)[index] if isinstance(index, slice) else [self._name(index)]
        self._renew([layer for name, layer in self._layers.items() if name not in names])

    def __iadd__(self, layers):
        return self.extend(layers)

    def __add__(self, layers):
        return type(self)._of([(str(i), layer) for i, layer in enumerate([*self, *layers])])

    def _renew(self, layers):
        before, self._layers = self._layers, {}
        try:
            for i, layer in enumerate(layers):
                self._add(str(i), layer)
        except (TypeError, ValueError):
            self._layers = before
            raise

    def _name(self, index):
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(self)} layers")
        return list(self._layers)[index]


class Sequential(_List):
    """Layers one after another, each taking the output of the one before.

    ``Sequential(a, b)`` names them '0' and '1'; ``Sequential({"first": a, "second": b})`` and
    ``Sequential(first=a, second=b)`` give names, which are attributes too. A layer may occur several times; gradients
    of its parameters add up. Slices are `Sequential` objects of the same layers. Deleting or inserting one names all
    by their positions.
    """

    def __init__(self, *layers, **named):
        if len(layers) == 1 and isinstance(layers[0], dict):
            layers, named = (), {**layers[0], **named}
        super().__init__([*((str(i), layer) for i, layer in enumerate(layers)), *named.items()])

    @classmethod
    def _of(cls, named):
        return Sequential(dict(named))

    def forward(self, x):
        self._order = _order(self._layers.values())
        for layer in self._order:
            x = layer(x)
        return x

    def backward(self, grad_output):
        for layer in reversed(self._order):
            grad_output = layer.backward(grad_output)
        return grad_output

    def backward_inputs(self, grads):
        for layer in reversed(self._order):
            grads = layer.backward_inputs(grads)
        return grads

    def backward_parameters(self, grads):
        """Only the gradients of the parameters: nothing is computed that only the first trained layer's input needs."""
        layers = self._order
        first = next((i for i, layer in enumerate(layers) if layer.trainable()), None)
        if first is None:
            return
        for layer in reversed(layers[first + 1:]):
            grads = layer.backward(grads)
        layers[first].backward_parameters(grads)

    def __mul__(self, times):
        """The layers so many times over, the same ones each time."""
        if isinstance(times, bool) or not isinstance(times, int):
            return NotImplemented
        if times < 1:
            raise ValueError(f"Sequential: the factor must be at least 1, got {times}")
        return Sequential(*list(self) * times)

    __rmul__ = __mul__


def _order(layers):
    """`layers` as `Sequential` calls them: a ReLU and the maximum pooling after it as a `PooledReLU`."""
    order = []
    for layer in layers:
        before = order[-1] if order else None
        # Layers of one's own, and those of which someone watches the calls, stay where they are.
        if (type(before) is ReLU and type(layer) in (MaxPool1d, MaxPool2d, MaxPool3d) and not layer.return_indices
                and "forward" not in vars(before) and "forward" not in vars(layer)):
            order[-1] = PooledReLU(before, layer)
        else:
            order.append(layer)
    return order


class ModuleList(_List):
    """A list of layers that a layer of one's own calls; it has no forward itself.

    Parameters
    ----------
    modules : iterable of Layer, optional
    """

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    @classmethod
    def _of(cls, named):
        return cls(layer for _, layer in named)

    def __repr__(self):
        # As torch writes it: equal neighbours once.
        runs = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [f"({i}): {text}" if i == j else f"({i}-{j}): {j - i + 1} x {text}" for i, j, text in runs]
        if not lines:
            return f"{type(self).__name__}()"
        return "\n".join([f"{type(self).__name__}(", *("  " + line.replace("\n", "\n  ") for line in lines), ")"])


class ModuleDict(_Container):
    """Layers by name, in the order they were added, that a layer of one's own calls; it has no forward itself.

    Parameters
    ----------
    modules : mapping of str to Layer, or iterable of (name, layer), optional
    """

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    def update(self, modules):
        """Add or replace layers."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleDict.update: modules must be a mapping or an iterable of pairs, got "
                            f"{type(modules).__name__}")
        items = modules.items() if isinstance(modules, Mapping | ModuleDict) else modules
        for name, layer in items:
            self._add(name, layer)

    def pop(self, name):
        """Take out the layer of that name and return it."""
        return self._layers.pop(name)

    def clear(self):
        """Take out all layers."""
        self._layers.clear()

    def keys(self):
        """The names."""
        return self._layers.keys()

    def values(self):
        """The layers."""
        return self._layers.values()

    def items(self):
        """(name, layer) of each."""
        return self._layers.items()

    def __iter__(self):
        return iter(self._layers)

    def __contains__(self, name):
        return name in self._layers

    def __getitem__(self, name):
        return self._layers[name]

    def __setitem__(self, name, layer):
        self._add(name, layer)

    def __delitem__(self, name):
        del self._layers[name]


class Residual(Layer):
    """``body(x) + x``, or ``body(x) + shortcut(x)``: a connection that skips layers.

    He et al., "Deep Residual Learning for Image Recognition" (2016), section 3.2.

    Parameters
    ----------
    body : Layer
    shortcut : Layer, optional
        What brings the input to the shape of the body's output, where that differs: a 1 x 1 convolution, say.

    Raises
    ------
    ValueError
        In ``forward``, if the two shapes differ.
    """

    def __init__(self, body, shortcut=None):
        for name, layer in (("body", body), ("shortcut", shortcut)):
            if not isinstance(layer, Layer) and not (layer is None and name == "shortcut"):
                raise TypeError(f"Residual: {name} must be a Layer, got {layer!r}")
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        y = floating("Residual", "the body's output", self.body(x))
        skipped = floating("Residual", "input", x if self.shortcut is None else self.shortcut(x))
        if y.shape != skipped.shape:
            raise ValueError(f"Residual: the body's output has shape {y.shape}, but "
                             f"{'the input' if self.shortcut is None else 'what the shortcut returned'} has "
                             f"{skipped.shape}; a shortcut must bring the input to the former")
        return y + skipped

    def backward(self, grad_output):
        skipped = grad_output if self.shortcut is None else self.shortcut.backward(grad_output)
        return self.body.backward(grad_output) + skipped

    def backward_inputs(self, grads):
        skipped = grads if self.shortcut is None else self.shortcut.backward_inputs(grads)
        return self.body.backward_inputs(grads) + skipped

    def backward_parameters(self, grads):
        if self.shortcut is not None:
            self.shortcut.backward_parameters(grads)
        self.body.backward_parameters(grads)


class TimeDistributed(Layer):
    """A layer applied to each step of a sequence alike: (N, T, ...) to (N, T, ...).

    Samples and steps are merged to (N T, ...) for the layer; a loss over the steps of a sequence needs no more.

    Parameters
    ----------
    layer : Layer
        Of batches: `Linear`, say, or a `Sequential`.
    """

    def __init__(self, layer):
        if not isinstance(layer, Layer):
            raise TypeError(f"TimeDistributed: layer must be a Layer, got {layer!r}")
        self.layer = layer

    def forward(self, x):
        x = floating("TimeDistributed", "input", x)
        if x.ndim < 2:
            raise ValueError(f"TimeDistributed: input must have at least 2 dimensions, (N, T, ...), got {x.shape}")
        y = self.layer(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]))
        self._input_shape, self._output_shape = x.shape, (*x.shape[:2], *y.shape[1:])
        return y.reshape(self._output_shape)

    def backward(self, grad_output):
        return self.layer.backward(self._merged(grad_output)).reshape(self._input_shape)

    def backward_inputs(self, grads):
        return self.layer.backward_inputs(self._merged(grads)).reshape(self._input_shape)

    def backward_parameters(self, grads):
        self.layer.backward_parameters(self._merged(grads))

    def _merged(self, grads):
        grads = floating("TimeDistributed", "grad_output", grads)
        check_shape("TimeDistributed", "grad_output", grads.shape, self._output_shape)
        return grads.reshape(grads.shape[0] * grads.shape[1], *grads.shape[2:])
