"""The grid of `torch.nn.RNN`'s options: outputs and all gradients of `elman.RNN` in float64."""

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils.rnn import pack_padded_sequence

STEPS, BATCH, INPUT, HIDDEN = 6, 3, 4, 5
LENGTHS = (4, 6, 1)  # not sorted, so that the order of the rows counts


def outcome(module, form, input, hx):
    """Output, h_n and the gradients of a loss on both: of the input, hx and the parameters."""
    given = input
    if form == "packed":
        given = pack_padded_sequence(
            input, torch.tensor(LENGTHS), module.batch_first, enforce_sorted=False
        )
    output, h_n = module(given) if hx is None else module(given, hx)
    output = output.data if form == "packed" else output
    loss = (output.square() * torch.arange(output.size(-1))).sum() + h_n.sin().sum()
    leaves = [input, *([] if hx is None else [hx]), *module.parameters()]
    return output, h_n, *torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("with_hx", [True, False], ids=["hx", "no hx"])
@pytest.mark.parametrize("form", ["batched", "unbatched", "packed"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["one direction", "two directions"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_outputs_and_gradients_equal_torch(
    num_layers, bidirectional, bias, nonlinearity, form, with_hx
):
    for batch_first in (False, True):
        options = (INPUT, HIDDEN, num_layers, nonlinearity, bias, batch_first, 0.0, bidirectional)
        theirs = torch.nn.RNN(*options, dtype=torch.float64)
        ours = elman.RNN(*options, dtype=torch.float64)
        ours.load_state_dict(theirs.state_dict())
        rows = (STEPS,) if form == "unbatched" else (STEPS, BATCH)
        rows = rows[::-1] if batch_first else rows
        batch = () if form == "unbatched" else (BATCH,)
        input = torch.randn(*rows, INPUT, dtype=torch.float64, requires_grad=True)
        hx = None
        if with_hx:
            cells = num_layers * (2 if bidirectional else 1)
            hx = torch.randn(cells, *batch, HIDDEN, dtype=torch.float64, requires_grad=True)
        actual, expected = (outcome(module, form, input, hx) for module in (ours, theirs))
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
        assert actual[0].stride() == expected[0].stride()


def hidden_states():
    """Legal forms of hx for two layers and three rows."""
    dense = torch.randn(2, BATCH, HIDDEN, dtype=torch.float64)
    yield "transposed", dense.transpose(0, 1).contiguous().transpose(0, 1)
    yield "of a wider tensor", torch.cat([dense, dense], -1)[..., HIDDEN:]
    yield "expanded over layers", dense[:1].expand(2, -1, -1)
    yield "expanded over the batch", dense[:, :1].expand(-1, BATCH, -1)
    yield "expanded from a number", dense[:1, :1, :1].expand(2, BATCH, HIDDEN)
    yield "zeros", torch.zeros_like(dense)


@pytest.mark.parametrize("hx", [pytest.param(hx, id=name) for name, hx in hidden_states()])
@pytest.mark.parametrize("keyword", [False, True])
def test_hx_in_every_legal_form(hx, keyword):
    theirs = torch.nn.RNN(INPUT, HIDDEN, 2, dtype=torch.float64)
    ours = elman.RNN(INPUT, HIDDEN, 2, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(BATCH, STEPS, INPUT, dtype=torch.float64).transpose(0, 1)
    x.requires_grad_()
    hx = hx.detach().requires_grad_()
    results = []
    for module in (ours, theirs):
        output, h_n = module(hx=hx, input=x) if keyword else module(x, hx)
        loss = output.square().sum() + h_n.sum()
        results.append((output, h_n, *torch.autograd.grad(loss, [x, hx])))
    assert_close(*results)


@pytest.mark.parametrize("shape", [(STEPS, 0, INPUT), (0, STEPS, INPUT)], ids=str)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_batch_of_no_rows(shape, num_layers, bidirectional):
    results = []
    batch_first = shape[0] == 0
    for kind in (elman.RNN, torch.nn.RNN):
        module = kind(
            INPUT, HIDDEN, num_layers, bidirectional=bidirectional, batch_first=batch_first
        )
        x = torch.zeros(shape, requires_grad=True)
        output, h_n = module(x)
        (output.sum() + h_n.sum()).backward()
        results.append([output, h_n, x.grad, *(p.grad for p in module.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_is_torchs_element_by_element(p):
    theirs = torch.nn.RNN(INPUT, HIDDEN, 3, dropout=p, bidirectional=True, dtype=torch.float64)
    ours = elman.RNN(INPUT, HIDDEN, 3, dropout=p, bidirectional=True, dtype=torch.float64)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(STEPS, BATCH, INPUT, dtype=torch.float64, requires_grad=True)
    for form in ("batched", "packed"):
        results = []
        for module in (ours, theirs):
            torch.manual_seed(3)
            results.append((*outcome(module, form, x, None), torch.rand(2, dtype=torch.float64)))
        assert_close(*results)


def test_share_of_the_elements_that_dropout_leaves():
    """Ones go up through an identity layer, so its output says how many were dropped."""
    rnn = elman.RNN(8, 8, 2, "relu", bias=False, dropout=0.3)
    with torch.no_grad():
        for layer in range(2):
            getattr(rnn, f"weight_ih_l{layer}").copy_(torch.eye(8))
            getattr(rnn, f"weight_hh_l{layer}").zero_()
        output, _ = rnn(torch.ones(50, 40, 8))
    assert sorted(set(output.unique().tolist())) == pytest.approx([0.0, 1 / 0.7])
    assert (output == 0).double().mean().item() == pytest.approx(0.3, abs=0.015)
    assert output.mean().item() == pytest.approx(1.0, abs=0.02)
