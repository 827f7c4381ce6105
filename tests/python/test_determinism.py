"""The number of threads decides how the work is cut, never what comes out: bit by bit the same."""

import dataclasses

import elman
import pytest
import torch
from samples import Case, make

SIZES = [  # T, B, I, H: large enough that the work is shared
    (300, 1, 70, 96),
    (200, 2, 33, 100),
    (120, 3, 40, 130),
    (60, 17, 64, 128),
    (40, 64, 65, 160),
    (60, 2, 40, 200),  # here threads share each step
]


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def assert_threads_do_not_show(set_threads, run):
    set_threads(1)
    alone = run()
    for threads in (2, 3, 2):
        set_threads(threads)
        for ours, expected in zip(run(), alone, strict=True):
            assert torch.equal(ours, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("truncation", [None, 5, (2, 9), (1, 4)], ids=str)
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (2, False), (2, True)])
def test_threads_do_not_show_in_the_result(
    set_threads, dtype, size, truncation, layers, bidirectional
):
    steps, batch, input_size, hidden_size = size
    if bidirectional and isinstance(truncation, tuple):
        truncation = truncation[1]
    torch.manual_seed(0)
    rnn = elman.RNN(
        input_size,
        hidden_size,
        layers,
        bidirectional=bidirectional,
        dtype=dtype,
        truncation=truncation,
    )
    x = torch.randn(steps, batch, input_size, dtype=dtype, requires_grad=True)
    grad_output = torch.randn_like(rnn(x)[0])

    def run():
        output, h_n = rnn(x)
        gradients = torch.autograd.grad(
            [output, h_n], [x, *rnn.parameters()], [grad_output, torch.ones_like(h_n)]
        )
        return [output, h_n, *gradients]

    assert_threads_do_not_show(set_threads, run)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize(
    "case",
    [
        Case(lengths=(90, 80, 60, 60, 31, 30, 8, 2, 1), num_layers=2),
        Case(lengths=(90, 30, 30, 2), num_layers=2, bidirectional=True, k1=4, k2=4),
        Case(lengths=(90, 80, 60, 60, 31, 30, 8, 2, 1), num_layers=2, k1=2, k2=9),
        Case(lengths=(200, 1), k1=1, k2=8),
        Case(steps=90, batch=9, num_layers=2, reset=True, carry_scale="rows"),
        Case(steps=90, batch=9, num_layers=2, reset=True, bidirectional=True, k1=5, k2=5),
        Case(steps=90, batch=3, num_layers=2, reset=True, carry_scale="steps", k1=1, k2=7),
    ],
    ids=str,
)
def test_threads_do_not_show_in_packed_and_masked_calls(set_threads, case, dtype):
    sample = make(dataclasses.replace(case, input_size=40, hidden_size=96, dtype=dtype))
    assert_threads_do_not_show(set_threads, lambda: [*sample.run(), *sample.gradients()])
