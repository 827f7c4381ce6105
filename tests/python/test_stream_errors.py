"""What elman.Stream refuses, and in which words."""

import elman
import pytest
import torch
from stream_oracle import random_rnn


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
    with error(ValueError, "k2 must be at least k1, got k1 = 1, k2 = -9223372036854775808"):
        elman.Stream(rnn, 1, -(2**63))
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
    for name in ("input", "before", "output"):
        with error(RuntimeError, f"'{name}' must have dtype Double, got Float"):
            stream.load_state_dict({**state, name: state[name].float()})
    with error(RuntimeError, "'state' must have a floating point or complex dtype, got Int"):
        stream.load_state_dict({**state, "state": state["state"].int()})
    with error(RuntimeError, "'ended' must have dtype Bool, got Float"):
        stream.load_state_dict({**state, "ended": state["ended"].float()})


@pytest.mark.parametrize("name", ["k1", "k2"])
def test_lengths_are_read_only(name):
    stream = elman.Stream(elman.RNN(3, 4), 2, 6)
    with pytest.raises(AttributeError):
        setattr(stream, name, 30)
    assert (stream.k1, stream.k2) == (2, 6)
