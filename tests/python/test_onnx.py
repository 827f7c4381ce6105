"""torch.onnx.export(dynamo=True) turns elman's operators into ONNX's RNN; onnxruntime runs it at
another T and B."""

import subprocess
import sys

import elman
import numpy as np
import onnxruntime
import pytest
import torch
from torch.export import Dim
from torch.nn.utils.rnn import PackedSequence, pack_sequence

T, B = Dim("T"), Dim("B")


def export(module, args, dynamic_shapes):
    return torch.onnx.export(
        module.eval(), args, dynamo=True, dynamic_shapes=dynamic_shapes, verbose=False
    ).model_proto


def op_types(model):
    return [node.op_type for node in model.graph.node]


def assert_runs(model, module, args):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [value.name for value in session.get_inputs()]
    feeds = {name: arg.numpy() for name, arg in zip(names, args, strict=True)}
    expected = module(*args)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for actual, wanted in zip(session.run(None, feeds), expected, strict=True):
        np.testing.assert_allclose(actual, wanted.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_stack_with_truncation():
    rnn = elman.RNN(4, 6, 2, dropout=0.5, truncation=(2, 3))
    model = export(rnn, (torch.randn(7, 3, 4),), {"input": {0: T, 1: B}})
    assert op_types(model).count("RNN") == 2
    assert {node.domain for node in model.graph.node} == {""}
    for steps, batch in ((7, 3), (11, 5), (1, 1)):
        assert_runs(model, rnn, (torch.randn(steps, batch, 4),))


def test_bidirectional_batch_first_with_hx():
    rnn = elman.RNN(4, 6, 2, "relu", batch_first=True, bidirectional=True)
    dynamic_shapes = {"input": {0: B, 1: T}, "hx": {1: B}}
    model = export(rnn, (torch.randn(3, 7, 4), torch.randn(4, 3, 6)), dynamic_shapes)
    assert_runs(model, rnn, (torch.randn(5, 11, 4), torch.randn(4, 5, 6)))


def test_unbatched_without_bias():
    rnn = elman.RNN(4, 6, nonlinearity="sigmoid", bias=False)
    model = export(rnn, (torch.randn(7, 4),), {"input": {0: T}})
    assert_runs(model, rnn, (torch.randn(9, 4),))


class OnPackedData(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, bidirectional=True)

    def forward(self, data, batch_sizes, hx):
        output, h_n = self.rnn(PackedSequence(data, batch_sizes), hx)
        return output.data, h_n


def packed_arguments(*lengths):
    packed = pack_sequence([torch.randn(length, 4) for length in lengths])
    return packed.data, packed.batch_sizes, torch.randn(4, len(lengths), 6)


def test_packed_data():
    module = OnPackedData()
    model = export(module, packed_arguments(5, 3, 3), ({0: Dim("N")}, {0: T}, {1: B}))
    for lengths in ((5, 3, 3), (9, 4, 4, 1), (2,)):
        assert_runs(model, module, packed_arguments(*lengths))


class CellThenNetwork(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = elman.RNNCell(4, 4)
        self.network = elman.Network(4, 6, 3, mapping="many_to_one", output="softmax")

    def forward(self, x, h):
        h = self.cell(x[0], self.cell(x[0], h))
        return self.network(x + h)[0]


def test_cell_and_network():
    module = CellThenNetwork()
    args = (torch.randn(7, 3, 4), torch.randn(3, 4))
    model = export(module, args, ({0: T, 1: B}, {0: B}))
    assert_runs(model, module, (torch.randn(9, 2, 4), torch.randn(2, 4)))


class WithReset(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6)

    def forward(self, x):
        return self.rnn(x, reset=x[:, :, 0] > 0)[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: elman.RNN(4, 6, 2, dropout=0.5), r"call model\.eval\(\) before the export"),
        (WithReset, "ONNX's RNN has no reset"),
    ],
    ids=["dropout", "reset"],
)
def test_what_onnx_has_not_is_refused(make, message):
    with pytest.raises(torch.onnx.OnnxExporterError, match=message):
        torch.onnx.export(make().train(), (torch.randn(7, 3, 4),), dynamo=True, verbose=False)


def test_only_an_export_knows_the_decompositions():
    operators = [op for op in torch._decomp.decomposition_table if str(op).startswith("elman.")]
    assert not operators
    assert not torch._decomp.get_decompositions([torch.ops.elman.rnn.default])


@pytest.mark.parametrize("exporter_first", [False, True])
def test_exports_are_joined_whichever_is_imported_first(exporter_first):
    exporter = "torch.onnx._internal.exporter._decomp"
    order = [exporter, "elman"] if exporter_first else ["elman", exporter]
    program = f"""
import sys, torch
for name in {order}:
    __import__(name)
    if name == "elman":
        assert {exporter_first} == ("torch.onnx" in sys.modules)
table = sys.modules["{exporter}"].create_onnx_friendly_decomposition_table(set())
assert torch.ops.elman.rnn.default in table
"""
    subprocess.run([sys.executable, "-c", program], check=True)
