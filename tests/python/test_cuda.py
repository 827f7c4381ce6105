"""What only a GPU can show: streams, graphs, devices, no waiting, and which kernel is taken.

That the operators are right on a GPU is shown by the tests that run on every device (conftest.py).
"""

import elman
import pytest
import torch
from samples import Case, assert_close, make

pytestmark = pytest.mark.cuda

CASES = [
    Case(steps=9, num_layers=2, hidden_size=40),
    Case(steps=9, num_layers=2, hidden_size=40, bidirectional=True, k1=4, k2=4),
    Case(steps=9, num_layers=2, hidden_size=40, k1=2, k2=5, dtype=torch.float32),
    Case(steps=9, hidden_size=40, k1=1, k2=4, reset=True, carry_scale="rows"),
    Case(lengths=(9, 7, 7, 2), num_layers=2, hidden_size=40, bidirectional=True),
    Case(lengths=(9, 7, 7, 2), num_layers=2, hidden_size=40, k1=2, k2=5, dtype=torch.float16),
]


@pytest.fixture(autouse=True)
def on_gpu():
    torch.set_default_device("cuda")
    yield
    torch.set_default_device(None)


def everything(sample):
    return [*sample.run(), *sample.gradients()]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nothing_waits(case):
    sample = make(case)
    everything(sample)
    torch.cuda.set_sync_debug_mode("error")
    try:
        everything(sample)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_captured_graph_computes_anew(case):
    sample = make(case)
    everything(sample)  # loads the libraries
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = everything(sample)
    with torch.no_grad():
        for leaf in sample.leaves():
            leaf.mul_(0.7)
    expected = everything(sample)
    for _ in range(2):
        graph.replay()
        assert_close(results, expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_current_stream_is_used(case):
    sample = make(case)
    expected = everything(sample)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # The stream is kept busy: what ran on another one would see the old numbers.
        torch.cuda._sleep(50_000_000)
        with torch.no_grad():
            for leaf in sample.leaves():
                leaf.mul_(1.0)
        results = everything(sample)
        before = stream.query()
    stream.synchronize()
    assert not before
    assert_close(results, expected)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_bits_every_time(case):
    sample = make(case)
    first = everything(sample)
    for again in (everything(sample), everything(sample)):
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_device_of_the_tensors_counts():
    """Not the current device; with one GPU this holds trivially."""
    last = f"cuda:{torch.cuda.device_count() - 1}"
    rnn = elman.RNN(5, 7, num_layers=2, device=last)
    with torch.cuda.device(0):
        output, h_n = rnn(torch.randn(4, 3, 5, device=last))
        output.sum().backward()
    assert output.device == h_n.device == rnn.weight_ih_l0.grad.device == torch.device(last)


def test_kernel_info_names_both_passes():
    text = elman.kernel_info(elman.RNN(5, 7), torch.randn(4, 3, 5))
    assert text.startswith("cuda: ")
    assert "forward: " in text and "backward: " in text
