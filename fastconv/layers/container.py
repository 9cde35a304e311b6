"""Layers one after another."""

import operator

from fastconv.layers.layer import Layer


class Sequential(Layer):
    """Layers one after another, each taking the output of the one before.

    ``Sequential(a, b)`` names them '0' and '1'; ``Sequential({"first": a, "second": b})`` and
    ``Sequential(first=a, second=b)`` give names, which are attributes too. A layer may occur several times; gradients
    of its parameters add up. Slices are `Sequential` objects of the same layers.
    """

    def __init__(self, *layers, **named):
        if len(layers) == 1 and isinstance(layers[0], dict):
            layers, named = (), {**layers[0], **named}
        self._layers = {}
        for name, layer in [*((str(i), layer) for i, layer in enumerate(layers)), *named.items()]:
            self._add(name, layer)

    def _add(self, name, layer):
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential: {name!r} must be a Layer, got {layer!r}")
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(f"Sequential: a layer's name must be a string without dots, not empty, got {name!r}")
        self._layers[name] = layer

    def forward(self, x):
        for layer in self._layers.values():
            x = layer(x)
        return x

    def backward(self, grad_output):
        for layer in reversed(self._layers.values()):
            grad_output = layer.backward(grad_output)
        return grad_output

    def backward_inputs(self, grads):
        for layer in reversed(self._layers.values()):
            grads = layer.backward_inputs(grads)
        return grads

    def backward_parameters(self, grads):
        """Only the gradients of the parameters: nothing is computed that only the first trained layer's input needs."""
        layers = list(self._layers.values())
        first = next((i for i, layer in enumerate(layers) if layer.trainable()), None)
        if first is None:
            return
        for layer in reversed(layers[first + 1:]):
            grads = layer.backward(grads)
        layers[first].backward_parameters(grads)

    def append(self, layer):
        """Add a layer at the end, named by its position; returns the container."""
        name = str(len(self._layers))
        if name in self._layers:
            raise ValueError(f"Sequential.append: there is a layer {name!r} already")
        self._add(name, layer)
        return self

    def named_children(self):
        yield from self._layers.items()
        yield from super().named_children()

    def __len__(self):
        return len(self._layers)

    def __iter__(self):
        return iter(self._layers.values())

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Sequential(dict(list(self._layers.items())[index]))
        return self._layers[self._name(index)]

    def __setitem__(self, index, layer):
        self._add(self._name(index), layer)

    def _name(self, index):
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"Sequential: index {index} is out of range for {len(self)} layers")
        return list(self._layers)[index]

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
