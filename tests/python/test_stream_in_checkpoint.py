"""Activation checkpointing around a stream: a chunk would be taken twice, so it is refused."""

import elman
import pytest
import torch
from samples import assert_close
from torch.utils.checkpoint import checkpoint

MESSAGE = "A stream takes each chunk once and cannot be called during a backward pass"


def region():
    """A stream, and a function around it as a user would checkpoint it."""
    stream, head = elman.Stream(elman.RNN(4, 6), 3, 9), torch.nn.Linear(6, 6)
    return stream, lambda x: torch.tanh(head(stream(x)))


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("hooked", [False, True])
def test_is_refused(use_reentrant, nested, hooked):
    stream, run = region()
    if hooked:
        stream.rnn.register_forward_hook(lambda module, args, output: None)
    x = torch.randn(3, 2, 4, requires_grad=True)
    if nested:
        inner = run

        def run(x):
            return checkpoint(inner, 2 * x, use_reentrant=use_reentrant)

    y = checkpoint(run, x, use_reentrant=use_reentrant)
    state = stream.state
    with pytest.raises(RuntimeError, match=MESSAGE):
        y.sum().backward()
    assert torch.equal(stream.state, state)  # taken once


def test_is_refused_in_compiled_code():
    _, run = region()
    step = torch.compile(lambda x: checkpoint(run, x, use_reentrant=False), backend="eager")
    y = step(torch.randn(3, 2, 4, requires_grad=True))
    with pytest.raises(RuntimeError, match=MESSAGE):
        y.sum().backward()


def test_is_refused_in_a_hook_of_the_backward_pass():
    stream, run = region()
    x = torch.randn(3, 2, 4, requires_grad=True)
    x.register_hook(lambda grad: stream(torch.zeros(3, 2, 4)).sum())
    with pytest.raises(RuntimeError, match=MESSAGE):
        run(x).sum().backward()


def test_a_stream_beside_the_region_is_right():
    def train(recompute):
        torch.manual_seed(1)
        stream, _ = region()
        head = torch.nn.Linear(6, 6)
        for chunk in torch.randn(9, 2, 4).split(3):
            h = stream(chunk)
            y = checkpoint(head, h, use_reentrant=False) if recompute else head(h)
            y.square().sum().backward()
        return [parameter.grad for parameter in stream.rnn.parameters()]

    assert_close(train(True), train(False))
