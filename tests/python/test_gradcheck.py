"""Numerical derivatives: first order for full BPTT, second order for every truncation."""

import oracle
import pytest
import torch
from samples import SMALL, Case, grid, make


def check(checker, case):
    sample = make(case)
    assert checker(lambda *leaves: sample.run(leaves), tuple(sample.leaves()))


def small(**choices):
    fixed = {name: (value,) for name, value in SMALL.items()}
    return grid(**fixed, **choices)


@pytest.mark.parametrize(
    "case",
    [
        *small(num_layers=(1, 2), bidirectional=(False, True), nonlinearity=("tanh", *oracle.OWN)),
        *small(nonlinearity=("relu",), batch_first=(True,), bias=(False,), hx=(True, False)),
        *small(batched=(False,), num_layers=(2,)),
        *small(lengths=((4, 2, 1),), num_layers=(2,), bidirectional=(False, True)),
        *small(reset=(True,), num_layers=(2,), bidirectional=(False, True)),
    ],
    ids=str,
)
def test_gradcheck_of_full_bptt(case):
    check(torch.autograd.gradcheck, case)


@pytest.mark.parametrize(
    "case",
    [
        *small(num_layers=(1, 2), k1=(0,), k2=(0,), bidirectional=(False, True)),
        *small(num_layers=(1, 2), k1=(1,), k2=(1, 3), nonlinearity=oracle.OWN),
        *small(k1=(2,), k2=(2, 3), hx=(False,), bias=(False,), nonlinearity=("relu",)),
        *small(num_layers=(2,), k1=(2,), k2=(2,), bidirectional=(True,), batch_first=(True,)),
        *small(lengths=((4, 2),), k1=(1,), k2=(2,), num_layers=(2,)),
        *small(reset=(True,), carry_scale=("rows",), k1=(1,), k2=(3,)),
        *small(batched=(False,), k1=(1,), k2=(2,)),
    ],
    ids=str,
)
def test_gradgradcheck(case):
    check(torch.autograd.gradgradcheck, case)


@pytest.mark.parametrize("has_hx", [True, False])
@pytest.mark.parametrize("nonlinearity", oracle.ACTIVATIONS)
def test_cell(has_hx, nonlinearity):
    def leaf(*shape):
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    leaves = (leaf(2, 3), leaf(2, 4) if has_hx else None, leaf(4, 3), leaf(4, 4), leaf(4), leaf(4))

    def step(*args):
        return torch.ops.elman.rnn_cell(*args, nonlinearity=nonlinearity)

    assert torch.autograd.gradcheck(step, leaves)
    assert torch.autograd.gradgradcheck(step, leaves)


def test_dropout_mask_of_the_double_backward_is_the_forwards():
    case = Case(**SMALL, num_layers=2, dropout=0.5, k1=1, k2=2)
    sample = make(case)

    def seeded(*leaves):
        torch.manual_seed(case.seed)
        return sample.run(leaves)

    assert torch.autograd.gradgradcheck(seeded, tuple(sample.leaves()))
