"""elman.Stream against brute force, torch and itself."""

import math

import elman
import oracle
import pytest
import torch
from samples import Case, assert_close, make
from stream_oracle import nudge, oracle_of, random_rnn


@pytest.mark.parametrize("k1_k2", [(1, 1), (1, 4), (2, 5), (3, 3), (3, 9), (4, 30)], ids=str)
@pytest.mark.parametrize("extra", [{}, {"reset": True, "carry_scale": "rows"}], ids=str)
def test_with_constant_weights_the_sum_is_brute_force(k1_k2, extra):
    k1, k2 = k1_k2
    sample = make(Case(steps=11, num_layers=2, k1=k1, k2=k2, hx=False, **extra))
    sample.grad_h_n.zero_()
    _, *expected = oracle.gradients(sample)  # x's gradient does not cross chunks in a stream
    rnn = random_rnn(input_size=4, hidden_size=6, num_layers=2)
    rnn._flat_weights = []
    for parameter, value in zip(rnn.parameters(), sample.params, strict=True):
        parameter.data = value.detach()
    stream = elman.Stream(rnn, k1, k2)

    def chunks(tensor):
        return [None] * math.ceil(11 / k1) if tensor is None else tensor.detach().split(k1)

    parts = (sample.input, sample.grad_output, sample.reset, sample.carry_scale)
    for x, grad, reset, scale in zip(*map(chunks, parts), strict=True):
        stream(x, reset, scale).backward(grad)
    assert_close([p.grad for p in rnn.parameters()], expected)


@pytest.mark.parametrize("k", [1, 3])
def test_k1_equal_to_k2_is_the_detach_loop_of_torch(k):
    rnn, theirs = random_rnn(num_layers=2), torch.nn.RNN(3, 4, 2, dtype=torch.float64)
    theirs.load_state_dict(rnn.state_dict())
    stream, h = elman.Stream(rnn, k, k), None
    optimizers = [torch.optim.Adam(m.parameters(), 0.01) for m in (rnn, theirs)]
    for _ in range(20):
        x = torch.randn(k, 2, 3, dtype=torch.float64)
        y, (z, h) = stream(x), theirs(x, h)
        h = h.detach()
        for output, optimizer in zip((y, z), optimizers, strict=True):
            optimizer.zero_grad()
            output.square().mean().backward()
            optimizer.step()
    assert_close([p.detach() for p in rnn.parameters()], [p.detach() for p in theirs.parameters()])


OPTIMIZERS = ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Rprop", "NAdam"]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_steps_between_chunks(name):
    rnn = random_rnn(num_layers=2)
    stream, textbook = elman.Stream(rnn, 2, 7), oracle_of(rnn, 2, 7)
    optimizer = getattr(torch.optim, name)(rnn.parameters(), lr=0.05)
    for _ in range(8):
        x, grad = (torch.randn(2, 3, size, dtype=torch.float64) for size in (3, 4))
        optimizer.zero_grad()
        stream(x).backward(grad)
        _, window = textbook.forward(x)
        assert_close([p.grad for p in rnn.parameters()], textbook.gradients(window, grad)[1])
        optimizer.step()


def test_plain_autograd_cannot():
    # Why a stream is there at all: the recipe that keeps the graph over a step of the optimizer.
    rnn = torch.nn.RNN(3, 4)
    optimizer, h = torch.optim.SGD(rnn.parameters(), 0.1), None
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        for _ in range(2):
            y, h = rnn(torch.randn(2, 1, 3), h)
            y.sum().backward(retain_graph=True)
            optimizer.step()


def test_chunks_before_their_backward_passes_keep_their_own_history():
    rnn = random_rnn()
    stream, textbook = elman.Stream(rnn, 2, 6), oracle_of(rnn, 2, 6)
    waiting = []
    for _ in range(9):  # longer than any buffer
        x = torch.randn(2, 1, 3, dtype=torch.float64)
        waiting.append((stream(x), textbook.forward(x)[1]))
        nudge(rnn)
    for y, window in reversed(waiting):
        grad = torch.randn_like(y)
        found = torch.autograd.grad(y, list(rnn.parameters()), grad)
        assert_close(found, textbook.gradients(window, grad)[1])


def test_an_output_changed_in_place_changes_no_history():
    rnn = random_rnn()
    changed, kept = elman.Stream(rnn, 2, 6), elman.Stream(rnn, 2, 6)
    for _ in range(3):
        x = torch.randn(2, 1, 3, dtype=torch.float64)
        a, b = changed(x), kept(x)
        grads = [torch.autograd.grad(y, list(rnn.parameters()), torch.ones_like(y)) for y in (a, b)]
        assert_close(*grads)
        with torch.no_grad():
            a.zero_()
            x.zero_()


def test_reset_starts_again_from_zeros():
    rnn = random_rnn()
    stream = elman.Stream(rnn, 2, 6)
    assert stream.state is None
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    first = stream(x)
    assert not torch.equal(stream(x), first)
    stream.reset()
    assert stream.state is None
    again = stream(x)
    assert torch.equal(again, first)
    expected = torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters()))
    assert_close(torch.autograd.grad(again.sum(), list(rnn.parameters())), expected)
    stream.reset()
    stream(torch.randn(2, 5, 3, dtype=torch.float64))  # another batch size


def test_assigning_the_state_begins_a_sequence_where_it_changes():
    rnn = random_rnn()
    assigned, told = elman.Stream(rnn, 2, 8), elman.Stream(rnn, 2, 8)
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    assigned(x), told(x)
    state = assigned.state
    state[:, 1] = 0.5
    assert not torch.equal(assigned.state, state)  # what is returned is a copy
    assigned.state = state
    told.set_state(torch.full_like(state, 0.5), torch.tensor([False, True, False]))
    assert torch.equal(assigned.state, told.state)
    for y in (assigned(x), told(x)):
        # Row 1 by itself is a sequence of two steps that starts from 0.5.
        h = torch.full((1, 1, 4), 0.5, dtype=torch.float64)
        expected = torch.autograd.grad(rnn(x[:, 1:2], h)[0].sum(), list(rnn.parameters()))
        assert_close(torch.autograd.grad(y[:, 1].sum(), list(rnn.parameters())), expected)


def test_states_to_begin_with():
    rnn = random_rnn(num_layers=2)
    stream = elman.Stream(rnn, 2, 8)
    h = torch.randn(2, 3, 4, dtype=torch.float64)
    stream.state = h
    x = torch.randn(2, 3, 3, dtype=torch.float64)
    assert torch.equal(stream(x), rnn(x, h)[0])


def test_the_modules_own_truncation_is_ignored():
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    rnn = random_rnn()
    gradients = []
    for truncation in (None, (1, 1)):
        rnn.truncation = truncation
        stream = elman.Stream(rnn, 2, 6)
        stream(x)
        gradients.append(torch.autograd.grad(stream(x).sum(), list(rnn.parameters())))
    assert_close(*gradients)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_other_dtypes(dtype):
    rnn = random_rnn(num_layers=2, dtype=dtype)
    wide = random_rnn(num_layers=2)
    wide.load_state_dict(rnn.state_dict())
    streams = elman.Stream(rnn, 2, 6), elman.Stream(wide, 2, 6)
    tolerance = 64 * torch.finfo(dtype).eps
    for _ in range(4):
        x = torch.randn(2, 2, 3).to(dtype)
        y, z = streams[0](x), streams[1](x.double())
        assert y.dtype == dtype
        a = torch.autograd.grad(y.sum(), list(rnn.parameters()))
        e = torch.autograd.grad(z.sum(), list(wide.parameters()))
        for p, q in zip((y, *a), (z, *e), strict=True):
            scale = q.abs().max().item()
            torch.testing.assert_close(p.double(), q, rtol=0, atol=tolerance * scale)


def test_complex():
    rnn = random_rnn(dtype=torch.complex128)
    stream = elman.Stream(rnn, 3, 3)
    x = torch.randn(3, 2, 3, dtype=torch.complex128)
    stream(x).abs().sum().backward()
    found = [p.grad.clone() for p in rnn.parameters()]
    rnn.zero_grad()
    rnn(x)[0].abs().sum().backward()
    assert_close(found, [p.grad for p in rnn.parameters()])


def test_autocast():
    rnn = random_rnn(dtype=torch.float32)
    stream = elman.Stream(rnn, 2, 6)
    for _ in range(3):
        x = torch.randn(2, 2, 3, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            y = stream(x)
        assert y.dtype == torch.bfloat16
        y.float().sum().backward()
        assert x.grad.dtype == rnn.weight_hh_l0.grad.dtype == torch.float32
        nudge(rnn)


def test_weights_that_are_made_at_each_call():
    rnn = random_rnn()
    torch.nn.utils.parametrizations.weight_norm(rnn, "weight_hh_l0")
    stream = elman.Stream(rnn, 2, 6)
    for _ in range(3):
        x = torch.randn(2, 1, 3, dtype=torch.float64)
        stream(x).sum().backward()
        nudge(rnn)
    assert rnn.parametrizations.weight_hh_l0.original1.grad is not None


def test_only_what_is_asked_for_is_computed():
    rnn = random_rnn(num_layers=2)
    rnn.weight_hh_l0.requires_grad_(False)
    stream = elman.Stream(rnn, 2, 6)
    for _ in range(2):
        y = stream(torch.randn(2, 1, 3, dtype=torch.float64))
    y.sum().backward()
    assert rnn.weight_hh_l0.grad is None and rnn.weight_ih_l0.grad is not None


def test_frozen_weights_and_plain_input_leave_no_graph():
    rnn = random_rnn().requires_grad_(False)
    stream = elman.Stream(rnn, 2, 6)
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    assert not stream(x).requires_grad
    assert stream(x.requires_grad_()).requires_grad


def test_a_second_backward_pass_wants_the_graph_retained():
    stream = elman.Stream(random_rnn(), 2, 6)
    y = stream(torch.randn(2, 1, 3, dtype=torch.float64)).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.backward()


def test_double_backward_is_an_error():
    rnn = random_rnn()
    stream = elman.Stream(rnn, 2, 6)
    x = torch.randn(2, 1, 3, dtype=torch.float64, requires_grad=True)
    d_x, d_w = torch.autograd.grad(stream(x).sum(), (x, rnn.weight_hh_l0), create_graph=True)
    for gradient in (d_x, d_w):
        with pytest.raises(RuntimeError, match="elman::Stream: double backward is not supported"):
            torch.autograd.grad(gradient.sum(), x, retain_graph=True)


def test_k2_may_be_endless():
    rnn = random_rnn()
    stream = elman.Stream(rnn, 2, 2**62)
    x = torch.randn(10, 1, 3, dtype=torch.float64)
    for chunk in x.split(2):
        y = stream(chunk)
    found = torch.autograd.grad(y.sum(), list(rnn.parameters()))
    assert_close(found, torch.autograd.grad(rnn(x)[0][-2:].sum(), list(rnn.parameters())))
