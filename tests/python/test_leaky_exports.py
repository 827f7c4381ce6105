"""Exports of leaky cells: ONNX in its forms, run by onnxruntime, and programs without elman's
operators."""

import elman
import pytest
import torch
from onnx_files import assert_runs, export
from torch.export import Dim

T, B = Dim("T"), Dim("B")
FORMS = ["rate", "current"]
LAYERS, H = 2, 6


class Leaky(torch.nn.Module):
    """The operator on the parameters of an `elman.RNN`."""

    def __init__(self, form, nonlinearity="tanh", dtype=torch.float32, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = elman.RNN(4, H, LAYERS, nonlinearity, dtype=dtype, **options)
        directions = 2 if self.rnn.bidirectional else 1
        self.leak = torch.nn.Parameter(torch.rand(LAYERS * directions, H, dtype=dtype) * 0.9 + 0.1)
        self.form = form

    def stack(self):
        rnn = self.rnn
        return list(rnn.parameters()), rnn.bias, LAYERS, 0.0, False, rnn.bidirectional

    def options(self, preactivation):
        options = {"leak": self.leak, "leak_form": self.form, "preactivation": preactivation}
        return options | {"nonlinearity": self.rnn.nonlinearity}


class Padded(Leaky):
    def forward(self, x, hx, preactivation, reset=None):
        options = self.options(preactivation)
        return torch.ops.elman.rnn(
            x, hx, *self.stack(), self.rnn.batch_first, reset=reset, **options
        )

    def arguments(self, steps, batch, dtype=torch.float32):
        directions = 2 if self.rnn.bidirectional else 1
        rows = (batch, steps) if self.rnn.batch_first else (steps, batch)
        sizes = (*rows, 4), (LAYERS * directions, batch, H), (LAYERS, *rows, directions * H)
        return tuple(torch.randn(size, dtype=dtype) for size in sizes)


class Packed(Leaky):
    def forward(self, data, batch_sizes, hx, preactivation):
        options = self.options(preactivation)
        return torch.ops.elman.rnn.data(data, batch_sizes, hx, *self.stack(), **options)

    def arguments(self, *lengths):
        directions = 2 if self.rnn.bidirectional else 1
        data = torch.nn.utils.rnn.pack_sequence([torch.randn(length, 4) for length in lengths])
        hx = torch.randn(LAYERS * directions, len(lengths), H)
        added = torch.randn(LAYERS, len(data.data), directions * H)
        return data.data, data.batch_sizes, hx, added


class Cell(Leaky):
    def forward(self, x, hx, preactivation):
        weights = list(self.rnn.parameters())[:4]
        options = self.options(preactivation) | {"leak": self.leak[0]}
        return torch.ops.elman.rnn_cell(x, hx, *weights, **options)

    def arguments(self, batch):
        return torch.randn(batch, 4), torch.randn(batch, H), torch.randn(batch, H)


@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid", "softplus", "identity"])
@pytest.mark.parametrize("form", FORMS)
def test_scan(form, nonlinearity):
    module = Padded(form, nonlinearity)
    model = export(module, module.arguments(5, 3), ({0: T, 1: B}, {1: B}, {1: T, 2: B}))
    for steps, batch in ((5, 3), (9, 2), (1, 1)):
        assert_runs(model, module, module.arguments(steps, batch))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("onnx_form", ["Scan", "unrolled"])
def test_both_directions_with_reset(form, onnx_form):
    module = Padded(form, "sigmoid", bidirectional=True, batch_first=True)
    args = (*module.arguments(5, 3), torch.rand(3, 5) < 0.4)
    assert_runs(export(module, args, form=onnx_form), module, args)


@pytest.mark.parametrize("form", FORMS)
def test_packed(form):
    module = Packed(form, bidirectional=True)
    shapes = ({0: Dim("N")}, {0: T}, {1: B}, {1: Dim("N")})
    model = export(module, module.arguments(5, 3, 3), shapes)
    for lengths in ((5, 3, 3), (7, 2), (1,)):
        assert_runs(model, module, module.arguments(*lengths))


@pytest.mark.parametrize("form", FORMS)
def test_cell(form):
    module = Cell(form)
    args = module.arguments(3)
    model = export(module, args, ({0: B}, {0: B}, {0: B}))
    assert [node.op_type for node in model.graph.node].count("Gemm") == 2
    assert_runs(model, module, module.arguments(5))


@pytest.mark.parametrize("form", FORMS)
def test_the_rnn_node_is_refused(form):
    module = Padded(form)
    with pytest.raises(
        torch.onnx.OnnxExporterError, match="ONNX's RNN has no leak and no preactivation"
    ):
        export(module, module.arguments(5, 3), form="RNN")


@pytest.mark.parametrize("form", FORMS)
def test_decompose(form):
    module = Padded(form, "softplus", torch.float64).eval()
    args = module.arguments(5, 3, torch.float64)
    decomposed = elman.decompose(torch.export.export(module, args))
    assert not any("elman" in str(node.target) for node in decomposed.graph.nodes)
    torch.testing.assert_close(decomposed.module()(*args), module(*args), rtol=1e-12, atol=1e-12)
