"""Streams that are stored, copied and pickled go on where they were."""

import copy
import io

import elman
import pytest
import torch
from stream_oracle import random_rnn


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


@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_stream_of_no_rows_comes_back(num_layers):
    stream = elman.Stream(random_rnn(num_layers=num_layers, dropout=0.5), 2, 6)
    x = torch.randn(2, 0, 3, dtype=torch.float64)
    for _ in range(3):
        stream(x, torch.zeros(2, 0, dtype=torch.bool))
    stored = io.BytesIO()
    torch.save(stream, stored)
    stored.seek(0)
    loaded = elman.Stream(stream.rnn, 2, 6)
    loaded.load_state_dict(stream.state_dict())
    for other in (loaded, copy.deepcopy(stream), torch.load(stored, weights_only=False)):
        assert other.state.shape == (num_layers, 0, 4)
        other(x).sum().backward()
        assert not any(p.grad.any() for p in other.rnn.parameters())
