"""torch.utils.flop_counter: what it counts for elman is what it counts for torch.nn.RNN."""

import elman
import pytest
import torch
from torch.nn.utils.rnn import pack_sequence
from torch.utils.flop_counter import FlopCounterMode


def count(run):
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def train(rnn, x, hx=None, chunk=None):
    """Forward and backward, as a detach loop over chunks if `chunk` is given."""
    for piece in x.split(chunk or len(x)):
        output, hx = rnn(piece, hx)
        output.sum().backward()
        hx = hx.detach()


@pytest.mark.parametrize("needs_inputs", [True, False])
@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 3, "bias": False}, {"num_layers": 2, "bidirectional": True}],
    ids=str,
)
def test_as_torch(options, needs_inputs):
    ours, theirs = elman.RNN(4, 6, **options), torch.nn.RNN(4, 6, **options)
    cells = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x = torch.randn(5, 3, 4, requires_grad=needs_inputs)
    hx = torch.randn(cells, 3, 6, requires_grad=needs_inputs)
    assert count(lambda: train(ours, x, hx)) == count(lambda: train(theirs, x, hx)) > 0
    with torch.no_grad():
        assert count(lambda: ours(x)) == count(lambda: theirs(x)) > 0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_truncation_counts_as_a_detach_loop(k):
    x = torch.randn(7, 3, 4)
    ours = count(lambda: train(elman.RNN(4, 6, 2, truncation=k), x))
    assert ours == count(lambda: train(torch.nn.RNN(4, 6, 2), x, chunk=k))


def test_sliding_window():
    # T = 4, k1 = 1, k2 = 3: the windows cover 1, 2, 3 and 3 steps, so the error takes 5 steps back,
    # and 9 times goes down a layer. dW_ih, dW_hh of both layers over 4 steps.
    B, I, H = 3, 4, 6
    forward = 4 * (I * H + 3 * H * H)
    backward = 2 * 5 * H * H + 9 * H * H + 4 * (I * H + 3 * H * H)
    rnn = elman.RNN(I, H, 2, truncation=(1, 3))
    assert count(lambda: train(rnn, torch.randn(4, B, I))) == 2 * B * (forward + backward)


def test_packed_and_cell():
    rnn, cell = elman.RNN(4, 6), elman.RNNCell(4, 6)
    packed = pack_sequence([torch.randn(n, 4) for n in (5, 3)])
    with torch.no_grad():
        assert count(lambda: rnn(packed)) == 8 * 2 * 6 * (4 + 6)
        assert count(lambda: cell(torch.randn(3, 4))) == 3 * 2 * 6 * (4 + 6)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}], ids=str)
@pytest.mark.parametrize("needs_hx", [False, True])
def test_windows_that_all_reach_the_first_step_count_as_one(options, needs_hx):
    rnn, x = elman.RNN(4, 5, **options), torch.randn(9, 3, 4)
    hx = torch.randn(rnn.num_layers, 3, 5, requires_grad=needs_hx)
    full = count(lambda: train(rnn, x, hx))
    for truncation in ((1, 9), (2, 50), (5, 50), 9, 20):
        rnn.truncation = truncation
        assert count(lambda: train(rnn, x, hx)) == full
    rnn.truncation = (1, 8)  # the last window does not
    assert count(lambda: train(rnn, x, hx)) != full
