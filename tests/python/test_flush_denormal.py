"""Denormal numbers are the caller's to keep or to flush, with any number of threads.

`torch.set_flush_denormal` reaches the calling thread only, once torch's threads exist.
"""

import elman
import pytest
import torch

STEPS, HIDDEN = 1100, 64
SMALLEST = torch.finfo(torch.float32).smallest_normal


@pytest.fixture
def threads_and_mode():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    torch.ones(1 << 20).sin_()  # the threads exist
    yield
    torch.set_flush_denormal(False)
    torch.set_num_threads(before)


def decaying(batch, dtype, layers):
    """A linear network, nearly, whose states and gradients decay past the smallest numbers."""
    torch.manual_seed(0)
    rnn = elman.RNN(8, HIDDEN, layers, bias=False, dtype=dtype)
    with torch.no_grad():
        for weight in (rnn.get_parameter(f"weight_hh_l{layer}") for layer in range(layers)):
            weight.copy_(0.9 * torch.linalg.qr(torch.randn(HIDDEN, HIDDEN))[0])
    x = torch.zeros(STEPS, batch, 8, dtype=dtype)
    x[:3] = torch.randn(3, batch, 8)
    return rnn, x.requires_grad_()


def run(rnn, x):
    output, h_n = rnn(x)
    grad_output = torch.zeros_like(output)
    grad_output[-3:] = 1
    return [output, h_n, *torch.autograd.grad(output, [x, *rnn.parameters()], grad_output)]


def count_denormals(tensor):
    size = tensor.abs()
    return ((size > 0) & (size < SMALLEST)).sum()


@pytest.mark.parametrize("flush", [False, True], ids=["kept", "flushed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("batch, layers", [(1, 1), (2, 3), (4, 1), (32, 1)])
def test_threads_do_not_show_in_states_that_decay(threads_and_mode, flush, dtype, batch, layers):
    rnn, x = decaying(batch, dtype, layers)
    expected = None
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        if not torch.set_flush_denormal(flush):
            pytest.skip("this CPU cannot flush denormal numbers")
        results = run(rnn, x)
        torch.set_flush_denormal(False)
        expected = expected or results
        for ours, alone in zip(results, expected, strict=True):
            assert torch.equal(ours, alone)
    output, grad_input = expected[0].float(), expected[2].float()
    if dtype == torch.float32:
        assert (count_denormals(output) == 0) == flush
        assert (count_denormals(grad_input) == 0) == flush


@pytest.mark.parametrize("truncation", [5, (1, 4), (3, 40)], ids=str)
def test_threads_do_not_show_in_truncated_gradients_that_decay(threads_and_mode, truncation):
    rnn, x = decaying(4, torch.float32, 1)
    rnn.truncation = truncation
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        if not torch.set_flush_denormal(True):
            pytest.skip("this CPU cannot flush denormal numbers")
        results.append(run(rnn, x))
        torch.set_flush_denormal(False)
    for other in results[1:]:
        for ours, alone in zip(other, results[0], strict=True):
            assert torch.equal(ours, alone)
