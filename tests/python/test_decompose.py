"""Exported programs without elman's operators. In the tools themselves: tests/elsewhere."""

import elman
import oracle
import pytest
import torch
from elman import _decompositions
from torch.nn.utils.rnn import PackedSequence, pack_sequence


def namespaces(program):
    return {
        node.target.namespace
        for node in program.graph.nodes
        if isinstance(node.target, torch._ops.OpOverload)
    }


def assert_decomposes(module, args, **options):
    program = torch.export.export(module.eval(), args, **options)
    assert "elman" in namespaces(program)
    decomposed = elman.decompose(program)
    assert namespaces(decomposed) == {"aten"}
    assert "elman" in namespaces(program)  # as it was
    torch.testing.assert_close(decomposed.module()(*args), module(*args), rtol=1e-12, atol=1e-12)
    return decomposed


def randn(*sizes):
    return torch.randn(sizes, dtype=torch.float64)


@pytest.mark.parametrize("nonlinearity", oracle.ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_stack(nonlinearity, bias):
    rnn = elman.RNN(
        *(4, 6, 2, nonlinearity, bias), batch_first=True, bidirectional=True, dtype=torch.float64
    )
    assert_decomposes(rnn, (randn(3, 7, 4),))
    assert_decomposes(rnn, (randn(3, 7, 4), randn(4, 3, 6)))
    assert_decomposes(rnn, (randn(7, 4),))


def test_dynamic_batch():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    shapes = {"input": {1: torch.export.Dim("B")}}
    program = assert_decomposes(rnn, (randn(7, 3, 4),), dynamic_shapes=shapes)
    x = randn(7, 5, 4)
    torch.testing.assert_close(program.module()(x), rnn(x))


class OnPackedData(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, bidirectional=True, dtype=torch.float64)

    def forward(self, data, batch_sizes, hx):
        output, h_n = self.rnn(PackedSequence(data, batch_sizes), hx)
        return output.data, h_n


def test_packed_data():
    packed = pack_sequence([randn(length, 4) for length in (5, 3, 3)])
    assert_decomposes(OnPackedData(), (packed.data, packed.batch_sizes, randn(4, 3, 6)))


class WithReset(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, bidirectional=True, dtype=torch.float64)

    def forward(self, x, reset):
        return self.rnn(x, reset=reset)


def test_reset():
    assert_decomposes(WithReset(), (randn(7, 3, 4), torch.rand(7, 3) > 0.6))


@pytest.mark.parametrize("bias", [False, True])
def test_cell(bias):
    cell = elman.RNNCell(4, 6, bias, dtype=torch.float64)
    assert_decomposes(cell, (randn(3, 4), randn(3, 6)))
    assert_decomposes(cell, (randn(4),))


def test_gradients_through_the_program():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    x = randn(7, 3, 4)
    program = elman.decompose(torch.export.export(rnn, (x,)))
    grads = [
        torch.autograd.grad(module(x)[0].square().sum(), list(module.parameters()))
        for module in (program.module(), rnn)
    ]
    torch.testing.assert_close(*grads)


def test_dynamic_steps_are_refused():
    shapes = {"input": {0: torch.export.Dim("T")}}
    program = torch.export.export(elman.RNN(4, 6), (torch.randn(7, 3, 4),), dynamic_shapes=shapes)
    with pytest.raises(RuntimeError, match="fixed number of steps, but the program's is dynamic"):
        elman.decompose(program)


def test_training_mode_is_refused():
    program = torch.export.export(elman.RNN(4, 6, 2, dropout=0.5), (torch.randn(7, 3, 4),))
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) before the export"):
        elman.decompose(program)


def test_no_program():
    with pytest.raises(TypeError, match=r"should be a torch\.export\.ExportedProgram.*got: RNN"):
        elman.decompose(elman.RNN(4, 6))


def test_an_argument_that_is_not_known_is_refused(monkeypatch):
    """What a later version may add to the operators may not be lost in silence."""
    monkeypatch.setattr("elman._decompositions._KNOWN", _decompositions._KNOWN - {"reset"})
    rnn, x = elman.RNN(4, 6, dtype=torch.float64), randn(5, 3, 4)
    assert_decomposes(rnn, (x,))
    cuts = torch.zeros(5, 3, dtype=torch.bool)
    program = torch.export.export(rnn.eval(), (x,), {"reset": cuts})
    with pytest.raises(RuntimeError, match=r"elman: reset of elman\.rnn\.default is not supported"):
        elman.decompose(program)
