"""`elman.Network` against its formulas."""

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils.rnn import PackedSequence, pack_sequence

OUTPUTS = {
    "identity": lambda a: a,
    "softmax": lambda a: torch.softmax(a, -1),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def network(*sizes, **options):
    return elman.Network(*sizes, **options, dtype=torch.float64)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def test_keys_and_repr():
    net = elman.Network(4, 6, 2, mapping="many_to_one", output="tanh", num_layers=2, truncation=5)
    assert list(net.state_dict()) == [
        *(f"rnn.{name}" for name in elman.RNN(4, 6, 2).state_dict()),
        "out.weight",
        "out.bias",
    ]
    assert repr(net) == (
        "Network(\n"
        "  mapping=many_to_one, output=tanh\n"
        "  (rnn): RNN(4, 6, num_layers=2, truncation=(5, 5))\n"
        "  (out): Linear(in_features=6, out_features=2, bias=True)\n"
        ")"
    )


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_many_to_many(output, num_layers):
    net = network(4, 6, 2, output=output, num_layers=num_layers)
    x, hx = randn(5, 3, 4), randn(num_layers, 3, 6)
    y, h_n = net(x, hx)
    h, expected_h_n = net.rnn(x, hx)
    assert_close(y, OUTPUTS[output](h @ net.out.weight.T + net.out.bias))
    assert_close(h_n, expected_h_n)
    assert_close(net(x[:, 0], hx[:, 0])[0], y[:, 0])


@pytest.mark.parametrize("output", OUTPUTS)
def test_two_directions_add_up(output):
    net = network(4, 6, 2, output=output, bidirectional=True, batch_first=True)
    x = randn(3, 5, 4)
    forward, backward = net.rnn(x)[0].split(6, dim=-1)
    w_forward, w_backward = net.out.weight.split(6, dim=1)
    y, _ = net(x)
    assert_close(y, OUTPUTS[output](forward @ w_forward.T + backward @ w_backward.T + net.out.bias))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_many_to_one_reads_the_last_valid_step(bidirectional, num_layers):
    net = network(
        4, 6, 2, mapping="many_to_one", num_layers=num_layers, bidirectional=bidirectional
    )
    sequences = [randn(n, 4) for n in (2, 6, 4)]
    y, h_n = net(pack_sequence(sequences, enforce_sorted=False))
    assert y.shape == (3, 2)
    for b, sequence in enumerate(sequences):
        h = net.rnn(sequence)[0]
        final = h[-1] if not bidirectional else torch.cat([h[-1, :6], h[0, 6:]])
        expected = final @ net.out.weight.T + net.out.bias
        assert_close(y[b], expected)
        alone, alone_h_n = net(sequence)
        assert_close(alone, expected)
        assert_close(h_n[:, b], alone_h_n)
        assert_close(net(sequence.unsqueeze(1))[0], expected.unsqueeze(0))


def test_many_to_many_packed():
    net = network(4, 6, 2, output="softmax", truncation=2)
    sequences = [randn(n, 4) for n in (2, 6, 4)]
    y, _ = net(pack_sequence(sequences, enforce_sorted=False))
    assert isinstance(y, PackedSequence)
    unpacked = torch.nn.utils.rnn.unpack_sequence(y)
    for sequence, one in zip(sequences, unpacked, strict=True):
        assert_close(one, net(sequence)[0])


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("has_hx", [True, False])
def test_one_to_many_feeds_its_outputs_back(output, has_hx):
    net = network(4, 6, 4, mapping="one_to_many", output=output, num_layers=2)
    x = randn(3, 4).requires_grad_()
    hx = randn(2, 3, 6) if has_hx else None
    y, h_n = net(x, hx, steps=5)

    step, state, expected = x, hx, []
    for _ in range(5):
        h, state = net.rnn(step.unsqueeze(0), state)
        step = OUTPUTS[output](h[0] @ net.out.weight.T + net.out.bias)
        expected.append(step)
    expected = torch.stack(expected)
    assert_close(y, expected)
    assert_close(h_n, state)
    wanted = [x, *net.parameters()]
    assert_close(
        torch.autograd.grad(y.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
    )


def test_one_to_many_shapes():
    net = network(4, 6, 4, mapping="one_to_many")
    first = network(4, 6, 4, mapping="one_to_many", batch_first=True)
    first.load_state_dict(net.state_dict())
    x = randn(3, 4)
    y, _ = net(x, steps=5)
    assert_close(net(x.unsqueeze(0), steps=5)[0], y)
    assert_close(net(x[1], steps=5)[0], y[:, 1])
    assert_close(first(x, steps=5)[0], y.transpose(0, 1))
    assert_close(first(x.unsqueeze(1), steps=5)[0], y.transpose(0, 1))
    assert_close(first(x[1], steps=5)[0], y[:, 1])


def test_truncation_of_the_recurrent_part_is_not_that_of_the_output_layer():
    net = network(4, 6, 2, truncation=(1, 2))
    x = randn(6, 3, 4)
    h, _ = net.rnn(x)
    loss = (h @ net.out.weight.T + net.out.bias).square().sum()
    wanted = list(net.parameters())
    assert_close(
        torch.autograd.grad(net(x)[0].square().sum(), wanted), torch.autograd.grad(loss, wanted)
    )


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((4, 6, 0), {}, "output_size must be greater than zero, got 0"),
        ((4, 6, -1), {}, "output_size must be greater than zero, got -1"),
        ((4, 6, 2), {"mapping": "one_to_one"}, "Unknown mapping 'one_to_one'"),
        ((4, 6, 2), {"output": "relu"}, "Unknown output 'relu'"),
        ((4, 6, 2), {"mapping": "one_to_many"}, "output_size must be equal to input_size"),
        (
            (4, 6, 4),
            {"mapping": "one_to_many", "bidirectional": True},
            "bidirectional must be False",
        ),
        ((4, 6, 4), {"mapping": "one_to_many", "truncation": 2}, "truncation must be None"),
        ((4, 6, 2), {"nonlinearity": "elu"}, "Unknown nonlinearity 'elu'"),
    ],
)
def test_wrong_constructions(sizes, options, message):
    with pytest.raises(ValueError, match=message):
        elman.Network(*sizes, **options)


def test_wrong_calls():
    many, generator = network(4, 6, 2), network(4, 6, 4, mapping="one_to_many")
    packed = pack_sequence([randn(3, 4)])
    for net, args, options, message in [
        (many, (randn(5, 3, 4),), {"steps": 3}, "steps is for mapping 'one_to_many' only"),
        (many, (packed,), {"steps": 3}, "steps is for mapping 'one_to_many' only"),
        (generator, (randn(3, 4),), {}, "steps must be at least 1 for one_to_many, got None"),
        (generator, (randn(3, 4),), {"steps": 0}, "steps must be at least 1 .* got 0"),
        (generator, (randn(2, 3, 4),), {"steps": 3}, r"one step of shape .* got \[2, 3, 4\]"),
        (generator, (randn(1, 1, 3, 4),), {"steps": 3}, "one step of shape"),
        (generator, (packed,), {"steps": 3}, "takes one step, not a PackedSequence"),
    ]:
        with pytest.raises(ValueError, match=message):
            net(*args, **options)
    generator.rnn.truncation = 2
    with pytest.raises(ValueError, match="truncation must be None"):
        generator(randn(3, 4), steps=3)
