"""Derivatives of higher order and of forward mode, against brute force and differences."""

import oracle
import pytest
import torch
from samples import SMALL, Case, assert_close, make


def of_order(gradients, leaves, order):
    """Differentiates sums of squares of gradients until `order` is reached."""
    for _ in range(order - 1):
        loss = sum(g.square().sum() for g in gradients)
        gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    return gradients


@pytest.mark.parametrize(
    "case",
    [
        Case(**SMALL),
        Case(**SMALL, num_layers=2, k1=1, k2=3, nonlinearity="sigmoid"),
        Case(**SMALL, num_layers=2, k1=1, k2=3, nonlinearity="softplus"),
        Case(**SMALL, k1=1, k2=3, nonlinearity="identity"),
        Case(**SMALL, num_layers=2, k1=2, k2=2, bidirectional=True, batch_first=True, bias=False),
        Case(**SMALL, num_layers=2, k1=1, k2=2, lengths=(4, 2)),
        Case(**SMALL, num_layers=2, k1=2, k2=3, reset=True, carry_scale="rows"),
        Case(**SMALL, k1=1, k2=2, batched=False, hx=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("order", [2, 3])
def test_higher_order_gradients_equal_brute_force(case, order):
    sample = make(case)
    leaves = sample.leaves()
    grads = [sample.grad_output.requires_grad_(), sample.grad_h_n.requires_grad_()]
    actual = of_order(sample.gradients(create_graph=True), [*leaves, *grads], order)
    expected = of_order(oracle.gradients(sample, create_graph=True), [*leaves, *grads], order)
    assert_close(actual, expected)


def test_higher_order_gradients_with_dropout():
    case = Case(**SMALL, num_layers=2, dropout=0.4, k1=1, k2=2)
    sample = make(case)
    torch.manual_seed(case.seed)
    mask = torch.empty(4, 2, 3, dtype=torch.float64).bernoulli_(0.6) / 0.6
    for order in (2, 3):
        actual = of_order(sample.gradients(create_graph=True), sample.leaves(), order)
        expected = oracle.gradients(sample, mask.unsqueeze(0), create_graph=True)
        assert_close(actual, of_order(expected, sample.leaves(), order))


@pytest.mark.parametrize(
    "case",
    [
        Case(**SMALL, num_layers=2, bidirectional=True),
        Case(**SMALL, num_layers=2, lengths=(4, 2, 1)),
        Case(**SMALL, batched=False, hx=False, reset=True),
    ],
    ids=str,
)
def test_gradcheck_in_forward_mode_and_in_batches(case):
    sample = make(case)
    assert torch.autograd.gradcheck(
        lambda *leaves: sample.run(leaves),
        tuple(sample.leaves()),
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
        fast_mode=True,
    )


@pytest.mark.parametrize(
    "case",
    [
        Case(**SMALL, num_layers=2, k1=1, k2=3),
        Case(**SMALL, k1=1, k2=2, lengths=(4, 2)),
    ],
    ids=str,
)
def test_gradgradcheck_forward_over_reverse(case):
    sample = make(case)
    assert torch.autograd.gradgradcheck(
        lambda *leaves: sample.run(leaves),
        tuple(sample.leaves()),
        check_fwd_over_rev=True,
        fast_mode=True,
    )
