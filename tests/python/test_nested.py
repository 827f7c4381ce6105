"""Jagged nested tensors as input: the sequences one by one are the oracle."""

import elman
import pytest
import torch
from samples import assert_close

LENGTHS = (3, 6, 1, 3)


def sequences(input_size=4):
    return [torch.randn(n, input_size, dtype=torch.float64) for n in LENGTHS]


def nested(tensors):
    return torch.nested.nested_tensor(tensors, layout=torch.jagged, requires_grad=True)


def with_holes(tensors):
    """The same sequences as a nested tensor whose values have gaps."""
    padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True)
    starts = torch.zeros(len(tensors), dtype=torch.int64)
    return torch.nested.narrow(padded, 1, starts, torch.tensor(LENGTHS), layout=torch.jagged)


@pytest.mark.parametrize("truncation", [None, 2], ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("with_hx", [False, True])
def test_outputs_and_gradients(truncation, bidirectional, with_hx):
    rnn = elman.RNN(
        4, 6, 2, bidirectional=bidirectional, truncation=truncation, dtype=torch.float64
    )
    tensors = sequences()
    hx = None
    if with_hx:
        hx = torch.randn(4 if bidirectional else 2, len(LENGTHS), 6, dtype=torch.float64)
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    pairs = [rnn(leaf, None if hx is None else hx[:, b]) for b, leaf in enumerate(leaves)]
    loss = sum(output.square().sum() + h_n.sum() for output, h_n in pairs)
    expected = torch.autograd.grad(loss, [*leaves, *rnn.parameters()])

    input = nested(tensors)
    output, h_n = rnn(input, hx)
    assert output.is_nested
    assert output.layout == torch.jagged
    assert output.shape[1] == input.shape[1]  # the same ragged size: the two can be added
    assert_close(output.unbind(), [output for output, _ in pairs])
    assert_close(h_n, torch.stack([h for _, h in pairs], 1))
    loss = output.values().square().sum() + h_n.sum()
    input_grad, *grads = torch.autograd.grad(loss, [input, *rnn.parameters()])
    assert_close([*input_grad.unbind(), *grads], expected)


def test_batch_first_is_ignored_as_for_packed_input():
    rnn = elman.RNN(4, 6, batch_first=True, dtype=torch.float64)
    tensors = sequences()
    output, h_n = rnn(nested(tensors))
    assert_close(output.unbind(), [rnn(tensor)[0] for tensor in tensors])
    assert_close(h_n[0], torch.stack([rnn(tensor)[1][0] for tensor in tensors]))


def test_values_with_holes():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    tensors = sequences()
    output, _ = rnn(with_holes(tensors))
    assert_close(output.unbind(), [rnn(tensor)[0] for tensor in tensors])


def test_inside_a_model():
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 5, dtype=torch.float64),
        elman.Network(5, 6, 2, output="softmax", dtype=torch.float64),
    )
    tensors = sequences()
    y, h_n = model(nested(tensors))
    assert_close(y.unbind(), [model(tensor)[0] for tensor in tensors])
    last = elman.Network(4, 6, 2, mapping="many_to_one", dtype=torch.float64)
    y, h_n = last(nested(tensors))
    assert_close(y, torch.stack([last(tensor)[0] for tensor in tensors]))
    assert h_n.shape == (1, len(LENGTHS), 6)


def test_the_longest_length_stays():
    rnn, tensors = elman.RNN(4, 6, dtype=torch.float64), sequences()
    output, _ = rnn(nested(tensors))
    padded = torch.nested.to_padded_tensor(output, 0.0)
    expected = torch.nn.utils.rnn.pad_sequence([rnn(x)[0] for x in tensors], batch_first=True)
    assert_close(padded, expected)
    for result in (output, rnn(with_holes(tensors))[0]):
        assert (result._min_seqlen, result._max_seqlen) == (min(LENGTHS), max(LENGTHS))


def test_under_another_default_device():
    rnn, input = elman.RNN(4, 6, dtype=torch.float64), nested(sequences())
    expected = rnn(input)
    with torch.device("meta"):
        output, h_n = rnn(input)
    assert_close([output.values(), h_n], [expected[0].values(), expected[1]])


def test_kernel_info_is_that_of_packed_input():
    rnn, tensors = elman.RNN(4, 6, dtype=torch.float64), sequences()
    packed = torch.nn.utils.rnn.pack_sequence(tensors, enforce_sorted=False)
    assert elman.kernel_info(rnn, nested(tensors)) == elman.kernel_info(rnn, packed)


def test_what_takes_padded_input_only_says_so():
    rnn, input = elman.RNN(4, 6, dtype=torch.float64), nested(sequences())
    message = r"input should be a padded Tensor, got a nested one \(torch.jagged\)"
    with pytest.raises(TypeError, match=message):
        elman.Stream(rnn, 5, 5)(input)
    with pytest.raises(TypeError, match=message):
        elman.gradient_by_lag(rnn, input, max_lag=2)
    with pytest.raises(TypeError, match=message):
        elman.kernel_info(elman.RNNCell(4, 6), input)


WRONG = {
    "strided": (
        lambda: torch.nested.nested_tensor([torch.zeros(2, 4)]),
        "Expected nested input to have the layout torch.jagged, got torch.strided",
    ),
    "2-D": (lambda: nested([torch.zeros(2)]), r"to be of shape \[B, j, input_size\]"),
    "4-D": (lambda: nested([torch.zeros(2, 3, 4)]), r"to be of shape \[B, j, input_size\]"),
    "transposed": (
        lambda: nested([torch.zeros(2, 4)]).transpose(1, 2),
        r"to be of shape \[B, j, input_size\]",
    ),
    "an empty sequence": (
        lambda: nested([torch.zeros(2, 4), torch.zeros(0, 4)]),
        r"sequence length to be larger than 0 in RNN, got a nested input with .* \[2, 0\]",
    ),
    "input size": (
        lambda: nested([torch.zeros(2, 5)]),
        "must be equal to input_size. Expected 4, got 5",
    ),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_wrong_nested_input(make, message):
    with pytest.raises(RuntimeError, match=message):
        elman.RNN(4, 6)(make())


def test_wrong_arguments_with_nested_input():
    rnn, input = elman.RNN(4, 6), nested([torch.zeros(2, 4), torch.zeros(3, 4)])
    with pytest.raises(ValueError, match=r"input dtype .* does not match weight dtype"):
        rnn.double()(input)
    with pytest.raises(ValueError, match="reset is not supported with nested input"):
        rnn(input, reset=torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="carry_scale is not supported with nested input"):
        rnn(input, carry_scale=torch.ones(3))
    with pytest.raises(ValueError, match="RNNCell: Expected input to be 1D or 2D, got 3D"):
        elman.RNNCell(4, 6)(input)
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        rnn.float()(input, torch.zeros(1, 3, 6))
