"""Leaky calls against brute force: outputs, states and truncated gradients, in float64."""

import leaky_oracle
import leaky_samples
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from leaky_samples import Case
from oracle import ACTIVATIONS
from samples import assert_close


def check(case):
    sample = leaky_samples.make(case)
    assert_close(list(sample.run()), list(leaky_oracle.forward(sample)))
    assert_close(list(sample.gradients()), leaky_oracle.gradients(sample))


@pytest.mark.parametrize("case", leaky_samples.REPRESENTATIVE, ids=str)
def test_representative(case):
    check(case)


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("k1, k2", [(0, 0), (1, 1), (1, 3), (2, 5), (3, 3), (4, 9)])
@pytest.mark.parametrize("nonlinearity", ACTIVATIONS)
def test_windows(form, k1, k2, nonlinearity):
    check(Case(7, form=form, k1=k1, k2=k2, nonlinearity=nonlinearity, preactivation=True))


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("nonlinearity", ["sigmoid", "relu"])
def test_resets_begin_from_zero(form, nonlinearity):
    """In the current form W_h reads f(0) there, which a sigmoid does not make zero."""
    check(Case(6, form=form, nonlinearity=nonlinearity, reset=True, k1=2, k2=4))
    check(Case(6, form=form, nonlinearity=nonlinearity, reset=True, bidirectional=True))


@pytest.mark.parametrize("case", [c for c in leaky_samples.REPRESENTATIVE if c.leak], ids=str)
def test_a_fixed_alpha_leaves_the_other_gradients_as_they_are(case):
    sample = leaky_samples.make(case)
    others = [leaf for leaf in sample.leaves() if leaf is not sample.leak]
    expected = sample.gradients(others)
    sample.leak.requires_grad_(False)
    for actual, with_learnt_alpha in zip(sample.gradients(others), expected, strict=True):
        assert torch.equal(actual, with_learnt_alpha)


@pytest.mark.parametrize("form", ["rate", "current"])
def test_dropout_comes_between_the_layers(form):
    sample = leaky_samples.make(Case(num_layers=2, form=form, dropout=0.4, preactivation=True))
    input, hx, params, *sizes = sample.args()
    torch.manual_seed(sample.case.seed)
    masks = torch.ops.elman._rnn_forward(
        *sample.args(), **sample.kwargs(),
        batch_sizes=None, masks=None, save_states=True, save_drives=True,
    )[3]  # fmt: skip
    assert masks.eq(0).any() and masks.ne(0).any()
    sizes[1:4] = [1, 0.0, False]  # layers, dropout, train

    def layer(i, x):
        weights = params[4 * i : 4 * i + 4]
        own = {"leak": sample.leak[i : i + 1], "preactivation": sample.preactivation[i]}
        return sample.op(x, hx[i : i + 1], weights, *sizes, **sample.kwargs() | own)

    below, first = layer(0, input)
    output, last = layer(1, below * masks[0])
    expected = output, torch.cat([first, last])
    torch.manual_seed(sample.case.seed)
    assert_close(list(sample.run()), list(expected))
    grads = torch.autograd.grad(expected, sample.leaves(), (sample.grad_output, sample.grad_h_n))
    assert_close(list(sample.gradients()), list(grads))


@pytest.mark.parametrize(
    "form, learnt, expected", [("rate", False, 2), ("current", False, 1), ("current", True, 2)]
)
def test_what_is_kept_for_the_gradient(form, learnt, expected):
    """The output; f(a), which f' of the rate form is made of; what alpha's gradient is made of."""
    sample = leaky_samples.make(Case(input_size=3, hidden_size=5, form=form))
    sample.leak.requires_grad_(learnt)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        output, _ = sample.run()
    assert sum(tensor.numel() == output.numel() for tensor in kept) == expected


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize(
    "options",
    [
        {"batch": 37, "hidden_size": 40, "nonlinearity": "sigmoid"},
        {"batch": 19, "hidden_size": 130, "k1": 1, "k2": 3, "carry_scale": "rows", "reset": True},
        {"lengths": (5,) * 9 + (3,) * 9 + (1,) * 9, "hidden_size": 40, "bidirectional": True},
        {"lengths": (5,) * 9 + (2,) * 9, "hidden_size": 40, "k1": 2, "k2": 4},
    ],
    ids=str,
)
def test_more_rows_and_units_than_a_block_of_a_gpu_takes(form, options):
    check(Case(**options, form=form, preactivation=True))


@st.composite
def cases(draw):
    form = draw(st.sampled_from(["rate", "current"]))
    packed = draw(st.booleans())
    bidirectional = draw(st.booleans())
    steps = draw(st.integers(1, 8))
    k1 = draw(st.integers(0, 5))
    k2 = k1 if bidirectional or k1 == 0 else draw(st.integers(k1, 10))
    lengths = None
    if packed:
        lengths = st.lists(st.integers(1, 7), min_size=1, max_size=4)
        lengths = tuple(sorted(draw(lengths), reverse=True))
    scales = [None] if packed or bidirectional else [None, "steps", "rows"]
    return Case(
        steps=steps,
        batch=draw(st.integers(1, 4)),
        input_size=draw(st.integers(1, 5)),
        hidden_size=draw(st.integers(1, 20)),
        num_layers=draw(st.integers(1, 3)),
        bidirectional=bidirectional,
        bias=draw(st.booleans()),
        batched=packed or draw(st.booleans()),
        batch_first=not packed and draw(st.booleans()),
        nonlinearity=draw(st.sampled_from(list(ACTIVATIONS))),
        k1=k1,
        k2=k2,
        hx=draw(st.booleans()),
        lengths=lengths,
        reset=not packed and draw(st.booleans()),
        carry_scale=draw(st.sampled_from(scales)),
        form=form,
        leak=draw(st.sampled_from(["units", "scalar", None])) if form == "rate" else "units",
        smallest=draw(st.sampled_from([0.01, 0.3, 1.0])),
        preactivation=draw(st.booleans()),
        seed=draw(st.integers(0, 2**20)),
    )


@settings(max_examples=150, deadline=None)
@given(cases())
def test_any_call(case):
    check(case)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_alpha_of_one_in_the_rate_form_is_the_plain_cell(num_layers, nonlinearity):
    sizes = dict(num_layers=num_layers, nonlinearity=nonlinearity)
    ones = leaky_samples.make(Case(smallest=1.0, **sizes))
    plain = leaky_samples.make(Case(leak=None, **sizes))
    assert_close(list(ones.run()), list(plain.run()))
    shared = len(plain.leaves())
    assert_close(list(ones.gradients())[:shared], list(plain.gradients()))
