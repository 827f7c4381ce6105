"""Truncated BPTT: every gradient against brute force and the NumPy textbook."""

import dataclasses

import elman
import numpy as np
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import TextbookNetwork
from samples import Case, assert_close, grid, make


def assert_equals_brute_force(sample, masks=None):
    torch.manual_seed(sample.case.seed)
    assert_close(sample.run(), oracle.forward(sample, masks))
    assert_close(sample.gradients(), oracle.gradients(sample, masks))


SIZES = [
    {"steps": 1, "batch": 2},
    {"steps": 7, "batch": 1, "hidden_size": 1},
    {"steps": 11, "batch": 3, "input_size": 1},
    {"steps": 12, "batch": 2, "hidden_size": 17},
]

WINDOWS = [(1, 1), (1, 3), (2, 2), (2, 5), (3, 4), (4, 4), (5, 13), (1, 11), (20, 20), (2, 2**60)]


@pytest.mark.parametrize("k1_k2", WINDOWS, ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize(
    ("nonlinearity", "bias"), [("tanh", True), ("relu", False), ("sigmoid", True)]
)
def test_equals_brute_force(k1_k2, sizes, num_layers, nonlinearity, bias):
    k1, k2 = k1_k2
    assert_equals_brute_force(
        make(
            Case(**sizes, num_layers=num_layers, nonlinearity=nonlinearity, bias=bias, k1=k1, k2=k2)
        )
    )


@pytest.mark.parametrize("k", [1, 2, 3, 5, 11, 30])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(
    ("num_layers", "nonlinearity", "bias"),
    [(1, "tanh", True), (2, "relu", False), (3, "sigmoid", True)],
)
def test_two_directions_equal_brute_force(k, sizes, num_layers, nonlinearity, bias):
    case = Case(**sizes, num_layers=num_layers, nonlinearity=nonlinearity, bias=bias, k1=k, k2=k)
    assert_equals_brute_force(make(dataclasses.replace(case, bidirectional=True)))


@pytest.mark.parametrize(
    "case",
    [
        *grid(batch_first=(True,), k1=(2,), k2=(2, 3), num_layers=(1, 2), hx=(True, False)),
        *grid(batched=(False,), k1=(2,), k2=(2, 3), num_layers=(1, 2), hx=(True, False)),
        *grid(batched=(False,), batch_first=(True,), k1=(1,), k2=(3,)),
    ],
    ids=str,
)
def test_layouts_equal_brute_force(case):
    assert_equals_brute_force(make(case))


@pytest.mark.parametrize("k1_k2", [(1, 1), (1, 4), (2, 3), (3, 3), (2, 9)], ids=str)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("lengths", [(9, 9), (8, 5, 5, 1), (7,)], ids=str)
def test_packed_windows_end_with_each_sequence(k1_k2, num_layers, lengths):
    k1, k2 = k1_k2
    assert_equals_brute_force(make(Case(lengths=lengths, num_layers=num_layers, k1=k1, k2=k2)))
    if k1 == k2:
        assert_equals_brute_force(
            make(Case(lengths=lengths, num_layers=num_layers, k1=k1, k2=k2, bidirectional=True))
        )


@pytest.mark.parametrize("k1_k2", [(0, 0), (1, 4), (2, 3), (3, 3)], ids=str)
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    ("reset", "carry_scale"), [(True, None), (False, "steps"), (False, "rows"), (True, "rows")]
)
def test_reset_and_carry_scale_equal_brute_force(
    k1_k2, num_layers, batch_first, reset, carry_scale
):
    k1, k2 = k1_k2
    options = {"num_layers": num_layers, "batch_first": batch_first, "k1": k1, "k2": k2}
    for batched in (True, False):
        assert_equals_brute_force(
            make(Case(steps=9, reset=reset, carry_scale=carry_scale, batched=batched, **options))
        )


@pytest.mark.parametrize("k", [0, 1, 3])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_reset_with_two_directions_equals_brute_force(k, num_layers):
    assert_equals_brute_force(
        make(Case(steps=9, bidirectional=True, reset=True, num_layers=num_layers, k1=k, k2=k))
    )


@pytest.mark.parametrize("k1_k2", [(0, 0), (4, 4), (3, 7)], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"lengths": (14, 14, 13, 9, 9, 9, 8, 3, 1)},
        {"steps": 14, "batch": 9, "reset": True, "carry_scale": "rows"},
    ],
    ids=str,
)
def test_sizes_beyond_the_kernels_blocks_equal_brute_force(k1_k2, options):
    k1, k2 = k1_k2
    sizes = {"input_size": 66, "hidden_size": 69, "num_layers": 2}
    assert_equals_brute_force(make(Case(**sizes, **options, k1=k1, k2=k2)))


def test_reset_stops_nan():
    sample = make(Case(steps=6))
    sample.reset = torch.zeros(6, 3, dtype=torch.bool)
    sample.reset[3] = True
    with torch.no_grad():
        sample.input[2] = torch.nan
    output, _ = sample.run()
    assert output[2].isnan().all()
    # From the border on everything is as if the sequence began there, from zeros.
    late = make(Case(steps=6))
    late.hx = None
    late.input = sample.input[3:].detach().requires_grad_()
    late.grad_output = sample.grad_output[3:]
    assert_close(output[3:], late.run()[0])
    assert_close(sample.gradients()[0][3:], late.gradients()[0])


def test_carry_scale_zero_is_a_detached_border():
    sample = make(Case(steps=6, num_layers=2))
    sample.carry_scale = torch.tensor([1.0, 1.0, 0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    with_cuts = sample.gradients()
    sample.carry_scale = torch.tensor([1.0] * 6, dtype=torch.float64)
    plain = sample.gradients()
    sample.carry_scale = None
    assert_close(plain, sample.gradients())
    h, total = sample.hx, 0
    for first, last in ((0, 2), (2, 4), (4, 6)):
        _, _, *rest = sample.args()
        output, h = sample.op(sample.input[first:last], h, *rest, **sample.kwargs())
        total = total + (output * sample.grad_output[first:last]).sum()
        if last == 6:
            total = total + (h * sample.grad_h_n).sum()
        h = h.detach()
    assert_close(with_cuts, torch.autograd.grad(total, sample.leaves()))


def test_dropout_mask_is_shared_by_forward_windows_and_backward():
    for options in ({"k1": 2, "k2": 5}, {"k1": 3, "k2": 3, "bidirectional": True}):
        sample = make(Case(steps=8, num_layers=3, dropout=0.3, **options))
        torch.manual_seed(sample.case.seed)
        shape = (8, 3, 6 * sample.case.directions)
        masks = [torch.empty(shape, dtype=torch.float64).bernoulli_(0.7) / 0.7 for _ in range(2)]
        assert_equals_brute_force(sample, torch.stack(masks))


@st.composite
def cases(draw):
    bidirectional = draw(st.booleans())
    k1 = draw(st.integers(0, 8))
    k2 = k1 if bidirectional or k1 == 0 else draw(st.integers(k1, 12))
    lengths = draw(st.none() | st.lists(st.integers(1, 9), min_size=1, max_size=4))
    batch_first = draw(st.booleans()) and not lengths
    reset = not lengths and draw(st.booleans())
    scales = [None] if lengths or bidirectional else [None, "steps", "rows"]
    return Case(
        steps=draw(st.integers(1, 10)),
        batch=draw(st.integers(1, 4)),
        input_size=draw(st.integers(1, 5)),
        hidden_size=draw(st.integers(1, 9)),
        num_layers=draw(st.integers(1, 3)),
        bidirectional=bidirectional,
        bias=draw(st.booleans()),
        batch_first=batch_first,
        nonlinearity=draw(st.sampled_from(list(oracle.ACTIVATIONS))),
        k1=k1,
        k2=k2,
        batched=bool(lengths) or draw(st.booleans()),
        hx=draw(st.booleans()),
        lengths=tuple(sorted(lengths, reverse=True)) if lengths else None,
        reset=reset,
        carry_scale=draw(st.sampled_from(scales)),
        seed=draw(st.integers(0, 1000)),
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_any_call_equals_brute_force(case):
    assert_equals_brute_force(make(case))


@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid", "relu", "softplus", "identity"])
@pytest.mark.parametrize("output", ["identity", "sigmoid", "tanh"])
@pytest.mark.parametrize("truncation", [None, (1, 1), (1, 4), (2, 3), (3, 3)], ids=str)
def test_equals_the_textbook(nonlinearity, output, truncation):
    rng = np.random.default_rng(0)
    steps, inputs, hidden, outputs = 8, 3, 4, 2
    net = elman.Network(
        inputs,
        hidden,
        outputs,
        output=output,
        nonlinearity=nonlinearity,
        truncation=truncation,
        dtype=torch.float64,
    )
    x, s_0 = rng.normal(size=(steps, inputs)), rng.normal(size=hidden)
    targets = rng.normal(size=(steps, outputs))
    p = {name: value.detach().cpu().numpy() for name, value in net.named_parameters()}
    book = TextbookNetwork(
        p["rnn.weight_ih_l0"],
        p["rnn.weight_hh_l0"],
        p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"],
        p["out.weight"],
        p["out.bias"],
        f=nonlinearity,
        g=output,
    )
    s, expected_y = book.forward(x, s_0)
    if truncation is None:
        changes = book.backward(x, s_0, targets)
    else:
        changes = book.truncated_backward(x, s_0, targets, *truncation)

    hx = torch.tensor(s_0).unsqueeze(0).requires_grad_()
    y, h_n = net(torch.tensor(x), hx)
    (0.5 * (torch.tensor(targets) - y) ** 2).sum().backward()
    assert_close(y, torch.tensor(expected_y[1:]))
    assert_close(h_n[0], torch.tensor(s[-1]))
    for actual, name in [
        (net.rnn.weight_ih_l0.grad, "V"),
        (net.rnn.weight_hh_l0.grad, "U"),
        (net.rnn.bias_ih_l0.grad, "b"),
        (net.rnn.bias_hh_l0.grad, "b"),
        (net.out.weight.grad, "W"),
        (net.out.bias.grad, "c"),
        (hx.grad[0], "s_0"),
    ]:
        assert_close(actual, torch.tensor(-changes[name]))
