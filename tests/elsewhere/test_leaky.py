"""elman.LeakyRNN against the packages of the moving-in table in docs/leaky.md: the same weights and
noise, the same states."""

import math

import elman
import numpy as np
import pytest
import torch
from nn4n.model import CTRNN
from torch.nn.functional import linear

T, B, I, H, O = 12, 5, 3, 16, 2
DT, TAU, SIGMA = 20.0, 100.0, 0.3
ALPHA = DT / TAU


def leaky(form, nonlinearity, w_in, w_rec, bias, noise=0.0):
    """A LeakyRNN with these weights; its noise is returned by `noise_of`."""
    rnn = elman.LeakyRNN(
        w_in.shape[1], H, nonlinearity=nonlinearity, tau=TAU, dt=DT, form=form, noise=noise
    )
    values = {"weight_ih_l0": w_in, "weight_hh_l0": w_rec, "bias_ih_l0": bias}
    with torch.no_grad():
        for name, value in values.items():
            rnn.get_parameter(name).copy_(torch.as_tensor(value))
        rnn.bias_hh_l0.zero_()
    return rnn


def run(rnn, x, xi=None, hx=None):
    """Outputs and the last state of `rnn` with its noise made of xi: [T, B, H]."""
    preactivation = None if xi is None else math.sqrt(2 / ALPHA) * rnn.noise * xi
    rnn.noise = 0.0
    with torch.no_grad():
        return rnn(x, hx, preactivation=preactivation)


def close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("noise", [0.0, SIGMA])
def test_nn4n(nonlinearity, noise):
    theirs = CTRNN(
        dims=[I, H, O], activation=nonlinearity, dt=DT, tau=TAU, biases="uniform",
        preact_noise=noise,
    )  # fmt: skip
    theirs.train()  # without this call a new network makes no noise
    layer = theirs.recurrent_layer
    bias = layer.input_layer.bias + layer.hidden_layer.bias
    weights = layer.input_layer.weight, layer.hidden_layer.weight, bias
    ours = leaky("current", nonlinearity, *weights, noise=noise * math.sqrt(ALPHA / 2))
    x = torch.randn(T, B, I)
    torch.manual_seed(1)
    xi = torch.stack([torch.randn(B, H) for _ in range(T)])
    torch.manual_seed(1)
    with torch.no_grad():
        outputs, (states,) = theirs(x)
    r, _ = run(ours, x, xi)
    close(r, states)
    close(linear(r, theirs.readout_layer.weight, theirs.readout_layer.bias).detach(), outputs)


def neuralrnn(mode, nonlinearity, **options):
    from neuralrnn.models.ctrnn.configuration_ctrnn import CTRNNConfig
    from neuralrnn.models.ctrnn.modeling_ctrnn import CTRNNModel

    config = CTRNNConfig(
        input_dim=I, latent_dim=H, output_dim=O, dt=DT, tau=TAU, activation=nonlinearity,
        nonlinearity_mode=mode, **options,
    )  # fmt: skip
    return CTRNNModel(config)


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("mode, form", [("pre_activation", "rate"), ("rate", "current")])
@pytest.mark.parametrize(
    "scaling, factor",
    [(None, math.sqrt(ALPHA / 2)), ("sqrt_2alpha", ALPHA), ("sqrt_2_over_alpha", 1.0)],
)
def test_neuralrnn(nonlinearity, mode, form, scaling, factor):
    theirs = neuralrnn(mode, nonlinearity, sigma_rec=SIGMA, noise_scaling=scaling)
    bias = theirs.input2h.bias + theirs.h2h.bias
    weights = theirs.input2h.weight, theirs.h2h.weight, bias
    ours = leaky(form, nonlinearity, *weights, noise=factor * SIGMA)
    x = torch.randn(T, B, I)
    torch.manual_seed(1)
    xi = torch.stack([torch.randn(B, H) for _ in range(T)])
    torch.manual_seed(1)
    with torch.no_grad():
        result = theirs(x.transpose(0, 1))
    r, last = run(ours, x, xi)
    # Their states are what is carried, and what is read out, in the mode "rate" too.
    close(last[0], result.states[:, -1])
    if form == "rate":
        close(r.transpose(0, 1), result.states)
    else:
        close(r.transpose(0, 1), theirs.act(result.states))
    close(theirs.readout_layer(last[0]).detach(), result.outputs[:, -1])


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_neuralrnn_of_low_rank(nonlinearity):
    from neuralrnn.models.lowrank.configuration_lowrank import LowrankRNNConfig
    from neuralrnn.models.lowrank.modeling_lowrank import LowrankRNNModel

    theirs = LowrankRNNModel(
        LowrankRNNConfig(
            input_dim=I, latent_dim=H, output_dim=O, rank=2, alpha=ALPHA, activation=nonlinearity,
            sigma_rec=SIGMA,
        )
    )  # fmt: skip
    w_rec = theirs.m @ theirs.n.T / H
    ours = leaky(
        "current", nonlinearity, theirs.wi_full.T, w_rec, torch.zeros(H),
        noise=SIGMA / math.sqrt(2 * ALPHA),
    )  # fmt: skip
    x = torch.randn(T, B, I)
    torch.manual_seed(1)
    xi = torch.randn(B, T, H).transpose(0, 1)
    torch.manual_seed(1)
    with torch.no_grad():
        result = theirs(x.transpose(0, 1))
    hx = theirs.h0.detach().expand(1, B, H)
    close(run(ours, x, xi, hx)[1][0], result.states[:, -1])


@pytest.fixture(scope="module")
def tensorflow():
    return pytest.importorskip("tensorflow")


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh"])
def test_psychrnn(tensorflow, nonlinearity):
    from psychrnn.backend.models.basic import Basic

    rng = np.random.default_rng(0)
    values = {
        "W_in": rng.standard_normal((H, I)),
        "W_rec": rng.standard_normal((H, H)) / 4,
        "b_rec": rng.standard_normal(H),
        "init_state": rng.standard_normal((1, H)),
    }
    params = {
        "name": nonlinearity, "N_in": I, "N_rec": H, "N_out": O, "N_batch": B, "N_steps": T,
        "dt": DT, "tau": TAU, "rec_noise": 0.0, "W_out": rng.standard_normal((O, H)),
        "transfer_function": getattr(tensorflow.nn, nonlinearity),
    }  # fmt: skip
    model = Basic(params | values)
    x = rng.standard_normal((B, T, I)).astype(np.float32)
    _, states = model.test(x)
    # One step by their formula, for the place and the size of the noise.
    state = tensorflow.constant(rng.standard_normal((50_000, H)).astype(np.float32))
    model.rec_noise = SIGMA
    zeros = tensorflow.zeros((50_000, I))
    noisy = model.sess.run(model.recurrent_timestep(zeros, state))
    model.rec_noise = 0.0
    added = noisy - model.sess.run(model.recurrent_timestep(zeros, state))
    model.destruct()

    ours = leaky("current", nonlinearity, values["W_in"], values["W_rec"], values["b_rec"])
    hx = torch.tensor(values["init_state"], dtype=torch.float32).expand(1, B, H)
    r, v = run(ours, torch.from_numpy(x).transpose(0, 1), hx=hx.contiguous())
    close(v[0], states[:, -1])
    activation = getattr(torch, nonlinearity)
    close(r.transpose(0, 1), activation(torch.from_numpy(states)))
    # noise=sigma adds alpha sqrt(2 / alpha) sigma to the state, which is their sqrt(2 alpha) sigma.
    expected = ALPHA * math.sqrt(2 / ALPHA) * SIGMA
    assert abs(added.std() / expected - 1) < 0.01
