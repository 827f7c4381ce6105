"""What is made of norms by lag: the length that AdaptiveTruncation proposes, and the picture."""

import copy
import math
import pickle
import sys

import elman
import matplotlib
import pytest
import torch


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
        # Below the largest layer's norm, too, where it would play no part.
        (torch.tensor([[1.0, 0.5, 0.2], [1.0, -0.25, 0.2]]), "not be negative, got -0.25"),
        (torch.tensor([[1.0, -math.inf]]), "not be negative, got -inf"),
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
