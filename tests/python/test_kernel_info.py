"""`kernel_info`: what is said about a call, for modules and operators, with every kind of input."""

import re
import threading

import elman
import pytest
import torch
from samples import REPRESENTATIVE, make


def rnn_info(sample):
    op = torch.ops.elman.kernel_info
    overload = op.default if sample.batch_sizes is None else op.data
    return overload(*sample.args(), **sample.kwargs())


@pytest.fixture
def threads():
    """Sets the number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def passes(text):
    """What is said before `forward: ...; backward: ...`, and the two."""
    found = re.fullmatch(r"(.*); forward: (.*); backward: (.*)", text)
    assert found, text
    return found.groups()


def divisions(*args, **kwargs):
    return passes(elman.kernel_info(*args, **kwargs))[1:]


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_the_cpu_has_fused_kernels(case):
    expected = f"cpu: fused kernels compiled for {torch.backends.cpu.get_cpu_capability()}"
    kernels, forward, backward = passes(rnn_info(make(case)))
    assert kernels == expected
    assert "thread" in forward
    assert "thread" in backward


ALL_ROWS = "each of 4 threads takes 8 rows through all steps"


@pytest.mark.parametrize(
    ("rnn", "size", "forward", "backward"),
    [
        (elman.RNN(16, 128), (100, 32, 16), ALL_ROWS, ALL_ROWS),
        (elman.RNN(16, 128, batch_first=True), (32, 100, 16), ALL_ROWS, ALL_ROWS),
        (
            elman.LeakyRNN(16, 128, alpha=0.5),
            (100, 32, 16),
            ALL_ROWS,
            ALL_ROWS,
        ),
        (
            elman.RNN(16, 128, num_layers=2, bidirectional=True),
            (100, 32, 16),
            "layer by layer, each of 4 threads takes 16 rows of one direction through all steps",
            "layer by layer, each of 4 threads takes 16 rows of one direction through all steps",
        ),
        (
            elman.RNN(16, 256),
            (100, 16),
            "4 threads share each step's columns: 1 row, W_h 256 KiB",
            "4 threads share each step's columns: 1 row, W_h 256 KiB",
        ),
        (
            elman.RNN(64, 64),
            (1000, 64),
            "2 threads, 1 row: the products with W_x, and the recurrence 125 steps behind",
            "one thread: 1 row and a W_h of 16 KiB are too small to divide",
        ),
        (
            elman.RNN(64, 64, num_layers=2, truncation=(1, 20)),
            (400, 2, 64),
            "4 threads, 2 rows: the products with W_x and the recurrence of 2 layers, each 25 "
            "steps behind the one before",
            "4 threads share 64 windows at a time and meet after each lag: 2 rows, of 400 windows "
            "of 20 steps",
        ),
        (
            elman.RNN(16, 128, truncation=5),
            (100, 2, 16),
            "2 threads, 2 rows: the products with W_x, and the recurrence 12 steps behind",
            "one thread: 20 windows of 2 rows and a W_h of 64 KiB are too small to divide",
        ),
    ],
    ids=str,
)
def test_how_threads_divide_a_call(threads, rnn, size, forward, backward):
    threads(4)
    x = torch.randn(size)
    assert divisions(rnn, x) == (forward, backward)
    threads(1)
    alone = "one thread, as torch.get_num_threads() is 1"
    assert divisions(rnn, x) == (alone, alone)


def test_small_calls_stay_on_their_thread(threads):
    threads(2)
    for module, size, forward, backward in (
        (elman.RNN(64, 64), (100, 1, 64), 1.6, 2.5),
        (elman.RNNCell(64, 64), (8, 64), 0.13, 0.2),
    ):
        small = "one thread, as {} million operations are too few to wake another"
        found = divisions(module, torch.randn(size))
        assert found == (small.format(forward), small.format(backward))


def test_packed_sequences_are_divided_by_their_steps(threads):
    threads(2)
    lengths = torch.arange(40, 8, -1)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(40, 32, 16), lengths)
    expected = "each of 2 threads takes some of 32 sequences through all steps"
    assert divisions(elman.RNN(16, 128), packed) == (expected, expected)
    equal = torch.nn.utils.rnn.pack_padded_sequence(torch.randn(40, 32, 16), torch.full((32,), 40))
    expected = "each of 2 threads takes 16 rows through all steps"
    assert divisions(elman.RNN(16, 128), equal) == (expected, expected)


def test_without_a_gradient_deep_stacks_keep_two_layers_states(threads):
    threads(2)
    rnn, x = elman.RNN(64, 64, num_layers=4), torch.randn(400, 64)
    assert "the recurrence of 4 layers" in divisions(rnn, x)[0]
    with torch.no_grad():
        assert divisions(rnn, x)[0].startswith("layer by layer, 2 threads, 1 row")


def test_threads_are_those_of_the_calling_thread(threads):
    threads(2)
    rnn, x, found = elman.RNN(16, 128), torch.randn(100, 32, 16), []

    def ask():
        torch.set_num_threads(1)
        found.append(divisions(rnn, x)[0])

    other = threading.Thread(target=ask)
    other.start()
    other.join()
    assert found == ["one thread, as torch.get_num_threads() is 1"]


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
        (one_row, ["float32's dot products", *ours]),
        (large, [*ours, "oneDNN on the matrix unit (AMX)"]),
        (without_onednn, ours),
    ):
        assert passes(text)[0] in [f"{expected} products by {kind}" for kind in kinds]


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
    text = info(*arguments, leak=torch.full((1, 4), 0.5), leak_form=leak_form)
    assert passes(text)[0] == expected


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
