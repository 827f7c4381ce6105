"""gradient_by_lag against plain autograd, output by output."""

import elman
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
