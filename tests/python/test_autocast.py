"""Under torch.autocast the operators run in its lower precision, as torch.nn.RNN does."""

import elman
import pytest
import torch


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("truncation", [None, 3, (1, 4)])
def test_equals_a_module_of_the_lower_precision(packed, truncation):
    rnn = elman.RNN(5, 7, 2, truncation=truncation)
    low = elman.RNN(5, 7, 2, truncation=truncation, dtype=torch.bfloat16)
    low.load_state_dict({name: value.bfloat16() for name, value in rnn.state_dict().items()})
    x = torch.randn(9, 3, 5)

    def run(module, x):
        if packed:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, [9, 6, 2])
        output, h_n = module(x)
        output = output.data if packed else output
        (output.sum() + h_n.sum()).backward()
        return output, h_n

    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = run(rnn, x)
    expected = run(low, x.bfloat16())
    torch.testing.assert_close(actual, expected, rtol=0, atol=0)
    for name, parameter in rnn.named_parameters():
        assert parameter.grad.dtype == torch.float32
        gradient = low.get_parameter(name).grad.float()
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=0)


def test_mixed_dtypes_are_cast_as_torch_casts_them():
    ours, theirs = elman.RNN(5, 7), torch.nn.RNN(5, 7)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 2, 5, dtype=torch.bfloat16)  # what a Linear before it would give
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual, expected = ours(x)[0], theirs(x)[0]
    assert actual.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(actual, expected, rtol=2e-2, atol=1e-2)


def test_cell():
    cell = elman.RNNCell(5, 7)
    x, h = torch.randn(3, 5), torch.randn(3, 7)
    with torch.autocast("cpu", dtype=torch.float16):
        actual = cell(x, h)
    assert actual.dtype == torch.float16
    torch.testing.assert_close(actual.float(), cell(x, h), rtol=2e-3, atol=2e-3)
