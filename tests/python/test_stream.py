"""elman.Stream against the textbook, brute force and itself."""

import copy
import dataclasses
import io
import math

import elman
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Case, assert_close, make
from stream_oracle import StreamOracle


def random_rnn(**options):
    return elman.RNN(**{"input_size": 3, "hidden_size": 4, "dtype": torch.float64, **options})


def oracle_of(rnn, k1, k2):
    return StreamOracle(rnn._current_weights, rnn.num_layers, rnn.bias, rnn.nonlinearity, k1, k2)


def nudge(rnn):
    """What an optimizer does: every weight changes in place."""
    with torch.no_grad():
        for p in rnn.parameters():
            p.add_(0.1 * torch.randn_like(p))


@dataclasses.dataclass
class Plan:
    """A stream's life: its sizes, and what happens before each chunk."""

    batch: int
    rnn: dict
    k1: int
    k2: int
    batched: bool
    chunks: list[set[str]]
    last: int
    seed: int


@st.composite
def plans(draw):
    layers = draw(st.integers(1, 3))
    k1 = draw(st.integers(1, 4))
    k2 = k1 + draw(st.integers(0, 9))
    # Dropout's masks are read from the state_dict, which holds the last k2 - k1 steps.
    dropout = layers > 1 and k2 >= 2 * k1 and draw(st.booleans())
    batched = draw(st.booleans())
    events = ["reset", "scale", "update", "rows", "no_grad", "eval", "detach", "save", "late"]
    return Plan(
        batch=draw(st.integers(1, 3)) if batched else 1,
        rnn={
            "input_size": draw(st.integers(1, 4)),
            "hidden_size": draw(st.integers(1, 5)),
            "num_layers": layers,
            "nonlinearity": draw(st.sampled_from(["tanh", "relu", "sigmoid"])),
            "bias": draw(st.booleans()),
            "batch_first": draw(st.booleans()),
            "dropout": 0.4 if dropout else 0.0,
        },
        k1=k1,
        k2=k2,
        batched=batched,
        chunks=draw(st.lists(st.sets(st.sampled_from(events)), min_size=1, max_size=9)),
        last=draw(st.integers(1, k1)),
        seed=draw(st.integers(0, 1000)),
    )


class Life:
    """Runs a plan on a stream and on the textbook, and compares them at every chunk."""

    def __init__(self, plan):
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.rnn = random_rnn(**plan.rnn)
        self.stream = elman.Stream(self.rnn, plan.k1, plan.k2)
        self.oracle = oracle_of(self.rnn, plan.k1, plan.k2)
        self.waiting = []

    def layout(self, tensor):
        """[c, B, ...] -> the caller's layout, and back."""
        if not self.plan.batched:
            return tensor.squeeze(1) if tensor.dim() > 1 and tensor.size(1) == 1 else tensor
        return tensor.transpose(0, 1) if self.plan.rnn["batch_first"] else tensor

    def run(self):
        for i, events in enumerate(self.plan.chunks):
            last = i + 1 == len(self.plan.chunks)
            self.before(events)
            self.chunk(events, self.plan.last if last else self.plan.k1)
            if "late" not in events:
                self.backward()
        self.backward()

    def before(self, events):
        self.rnn.train("eval" not in events)
        if "update" in events:
            nudge(self.rnn)
        if "detach" in events:
            self.stream.detach()
            self.oracle.detach()
        if "rows" in events and self.stream.state is not None:
            rows = torch.rand(self.plan.batch) < 0.5
            state = torch.randn(
                self.rnn.num_layers, self.plan.batch, self.rnn.hidden_size, dtype=torch.float64
            )
            self.stream.set_state(state if self.plan.batched else state.squeeze(1), rows)
            self.oracle.set_rows(state, rows)
        if "save" in events:
            stored = io.BytesIO()
            torch.save(self.stream.state_dict(), stored)
            stored.seek(0)
            self.stream = elman.Stream(self.rnn, self.plan.k1, self.plan.k2)
            self.stream.load_state_dict(torch.load(stored, weights_only=True))

    def chunk(self, events, steps):
        batch = self.plan.batch
        x = torch.randn(steps, batch, self.rnn.input_size, dtype=torch.float64)
        reset = torch.rand(steps, batch) < 0.3 if "reset" in events else None
        scale = 2 * torch.rand(steps, batch, dtype=torch.float64) if "scale" in events else None
        leaf = self.layout(x).clone().requires_grad_()
        with torch.set_grad_enabled("no_grad" not in events):
            y = self.stream(
                leaf,
                reset=None if reset is None else self.layout(reset),
                carry_scale=None if scale is None else self.layout(scale),
            )
        masks = None
        if self.plan.rnn["dropout"] and self.rnn.training:
            masks = self.stream.state_dict()["masks"][:, -steps:]
        expected, window = self.oracle.forward(x, reset, scale, masks)
        assert_close(y.detach(), self.layout(expected))
        state = torch.stack(self.oracle.state)
        assert_close(self.stream.state, state if self.plan.batched else state.squeeze(1))
        assert y.requires_grad == ("no_grad" not in events)
        if y.requires_grad:
            self.waiting.append((leaf, y, window, steps))

    def backward(self):
        for leaf, y, window, steps in self.waiting:
            shape = (steps, self.plan.batch, self.rnn.hidden_size)
            grad_output = torch.randn(shape, dtype=torch.float64)
            d_x, d_params = self.oracle.gradients(window, grad_output)
            leaves = [leaf, *self.rnn.parameters()]
            found = torch.autograd.grad(y, leaves, self.layout(grad_output))
            for a, e in zip(found, [self.layout(d_x), *d_params], strict=True):
                torch.testing.assert_close(a, e, rtol=1e-10, atol=1e-10)
        self.waiting = []


@settings(max_examples=100, deadline=None, derandomize=True)
@given(plans())
def test_any_stream_equals_the_textbook(plan):
    Life(plan).run()


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


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_stored_stream_goes_on_to_the_bit(dropout):
    def run(stream, optimizer, start, stop):
        for i in range(start, stop):
            torch.manual_seed(i)
            optimizer.zero_grad()
            reset = torch.rand(3, 2) < 0.2 if i % 3 == 1 else None
            stream(torch.randn(3, 2, 3), reset).square().mean().backward()
            optimizer.step()
        return [p.detach() for p in stream.rnn.parameters()]

    def new():
        torch.manual_seed(0)
        rnn = random_rnn(num_layers=2, dropout=dropout, dtype=torch.float32)
        return elman.Stream(rnn, 3, 17), torch.optim.SGD(rnn.parameters(), 0.1)

    expected = run(*new(), 0, 20)
    for border in (1, 4, 13):
        stream, optimizer = new()
        run(stream, optimizer, 0, border)
        stored = io.BytesIO()
        torch.save((stream.state_dict(), stream.rnn.state_dict()), stored)
        stored.seek(0)
        again, optimizer = new()
        state, weights = torch.load(stored, weights_only=True)
        again.rnn.load_state_dict(weights)
        again.load_state_dict(state)
        for a, e in zip(run(again, optimizer, border, 20), expected, strict=True):
            assert torch.equal(a, e)


def test_a_copy_and_a_pickle_are_streams_of_their_own():
    stream = elman.Stream(random_rnn(), 2, 6)
    stream(torch.randn(2, 1, 3, dtype=torch.float64))
    stored = io.BytesIO()
    torch.save(stream, stored)
    stored.seek(0)
    copies = [copy.deepcopy(stream), torch.load(stored, weights_only=False)]
    x = torch.randn(2, 1, 3, dtype=torch.float64)
    y = stream(x)
    for other in copies:
        assert other.rnn is not stream.rnn
        assert torch.equal(other(x), y)
    assert repr(stream) == "Stream(RNN(3, 4), k1=2, k2=6)"


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


def error(kind, text):
    return pytest.raises(kind, match=text)


def test_errors_of_the_constructor():
    rnn = random_rnn()
    with error(TypeError, r"rnn should be an elman\.RNN, got: RNN$"):
        elman.Stream(torch.nn.RNN(3, 4), 1, 2)
    with error(ValueError, "rnn: a stream is not defined for a bidirectional network"):
        elman.Stream(random_rnn(bidirectional=True), 2, 2)
    with error(ValueError, "k1 must be at least 1, got k1 = 0, k2 = 2"):
        elman.Stream(rnn, 0, 2)
    with error(ValueError, "k2 must be at least k1, got k1 = 3, k2 = 2"):
        elman.Stream(rnn, 3, 2)
    with error(TypeError, "k1 should be an int, got: 1.5"):
        elman.Stream(rnn, 1.5, 2)
    with error(TypeError, "k2 should be an int, got: True"):
        elman.Stream(rnn, 1, True)


def test_errors_of_a_call():
    stream = elman.Stream(random_rnn(), 3, 6)

    def x(*shape, dtype=torch.float64):
        return torch.randn(*shape, dtype=dtype)

    with error(TypeError, "input should be a Tensor, got: PackedSequence"):
        stream(torch.nn.utils.rnn.pack_sequence([x(3, 3)]))
    with error(ValueError, r"RNN: Expected input to be 2D or 3D, got 4D tensor instead"):
        stream(x(1, 1, 1, 3))
    with error(RuntimeError, r"input.size\(-1\) must be equal to input_size. Expected 3, got 5"):
        stream(x(3, 2, 5))
    with error(ValueError, "input: a chunk of this stream has at most k1 = 3 steps, got 4"):
        stream(x(4, 2, 3))
    with error(RuntimeError, "Expected sequence length to be larger than 0 in RNN"):
        stream(x(0, 2, 3))
    with error(RuntimeError, r"reset must have the input's shape \[3, 2, 3\] without its last"):
        stream(x(3, 2, 3), reset=torch.zeros(2, 3, dtype=torch.bool))
    with error(RuntimeError, "carry_scale is never differentiated"):
        stream(x(3, 2, 3), carry_scale=torch.ones(3, requires_grad=True))
    assert stream.state is None
    stream(x(3, 2, 3))
    state = stream.state
    with error(RuntimeError, r"batch size of a stream is fixed until reset\(\), expected 2, got 4"):
        stream(x(3, 4, 3))
    with error(RuntimeError, "the stream is batched, expected a 3-D tensor"):
        stream(x(3, 3))
    stream.rnn.float()
    with error(ValueError, "input: the dtype of a stream is fixed until"):
        stream(x(3, 2, 3, dtype=torch.float32))
    stream.rnn.double()
    assert torch.equal(stream.state, state)  # no failed call left a trace
    stream(x(1, 2, 3))
    with error(ValueError, "input: the stream ended with a chunk of fewer than k1 = 3 steps"):
        stream(x(3, 2, 3))
    stream.detach()
    stream(x(3, 2, 3))


def test_errors_of_set_state():
    stream = elman.Stream(random_rnn(), 3, 6)
    rows = torch.tensor([True, False])
    state = torch.zeros(1, 2, 4, dtype=torch.float64)
    with error(RuntimeError, "rows: expected none before the first chunk"):
        stream.set_state(state, rows)
    with error(TypeError, "state should be a Tensor, got: int"):
        stream.state = 0
    stream(torch.randn(3, 2, 3, dtype=torch.float64))
    with error(RuntimeError, r"state must have shape \[1, 2, 4\], got \[1, 3, 4\]"):
        stream.state = torch.zeros(1, 3, 4, dtype=torch.float64)
    with error(ValueError, "state must be of dtype Double, got Float"):
        stream.state = state.float()
    with error(RuntimeError, r"rows must be a bool tensor of shape \[2\]"):
        stream.set_state(state, rows.long())
    elsewhere = elman.Stream(random_rnn(), 3, 6)
    elsewhere.state = torch.zeros(2, 2, 4, dtype=torch.float64)
    with error(RuntimeError, r"Expected hidden size \(1, 2, 4\), got \[2, 2, 4\]"):
        elsewhere(torch.randn(3, 2, 3, dtype=torch.float64))


def test_errors_of_load_state_dict():
    stream = elman.Stream(random_rnn(), 3, 6)
    stream(torch.randn(3, 2, 3, dtype=torch.float64))
    state = stream.state_dict()
    with error(RuntimeError, r"'truncation' must be that of the stream, \(3, 7\), got \(3, 6\)"):
        elman.Stream(random_rnn(), 3, 7).load_state_dict(state)
    with error(RuntimeError, "unexpected key 'other'"):
        stream.load_state_dict({**state, "other": state["state"]})
    with error(RuntimeError, "missing key 'before'"):
        stream.load_state_dict({k: v for k, v in state.items() if k != "before"})
    with error(RuntimeError, r"'output' must have shape \[3, 2, 4\], got \[2, 2, 4\]"):
        stream.load_state_dict({**state, "output": state["output"][1:]})
