"""Done flags as the `reset` of an RNN. Against the libraries themselves: tests/elsewhere."""

import elman
import pytest
import torch

LATER = {
    "sb3_contrib": 0,
    "torchrl": 0,
    "rsl_rl": 1,
    "skrl": 1,
    "gymnasium_same_step": 1,
    "gymnasium_next_step": 2,
}
FLAGS = torch.tensor([[0, 1], [0, 0], [1, 0], [0, 0], [0, 1]], dtype=torch.bool)  # [T, B]


def shifted(flags, later):
    expected = torch.zeros_like(flags)
    for t in range(flags.size(0) - later):
        expected[t + later] = flags[t]
    return expected


@pytest.mark.parametrize(("convention", "later"), LATER.items())
def test_shapes_and_dtypes(convention, later):
    expected = shifted(FLAGS, later)
    for flags in (FLAGS, FLAGS.float(), FLAGS.long(), FLAGS.unsqueeze(2)):
        assert torch.equal(elman.reset_from_flags(flags, convention), expected)
    for flags in (FLAGS.t(), FLAGS.t().unsqueeze(2).float()):
        actual = elman.reset_from_flags(flags, convention, batch_first=True)
        assert torch.equal(actual, expected.t())
    assert torch.equal(elman.reset_from_flags(FLAGS[:, 0], convention), expected[:, 0])
    one = elman.reset_from_flags(FLAGS[:, :1], convention)  # [T, 1]: one environment
    assert torch.equal(one, expected[:, :1])


@pytest.mark.parametrize(("convention", "later"), LATER.items())
@pytest.mark.parametrize("batch_first", [False, True])
def test_chunks_equal_the_whole(convention, later, batch_first):
    def call(flags, **options):
        if batch_first:
            options = {name: value.t() for name, value in options.items()}
            return elman.reset_from_flags(flags.t(), convention, batch_first=True, **options).t()
        return elman.reset_from_flags(flags, convention, **options)

    whole = call(FLAGS)
    chunks = [call(FLAGS[:2])]
    chunks += [call(FLAGS[t : t + 1], previous=FLAGS[:t]) for t in range(2, 5)]
    assert torch.equal(torch.cat(chunks), whole)


def test_the_network_forgets_there():
    rnn = elman.RNN(3, 4)
    x = torch.randn(5, 2, 3)
    output, _ = rnn(x, reset=elman.reset_from_flags(FLAGS, "rsl_rl"))
    torch.testing.assert_close(output[1:, 1], rnn(x[1:, 1])[0])
    torch.testing.assert_close(output[3:, 0], rnn(x[3:, 0])[0])


@pytest.mark.parametrize(
    ("flags", "options", "error", "message"),
    [
        (FLAGS, {"convention": "gym"}, ValueError, "convention should be one of .*got: 'gym'"),
        ([1, 0], {}, TypeError, "flags should be a Tensor, got: list"),
        (FLAGS.unsqueeze(0), {}, ValueError, r"expected 1-D or 2-D flags.*got \[1, 5, 2\]"),
        (FLAGS * 2.0, {}, ValueError, "expected bool, or 0 and 1"),
        (FLAGS, {"previous": FLAGS[:1]}, ValueError, r"flags of 2 steps or more.*got \[1, 2\]"),
        (FLAGS, {"previous": FLAGS[:, :1]}, ValueError, r"of \[2\], got \[5, 1\]"),
    ],
)
def test_wrong_arguments(flags, options, error, message):
    options = {"convention": "gymnasium_next_step", **options}
    with pytest.raises(error, match=message):
        elman.reset_from_flags(flags, **options)
