"""Which call of a layer a backward belongs to, and which gradients add up: kept here so that no layer has to.

A layer stores what its backward needs in plain attributes and overwrites the ``.grad`` of its parameters. Alone that is
right; where a layer or a parameter occurs twice in a network it would forget the first occurrence. `Layer` therefore
wraps these methods of every subclass:

- A *forward pass* is an outermost ``forward`` and all those within it. A second call of a layer within one pass first
  puts the attributes aside which the call before it left.
- A *backward pass* is an outermost ``backward`` (or half of one). Backward calls of a layer within it take its forward
  calls last to first. The first gradient of a parameter overwrites, later ones are added.

A layer called once in a pass, the common case, pays 0.6 us forward and 1.5 us backward for it.
"""

import functools
import threading

from fastconv.layers.parameter import Parameter

INPUTS, PARAMETERS = "inputs", "parameters"


class _Running(threading.local):
    forward = None
    backward = None


_running = _Running()


class Calls:
    """The forward calls of one layer in its latest forward pass."""

    __slots__ = ("complete", "earlier", "of_pass")

    def __init__(self):
        self.of_pass = None
        self.earlier = []
        self.complete = False


class _ForwardPass:
    __slots__ = ("active",)

    def __init__(self):
        self.active = set()


class _BackwardPass:
    __slots__ = ("active", "latest", "turns", "written")

    def __init__(self):
        self.active = set()
        self.turns = {}    # (layer id, half): backward calls so far
        self.latest = {}   # layer id: (layer, its attributes after its last forward call)
        self.written = set()

    def rewind(self, layer, halves):
        """Give `layer` the attributes that belong to its next backward call."""
        earlier = layer._calls.earlier
        turn = max(self.turns.get((id(layer), half), 0) for half in halves)
        for half in halves:
            self.turns[id(layer), half] = turn + 1
        if turn > len(earlier):
            raise RuntimeError(f"{type(layer).__name__}.backward: called {turn + 1} times in one backward pass, after "
                               f"{len(earlier) + 1} forward calls")
        _, latest = self.latest.setdefault(id(layer), (layer, _attributes(layer)))
        vars(layer).update(earlier[len(earlier) - turn] if turn else latest)

    def finish(self):
        for layer, latest in self.latest.values():
            vars(layer).update(latest)


def _attributes(layer):
    kept = vars(layer).copy()
    del kept["_calls"]
    return kept


def forward_call(method):
    """Wrap a layer's ``forward``: record the call in the running forward pass, or start one."""

    @functools.wraps(method)
    def forward(self, *args, **kwargs):
        running = _running.forward
        if running is not None and id(self) in running.active:
            return method(self, *args, **kwargs)  # super().forward()
        current = running or _ForwardPass()
        calls = self._calls
        if calls.of_pass is current:
            calls.earlier.append(_attributes(self))
        else:
            calls.of_pass, calls.earlier = current, []
        calls.complete = False
        try:
            _running.forward = current
            current.active.add(id(self))
            result = method(self, *args, **kwargs)
            calls.complete = True
            return result
        finally:
            current.active.discard(id(self))
            _running.forward = running

    return forward


def forget(layer):
    """Let a backward of `layer` alone raise, as after no forward: the running forward pass does its work without it."""
    if layer._calls.of_pass is not _running.forward:
        layer._calls = Calls()


def backward_call(*halves):
    """A wrapper for a layer's ``backward`` (both `halves`), ``backward_inputs`` or ``backward_parameters``."""

    def wrap(method):
        @functools.wraps(method)
        def backward(self, *args, **kwargs):
            running = _running.backward
            if running is not None and id(self) in running.active:
                return method(self, *args, **kwargs)
            if not self._calls.complete:
                raise RuntimeError(f"{type(self).__name__}.{method.__name__}: call forward first")
            current = running or _BackwardPass()
            try:
                _running.backward = current
                current.active.add(id(self))
                if self._calls.earlier:
                    current.rewind(self, halves)
                if PARAMETERS not in halves:
                    return method(self, *args, **kwargs)
                own = [value for value in vars(self).values() if isinstance(value, Parameter)]
                before = [(p, p.grad) for p in own if id(p) in current.written]
                for p, _ in before:
                    p.grad = None
                result = method(self, *args, **kwargs)
                for p, grad in before:
                    if grad is not None:
                        p.grad = grad if p.grad is None else p.grad + grad
                current.written.update(map(id, own))
                return result
            finally:
                current.active.discard(id(self))
                _running.backward = running
                if running is None:
                    current.finish()

        return backward

    return wrap


def one_half(layer, half, grads):
    """Run the ``backward`` of a layer that has no method for `half`, without the effects of the other half."""
    current = _running.backward
    other = PARAMETERS if half == INPUTS else INPUTS
    turns = {key: turn for key, turn in current.turns.items() if key[1] == other}
    if half == PARAMETERS:
        layer.backward(grads)
        result = None
    else:
        kept = [(p, p.grad) for p in layer.parameters()]
        written = set(current.written)
        result = layer.backward(grads)
        for p, grad in kept:
            p.grad = grad
        current.written = written
    current.turns = {key: turn for key, turn in current.turns.items() if key[1] == half} | turns
    return result
