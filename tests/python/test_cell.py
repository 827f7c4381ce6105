"""`elman.RNNCell` as a drop-in for torch.nn.RNNCell."""

import elman
import pytest
import torch
from samples import assert_close


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("with_hx", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell_without_units(nonlinearity, batched, with_hx, bias):
    results = []
    for kind in (elman.RNNCell, torch.nn.RNNCell):
        cell = kind(4, 0, bias, nonlinearity)
        x = torch.ones(3, 4, requires_grad=True)
        hx = torch.ones(3, 0, requires_grad=True)
        h = cell(x if batched else x[0], None if not with_hx else hx if batched else hx[0])
        leaves = [x, *cell.parameters(), *([hx] * with_hx)]
        gradients = torch.autograd.grad(h.sum(), leaves, allow_unused=True)
        wanted = [
            leaf.new_zeros(leaf.shape) if g is None else g
            for leaf, g in zip(leaves, gradients, strict=True)
        ]
        results.append([h, *wanted])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)
    assert results[0][0].shape == ((3, 0) if batched else (0,))


@pytest.mark.parametrize("leak_form", ["rate", "current"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_leaky_cell_without_units_has_gradients_for_all(leak_form, dtype):
    x, hx, p = (torch.ones(3, n, dtype=dtype, requires_grad=True) for n in (4, 0, 0))
    w_ih, w_hh = (torch.ones(0, n, dtype=dtype, requires_grad=True) for n in (4, 0))
    leak = torch.ones(0, dtype=torch.float64 if dtype is torch.float64 else torch.float32)
    leaves = [x, hx, w_ih, w_hh, leak.requires_grad_(), p]
    h = torch.ops.elman.rnn_cell(x, hx, w_ih, w_hh, leak=leak, leak_form=leak_form, preactivation=p)
    assert h.shape == (3, 0) and h.dtype == dtype
    for leaf, gradient in zip(leaves, torch.autograd.grad(h.sum(), leaves), strict=True):
        assert torch.equal(gradient, torch.zeros_like(leaf))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_cell_equals_torch(nonlinearity, bias):
    torch.manual_seed(1)
    ours = elman.RNNCell(4, 6, bias, nonlinearity, dtype=torch.float64)
    torch.manual_seed(1)
    theirs = torch.nn.RNNCell(4, 6, bias, nonlinearity, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for batch in ((), (3,)):
        x = torch.randn(*batch, 4, dtype=torch.float64)
        for hx in (None, torch.randn(*batch, 6, dtype=torch.float64)):
            actual, expected = ours(x, hx), theirs(x, hx)
            assert_close(actual, expected)
            ours.zero_grad()
            theirs.zero_grad()
            actual.square().sum().backward()
            expected.square().sum().backward()
            for a, e in zip(ours.parameters(), theirs.parameters(), strict=True):
                assert_close(a.grad, e.grad)


def test_cell_takes_sparse_input_as_torchs_does():
    ours, theirs = elman.RNNCell(4, 6), torch.nn.RNNCell(4, 6)
    ours.load_state_dict(theirs.state_dict())
    x = torch.eye(4)[:3]
    assert_close(ours(x.to_sparse()), theirs(x.to_sparse()))
    ours(x.to_sparse()).sum().backward()
    ours(x).sum().backward()
    assert ours.weight_ih.grad[:, :3].abs().sum() > 0
