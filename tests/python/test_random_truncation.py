"""random_truncation: its draws, and that gradients cut by it are unbiased where shorter ones are
not."""

import elman
import pytest
import torch

#: Two-sided 99.9 % point of Student's t with 49 degrees of freedom.
T_49 = 3.5


def test_draws():
    scale = elman.random_truncation(200, 300, 4)
    assert scale.shape == (200, 300) and scale.dtype == torch.float32
    assert not scale.requires_grad
    assert torch.equal(scale.unique(), torch.tensor([0, 4 / 3]))
    # 60000 draws: the standard deviation of the share of cuts is 0.0018.
    assert abs((scale == 0).double().mean() - 0.25) < 0.009
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    drawn = [elman.random_truncation(9, 5, 2.5, generator=g) for g in generators]
    assert torch.equal(*drawn)
    torch.manual_seed(7)
    first = elman.random_truncation(9, 5, 2.5, device="cpu")
    assert not torch.equal(first, elman.random_truncation(9, 5, 2.5))
    torch.manual_seed(7)
    assert torch.equal(first, elman.random_truncation(9, 5, 2.5))
    assert elman.random_truncation(0, 5, 2).shape == (0, 5)


def test_errors():
    for length in (1, 0, -3, float("nan")):
        with pytest.raises(ValueError, match="length must be greater than 1 "):
            elman.random_truncation(3, 2, length)
    with pytest.raises(ValueError, match="T must not be negative, got -1"):
        elman.random_truncation(-1, 2, 3)
    with pytest.raises(ValueError, match="B must not be negative, got -1"):
        elman.random_truncation(1, -1, 3)
    with pytest.raises(TypeError, match=r"T should be an int, got: 2\.5"):
        elman.random_truncation(2.5, 2, 3)


def sample_of_gradients(length, fixed):
    """50 independent means of the gradient's part along the full gradient, relative to it, each
    over 200 draws (rows)."""
    steps, rows = 12, 200
    rnn = elman.RNN(2, 8, dtype=torch.float64)
    with torch.no_grad():
        torch.nn.init.orthogonal_(rnn.weight_hh_l0)  # gradients that go far back
        rnn.weight_ih_l0.mul_(0.3)
    x = torch.randn(steps, 1, 2, dtype=torch.float64).expand(steps, rows, 2)

    def gradient(**options):
        output, _ = rnn(x, **options)
        # Only the last output has a loss, which must come all the way to the first inputs.
        grads = torch.autograd.grad(output[-1].sum(), list(rnn.parameters()))
        return torch.cat([g.flatten() for g in grads]) / rows

    full = gradient()
    if fixed:
        rnn.truncation = (1, length)
        draws = [gradient()]  # nothing is drawn
    else:
        draws = [
            gradient(carry_scale=elman.random_truncation(steps, rows, length)) for _ in range(50)
        ]
    return torch.stack(draws) @ full / full.square().sum()


def confidence_interval(sample):
    """Of the mean, 99.9 %."""
    if len(sample) == 1:
        return sample.item(), 0.0
    return sample.mean().item(), T_49 * (sample.std() / len(sample) ** 0.5).item()


def test_the_mean_gradient_is_the_full_gradient_where_fixed_truncation_is_biased():
    mean, half_width = confidence_interval(sample_of_gradients(4, fixed=False))
    assert half_width < 0.1
    assert abs(mean - 1) <= half_width
    # The same cost, a gradient that goes back 4 steps in the mean, fails the same test by far.
    biased, _ = confidence_interval(sample_of_gradients(4, fixed=True))
    assert abs(biased - 1) > 3 * half_width
