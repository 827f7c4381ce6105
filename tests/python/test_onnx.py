"""torch.onnx.export(dynamo=True) takes elman's operators in each of its forms; onnxruntime runs the
files at another T and B. More runtimes: tests/runtimes."""

import subprocess
import sys

import elman
import numpy as np
import onnxruntime
import pytest
import torch
from onnx_files import WithReset, assert_runs, export, graphs, op_types, reset_arguments
from torch.export import Dim
from torch.nn.utils.rnn import PackedSequence, pack_sequence

T, B = Dim("T"), Dim("B")


DYNAMIC_FORMS = ["Scan", "RNN"]


@pytest.mark.parametrize("form", DYNAMIC_FORMS)
def test_stack_with_truncation(form):
    rnn = elman.RNN(4, 6, 2, dropout=0.5, truncation=(2, 3))
    model = export(rnn, (torch.randn(7, 3, 4),), {"input": {0: T, 1: B}}, form)
    assert op_types(model).count(form) == 2
    assert {node.domain for graph in graphs(model.graph) for node in graph.node} == {""}
    # The default form runs four steps at a turn: each remainder, and less than one turn.
    for steps, batch in ((7, 3), (8, 2), (9, 1), (10, 2), (11, 5), (1, 1), (3, 2), (6, 0)):
        assert_runs(model, rnn, (torch.randn(steps, batch, 4),))


@pytest.mark.parametrize("form", DYNAMIC_FORMS)
def test_bidirectional_batch_first_with_hx(form):
    rnn = elman.RNN(4, 6, 2, "relu", batch_first=True, bidirectional=True)
    dynamic_shapes = {"input": {0: B, 1: T}, "hx": {1: B}}
    model = export(rnn, (torch.randn(3, 7, 4), torch.randn(4, 3, 6)), dynamic_shapes, form)
    assert_runs(model, rnn, (torch.randn(5, 11, 4), torch.randn(4, 5, 6)))


@pytest.mark.parametrize("form", DYNAMIC_FORMS)
@pytest.mark.parametrize("nonlinearity", ["sigmoid", "softplus", "identity"])
def test_unbatched_without_bias(form, nonlinearity):
    rnn = elman.RNN(4, 6, nonlinearity=nonlinearity, bias=False)
    model = export(rnn, (torch.randn(7, 4),), {"input": {0: T}}, form)
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


@pytest.mark.parametrize("form", DYNAMIC_FORMS)
def test_packed_data(form):
    module = OnPackedData()
    model = export(module, packed_arguments(5, 3, 3), ({0: Dim("N")}, {0: T}, {1: B}), form)
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


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("tanh", ["Tanh"]),
        ("relu", ["Relu"]),
        ("sigmoid", ["Sigmoid"]),
        ("softplus", ["Greater", "Softplus", "Where"]),
        ("identity", []),
    ],
)
def test_a_cell_is_two_gemm(name, ops):
    cell = elman.RNNCell(4, 6, nonlinearity=name)
    args = (torch.randn(3, 4), torch.randn(3, 6))
    model = export(cell, args, {"input": {0: B}, "hx": {0: B}})
    assert sorted(op_types(model)) == sorted(["Gemm", "Gemm", "Add", *ops])
    assert_runs(model, cell, (torch.randn(5, 4), torch.randn(5, 6)))


@pytest.mark.parametrize("has_bias", [False, True])
def test_an_unbatched_cell_without_a_state(has_bias):
    cell = elman.RNNCell(4, 6, has_bias)
    model = export(cell, (torch.randn(4),))
    assert_runs(model, cell, (torch.randn(4),))


def test_unrolled():
    rnn = elman.RNN(4, 6, 2, "relu", batch_first=True, bidirectional=True)
    args = (torch.randn(3, 7, 4), torch.randn(4, 3, 6))
    model = export(rnn, args, form="unrolled")
    assert op_types(model).count("Relu") == 4 * 7
    assert not {"Scan", "RNN", "Loop"} & set(op_types(model))
    assert_runs(model, rnn, (torch.randn(3, 7, 4), torch.randn(4, 3, 6)))


def test_unrolled_packed_data():
    module = OnPackedData()
    model = export(module, packed_arguments(5, 3, 3), form="unrolled")
    # The same numbers of rows and steps, other lengths.
    for lengths in ((5, 3, 3), (5, 5, 1)):
        assert_runs(model, module, packed_arguments(*lengths))


def test_unrolled_refuses_dynamic_steps():
    with pytest.raises(torch.onnx.OnnxExporterError, match="the unrolled form has a fixed number"):
        export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), {"input": {0: T}}, "unrolled")


@pytest.mark.parametrize("form", ["Scan", "unrolled"])
def test_float64(form):
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    args = (torch.randn(7, 3, 4, dtype=torch.float64),)
    session = onnxruntime.InferenceSession(export(rnn, args, form=form).SerializeToString())
    for actual, wanted in zip(
        session.run(None, {"input": args[0].numpy()}), rnn(*args), strict=True
    ):
        np.testing.assert_allclose(actual, wanted.detach().numpy(), rtol=1e-13, atol=1e-14)


def test_decaying_states():
    """A state that dies out keeps its digits, which ONNX's RNN in onnxruntime does not."""
    torch.manual_seed(0)
    rnn, theirs = elman.RNN(4, 6, bias=False), torch.nn.RNN(4, 6, bias=False)
    with torch.no_grad():
        rnn.weight_hh_l0.copy_(0.8 * torch.linalg.qr(torch.randn(6, 6)).Q)
    theirs.load_state_dict(rnn.state_dict())
    model = export(rnn, (torch.randn(7, 3, 4),), {"input": {0: T, 1: B}})
    x = torch.zeros(80, 2, 4)
    x[:2] = torch.randn(2, 2, 4)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    output, h_n = session.run(None, {"input": x.numpy()})
    states = theirs(x)[0].detach().numpy()
    size = np.abs(states).max(axis=-1, keepdims=True)  # [T, B, 1]
    assert 0 < size[-1].max() < 1e-6
    decayed = size < 1e-4
    assert decayed.sum() > 60
    close = np.abs(output - states) <= np.maximum(1e-7 * size, 1e-9)
    assert np.all(close | ~decayed)
    np.testing.assert_array_equal(output[-1:], h_n)


@pytest.mark.parametrize("form", ["Scan", "unrolled"])
@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({}, (7, 3)),
        ({"num_layers": 2, "bidirectional": True}, (7, 3)),
        ({"batch_first": True, "bidirectional": True}, (3, 7)),
        ({"bidirectional": True}, (7,)),
    ],
    ids=["plain", "stack", "batch_first", "unbatched"],
)
def test_reset(form, options, sizes):
    torch.manual_seed(0)
    module = WithReset(**options)
    model = export(module, reset_arguments(*sizes), form=form)
    assert_runs(model, module, reset_arguments(*sizes))


@pytest.mark.parametrize(
    ("module", "args", "form", "message"),
    [
        (
            elman.RNN(4, 6, 2, dropout=0.5),
            (torch.randn(7, 3, 4),),
            "Scan",
            r"call model\.eval\(\) before the export",
        ),
        (WithReset(), reset_arguments(7, 3), "RNN", "ONNX's RNN has no reset"),
        (
            elman.RNN(4, 6, dtype=torch.complex64),
            (torch.randn(7, 3, 4, dtype=torch.complex64),),
            "Scan",
            "no complex numbers",
        ),
    ],
    ids=["dropout", "reset", "complex"],
)
def test_what_a_form_has_not_is_refused(module, args, form, message):
    with pytest.raises(torch.onnx.OnnxExporterError, match=message):
        elman.onnx.export(module.train(), args, form=form, verbose=False)


def test_the_form_ends_with_its_block():
    args = (torch.randn(7, 3, 4),)
    program = elman.onnx.export(elman.RNN(4, 6).eval(), args, form="RNN", verbose=False)
    assert "RNN" in op_types(program.model_proto)
    after = elman.onnx.export(elman.RNN(4, 6).eval(), args, verbose=False)
    assert "Scan" in op_types(after.model_proto)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="form should be one of 'Scan', 'RNN', 'unrolled', got"):
        elman.onnx.export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), form="rnn")
    with pytest.raises(ValueError, match="dynamo should be True"):
        elman.onnx.export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), dynamo=False)
    for wrong in (0, 1.0, True):
        with pytest.raises(ValueError, match=f"steps_per_turn .* positive integer, got: {wrong}"):
            elman.onnx.export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), steps_per_turn=wrong)
    with pytest.raises(ValueError, match=r"steps_per_turn is of the form 'Scan', got .*'RNN'"):
        elman.onnx.export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), form="RNN", steps_per_turn=2)


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
