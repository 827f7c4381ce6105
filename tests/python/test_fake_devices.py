"""Fake tensors on a device that this machine need not have: what compilers see of a GPU's calls."""

import pytest
import torch
from samples import Case, make
from torch._subclasses.fake_tensor import FakeTensorMode

PACKED = [
    Case(lengths=(5, 3, 1)),
    Case(lengths=(6, 4, 4, 2), num_layers=2, bidirectional=True, bias=False),
    Case(lengths=(6, 4, 4, 2), num_layers=2, dropout=0.5, k1=2, k2=4),
]


def on(mode, device, sample):
    """The sample's arguments as fake tensors on a device, batch_sizes on the CPU."""

    def move(value):
        if isinstance(value, list | tuple):
            return [move(element) for element in value]
        if not isinstance(value, torch.Tensor):
            return value
        where = "cpu" if value is sample.batch_sizes else device
        with mode:
            return torch.empty(value.shape, dtype=value.dtype, device=where)

    return [move(argument) for argument in sample.args()]


@pytest.mark.parametrize("case", PACKED, ids=str)
def test_packed_input_of_another_device_than_batch_sizes(case):
    sample = make(case)
    expected = sample.run()
    mode = FakeTensorMode()
    args = on(mode, "cuda", sample)
    with mode:
        results = sample.op(*args, **sample.kwargs())
    for result, value in zip(results, expected, strict=True):
        assert result.device.type == "cuda"
        assert result.shape == value.shape
        assert result.dtype == value.dtype


@pytest.mark.parametrize("case", PACKED, ids=str)
def test_its_gradient(case):
    """By the operator, since torch's engine wants the device itself."""
    mode = FakeTensorMode()
    sample = make(case)
    input, batch_sizes, hx, params, has_biases, num_layers, *_, bidirectional = on(
        mode, "cuda", sample
    )
    options = {"nonlinearity": "tanh", "k1": case.k1, "k2": case.k2, "batch_sizes": batch_sizes}
    options |= {"reset": None, "carry_scale": None}
    with mode:
        output, h_n, *saved = torch.ops.elman._rnn_forward(
            input, hx, params, has_biases, num_layers, case.dropout, case.dropout > 0,
            bidirectional, False, **options, masks=None, save_states=True, save_drives=True,
        )  # fmt: skip
        gradients = torch.ops.elman._rnn_backward(
            output, h_n, output, *saved, input, hx, params, has_biases, num_layers, 0.0, False,
            bidirectional, False, **options,
            output_mask=[True] * (2 + len(params)) + [False] * 2,
        )  # fmt: skip
    for gradient, leaf in zip(gradients, [input, hx, *params], strict=True):
        assert gradient.device.type == "cuda"
        assert gradient.shape == leaf.shape


def test_other_arguments_still_have_to_share_a_device():
    sample = make(PACKED[0])
    mode = FakeTensorMode()
    args = on(mode, "cuda", sample)
    with mode, pytest.raises(RuntimeError, match=r"two( different)? devices"):
        args[3] = [torch.empty(p.shape, dtype=p.dtype) for p in sample.params]
        sample.op(*args, **sample.kwargs())
