"""Exports modules to ONNX, looks into the files and runs them in onnxruntime."""

import elman
import numpy as np
import onnxruntime
import torch


def export(module, args, dynamic_shapes=None, form="Scan", **options):
    with elman.onnx.use_form(form, **options):
        return torch.onnx.export(
            module.eval(), args, dynamo=True, dynamic_shapes=dynamic_shapes, verbose=False
        ).model_proto


def graphs(graph):
    """The graph and those inside of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def op_types(model):
    return [node.op_type for graph in graphs(model.graph) for node in graph.node]


def assert_runs(model, module, args):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in session.get_inputs()]
    feeds = {name: arg.numpy() for name, arg in zip(names, args, strict=True)}
    expected = module(*args)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for actual, wanted in zip(session.run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(actual, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


def bodies(model):
    return [graph for graph in graphs(model.graph) if graph is not model.graph]


class WithReset(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.rnn = elman.RNN(4, 6, **options)

    def forward(self, x, reset):
        return self.rnn(x, reset=reset)


def reset_arguments(*sizes):
    return torch.randn(*sizes, 4), torch.rand(sizes) > 0.6
