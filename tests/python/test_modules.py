"""`elman.RNN` as a drop-in for torch.nn.RNN, and what all modules have in common."""

import copy
import io
import pickle
import warnings

import elman
import pytest
import torch
from samples import assert_close, grid
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence


def pair(*args, truncation=None, **kwargs):
    """elman.RNN and torch.nn.RNN with the same seed."""
    torch.manual_seed(1)
    ours = elman.RNN(*args, truncation=truncation, **kwargs)
    torch.manual_seed(1)
    return ours, torch.nn.RNN(*args, **kwargs)


@pytest.mark.parametrize(
    "case",
    grid(
        num_layers=(1, 2),
        bidirectional=(False, True),
        bias=(True, False),
        nonlinearity=("tanh", "relu"),
    ),
    ids=str,
)
def test_same_seed_same_parameters_same_random_stream(case):
    ours, theirs = pair(
        4, 6, case.num_layers, case.nonlinearity, case.bias, bidirectional=case.bidirectional
    )
    after = torch.rand(1)
    torch.manual_seed(1)
    elman.RNN(4, 6, case.num_layers, case.nonlinearity, case.bias, bidirectional=case.bidirectional)
    assert torch.equal(torch.rand(1), after)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    assert [[w.shape for w in layer] for layer in ours.all_weights] == [
        [w.shape for w in layer] for layer in theirs.all_weights
    ]
    relu = ", nonlinearity=relu" if case.nonlinearity == "relu" else ""  # torch does not show it
    assert repr(ours) == repr(theirs).removesuffix(")") + relu + ")"
    assert ours.mode == theirs.mode


def test_is_an_rnn_base_but_no_torch_rnn():
    rnn = elman.RNN(4, 6)
    assert isinstance(rnn, torch.nn.RNNBase)
    assert not isinstance(rnn, torch.nn.RNN)
    assert isinstance(elman.RNNCell(4, 6), torch.nn.RNNCellBase)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("enforce_sorted", [False, True])
def test_packed_sequences_equal_torch(bidirectional, batch_first, enforce_sorted):
    ours, theirs = pair(
        4, 6, 2, batch_first=batch_first, bidirectional=bidirectional, dtype=torch.float64
    )
    lengths = (6, 4, 1) if enforce_sorted else (1, 6, 4)
    sequences = [torch.randn(n, 4, dtype=torch.float64) for n in lengths]
    packed = pack_sequence(sequences, enforce_sorted=enforce_sorted)
    for hx in (None, torch.randn(4 if bidirectional else 2, 3, 6, dtype=torch.float64)):
        output, h_n = ours(packed, hx)
        expected, expected_h_n = theirs(packed, hx)
        assert isinstance(output, PackedSequence)
        assert_close(pad_packed_sequence(output)[0], pad_packed_sequence(expected)[0])
        assert_close(h_n, expected_h_n)
        (output.data.square().sum() + h_n.sum()).backward()
        (expected.data.square().sum() + expected_h_n.sum()).backward()
        assert_close([p.grad for p in ours.parameters()], [p.grad for p in theirs.parameters()])


def test_state_dicts_go_both_ways():
    ours, theirs = elman.RNN(4, 6, 2, bidirectional=True), torch.nn.RNN(4, 6, 2, bidirectional=True)
    x = torch.randn(5, 3, 4)
    ours.load_state_dict(theirs.state_dict())
    assert_close(ours(x), theirs(x))
    ours.reset_parameters()
    theirs.load_state_dict(ours.state_dict())
    assert_close(ours(x), theirs(x))


def test_dropout_draws_from_the_same_stream_as_torch():
    ours, theirs = pair(4, 6, 3, dropout=0.5, dtype=torch.float64)
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    results = []
    for module in (ours, theirs, ours):
        torch.manual_seed(7)
        results.append((*module(x), torch.rand(1, dtype=torch.float64)))
    assert_close(results[0], results[1])
    for first, again in zip(results[0], results[2], strict=True):
        assert torch.equal(first, again)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    assert torch.equal(ours.eval()(x)[0], ours(x)[0])


def test_dropout_with_one_layer_warns_as_torch_does():
    caught = []
    for kind in (elman.RNN, torch.nn.RNN):
        with warnings.catch_warnings(record=True) as records:
            warnings.simplefilter("always")
            kind(4, 6, dropout=0.3)
        caught.append([(r.category, str(r.message)) for r in records])
    assert caught[0] == caught[1]
    assert len(caught[0]) == 1


def test_extra_repr():
    assert repr(elman.RNN(4, 6)) == "RNN(4, 6)"
    assert repr(elman.RNN(4, 6, truncation=5)) == "RNN(4, 6, truncation=(5, 5))"
    full = elman.RNN(
        4,
        6,
        2,
        "sigmoid",
        bias=False,
        batch_first=True,
        dropout=0.5,
        bidirectional=True,
        truncation=3,
    )
    assert repr(full) == (
        "RNN(4, 6, num_layers=2, bias=False, batch_first=True, dropout=0.5, bidirectional=True, "
        "nonlinearity=sigmoid, truncation=(3, 3))"
    )
    assert repr(elman.RNNCell(4, 6, False, "relu")) == repr(torch.nn.RNNCell(4, 6, False, "relu"))


def test_truncation_can_be_set_at_any_time():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    assert rnn.truncation is None
    x = torch.randn(9, 2, 4, dtype=torch.float64)

    def gradient():
        return torch.autograd.grad(rnn(x)[0].square().sum(), rnn.weight_hh_l0)[0]

    full = gradient()
    rnn.truncation = 2
    assert rnn.truncation == (2, 2)
    assert not torch.allclose(gradient(), full)
    rnn.truncation = (1, 9)
    assert_close(gradient(), full)
    rnn.truncation = None
    assert rnn.truncation is None
    assert_close(gradient(), full)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize(
    "original",
    [
        elman.RNN(4, 6, 2, "sigmoid", truncation=(2, 5)),
        elman.RNNCell(4, 6, nonlinearity="relu"),
        elman.Network(4, 6, 2, truncation=3),
    ],
    ids=["RNN", "RNNCell", "Network"],
)
def test_copies_and_pickles(clone, original):
    copied = clone(original)
    assert repr(copied) == repr(original)
    x = torch.randn(5, 3, 4) if not isinstance(original, elman.RNNCell) else torch.randn(3, 4)
    with torch.no_grad():
        before = original(x)
        assert_close(copied(x), before)
        for parameter in copied.parameters():
            parameter.zero_()
        assert_close(original(x), before)


def test_save_and_load_of_whole_modules():
    rnn = elman.RNN(4, 6, truncation=(2, 5))
    buffer = io.BytesIO()
    torch.save(rnn, buffer)
    buffer.seek(0)
    loaded = torch.load(buffer, weights_only=False)
    assert loaded.truncation == (2, 5)
    x = torch.randn(5, 3, 4)
    assert_close(loaded(x), rnn(x))


def test_state_of_a_torch_rnn():
    theirs = torch.nn.RNN(4, 6, 2, "relu")
    ours = elman.RNN.__new__(elman.RNN)
    ours.__setstate__(theirs.__getstate__())
    assert ours.truncation is None
    x = torch.randn(5, 3, 4)
    assert_close(ours(x), theirs(x))


def test_training_lowers_the_loss():
    """Remembering a bit over 6 steps, which takes the recurrence."""
    rnn = elman.RNN(1, 16, truncation=(2, 8))
    readout = torch.nn.Linear(16, 1)
    optimizer = torch.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=1e-2)
    losses = []
    for _ in range(150):
        x = (torch.rand(20, 32, 1) < 0.5).float() * 2 - 1
        y = readout(rnn(x)[0])
        loss = (y[6:] - x[:-6]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("truncation", [None, (2, 3)], ids=str)
def test_weights_that_are_not_the_parameters_themselves(truncation):
    rnn = elman.RNN(4, 6, 2, truncation=truncation, dtype=torch.float64)
    x = torch.randn(5, 3, 4, dtype=torch.float64)

    class Double(torch.nn.Module):
        def forward(self, weight):
            return 2 * weight

    plain = copy.deepcopy(rnn)
    with torch.no_grad():
        plain.weight_hh_l1.mul_(2)
    parametrize.register_parametrization(rnn, "weight_hh_l1", Double())
    rnn(x)[0].sum().backward()
    plain(x)[0].sum().backward()
    assert_close(rnn.parametrizations.weight_hh_l1.original.grad, 2 * plain.weight_hh_l1.grad)
    assert_close(rnn.weight_ih_l0.grad, plain.weight_ih_l0.grad)


def test_weight_changes_are_seen_at_once():
    rnn = elman.RNN(4, 6)
    x = torch.randn(5, 3, 4)
    other = {name: torch.randn_like(p) for name, p in rnn.named_parameters()}
    expected = torch.func.functional_call(rnn, other, (x,))
    assert not torch.allclose(expected[0], rnn(x)[0])
    with torch.no_grad():
        for name, p in rnn.named_parameters():
            p.copy_(other[name])
    assert_close(rnn(x), expected)
    rnn.weight_hh_l0 = torch.nn.Parameter(torch.zeros(6, 6))
    rnn(x)[0].sum().backward()
    assert rnn.weight_hh_l0.grad is not None


def test_flatten_parameters_and_to():
    rnn = elman.RNN(4, 6, nonlinearity="sigmoid")
    rnn.flatten_parameters()
    rnn.to(torch.float64)
    assert rnn(torch.randn(5, 4, dtype=torch.float64))[0].dtype == torch.float64
    on_meta = rnn.to("meta")
    output, h_n = on_meta(torch.randn(5, 3, 4, dtype=torch.float64, device="meta"))
    assert (output.shape, h_n.shape) == ((5, 3, 6), (1, 3, 6))


def test_reset_and_carry_scale_reach_the_operator():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    reset = torch.zeros(6, 3, dtype=torch.bool)
    reset[2] = True
    assert_close(rnn(x, reset=reset)[0][2:], rnn(x[2:])[0])
    scale = torch.zeros(6, dtype=torch.float64)
    rnn(x, carry_scale=scale)[0].sum().backward()
    actual = rnn.weight_hh_l0.grad.clone()
    rnn.zero_grad()
    rnn.truncation = 1
    rnn(x)[0].sum().backward()
    assert_close(actual, rnn.weight_hh_l0.grad)
