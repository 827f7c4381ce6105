"""Derivatives of leaky calls by finite differences, in forward mode and under torch.func."""

import dataclasses

import leaky_oracle
import leaky_samples
import pytest
import torch
from leaky_samples import Case
from samples import SMALL, assert_close
from torch.func import grad, jacfwd, jacrev, jvp, vmap

CASES = [
    Case(**SMALL, preactivation=True),
    Case(**SMALL, form="current", nonlinearity="sigmoid", preactivation=True),
    Case(**SMALL, leak=None, preactivation=True),
    Case(**SMALL, num_layers=2, form="current", preactivation=True),
    Case(**SMALL, bidirectional=True, batch_first=True),
    Case(**SMALL, lengths=(4, 2, 1), form="current", preactivation=True),
    Case(**SMALL, batched=False, reset=True, form="current"),
]
TRUNCATED = [
    Case(**SMALL, k1=1, k2=3, preactivation=True),
    Case(**SMALL, k1=1, k2=2, form="current", num_layers=2),
    Case(**SMALL, k1=2, k2=3, form="current", reset=True, carry_scale="rows"),
    Case(**SMALL, k1=2, k2=2, lengths=(4, 2), bidirectional=True),
]


def leaves_of(sample):
    return tuple(leaf.detach() for leaf in sample.leaves())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradcheck(case):
    sample = leaky_samples.make(case)
    check = torch.autograd.gradcheck
    assert check(lambda *leaves: sample.run(leaves), tuple(sample.leaves()), check_forward_ad=True)


@pytest.mark.parametrize("case", CASES[:2] + TRUNCATED, ids=str)
def test_gradgradcheck(case):
    sample = leaky_samples.make(case)
    assert torch.autograd.gradgradcheck(lambda *leaves: sample.run(leaves), tuple(sample.leaves()))


@pytest.mark.parametrize("case", CASES + TRUNCATED, ids=str)
def test_jvp_is_exact_whatever_the_truncation(case):
    sample = leaky_samples.make(case)
    leaves = leaves_of(sample)
    tangents = tuple(torch.randn_like(leaf) for leaf in leaves)
    exact = dataclasses.replace(sample, carry_scale=None)  # it belongs to the gradient only

    def brute_force(*leaves):
        return leaky_oracle.forward(exact.replace(leaves))

    actual = jvp(lambda *leaves: sample.run(leaves), leaves, tangents)
    assert_close(list(actual[0]), list(brute_force(*leaves)))
    expected = torch.autograd.functional.jvp(brute_force, leaves, tangents)[1]
    assert_close(list(actual[1]), list(expected))


@pytest.mark.parametrize("form", ["rate", "current"])
def test_jacobians_of_alpha_agree(form):
    sample = leaky_samples.make(Case(**SMALL, form=form))
    *others, leak = leaves_of(sample)

    def output(leak):
        return sample.run([*others, leak])[0]

    assert_close(jacfwd(output)(leak), jacrev(output)(leak))


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("batched", ["all", "leak", "preactivation", "input"])
def test_vmap(form, batched):
    case = Case(**SMALL, form=form, preactivation=True, k1=1, k2=2)
    samples = [leaky_samples.make(dataclasses.replace(case, seed=seed)) for seed in range(3)]
    count = len(samples[0].leaves())
    own = {
        "all": set(range(count)),
        "input": {0},
        "leak": {count - 2},
        "preactivation": {count - 1},
    }[batched]
    columns = zip(*(leaves_of(sample) for sample in samples), strict=True)
    leaves = [torch.stack(c) if i in own else c[0] for i, c in enumerate(columns)]
    dims = tuple(0 if i in own else None for i in range(count))
    first = samples[0]

    def loss(*leaves):
        output, h_n = first.run(leaves)
        return (output * first.grad_output).sum() + (h_n * first.grad_h_n).sum()

    actual = vmap(grad(loss, argnums=tuple(range(count))), in_dims=dims)(*leaves)
    for s in range(3):
        mine = [leaf[s] if i in own else leaf for i, leaf in enumerate(leaves)]
        sample = first.replace([leaf.clone().requires_grad_() for leaf in mine])
        assert_close([column[s] for column in actual], leaky_oracle.gradients(sample))


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("given", [("leak",), ("preactivation",), ("input", "leak")])
def test_any_subset_of_the_gradients(form, given):
    sample = leaky_samples.make(Case(**SMALL, form=form, preactivation=True, k1=1, k2=3))
    wanted = [getattr(sample, name) for name in given]
    expected = leaky_oracle.gradients(sample)
    everything = sample.leaves()
    for leaf in everything:
        leaf.requires_grad_(any(leaf is w for w in wanted))
    expected = [g for leaf, g in zip(everything, expected, strict=True) if leaf.requires_grad]
    assert_close(list(sample.gradients([w for w in everything if w.requires_grad])), expected)
