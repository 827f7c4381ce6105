"""Truncated BPTT against itself, put together otherwise: by windows, by rows, as full BPTT."""

import elman
import pytest
import torch
from samples import Case, assert_close, make


@pytest.mark.parametrize("k1_k2", [(1, 1), (1, 4), (2, 3), (3, 3), (4, 6)], ids=str)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_windows_side_by_side_equal_windows_one_by_one(k1_k2, num_layers):
    k1, k2 = k1_k2
    sample = make(Case(steps=10, num_layers=num_layers, k1=k1, k2=k2))
    _, _, params, *options = sample.args()
    total = [torch.zeros_like(leaf) for leaf in sample.leaves()]
    for end in range(k1, 10 + k1, k1):
        first, owned, last = max(0, end - k2), end - k1, min(end, 10)
        before = sample.hx
        if first > 0:
            before = sample.op(sample.input[:first], sample.hx, params, *options)[1].detach()
        output, h_n = sample.op(sample.input[first:last], before, params, *options)
        loss = (output[owned - first :] * sample.grad_output[owned:last]).sum()
        if last == 10:
            loss = loss + (h_n * sample.grad_h_n).sum()
        found = torch.autograd.grad(loss, sample.leaves(), allow_unused=True)
        total = [a if b is None else a + b for a, b in zip(total, found, strict=True)]
    assert_close(sample.gradients(), total)


@pytest.mark.parametrize("k1_k2", [(1, 4), (3, 3)], ids=str)
def test_rows_together_equal_rows_alone(k1_k2):
    k1, k2 = k1_k2
    sample = make(Case(steps=9, batch=5, num_layers=2, k1=k1, k2=k2))
    _, _, *rest = sample.args()
    total = [0] * len(sample.leaves())
    for b in range(5):
        rows = slice(b, b + 1)
        results = sample.op(sample.input[:, rows], sample.hx[:, rows], *rest, **sample.kwargs())
        found = torch.autograd.grad(
            results, sample.leaves(), (sample.grad_output[:, rows], sample.grad_h_n[:, rows])
        )
        total = [a + b for a, b in zip(total, found, strict=True)]
    assert_close(sample.gradients(), total)


def test_equals_the_detach_loop_of_torch():
    rnn = elman.RNN(3, 5, 2, truncation=4, dtype=torch.float64)
    theirs = torch.nn.RNN(3, 5, 2, dtype=torch.float64)
    theirs.load_state_dict(rnn.state_dict())
    x = torch.randn(14, 2, 3, dtype=torch.float64)
    rnn(x)[0].square().sum().backward()
    h = None
    for chunk in x.split(4):
        y, h = theirs(chunk, h)
        y.square().sum().backward()
        h = h.detach()
    assert_close([p.grad for p in rnn.parameters()], [p.grad for p in theirs.parameters()])


def test_truncation_does_not_change_the_forward():
    full, cut = make(Case(steps=9, num_layers=2)), make(Case(steps=9, num_layers=2, k1=1, k2=2))
    for a, b in zip(full.run(), cut.run(), strict=True):
        assert torch.equal(a, b)
    differing = [
        not torch.allclose(a, b) for a, b in zip(full.gradients(), cut.gradients(), strict=True)
    ]
    assert all(differing[:4])


def test_windows_that_all_start_at_step_1_are_full_bptt():
    full = make(Case(steps=6, num_layers=2)).gradients()
    for k1, k2 in ((1, 6), (2, 6), (3, 7), (4, 8), (6, 6), (9, 9), (1, 2**62)):
        assert_close(make(Case(steps=6, num_layers=2, k1=k1, k2=k2)).gradients(), full)
    # A short last chunk counts from its nominal end: here k2 = T does not reach back to step 1.
    short = make(Case(steps=6, num_layers=2, k1=4, k2=6)).gradients()
    assert not torch.allclose(short[0], full[0])


@pytest.mark.parametrize("k1_k2", [(0, 0), (1, 3), (2, 2)], ids=str)
def test_only_what_is_asked_for_is_computed(k1_k2):
    k1, k2 = k1_k2
    sample = make(Case(num_layers=2, k1=k1, k2=k2))
    expected = sample.gradients()
    count = len(sample.leaves())
    for wanted in ([0], [1], [2], [count - 1], [3, 5], [0, 1], list(range(2, count)), [4, 0]):
        assert_close(
            sample.gradients([sample.leaves()[i] for i in wanted]), [expected[i] for i in wanted]
        )
        alone = make(sample.case)
        for i, leaf in enumerate(alone.leaves()):
            leaf.requires_grad_(i in wanted)
        torch.autograd.backward(alone.run(), (alone.grad_output, alone.grad_h_n))
        for i, leaf in enumerate(alone.leaves()):
            assert (leaf.grad is not None) == (i in wanted)
        assert_close([alone.leaves()[i].grad for i in wanted], [expected[i] for i in wanted])
