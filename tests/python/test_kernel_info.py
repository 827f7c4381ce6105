"""`kernel_info`: what is said about a call, for modules and operators, with every kind of input."""

import elman
import pytest
import torch
from samples import REPRESENTATIVE, make


def rnn_info(sample):
    op = torch.ops.elman.kernel_info
    overload = op.default if sample.batch_sizes is None else op.data
    return overload(*sample.args(), **sample.kwargs())


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_the_cpu_has_fused_kernels(case):
    expected = f"cpu: fused kernels compiled for {torch.backends.cpu.get_cpu_capability()}"
    assert rnn_info(make(case)) == expected


def test_what_multiplies_bfloat16():
    x, rnn = torch.randn(60, 64, 32).bfloat16(), elman.RNN(32, 128, dtype=torch.bfloat16)
    small = elman.kernel_info(elman.RNN(32, 1, dtype=torch.bfloat16), x[:, :1])
    large = elman.kernel_info(rnn, x)
    one_row = elman.kernel_info(elman.RNN(32, 600, dtype=torch.bfloat16), x[:, :1])
    few_rows = elman.kernel_info(rnn, x[:2, :2])
    odd = elman.kernel_info(elman.RNN(32, 129, dtype=torch.bfloat16), x[:4, :4])
    with torch.backends.mkldnn.flags(enabled=False):
        without_onednn = elman.kernel_info(rnn, x)
    expected = f"cpu: fused kernels compiled for {torch.backends.cpu.get_cpu_capability()}, forward"
    ours = ["float32's multiply-adds", "dot products of bfloat16 (AVX512_BF16)"]
    for text, kinds in (
        (small, ours),
        (few_rows, ["float32's dot products"]),
        (odd, ["float32's dot products", ours[1]]),
        (one_row, ours),
        (large, [*ours, "oneDNN on the matrix unit (AMX)"]),
        (without_onednn, ours),
    ):
        assert text in [f"{expected} products by {kind}" for kind in kinds]


def test_modules():
    rnn = elman.RNN(3, 4, num_layers=2, bidirectional=True, truncation=2)
    x, hx = torch.randn(5, 2, 3), torch.randn(4, 2, 4)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3]))
    reset = torch.zeros(5, 2, dtype=torch.bool)
    cell = elman.RNNCell(3, 4, bias=False)
    texts = [
        elman.kernel_info(rnn, x),
        elman.kernel_info(rnn, x, hx, reset=reset),
        elman.kernel_info(rnn, packed, hx),
        elman.kernel_info(cell, x[0]),
        elman.kernel_info(cell, x[0, 0], hx[0, 0]),
        elman.kernel_info(elman.Network(3, 4, 2), x),
    ]
    assert all(text.startswith("cpu: fused kernels") for text in texts)


@pytest.mark.parametrize("leak_form", ["rate", "current"])
def test_a_leak_is_in_the_fused_kernels(leak_form):
    x, params = torch.randn(5, 2, 3), [*torch.nn.RNN(3, 4).parameters()]
    info = torch.ops.elman.kernel_info
    arguments = (x, None, params, True, 1, 0.0, True, False, False)
    capability = torch.backends.cpu.get_cpu_capability()
    expected = f"cpu: fused kernels compiled for {capability}, the leak in them"
    assert info(*arguments, leak=torch.full((1, 4), 0.5), leak_form=leak_form) == expected


def test_what_the_composite_engine_takes():
    complex_rnn = elman.RNN(3, 4, dtype=torch.complex64)
    text = elman.kernel_info(complex_rnn, torch.randn(5, 2, 3, dtype=torch.complex64))
    assert text == "composite: PyTorch operators; there are no fused kernels for ComplexFloat"
    on_meta = elman.kernel_info(elman.RNN(3, 4, device="meta"), torch.empty(5, 2, 3, device="meta"))
    assert on_meta == "composite: PyTorch operators; there are no values to compute"


def test_wrong_arguments_are_the_operators_errors():
    with pytest.raises(RuntimeError, match=r"input.size\(-1\) must be equal to input_size"):
        elman.kernel_info(elman.RNN(3, 4), torch.randn(5, 2, 9))
    with pytest.raises(TypeError, match=r"module should be an elman.RNN.*got: .*torch.nn"):
        elman.kernel_info(torch.nn.RNN(3, 4), torch.randn(5, 2, 3))
