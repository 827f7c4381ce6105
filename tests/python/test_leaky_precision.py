"""Leaky calls in narrower dtypes: about as exact as the plain cell's, however small alpha is."""

import dataclasses

import leaky_samples
import pytest
import torch
from leaky_samples import Case

SIZES = {"steps": 60, "batch": 4, "input_size": 8, "hidden_size": 16}


def in_double(sample):
    """The same numbers in float64."""

    def convert(value):
        if isinstance(value, list):
            return [convert(element) for element in value]
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        return value.detach().double().requires_grad_(value.requires_grad)

    fields = {f.name: convert(getattr(sample, f.name)) for f in dataclasses.fields(sample)}
    fields["case"] = dataclasses.replace(sample.case, dtype=torch.float64)
    return leaky_samples.Sample(**fields)


def worst_errors(case, alpha=None):
    """Of a few samples' gradients, the relative error in the norm: (that of alpha, of others)."""
    worst = [0.0, 0.0]
    for seed in range(3):
        sample = leaky_samples.make(dataclasses.replace(case, seed=seed))
        if alpha is not None:
            with torch.no_grad():
                sample.leak.fill_(alpha)
        pairs = zip(sample.gradients(), in_double(sample).gradients(), strict=True)
        for leaf, (a, e) in zip(sample.leaves(), pairs, strict=True):
            error = ((a.double() - e).norm() / e.norm()).item()
            worst[leaf is not sample.leak] = max(worst[leaf is not sample.leak], error)
    return worst


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("alpha", [0.01, 0.02, 0.03, 0.15, 0.6, 1.0])
@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid", "softplus", "relu", "identity"])
def test_gradients_are_as_exact_as_the_plain_cells(dtype, form, alpha, nonlinearity):
    options = dict(SIZES, dtype=dtype, nonlinearity=nonlinearity)
    _, plain = worst_errors(Case(**options, leak=None))
    of_alpha, of_others = worst_errors(Case(**options, form=form, leak="scalar"), alpha)
    assert of_others < 2 * plain
    # A sum of differences f(a) - h. In the rate form both are stored, rounded, and lie close
    # together for an alpha near 1.
    assert of_alpha < (3 if form == "rate" and dtype == torch.bfloat16 else 2) * plain


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("form", ["rate", "current"])
def test_a_slow_state_moves_in_16_bits(dtype, form):
    """Steps of alpha = 0.01 are below the resolution of a 16-bit state near its end: rounded to it
    at each step, the state would never arrive."""
    rows = torch.ones(1000, 1, 1, dtype=dtype)
    weights = [torch.zeros(1, 1, dtype=dtype), torch.zeros(1, 1, dtype=dtype)]
    leak = torch.full((1, 1), 0.01, dtype=torch.float32)
    options = {"leak": leak, "leak_form": form, "preactivation": rows * 0.9}
    output, _ = torch.ops.elman.rnn(
        rows, None, weights, False, 1, 0.0, False, False, False, nonlinearity="relu", **options
    )
    assert abs(output[-1].item() - 0.9) < 4 * torch.finfo(dtype).eps
