"""One forward pass of a network, written down: what made which array from which."""

import copy
from dataclasses import dataclass, field

import numpy as np

from fastconv.layers.container import Residual
from fastconv.layers.layer import Layer
from fastconv.layers.parameter import Parameter


@dataclass(eq=False)
class Tensor:
    """An array that passed between two layers.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
    nbytes : int
    memory : int
        Which memory it lies in: equal for an array and its views.
    source : Node or None
        What made it; None for the network's input.
    """

    shape: tuple
    dtype: np.dtype
    nbytes: int
    memory: int
    source: "Node | None"

    @property
    def size(self):
        """The number of elements."""
        return int(np.prod(self.shape, dtype=object))


@dataclass(eq=False)
class Node:
    """A call of a layer without layers in it, or an operation that a container does itself.

    Attributes
    ----------
    name : str
        The layer's place in the network, as in its parameters' names; for an operation that of the container.
    kind : str
        The name of the layer's class or of the NumPy function; ``'view'`` for an array reshaped, sliced or converted by
        a method; ``'?'`` where a container came by an array in a way that was not seen.
    layer : Layer or None
        None for an operation.
    inputs, outputs : list of Tensor
    parameters : list of (str, Parameter)
        Those that it uses, names within the network.
    """

    name: str
    kind: str
    layer: Layer | None
    inputs: list
    outputs: list = field(default_factory=list)
    parameters: list = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """What `trace` saw: nodes in the order of their calls.

    Attributes
    ----------
    nodes : list of Node
    input : Tensor
    outputs : list of Tensor
    """

    nodes: list
    input: Tensor
    outputs: list


def trace(model, x):
    """Run a copy of a network, in evaluation mode, and write down every call.

    Operations of NumPy that a container's ``forward`` does between its layers, such as the sum of a skip connection,
    are seen too. What it computes by other means, through `fastconv.functional` for example, is a node ``'?'``.

    Parameters
    ----------
    model : Layer
    x : ndarray

    Returns
    -------
    Trace
    """
    return _Tracer(copy.deepcopy(model).eval().to("cpu")).run(x)


def kind_of(layer):
    """The name of the class of `fastconv.layers` that a layer is, also by inheritance; None for a user's own."""
    own = [cls for cls in type(layer).__mro__ if cls.__module__.startswith("fastconv.layers.") and cls is not Layer]
    return own[0].__name__ if own else None


class _Tracer:
    def __init__(self, model):
        self.model = model
        self.nodes = []
        self._containers = []  # of the calls that are running, innermost last
        self._unused = {}      # tensors that no node has taken yet, in order
        self._found = {}       # address of an array: the same, traced
        self._results = {}     # id of a layer or container: what it returned last
        self._kept = []        # arrays, whose ids must stay theirs
        self._names = {id(p.data): (name, p) for name, p in model.named_parameters()}
        for name, layer in model.named_modules():
            watch = self._container if any(True for _ in layer.children()) else self._layer
            layer.forward = watch(name, layer, layer.forward)

    def run(self, x):
        start = self._wrapped(x, None)
        result = _arrays(self.model.forward(start))
        # Every array, also one that the outermost container came by on its own.
        return Trace(self.nodes, start.tensor, [self._tensor(array) for array in result])

    def operation(self, kind, inputs, parameters, results):
        """Note what a container does itself; `results` come back wrapped."""
        name, _ = self._containers[-1] if self._containers else ("", None)
        return self._noted(Node(name, kind, None, inputs, parameters=parameters), results)

    def parameters_of(self, values):
        """Those of the network's parameters whose arrays are among `values`, as (name, parameter)."""
        return [self._names[id(value)] for value in values if id(value) in self._names]

    def _layer(self, name, layer, forward):
        def watched(*args, **kwargs):
            given = [self._tensor(array) for array in (*_arrays(args), *_arrays(list(kwargs.values())))]
            plain = {key: _plain(value) for key, value in kwargs.items()}
            result = forward(*_plain(args), **plain)
            own = _own_parameters(name, layer)
            if kind_of(layer) == "Dropout":
                # In training its result is an array of its own.
                result = np.array(result)
            result = self._noted(Node(name, type(layer).__name__, layer, given, parameters=own), result)
            self._results[id(layer)] = result
            return result
        return watched

    def _container(self, name, layer, forward):
        def watched(*args, **kwargs):
            self._containers.append((name, layer))
            try:
                result = forward(*args, **kwargs)
                if type(layer).forward is Residual.forward:
                    # It checks its arrays, and adds plain ones.
                    skipped = args[0] if layer.shortcut is None else self._results[id(layer.shortcut)]
                    terms = [self._tensor(array) for array in (self._results[id(layer.body)], skipped)]
                    result = self.operation("add", terms, [], result)
                self._results[id(layer)] = result = _mapped(result, self._seen)
                return result
            finally:
                self._containers.pop()
        return watched

    def _noted(self, node, results):
        self.nodes.append(node)
        for tensor in node.inputs:
            self._unused.pop(tensor, None)
        wrapped = _mapped(results, lambda array: self._wrapped(array, node))
        node.outputs = [array.tensor for array in _arrays(wrapped)]
        return wrapped

    def _wrapped(self, array, source):
        root = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        self._kept += [array, root]
        wrapped = array.view(_Traced)
        wrapped.tracer = self
        wrapped.tensor = Tensor(array.shape, array.dtype, array.nbytes, id(root), source)
        self._unused[wrapped.tensor] = None
        self._found[_address(array)] = wrapped
        return wrapped

    def _seen(self, array):
        """`array`, or if a container came by it on its own, the same as a traced one."""
        if isinstance(array, _Traced):
            if array.tensor is None:
                made = self.operation("view", [self._tensor(array.parent)], [], array.view(np.ndarray))
                array.tensor = made.tensor
            return array
        known = self._found.get(_address(array))
        if known is not None and known.nbytes == array.nbytes:
            # The same memory: an array as a check returned it, or reshaped behind it.
            return known if known.shape == array.shape else self.operation("view", [known.tensor], [], array)
        name, container = self._containers[-1] if self._containers else ("", self.model)
        node = Node(name, "?", None, list(self._unused), parameters=_own_parameters(name, container))
        return self._noted(node, array)

    def _tensor(self, array):
        """The tensor of an array that comes to a layer, whatever it has been through."""
        return self._seen(array).tensor


class _Traced(np.ndarray):
    """An array that tells its tracer what NumPy does with it."""

    def __array_finalize__(self, parent):
        self.tensor = None
        self.tracer = getattr(parent, "tracer", None)
        self.parent = parent if self.tracer is not None else None

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **keywords):
        if out:
            keywords["out"] = _plain(out)
        kind = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        return self._operation(kind, inputs, out, getattr(ufunc, method)(*_plain(inputs), **keywords))

    def __array_function__(self, function, types, args, keywords):
        result = function(*_plain(args), **{key: _plain(value) for key, value in keywords.items()})
        return self._operation(function.__name__, (*args, *keywords.values()), (), result)

    def _operation(self, kind, inputs, out, result):
        tracer = _tracer(inputs)
        if tracer is None or not _arrays(result):
            return result
        taken = [tracer._tensor(array) for array in _arrays(inputs) if isinstance(array, _Traced)]
        result = tracer.operation(kind, taken, tracer.parameters_of(map(_plain, inputs)), result)
        if out and isinstance(out[0], _Traced):
            out[0].tensor, out[0].tracer = result.tensor, tracer
            return out[0]
        return result


def _address(array):
    return array.__array_interface__["data"][0]


def _own_parameters(name, layer):
    prefix = f"{name}." if name else ""
    return [(f"{prefix}{key}", value) for key, value in vars(layer).items() if isinstance(value, Parameter)]


def _tracer(values):
    return next((array.tracer for array in _arrays(values) if getattr(array, "tracer", None) is not None), None)


def _arrays(values):
    """The arrays in a value, in a tuple or list of values, or in such of such."""
    if isinstance(values, np.ndarray):
        return [values]
    return [array for value in values for array in _arrays(value)] if isinstance(values, tuple | list) else []


def _mapped(values, function):
    """`values` with each array in them replaced."""
    if isinstance(values, np.ndarray):
        return function(values)
    if isinstance(values, np.generic):
        return function(np.asarray(values))
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(_mapped(value, function) for value in values))
    return type(values)(_mapped(value, function) for value in values) if isinstance(values, tuple | list) else values


def _plain(values):
    """`values` with plain arrays in place of those that are traced, and of parameters."""
    if isinstance(values, Parameter):
        return values.data
    if isinstance(values, _Traced):
        return values.view(np.ndarray)
    return type(values)(map(_plain, values)) if type(values) in (tuple, list) else values
