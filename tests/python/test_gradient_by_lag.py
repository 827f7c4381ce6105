"""gradient_by_lag against plain autograd, output by output; AdaptiveTruncation; the picture."""

import copy
import math
import pickle
import sys

import elman
import matplotlib
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ACTIVATIONS


def brute_force(rnn, x, hx, grad_output, reset, max_lag):
    """x: [T, B, I], hx: [L, B, H], grad_output: [T, B, H], reset: [T, B] or None.

    Every pre-activation gets a zero added whose gradient is delta; each output is differentiated by
    itself.
    """
    f = ACTIVATIONS[rnn.nonlinearity]
    steps, batch = x.shape[:2]
    shape = (rnn.num_layers, steps, batch, rnn.hidden_size)
    zeros = torch.zeros(shape, dtype=x.dtype, requires_grad=True)
    given = list(x)
    for layer in range(rnn.num_layers):
        w_x, w_h, *biases = rnn.all_weights[layer]
        h, made = hx[layer], []
        for t in range(steps):
            if reset is not None:
                h = torch.where(reset[t].unsqueeze(1), torch.zeros_like(h), h)
            h = f(given[t] @ w_x.T + h @ w_h.T + sum(biases) + zeros[layer, t])
            made.append(h)
        given = made
    result = torch.zeros(rnn.num_layers, max_lag, dtype=x.dtype)
    for t in range(steps):
        loss = (given[t] * grad_output[t]).sum()
        (delta,) = torch.autograd.grad(loss, zeros, retain_graph=True)
        for lag in range(min(max_lag, t + 1)):
            result[:, lag] += delta[:, t - lag].norm(dim=-1).mean(-1) / (steps - lag)
    return result


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    steps=st.integers(1, 8),
    batch=st.integers(1, 3),
    inputs=st.integers(1, 4),
    hidden=st.integers(1, 5),
    layers=st.integers(1, 3),
    max_lag=st.integers(1, 11),
    nonlinearity=st.sampled_from(list(ACTIVATIONS)),
    options=st.sets(
        st.sampled_from(["bias", "batch_first", "hx", "grad", "reset", "single", "truncated"])
    ),
    seed=st.integers(0, 1000),
)
def test_equals_brute_force(
    steps, batch, inputs, hidden, layers, max_lag, nonlinearity, options, seed
):
    torch.manual_seed(seed)
    batch = 1 if "single" in options else batch
    rnn = elman.RNN(
        inputs,
        hidden,
        layers,
        nonlinearity,
        bias="bias" in options,
        batch_first="batch_first" in options,
        dtype=torch.float64,
        truncation=(1, 2) if "truncated" in options else None,
    )
    x = torch.randn(steps, batch, inputs, dtype=torch.float64)
    hx = torch.randn(layers, batch, hidden, dtype=torch.float64)
    grad = torch.randn(steps, batch, hidden, dtype=torch.float64)
    reset = torch.rand(steps, batch) < 0.3 if "reset" in options else None
    hx = hx if "hx" in options else torch.zeros_like(hx)
    grad = grad if "grad" in options else torch.ones_like(grad)
    expected = brute_force(rnn, x, hx, grad, reset, max_lag)

    def layout(tensor, of_state=False):
        if tensor is None:
            return None
        if "single" in options:
            return tensor.squeeze(1)
        return tensor.transpose(0, 1) if "batch_first" in options and not of_state else tensor

    found = elman.gradient_by_lag(
        rnn,
        layout(x),
        layout(hx, of_state=True) if "hx" in options else None,
        grad_output=layout(grad) if "grad" in options else None,
        reset=layout(reset),
        max_lag=max_lag,
    )
    assert not found.requires_grad
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert (found[:, steps:] == 0).all()


def test_dropout_is_drawn_in_training_only():
    rnn = elman.RNN(3, 40, 2, dropout=0.5)
    x = torch.randn(5, 2, 3)
    assert not torch.equal(*(elman.gradient_by_lag(rnn, x, max_lag=3) for _ in range(2)))
    rnn.eval()
    assert torch.equal(*(elman.gradient_by_lag(rnn, x, max_lag=3) for _ in range(2)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.complex64])
def test_result_is_real_and_no_narrower_than_float32(dtype):
    rnn = elman.RNN(3, 4, dtype=dtype)
    assert elman.gradient_by_lag(rnn, torch.randn(5, 2, 3).to(dtype), max_lag=3).dtype == (
        torch.float32
    )


def test_opcheck():
    rnn = elman.RNN(3, 4, 2, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    args = (x, None, list(rnn.parameters()), True, 2, 0.0, False, False, False)
    for max_lag in (3, 8):
        torch.library.opcheck(torch.ops.elman.gradient_by_lag.default, args, {"max_lag": max_lag})


def test_no_rows():
    rnn = elman.RNN(3, 4)
    assert (elman.gradient_by_lag(rnn, torch.randn(5, 0, 3), max_lag=3) == 0).all()


def test_errors():
    rnn = elman.RNN(3, 4)
    x = torch.randn(5, 2, 3)
    with pytest.raises(ValueError, match="max_lag must be at least 1, got 0"):
        elman.gradient_by_lag(rnn, x, max_lag=0)
    with pytest.raises(TypeError, match=r"max_lag should be an int, got: 1\.5"):
        elman.gradient_by_lag(rnn, x, max_lag=1.5)
    with pytest.raises(TypeError, match=r"rnn should be an elman\.RNN, got: Linear"):
        elman.gradient_by_lag(torch.nn.Linear(3, 4), x, max_lag=2)
    with pytest.raises(TypeError, match="input should be a Tensor, got: PackedSequence"):
        packed = torch.nn.utils.rnn.pack_sequence([torch.randn(3, 3)])
        elman.gradient_by_lag(rnn, packed, max_lag=2)
    with pytest.raises(ValueError, match="not defined for a bidirectional network"):
        elman.gradient_by_lag(elman.RNN(3, 4, bidirectional=True), x, max_lag=2)
    with pytest.raises(RuntimeError, match=r"grad_output must have the output's shape \[5, 2, 4\]"):
        elman.gradient_by_lag(rnn, x, grad_output=torch.ones(5, 2, 3), max_lag=2)
    with pytest.raises(ValueError, match="grad_output must have the input's dtype Float, got Dou"):
        elman.gradient_by_lag(
            rnn, x, grad_output=torch.ones(5, 2, 4, dtype=torch.float64), max_lag=2
        )
    with pytest.raises(RuntimeError, match=r"reset must have the input's shape \[5, 2, 3\]"):
        elman.gradient_by_lag(rnn, x, reset=torch.ones(2, 5, dtype=torch.bool), max_lag=2)


def geometric(beta, lags, layers=1):
    return torch.full((layers, lags), beta, dtype=torch.float64) ** torch.arange(lags)


def relative_bias(beta, length):
    # sum_{j<K} beta^j and its tail, in closed form.
    tail = beta**length / (1 - beta)
    return tail / ((1 - beta**length) / (1 - beta) - tail)


@pytest.mark.parametrize("beta", [0.3, 0.8, 0.95])
@pytest.mark.parametrize("tolerance", [0.5, 0.1, 0.01])
def test_a_geometric_decay_is_found(beta, tolerance):
    expected = next(k for k in range(1, 1000) if 0 < relative_bias(beta, k) <= tolerance)
    adaptive = elman.AdaptiveTruncation(tolerance, 400)
    assert adaptive.update(geometric(beta, 400)) == adaptive.length == expected
    # Another layer that is smaller everywhere does not count.
    two = torch.cat([0.1 * geometric(beta, 400), geometric(beta, 400)])
    assert elman.AdaptiveTruncation(tolerance, 400).update(two) == expected


def test_the_last_half_of_the_lags_counts():
    norms = geometric(0.5, 40)
    norms[:, :20] = 1  # no decay at first
    adaptive = elman.AdaptiveTruncation(1e-5, 40)
    tail = norms[0]  # 0.5 / (1 - 0.5) = 1
    expected = next(
        k for k in range(1, 41) if 0 < tail[k - 1] / (norms[0, :k].sum() - tail[k - 1]) <= 1e-5
    )
    assert adaptive.update(norms) == expected


def test_what_does_not_decay_gets_max_length():
    for norms in (
        torch.ones(1, 10),
        geometric(1.1, 10),
        torch.tensor([[1.0]]),
        geometric(0.99, 10),  # decays, but not within the lags given
    ):
        assert elman.AdaptiveTruncation(0.01, 77).update(norms) == 77


@pytest.mark.parametrize(
    "norms, complaint",
    [
        (torch.zeros(1, 10), "norms must not be all zero"),
        (torch.tensor([[1.0, 0.5, math.nan, 0.1]]), "norms must be finite"),
        (torch.tensor([[math.inf, 0.5, 0.2, 0.1]]), "norms must be finite"),
        (torch.tensor([[1.0, 0.5, 0.2], [1.0, math.nan, 0.2]]), "norms must be finite"),
    ],
)
def test_no_gradient_to_go_by_is_an_error_and_changes_nothing(norms, complaint):
    adaptive = elman.AdaptiveTruncation(0.01, 77)
    adaptive.load_state_dict({"length": 5})
    with pytest.raises(ValueError, match=complaint):
        adaptive.update(norms)
    assert adaptive.length == 5


@pytest.mark.parametrize("name", ["tolerance", "max_length", "hysteresis"])
def test_settings_are_read_only(name):
    adaptive = elman.AdaptiveTruncation(0.01, 77)
    with pytest.raises(AttributeError):
        setattr(adaptive, name, 3)


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="needs matplotlib: pip install"):
        elman.plot_gradient_by_lag(geometric(0.5, 20))


def test_zeros_are_left_out_of_the_fit():
    norms = geometric(0.5, 20)
    norms[:, [12, 19]] = 0
    assert elman.AdaptiveTruncation(0.1, 20).update(norms) == (
        elman.AdaptiveTruncation(0.1, 20).update(geometric(0.5, 20))
    )


def test_no_proposal_is_longer_than_max_length():
    assert elman.AdaptiveTruncation(1e-6, 5).update(geometric(0.8, 100)) == 5


def test_hysteresis():
    def proposal(beta):
        return elman.AdaptiveTruncation(0.01, 400).update(geometric(beta, 400))

    adaptive = elman.AdaptiveTruncation(0.01, 400, hysteresis=0.2)
    assert adaptive.length == 400
    first = adaptive.update(geometric(0.9, 400))
    assert first == proposal(0.9)
    near = proposal(0.905)
    assert near != first and abs(near - first) <= 0.2 * first
    assert adaptive.update(geometric(0.905, 400)) == first
    far = proposal(0.95)
    assert far - first > 0.2 * first
    assert adaptive.update(geometric(0.95, 400)) == far


def test_adaptive_truncation_goes_on_where_it_was():
    adaptive = elman.AdaptiveTruncation(0.01, 400)
    assert adaptive.state_dict() == {"length": None}
    length = adaptive.update(geometric(0.9, 400))
    other = elman.AdaptiveTruncation(0.01, 400)
    other.load_state_dict(adaptive.state_dict())
    for again in (other, copy.deepcopy(adaptive), pickle.loads(pickle.dumps(adaptive))):
        assert again.update(geometric(0.905, 400)) == length
        assert repr(again) == ("AdaptiveTruncation(tolerance=0.01, max_length=400, hysteresis=0.1)")


def test_errors_of_adaptive_truncation():
    with pytest.raises(ValueError, match="tolerance must be greater than 0, got 0"):
        elman.AdaptiveTruncation(0, 10)
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        elman.AdaptiveTruncation(0.1, 0)
    with pytest.raises(TypeError, match=r"max_length should be an int, got: 2\.5"):
        elman.AdaptiveTruncation(0.1, 2.5)
    with pytest.raises(ValueError, match="hysteresis must not be negative, got -1"):
        elman.AdaptiveTruncation(0.1, 10, hysteresis=-1)
    adaptive = elman.AdaptiveTruncation(0.1, 10)
    with pytest.raises(TypeError, match="norms should be a Tensor, got: list"):
        adaptive.update([1.0])
    for norms in (torch.ones(3), torch.ones(0, 3), torch.ones(3, 0), torch.ones(1, 3).int()):
        with pytest.raises(RuntimeError, match=r"norms must be a floating point tensor of shape"):
            adaptive.update(norms)
    with pytest.raises(ValueError, match=r"length must lie in \[1, max_length = 10\], got 11"):
        adaptive.load_state_dict({"length": 11})


def test_adaptive_truncation_of_a_network():
    # Small recurrent weights forget fast, large ones slowly.
    lengths = []
    for scale in (0.2, 0.9):
        rnn = elman.RNN(3, 30, dtype=torch.float64)
        with torch.no_grad():
            torch.nn.init.orthogonal_(rnn.weight_hh_l0).mul_(scale)
            rnn.weight_ih_l0.mul_(0.1)
        norms = elman.gradient_by_lag(rnn, torch.randn(120, 4, 3, dtype=torch.float64), max_lag=60)
        lengths.append(elman.AdaptiveTruncation(0.05, 60).update(norms))
    assert lengths[0] < 5 < 10 < lengths[1] < 60


def test_plot():
    matplotlib.use("svg")
    norms = geometric(0.8, 30, layers=2)
    norms[0, 25:] = 0
    ax = elman.plot_gradient_by_lag(norms, truncation=12)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == [
        "layer 0",
        "layer 1",
        f"k2 = 12, relative bias {relative_bias(0.8, 12):.2g}",
    ]
    assert ax.get_yscale() == "log" and len(ax.lines) == 3
    assert elman.plot_gradient_by_lag(norms, ax=ax) is ax
    with pytest.raises(ValueError, match=r"truncation must lie in \[1, 30\], got 31"):
        elman.plot_gradient_by_lag(norms, truncation=31)
    matplotlib.pyplot.close(ax.figure)
