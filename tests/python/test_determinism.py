"""The number of threads decides how the work is cut, never what comes out: bit by bit the same."""

import elman
import pytest
import torch

SIZES = [  # T, B, I, H: large enough that the work is shared
    (300, 1, 70, 96),
    (200, 2, 33, 100),
    (120, 3, 40, 130),
    (60, 17, 64, 128),
    (40, 64, 65, 160),
]


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


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

    def run(threads):
        set_threads(threads)
        output, h_n = rnn(x)
        gradients = torch.autograd.grad(
            [output, h_n], [x, *rnn.parameters()], [grad_output, torch.ones_like(h_n)]
        )
        return [output, h_n, *gradients]

    alone = run(1)
    for threads in (2, 3, 2):
        for ours, expected in zip(run(threads), alone, strict=True):
            assert torch.equal(ours, expected)
