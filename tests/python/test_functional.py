"""torch.func and torch.autograd.forward_ad over the operators: against torch.nn.RNN for full BPTT,
against brute force for truncated calls."""

import dataclasses

import elman
import oracle
import pytest
import torch
import torch.autograd.forward_ad as fwAD
from samples import SMALL, Case, assert_close, make
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, linearize, vjp, vmap

TRUNCATED = [
    Case(**SMALL, k1=1, k2=2),
    Case(**SMALL, num_layers=2, k1=1, k2=3, nonlinearity="sigmoid"),
    Case(**SMALL, num_layers=2, k1=1, k2=3, nonlinearity="softplus"),
    Case(**SMALL, nonlinearity="identity"),
    Case(**SMALL, num_layers=2, k1=2, k2=2, bidirectional=True, batch_first=True),
    Case(**SMALL, num_layers=2, k1=2, k2=3, reset=True, carry_scale="rows"),
    Case(**SMALL, num_layers=2, k1=1, k2=2, lengths=(4, 2)),
    Case(**SMALL, k1=1, k2=2, batched=False, hx=False),
    Case(**SMALL, num_layers=2, k1=1, k2=3, dropout=0.4),
]
CASES = [
    Case(**SMALL),
    Case(**SMALL, num_layers=2, bidirectional=True, lengths=(4, 3, 1)),
    *TRUNCATED,
]


def masks_of(case):
    """The dropout masks of a call after torch.manual_seed(case.seed), [L-1, T, B, D*H]."""
    if case.dropout == 0:
        return None
    torch.manual_seed(case.seed)
    shape = (case.steps, case.batch, case.directions * case.hidden_size)
    layers = [
        torch.empty(shape, dtype=case.dtype).bernoulli_(1 - case.dropout)
        for _ in range(case.num_layers - 1)
    ]
    return torch.stack(layers) / (1 - case.dropout)


class Problem:
    """A sample's calls as functions of its leaves, with the same dropout masks each time."""

    def __init__(self, case):
        self.case = case
        self.sample = make(case)
        self.grads = (self.sample.grad_output, self.sample.grad_h_n)
        self.masks = masks_of(case)
        self.leaves = tuple(leaf.detach() for leaf in self.sample.leaves())
        self.tangents = tuple(torch.randn_like(leaf) for leaf in self.leaves)

    def run(self, *leaves):
        torch.manual_seed(self.case.seed)
        return self.sample.run(leaves)

    def loss(self, *leaves):
        return sum((a * g).sum() for a, g in zip(self.run(*leaves), self.grads, strict=True))

    def gradient(self, *leaves):
        """The truncated gradient, by torch.func."""
        return grad(self.loss, argnums=tuple(range(len(leaves))))(*leaves)

    def expected_run(self, *leaves):
        return oracle.forward(self.sample.replace(leaves), self.masks)

    def expected_gradient(self, *leaves):
        return tuple(oracle.gradients(self.sample.replace(leaves), self.masks, create_graph=True))

    def expected_jvp(self, function):
        """The derivative of a brute-force function in the direction of the tangents, by double
        reverse mode: forward mode has no part in it."""
        leaves = tuple(leaf.requires_grad_() for leaf in map(torch.clone, self.leaves))
        return torch.autograd.functional.jvp(function, leaves, self.tangents)[1]

    def expected_jacobian(self, function):
        return torch.autograd.functional.jacobian(function, self.leaves)


@pytest.fixture(params=CASES, ids=str)
def problem(request):
    return Problem(request.param)


def test_grad_and_vjp(problem):
    expected = problem.expected_gradient(*map(torch.Tensor.requires_grad_, problem.leaves))
    leaves = tuple(leaf.detach() for leaf in problem.leaves)
    assert_close(problem.gradient(*leaves), expected)
    _, pull = vjp(problem.run, *leaves)
    assert_close(pull(problem.grads), expected)


def test_jvp_is_exact_whatever_the_truncation(problem):
    values, tangents = jvp(problem.run, problem.leaves, problem.tangents)
    assert_close(values, problem.expected_run(*problem.leaves))
    assert_close(tangents, problem.expected_jvp(problem.expected_run))


@pytest.mark.parametrize("case", [CASES[0], TRUNCATED[1], TRUNCATED[4]], ids=str)
def test_linearize(case):
    # Without dropout: linearize runs a function twice, and what is random differs, by its design.
    problem = Problem(case)
    values, push = linearize(problem.run, *problem.leaves)
    assert_close(values, problem.expected_run(*problem.leaves))
    assert_close(push(*problem.tangents), problem.expected_jvp(problem.expected_run))


def test_jacfwd_and_jacrev(problem):
    leaf = tuple(range(len(problem.leaves)))
    exact = problem.expected_jacobian(problem.expected_run)
    assert_close(jacfwd(problem.run, leaf, randomness="same")(*problem.leaves), exact)
    # Reverse mode is truncated: row by row it is the gradient that brute force finds.
    rows = vmap(lambda *grads: vjp(problem.run, *problem.leaves)[1](grads), randomness="same")
    output = problem.grads[0]
    basis = torch.eye(output.numel(), dtype=output.dtype).view(-1, *output.shape)
    none = torch.zeros(output.numel(), *problem.grads[1].shape, dtype=output.dtype)
    by_row = rows(basis, none)
    jacobian = jacrev(lambda *x: problem.run(*x)[0], leaf)(*problem.leaves)
    for actual, expected in zip(jacobian, by_row, strict=True):
        assert_close(actual.flatten(0, output.dim() - 1), expected)
    last = dataclasses.replace(problem.sample, grad_output=basis[-1], grad_h_n=none[-1])
    assert_close([row[-1] for row in by_row], oracle.gradients(last, problem.masks))


def second_order(problem):
    """The Hessian-like derivative of the truncated gradient, by brute force, in one direction."""
    return problem.expected_jvp(problem.expected_gradient)


def test_forward_over_reverse(problem):
    _, actual = jvp(problem.gradient, problem.leaves, problem.tangents)
    assert_close(actual, second_order(problem))


def test_reverse_over_reverse(problem):
    gradients, pull = vjp(problem.gradient, *problem.leaves)
    leaves = tuple(leaf.clone().requires_grad_() for leaf in problem.leaves)
    expected = problem.expected_gradient(*leaves)
    assert_close(gradients, expected)
    directions = tuple(torch.randn_like(g) for g in gradients)
    assert_close(pull(directions), torch.autograd.grad(expected, leaves, directions))


@pytest.mark.parametrize("case", [Case(**SMALL), *TRUNCATED[:2], TRUNCATED[-1]], ids=str)
@pytest.mark.parametrize("outer", [jacfwd, jacrev])
def test_jacobian_of_the_gradient_equals_double_backward(outer, case):
    problem = Problem(case)
    weight = 2  # weight_ih_l0
    fixed = [leaf.clone().requires_grad_() for leaf in problem.leaves]

    def with_weight(value):
        return (*fixed[:weight], value, *fixed[weight + 1 :])

    expected = torch.autograd.functional.jacobian(
        lambda value: problem.expected_gradient(*with_weight(value))[weight], fixed[weight]
    )
    fixed = [leaf.detach() for leaf in fixed]
    first = jacrev(lambda value: problem.loss(*with_weight(value)))
    options = {"randomness": "same"} if outer is jacfwd else {}
    assert_close(outer(first, **options)(fixed[weight]), expected)


def test_hessian_equals_torchs():
    ours = elman.RNN(2, 3, 2, dtype=torch.float64)
    theirs = torch.nn.RNN(2, 3, 2, dtype=torch.float64)
    params = {name: value.detach() for name, value in theirs.named_parameters()}
    x = torch.randn(4, 2, 2, dtype=torch.float64)

    def loss(model):
        return lambda params: functional_call(model, params, (x,))[0].pow(3).sum()

    actual = hessian(loss(ours))(params)
    expected = torch.autograd.functional.hessian(
        lambda *values: loss(theirs)(dict(zip(params, values, strict=True))),
        tuple(params.values()),
    )
    for row, expected_row in zip(actual.values(), expected, strict=True):
        assert_close(list(row.values()), expected_row)


@pytest.mark.parametrize("case", TRUNCATED, ids=str)
def test_grad_of_jvp(case):
    """Reverse over forward: the value's gradient is truncated, the tangent's is exact."""
    problem = Problem(case)

    def value(*leaves):
        results, _ = jvp(problem.run, leaves, problem.tangents)
        return sum((a * g).sum() for a, g in zip(results, problem.grads, strict=True))

    def tangent(*leaves):
        _, tangents = jvp(problem.run, leaves, problem.tangents)
        return sum((a * g).sum() for a, g in zip(tangents, problem.grads, strict=True))

    every = tuple(range(len(problem.leaves)))
    leaves = tuple(leaf.clone().requires_grad_() for leaf in problem.leaves)
    assert_close(grad(value, every)(*problem.leaves), problem.expected_gradient(*leaves))
    outputs = torch.autograd.functional.jvp(
        problem.expected_run, leaves, problem.tangents, create_graph=True
    )[1]
    expected = torch.autograd.grad(outputs, leaves, problem.grads)
    assert_close(grad(tangent, every)(*problem.leaves), expected)


@pytest.mark.parametrize("case", TRUNCATED, ids=str)
def test_forward_and_reverse_mode_at_one_level(case):
    problem = Problem(case)
    leaves = tuple(leaf.requires_grad_() for leaf in problem.leaves)
    expected = problem.expected_gradient(*leaves)
    with fwAD.dual_level():
        results = problem.run(*map(fwAD.make_dual, leaves, problem.tangents))
        values, tangents = zip(*map(fwAD.unpack_dual, results), strict=True)
        assert_close(tangents, problem.expected_jvp(problem.expected_run))
        gradients = torch.autograd.grad(results, leaves, problem.grads, retain_graph=True)
        assert_close([fwAD.unpack_dual(g).primal for g in gradients], expected)
        # Each gradient carries the tangent of the truncated gradient: forward over reverse.
        assert_close([fwAD.unpack_dual(g).tangent for g in gradients], second_order(problem))
    assert_close(values, problem.expected_run(*leaves))


@pytest.mark.parametrize("case", TRUNCATED, ids=str)
def test_value_and_gradient_in_one_loss(case):
    """The outer level sees the inner one's values; their gradient is truncated too."""
    problem = Problem(case)
    every = tuple(range(len(problem.leaves)))

    def outer(*leaves):
        gradients, value = torch.func.grad_and_value(problem.loss, every)(*leaves)
        return value + sum(g.square().sum() for g in gradients)

    leaves = tuple(leaf.clone().requires_grad_() for leaf in problem.leaves)
    gradients = problem.expected_gradient(*leaves)
    second = torch.autograd.grad(sum(g.square().sum() for g in gradients), leaves)
    expected = [a + b for a, b in zip(gradients, second, strict=True)]
    assert_close(grad(outer, every)(*problem.leaves), expected)
