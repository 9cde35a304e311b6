"""Every implementation that is benchmarked, once.

An implementation has a name, says whether it `supports` a case in a direction, is made ready for a number of threads
by `start`, and by `prepare` gives a call without arguments that computes the results of `bench.reference.result_names`
on arrays of its own kind. One more row of every table is one more entry of `IMPLEMENTATIONS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math

import numpy as np

from bench import limits
from bench.cases import Conv, Pool
from bench.operations import Operation
from bench.reference import torch_operation, y_shape


class Implementation:
    """What the entries of `IMPLEMENTATIONS` have in common."""

    peer = False  # whether fastconv is compared with it

    def __init__(self, name):
        self.name = name

    def start(self, threads):
        """Import what is needed and use `threads` threads; raises ImportError if that cannot be had."""
        raise NotImplementedError

    def supports(self, case, direction):
        return True

    def prepare(self, case, direction, arrays):
        """A call without arguments that returns a tuple of results."""
        raise NotImplementedError

    def to_numpy(self, results):
        return tuple(np.asarray(result) for result in results)

    def precision(self, level):
        """A context in which float32 convolution is as exact as fastconv's `level` says, where there is a choice."""
        return contextlib.nullcontext()


class Fastconv(Implementation):
    """The public functions of fastconv on one of its backends, which is the implementation's name."""

    def start(self, threads):
        import fastconv

        fastconv.set_num_threads(threads)
        fastconv.set_backend(self.name)

    @contextlib.contextmanager
    def precision(self, level):
        import fastconv

        before = fastconv.get_float32_precision()
        fastconv.set_float32_precision(level)
        try:
            yield
        finally:
            fastconv.set_float32_precision(before)

    def prepare(self, case, direction, arrays):
        from fastconv import functional, grad

        if isinstance(case, Operation):
            inputs = {name: array for name, array in arrays.items() if name != "dy"}
            if direction == "forward":
                return lambda: (case.forward(functional, inputs),)
            backward, dy = case.backward(functional, grad, inputs), arrays["dy"]
            return lambda: backward(dy)
        x, dy = arrays["x"], arrays["dy"]
        if isinstance(case, Conv):
            w, b = arrays["w"], arrays["b"]
            order = (("stride", "padding", "output_padding", "groups", "dilation") if case.transposed else
                     ("stride", "padding", "dilation", "groups"))
            options = [getattr(case, option) for option in order]
            if direction == "forward":
                function = getattr(functional, case.op)
                return lambda: (function(x, w, b, *options),)
            of_input, of_parameters = getattr(grad, f"{case.op}_input"), getattr(grad, f"{case.op}_parameters")
            return lambda: (of_input(x.shape, w, dy, *options), *of_parameters(x, w.shape, dy, *options))
        name = f"{case.op}_pool{case.dims}d"
        function, gradient = getattr(functional, name), getattr(grad, f"{name}_input")
        if case.op == "max":
            options = (case.kernel, case.stride, case.padding, case.dilation, case.ceil_mode, True)
            if direction == "forward":
                return lambda: function(x, *options)
            indices = function(x, *options)[1]
            return lambda: (gradient(x.shape, indices, dy),)
        options = (case.kernel, case.stride, case.padding, case.ceil_mode, case.count_include_pad, case.divisor)
        if direction == "forward":
            return lambda: (function(x, *options),)
        return lambda: (gradient(x.shape, dy, *options),)


class Torch(Implementation):
    """PyTorch's functions, and the operators that its autograd calls for a gradient."""

    peer = True

    def __init__(self, name, channels_last=False):
        super().__init__(name)
        self.channels_last = channels_last

    def start(self, threads):
        import torch

        torch.set_num_threads(threads)

    def supports(self, case, direction):
        if isinstance(case, Operation):
            return not self.channels_last
        # In one dimension there is no memory format with the channels last, and pooling has no gradient operator.
        return case.dims > 1 or (isinstance(case, Conv) and not self.channels_last)

    def prepare(self, case, direction, arrays):
        import torch

        tensors = {name: None if array is None else torch.from_numpy(array) for name, array in arrays.items()}
        if isinstance(case, Operation):
            return self._prepare_operation(case, direction, tensors)
        if self.channels_last:
            formats = {4: torch.channels_last, 5: torch.channels_last_3d}
            tensors = {name: tensor.to(memory_format=formats[tensor.ndim]) if tensor.ndim in formats else tensor
                       for name, tensor in tensors.items()}
        operation, x, dy = torch_operation(case), tensors["x"], tensors["dy"]
        if isinstance(case, Conv):
            w, b = tensors["w"], tensors["b"]
            if direction == "forward":
                return lambda: (operation(x, w, b),)
            padding = _symmetric_padding(case)
            backward = torch.ops.aten.convolution_backward
            options = ([w.shape[1] * case.groups if case.transposed else w.shape[0]], _each(case.stride, case.dims),
                       padding, _each(case.dilation, case.dims), case.transposed,
                       _each(case.output_padding, case.dims), case.groups, [True, True, True])
            return lambda: backward(dy, x, w, *options)
        if direction == "forward":
            return (lambda: operation(x)) if case.op == "max" else (lambda: (operation(x),))
        kernel, padding = _each(case.kernel, case.dims), _each(case.padding, case.dims)
        stride = kernel if case.stride is None else _each(case.stride, case.dims)
        if case.op == "max":
            backward = getattr(torch.ops.aten, f"max_pool{case.dims}d_with_indices_backward")
            dilation, indices = _each(case.dilation, case.dims), operation(x)[1]
            return lambda: (backward(dy, x, kernel, stride, padding, dilation, case.ceil_mode, indices),)
        backward = getattr(torch.ops.aten, f"avg_pool{case.dims}d_backward")
        return lambda: (backward(dy, x, kernel, stride, padding, case.ceil_mode, case.count_include_pad,
                                 case.divisor),)

    def _prepare_operation(self, case, direction, tensors):
        import torch

        dy = tensors.pop("dy")
        if direction == "forward":
            return lambda: (case.torch_forward(torch, tensors),)
        leaves = [tensors[name].requires_grad_() for name in case.differentiable]
        y = case.torch_forward(torch, tensors)
        return lambda: torch.autograd.grad(y, leaves, dy, retain_graph=True)


class Copy(Implementation):
    """No pooling, but what bounds one: a copy that reads and writes as many bytes together as it must. By torch."""

    def start(self, threads):
        import torch

        torch.set_num_threads(threads)

    def supports(self, case, direction):
        return isinstance(case, Pool)

    def prepare(self, case, direction, arrays):
        import torch

        source = torch.ones(limits.bytes_moved(case, direction) // 2, dtype=torch.uint8)
        target = torch.zeros_like(source)
        return lambda: (target.copy_(source),)

    def to_numpy(self, results):
        return ()


class OnnxRuntime(Implementation):
    """onnxruntime, forward. Weights are constants of its graph, which it may rearrange before the first run."""

    peer = True

    def start(self, threads):
        import onnx  # noqa: F401
        import onnxruntime

        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = 3

    def supports(self, case, direction):
        if isinstance(case, Operation):
            return False
        return direction == "forward" and (isinstance(case, Conv) or case.divisor is None)

    def prepare(self, case, direction, arrays):
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        dims, g = case.dims, case.geometry()
        options = {"strides": list(g.stride[3 - dims:]),
                   "pads": [pair[side] for side in (0, 1) for pair in g.padding[3 - dims:]]}
        constants, inputs = [], ["x"]
        if isinstance(case, Conv):
            constants = [numpy_helper.from_array(arrays[name], name) for name in ("w", "b")]
            inputs += ["w", "b"]
            options |= {"dilations": list(g.dilation[3 - dims:]), "group": case.groups}
            kind = "ConvTranspose" if case.transposed else "Conv"
            if case.transposed:
                options["output_padding"] = _each(case.output_padding, dims)
        else:
            options |= {"kernel_shape": list(g.kernel[3 - dims:]), "ceil_mode": int(case.ceil_mode)}
            if case.op == "max":
                kind = "MaxPool"
                options["dilations"] = list(g.dilation[3 - dims:])
            else:
                kind = "AveragePool"
                options["count_include_pad"] = int(case.count_include_pad)
        # Both outputs of MaxPool: the others compute the indices too.
        names = ["y", "indices"] if kind == "MaxPool" else ["y"]
        types = [TensorProto.FLOAT, TensorProto.INT64]
        graph = helper.make_graph(
            [helper.make_node(kind, inputs, names, **options)], case.name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, case.input)],
            [helper.make_tensor_value_info(name, kind_of, y_shape(case))
             for name, kind_of in zip(names, types, strict=False)],
            constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), self.options,
                                               providers=["CPUExecutionProvider"])
        feed = {"x": arrays["x"]}
        return lambda: session.run(None, feed)

    def to_numpy(self, results):
        # Its indices count through the whole batch; only the values are compared.
        return tuple(results[:1])


OURS = ("numba", "cython")

IMPLEMENTATIONS = {implementation.name: implementation for implementation in (
    Fastconv("numba"),
    Fastconv("cython"),
    Fastconv("tensordot"),
    Fastconv("loops"),
    Torch("torch"),
    Torch("torch channels_last", channels_last=True),
    OnnxRuntime("onnxruntime"),
    Copy("copy"),
)}


@functools.cache
def reduced(case, most=8 * 10**5):
    """The largest of some cuts of `case` that plain loops do in some tenths of a second: `most` products.

    Kernel, stride, padding and dilation stay.
    """
    cuts = [_cut(case, images, channels, side) for images in (case.input[0], 8, 1) for channels in (64, 32, 16, 8, 4)
            for side in (max(case.input[2:]), 56, 28, 12)]
    return max((cut for cut in cuts if _products(cut) <= most), key=_products)


def _products(case):
    g = case.geometry()
    return g.multiply_adds if isinstance(case, Conv) else math.prod(g.y_shape) * math.prod(g.kernel)


def _cut(case, images, most, side):
    """`case` with at most so many images, channels read and written, and elements along each axis of a map."""
    images, channels, size = min(images, case.input[0]), case.input[1], tuple(min(s, side) for s in case.input[2:])
    if not isinstance(case, Conv):
        return dataclasses.replace(case, input=(images, min(channels, most), *size))
    of_input, of_output = (min(count // case.groups, most) for count in (channels, y_shape(case)[1]))
    groups = min(case.groups, max(2, most // max(of_input, of_output)))
    first, second = (of_input * groups, of_output) if case.transposed else (of_output * groups, of_input)
    return dataclasses.replace(case, input=(images, of_input * groups, *size), groups=groups,
                               weight=(first, second, *case.weight[2:]))


def _each(value, dims):
    return [value] * dims if isinstance(value, int) else list(value)


def _symmetric_padding(case):
    pairs = case.geometry().padding[3 - case.dims:]
    if any(before != after for before, after in pairs):
        raise ValueError(f"{case.name}: torch's gradient operator takes the same padding on both sides, got {pairs}")
    return [before for before, _ in pairs]
