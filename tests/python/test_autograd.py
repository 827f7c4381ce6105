"""What PyTorch's autograd engine offers around a gradient, on truncated calls and in stacks."""

import copy
import itertools

import elman
import oracle
import pytest
import torch
from samples import SMALL, Case, assert_close, make
from torch.utils.checkpoint import checkpoint

CASES = [
    Case(num_layers=2),
    Case(num_layers=2, k1=1, k2=3),
    Case(num_layers=2, bidirectional=True, k1=2, k2=2, batch_first=True),
    Case(k1=1, k2=2, lengths=(5, 3, 1)),
    Case(reset=True, carry_scale="rows", k1=2, k2=3),
]

both = pytest.mark.parametrize("case", CASES, ids=str)


@both
def test_any_subset_of_the_leaves(case):
    sample = make(case)
    expected = oracle.gradients(sample)
    leaves = sample.leaves()
    for wanted in itertools.product([False, True], repeat=len(leaves)):
        if any(wanted) and (sum(wanted) < 3 or sum(wanted) > len(leaves) - 2):
            # As arguments that require no gradient, and as gradients that nobody asks for.
            for leaf, want in zip(leaves, wanted, strict=True):
                leaf.requires_grad_(want)
            chosen = list(itertools.compress(leaves, wanted))
            right = list(itertools.compress(expected, wanted))
            assert_close(sample.gradients(chosen), right)
    for leaf in leaves:
        leaf.requires_grad_()
    for leaf, right in zip(leaves, expected, strict=True):
        assert_close(sample.gradients([leaf])[0], right)


@both
def test_undefined_gradients(case):
    """A loss of output alone, or of h_n alone: the other gradient never arrives."""
    for index in (0, 1):
        sample = make(case)
        grads = (sample.grad_output, sample.grad_h_n)
        grads[1 - index].zero_()
        result = sample.run()[index]
        assert_close(
            torch.autograd.grad(result, sample.leaves(), grads[index]), oracle.gradients(sample)
        )


@both
def test_strided_and_expanded_gradients(case):
    sample = make(case)
    for shape in (sample.grad_output.shape, sample.grad_h_n.shape):
        assert len(shape) > 1
    strided = [
        torch.stack([g, -g], dim=-1).select(-1, 0) for g in (sample.grad_output, sample.grad_h_n)
    ]
    assert_close(
        torch.autograd.grad(sample.run(), sample.leaves(), strided), oracle.gradients(sample)
    )
    row = torch.randn(sample.grad_output.size(-1), dtype=torch.float64)
    expanded = row.expand_as(sample.grad_output)
    sample.grad_output, sample.grad_h_n = expanded.clone(), torch.zeros_like(sample.grad_h_n)
    assert_close(
        torch.autograd.grad(sample.run()[0], sample.leaves(), expanded), oracle.gradients(sample)
    )


@both
def test_retain_graph_and_backward_twice(case):
    sample = make(case)
    results = sample.run()
    grads = (sample.grad_output, sample.grad_h_n)
    first = torch.autograd.grad(results, sample.leaves(), grads, retain_graph=True)
    second = torch.autograd.grad(results, sample.leaves(), grads)
    assert_close(first, oracle.gradients(sample))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(results, sample.leaves(), grads)


@both
@pytest.mark.filterwarnings("ignore:Anomaly Detection", "ignore:Error detected in")
def test_anomaly_mode(case):
    sample = make(case)
    with torch.autograd.detect_anomaly(check_nan=True):
        assert_close(sample.gradients(), oracle.gradients(sample))
        results = sample.run()
        with pytest.raises(RuntimeError, match=r"ElmanRnnBackward.*returned nan"):
            torch.autograd.grad(
                results[0], sample.leaves(), torch.full_like(sample.grad_output, torch.nan)
            )


@both
def test_saved_tensor_hooks(case):
    sample = make(case)
    expected = oracle.gradients(sample)
    with torch.autograd.graph.save_on_cpu():
        results = sample.run()
    grads = (sample.grad_output, sample.grad_h_n)
    assert_close(torch.autograd.grad(results, sample.leaves(), grads), expected)

    kept = []

    def pack(tensor):
        kept.append(tensor.detach().clone())
        return len(kept) - 1

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda i: kept[i]):
        results = sample.run()
    # input, hx, params, output at the least; the lower layers' states in a stack
    assert len(kept) >= len(sample.leaves()) + 1 + (case.num_layers > 1)
    assert_close(torch.autograd.grad(results, sample.leaves(), grads), expected)


@both
@pytest.mark.parametrize("victim", ["input", "hx", "param", "output"])
def test_an_in_place_change_before_the_backward_is_an_error(victim, case):
    sample = make(case)
    output, h_n = sample.run()
    tensor = {
        "input": sample.input,
        "hx": sample.hx,
        "param": sample.params[1],
        "output": output,
    }[victim]
    with torch.no_grad():
        tensor.mul_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        (output.sum() + h_n.sum()).backward()


def test_an_in_place_change_of_h_n_is_right():
    """H_n is not needed by the backward: the change is simply part of the graph."""
    sample = make(Case(k1=1, k2=2))
    output, h_n = sample.run()
    h_n.mul_(2)
    actual = torch.autograd.grad(
        (output, h_n), sample.leaves(), (sample.grad_output, sample.grad_h_n)
    )
    sample.grad_h_n = 2 * sample.grad_h_n
    assert_close(actual, oracle.gradients(sample))


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("truncation", [None, 2, (1, 3)])
def test_activation_checkpointing_keeps_the_dropout(truncation, use_reentrant):
    options = {"num_layers": 3, "dropout": 0.5, "dtype": torch.float64, "truncation": truncation}
    model = elman.RNN(4, 5, **options)
    twin = copy.deepcopy(model)
    x = torch.randn(6, 2, 4, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()

    def loss(results):
        return results[0].square().sum() + results[1].sum()

    torch.manual_seed(1)
    loss(model(x)).backward()
    torch.manual_seed(1)
    loss(checkpoint(twin, y, use_reentrant=use_reentrant)).backward()
    assert_close(y.grad, x.grad)
    for p, q in zip(twin.parameters(), model.parameters(), strict=True):
        assert_close(p.grad, q.grad)


def test_backward_in_eval_mode():
    for truncation in (None, (1, 3)):
        model = elman.RNN(4, 5, 2, dropout=0.5, truncation=truncation, dtype=torch.float64).eval()
        quiet = elman.RNN(4, 5, 2, truncation=truncation, dtype=torch.float64)
        quiet.load_state_dict(model.state_dict())
        x = torch.randn(6, 2, 4, dtype=torch.float64)
        for m in (model, quiet):
            m(x)[0].square().sum().backward()
        for p, q in zip(model.parameters(), quiet.parameters(), strict=True):
            assert_close(p.grad, q.grad)


def test_no_graph_where_nothing_requires_a_gradient():
    sample = make(Case(num_layers=2))
    with torch.no_grad():
        assert all(result.grad_fn is None for result in sample.run())
    for leaf in sample.leaves():
        leaf.requires_grad_(False)
    assert not any(result.requires_grad for result in sample.run())


def test_hooks_of_parameters_and_of_the_node_run():
    sample = make(Case(k1=1, k2=2))
    sample.grad_h_n.zero_()
    expected = 2 * oracle.gradients(sample)[2]
    seen = []
    sample.params[0].register_hook(lambda gradient: seen.append(gradient.shape) or 2 * gradient)
    output, _ = sample.run()
    output.grad_fn.register_hook(lambda inputs, outputs: seen.append(len(inputs)))
    actual = torch.autograd.grad(output, sample.params[0], sample.grad_output)[0]
    # An edge for each of the leaves, and for leak and preactivation, which are not there.
    assert seen == [len(sample.leaves()) + 2, sample.params[0].shape]
    assert_close(actual, expected)


@both
def test_batched_gradients(case):
    """torch.autograd.grad(is_grads_batched=True): one backward pass for several gradients."""
    sample = make(case)
    rows = [torch.randn(4, *g.shape, dtype=g.dtype) for g in (sample.grad_output, sample.grad_h_n)]
    actual = torch.autograd.grad(sample.run(), sample.leaves(), rows, is_grads_batched=True)
    for i in range(4):
        sample.grad_output, sample.grad_h_n = rows[0][i], rows[1][i]
        assert_close([gradient[i] for gradient in actual], oracle.gradients(sample))


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized_jacobian(strategy):
    sample = make(Case(**SMALL, num_layers=2))
    leaves = tuple(sample.leaves())
    actual = torch.autograd.functional.jacobian(
        lambda *leaves: sample.run(leaves), leaves, vectorize=True, strategy=strategy
    )
    expected = torch.autograd.functional.jacobian(
        lambda *leaves: oracle.forward(sample.replace(leaves)), leaves
    )
    assert_close(actual, expected)
