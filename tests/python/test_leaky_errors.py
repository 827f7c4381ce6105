"""Wrong arguments of leaky modules and operators: errors that name them, before anything is
computed."""

import elman
import pytest
import torch

NAN = float("nan")
OPTIONS = [
    ({}, ValueError, "alpha: expected a value in (0, 1], or tau with dt"),
    ({"alpha": 0}, ValueError, "alpha must lie in (0, 1], got 0"),
    ({"alpha": 1.5}, ValueError, "alpha must lie in (0, 1], got 1.5"),
    ({"alpha": NAN}, ValueError, "alpha must lie in (0, 1], got nan"),
    ({"alpha": torch.tensor([0.5] * 5 + [-0.1])}, ValueError, "alpha must lie in (0, 1]"),
    ({"alpha": torch.full((5,), 0.5)}, ValueError, "alpha must be a number or of shape [6]"),
    ({"alpha": torch.ones(6, dtype=torch.long)}, TypeError, "alpha should be a floating point"),
    ({"alpha": "0.5"}, TypeError, "alpha should be a number or a Tensor, got: str"),
    ({"alpha": True}, TypeError, "alpha should be a number or a Tensor, got: bool"),
    ({"alpha": 0.5, "tau": 2.0}, ValueError, "tau: expected alpha, or tau with dt"),
    ({"alpha": 0.5, "dt": 1.0}, ValueError, "dt: expected alpha, or tau with dt"),
    ({"tau": 10.0}, ValueError, "dt: expected a number with tau = 10.0"),
    ({"dt": 10.0}, ValueError, "alpha: expected a value in (0, 1], or tau with dt"),
    ({"tau": 10.0, "dt": 20.0}, ValueError, "got tau = 10.0 and dt = 20.0"),
    ({"tau": 0.0, "dt": 1.0}, ValueError, "tau must be greater than zero, got 0.0"),
    ({"alpha": 1.0, "learn_alpha": True}, ValueError, "alpha must be less than 1"),
    ({"alpha": 1 - 1e-9, "learn_alpha": True}, ValueError, "alpha must be less than 1"),
    ({"alpha": 1e-60, "learn_alpha": True}, ValueError, "alpha must be greater than 0"),
    ({"alpha": 1e-60}, ValueError, "alpha must lie in (0, 1], but 1e-60 is 0 in torch.float32"),
    ({"tau": -100.0, "dt": -20.0}, ValueError, "dt must be greater than zero, got -20.0"),
    ({"tau": -100.0, "dt": 20.0}, ValueError, "tau must be greater than zero, got -100.0"),
    ({"tau": 1.0, "dt": torch.ones(6)}, ValueError, "dt must be a number, got [6]"),
    ({"alpha": 0.5, "form": "voltage"}, ValueError, "Unknown form 'voltage'"),
    ({"alpha": 0.5, "noise": -1}, ValueError, "noise must be finite and not negative, got -1"),
    ({"alpha": 0.5, "noise": NAN}, ValueError, "noise must be finite and not negative, got nan"),
    ({"alpha": 0.5, "noise": "1"}, TypeError, "noise should be a number, got: str"),
    ({"alpha": 0.5, "generator": 3}, TypeError, "generator should be a torch.Generator, got: int"),
]


@pytest.mark.parametrize("options, kind, message", OPTIONS)
@pytest.mark.parametrize("module", [elman.LeakyRNN, elman.LeakyRNNCell])
def test_construction(module, options, kind, message):
    with pytest.raises(kind) as error:
        module(4, 6, **options)
    assert message in str(error.value)


def test_arguments_of_the_plain_module_are_checked_as_there():
    with pytest.raises(ValueError, match="Unknown nonlinearity 'sine'"):
        elman.LeakyRNN(4, 6, nonlinearity="sine", alpha=0.5)
    with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM"):
        elman.LeakyRNN(4, 6, alpha=0.5, proj_size=2)
    with pytest.raises(ValueError, match="k1 < k2 is not defined for a bidirectional"):
        elman.LeakyRNN(4, 6, alpha=0.5, bidirectional=True, truncation=(1, 2))
    with pytest.raises(ValueError, match="Unknown cell 'gru'"):
        elman.Network(4, 6, 2, cell="gru")


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("layers", [1, 2])
def test_shape_of_the_preactivation(noise, layers):
    rnn = elman.LeakyRNN(4, 6, layers, alpha=0.5, noise=noise)
    x = torch.randn(5, 3, 4)
    for shape in [(6,), (3, 6), (5, 3, 5), (5, 1, 6), (3, 5, 3, 6)]:
        with pytest.raises(RuntimeError, match="preactivation"):
            rnn(x, preactivation=torch.zeros(shape))
    packed = torch.nn.utils.rnn.pack_sequence([x[:, 0], x[:3, 1]])
    with pytest.raises(RuntimeError, match="preactivation"):
        rnn(packed, preactivation=torch.zeros(5, 2, 6))
    with pytest.raises(ValueError, match="reset is not supported with packed input"):
        rnn(packed, reset=torch.zeros(5, 2, dtype=torch.bool))
    nested = torch.nested.nested_tensor([x[:, 0], x[:3, 1]], layout=torch.jagged)
    with pytest.raises(ValueError, match="preactivation is not supported with nested input"):
        rnn(nested, preactivation=torch.zeros(8, 6))


def test_dtype_of_the_preactivation():
    rnn = elman.LeakyRNN(4, 6, alpha=0.5)
    x = torch.randn(5, 3, 4)
    with pytest.raises((RuntimeError, ValueError), match="preactivation"):
        rnn(x, preactivation=torch.zeros(5, 3, 6, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0.0, -0.5, 1.5, NAN])
@pytest.mark.parametrize("leak_form", ["rate", "current"])
def test_values_of_the_operators_leak(alpha, leak_form):
    """Its shapes and dtypes are in the list of wrong calls (tests/wrong_calls.txt)."""
    leak = torch.full((1, 6), 0.5)
    leak[0, 4] = alpha
    weights = [torch.zeros(6, 4), torch.zeros(6, 6)]
    options = (False, 1, 0.0, False, False)
    hx = torch.zeros(1, 2, 6)
    for call in (
        lambda: torch.ops.elman.rnn(
            torch.zeros(5, 3, 4), None, weights, *options, False, leak=leak, leak_form=leak_form
        ),
        lambda: torch.ops.elman.rnn(
            torch.zeros(3, 4),
            torch.tensor([2, 1]),
            hx,
            weights,
            *options,
            leak=leak,
            leak_form=leak_form,
        ),
        lambda: torch.ops.elman.rnn_cell(
            torch.zeros(3, 4), None, *weights, leak=leak[0], leak_form=leak_form
        ),
    ):
        with pytest.raises(ValueError, match=r"leak must lie in \(0, 1\], got"):
            call()


def test_streams_and_plain_modules():
    with pytest.raises(TypeError, match="preactivation is for an elman"):
        x = torch.randn(5, 3, 4)
        elman.gradient_by_lag(elman.RNN(4, 6), x, preactivation=x, max_lag=2)
