"""Per-sample gradients by torch's expanded weights: those of each sequence by itself."""

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils._per_sample_grad import call_for_per_sample_grads
from torch.nn.utils.rnn import PackedSequence, pack_sequence

DTYPE = torch.float64


def per_sample(module, run, batch, reduction="sum"):
    """grad_sample of each parameter, [batch, ...]. `run(call)` gives the loss."""
    for p in module.parameters():
        p.grad_sample = None
    run(call_for_per_sample_grads(module, batch_size=batch, loss_reduction=reduction)).backward()
    found = [p.grad_sample for p in module.parameters()]
    for p in module.parameters():
        p.grad_sample = None  # the next call would refuse to add to it
    return found


def one_by_one(module, losses):
    gradients = [torch.autograd.grad(loss, list(module.parameters())) for loss in losses]
    return [torch.stack(sample) for sample in zip(*gradients, strict=True)]


def loss_of(results):
    return sum(result.square().sum() for result in results)


CASES = {
    "stack": dict(num_layers=2),
    "truncated": dict(num_layers=2, truncation=(2, 4)),
    "bidirectional": dict(bidirectional=True, batch_first=True, truncation=2),
    "no biases": dict(bias=False, nonlinearity="relu"),
}


@pytest.mark.parametrize("given", [False, True], ids=["x", "all arguments"])
@pytest.mark.parametrize("case", CASES)
def test_rnn(case, given):
    rnn = elman.RNN(4, 6, dtype=DTYPE, **CASES[case])
    x = torch.randn(3, 7, 4, dtype=DTYPE) if rnn.batch_first else torch.randn(7, 3, 4, dtype=DTYPE)
    batch = 0 if rnn.batch_first else 1
    hx, options = None, {}
    if given:
        hx = torch.randn(rnn(x)[1].shape, dtype=DTYPE)
        options["reset"] = torch.rand(x.shape[:2]) < 0.2
        if not rnn.bidirectional:
            options["carry_scale"] = torch.rand(7, dtype=DTYPE)
    actual = per_sample(rnn, lambda call: loss_of(call(x, hx, **options)), 3)

    def sample(b):
        rows = {name: v.select(batch, b) if v.dim() == 2 else v for name, v in options.items()}
        return rnn(x.select(batch, b), None if hx is None else hx[:, b], **rows)

    assert_close(actual, one_by_one(rnn, (loss_of(sample(b)) for b in range(3))))


def test_packed_input():
    rnn = elman.RNN(4, 6, 2, bidirectional=True, truncation=2, dtype=DTYPE)
    sequences = [torch.randn(n, 4, dtype=DTYPE) for n in (5, 3, 3)]
    packed = pack_sequence(sequences)
    hx = torch.randn(4, 3, 6, dtype=DTYPE)

    def loss(call):
        output, h_n = call(PackedSequence(packed.data, packed.batch_sizes), hx)
        return output.data.square().sum() + h_n.square().sum()

    losses = (loss_of(rnn(sequence, hx[:, b])) for b, sequence in enumerate(sequences))
    assert_close(per_sample(rnn, loss, 3), one_by_one(rnn, losses))
    values = call_for_per_sample_grads(rnn, batch_size=3)(packed, hx)
    assert_close((values[0].data, values[1]), (rnn(packed, hx)[0].data, rnn(packed, hx)[1]))


@pytest.mark.parametrize("hx", [False, True])
def test_cell(hx):
    cell = elman.RNNCell(4, 6, dtype=DTYPE)
    x = torch.randn(3, 4, dtype=DTYPE)
    h = torch.randn(3, 6, dtype=DTYPE) if hx else None
    actual = per_sample(cell, lambda call: call(x, h).square().sum(), 3)
    losses = (cell(x[b], None if h is None else h[b]).square().sum() for b in range(3))
    assert_close(actual, one_by_one(cell, losses))


def test_as_torch_with_a_mean_and_a_frozen_weight():
    theirs = torch.nn.RNN(4, 6, 2, batch_first=True, dtype=DTYPE)
    ours = elman.RNN(4, 6, 2, batch_first=True, dtype=DTYPE)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(3, 7, 4, dtype=DTYPE, requires_grad=True)
    found = []
    for rnn in (ours, theirs):
        rnn.weight_hh_l0.requires_grad_(False)
        found.append(per_sample(rnn, lambda call: call(x)[0].mean(), 3, "mean"))
        found[-1][1] = torch.autograd.grad(rnn(x)[0].mean(), x)[0]
    assert_close(*found)
    assert getattr(ours.weight_hh_l0, "grad_sample", None) is None


def test_without_a_batch_it_is_refused():
    with pytest.raises(RuntimeError, match="input: per-sample gradients need a batch"):
        call_for_per_sample_grads(elman.RNN(4, 6), batch_size=1)(torch.randn(5, 4))
    with pytest.raises(RuntimeError, match="input: per-sample gradients need a batch"):
        call_for_per_sample_grads(elman.RNNCell(4, 6), batch_size=1)(torch.randn(4))
    with pytest.raises(RuntimeError, match="batch size matching input"):
        call_for_per_sample_grads(elman.RNN(4, 6), batch_size=2)(torch.randn(5, 3, 4))
