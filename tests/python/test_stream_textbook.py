"""elman.Stream, through whatever may happen to it, against the textbook."""

import dataclasses
import io

import elman
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ACTIVATIONS
from samples import assert_close
from stream_oracle import nudge, oracle_of, random_rnn


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
            "nonlinearity": draw(st.sampled_from(list(ACTIVATIONS))),
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
