"""Steps without a loss (`Stream.burn_in`), and how many are needed (`forgetting_length`)."""

import elman
import pytest
import torch


@pytest.mark.parametrize("batch_first", [False, True])
def test_burn_in_is_the_same_as_chunks_without_a_loss(batch_first):
    rnn = elman.RNN(3, 5, 2, batch_first=batch_first, dtype=torch.float64)
    dim = int(batch_first)
    x = torch.randn((2, 20, 3) if batch_first else (20, 2, 3), dtype=torch.float64)
    reset = torch.rand(x.shape[:2]) < 0.2
    scale = torch.rand(20, dtype=torch.float64)
    gradients = []
    for burn_in in (True, False):
        rnn.zero_grad()
        stream = elman.Stream(rnn, 4, 12)
        if burn_in:
            stream.burn_in(
                x.narrow(dim, 0, 16), reset=reset.narrow(dim, 0, 16), carry_scale=scale[:16]
            )
        else:
            for at in range(0, 16, 4):
                stream(x.narrow(dim, at, 4), reset.narrow(dim, at, 4), scale[at : at + 4])
        stream(x.narrow(dim, 16, 4), reset.narrow(dim, 16, 4), scale[16:]).square().sum().backward()
        gradients.append([p.grad.clone() for p in rnn.parameters()] + [stream.state])
    for a, b in zip(*gradients, strict=True):
        assert torch.equal(a, b)
    assert gradients[0][0].ne(0).any()


def test_burn_in_warms_the_state_up():
    rnn = elman.RNN(3, 16)
    x = torch.randn(64, 1, 3)
    warm = elman.Stream(rnn, 4, 4)
    warm.burn_in(x[:60])
    with torch.no_grad():
        expected = rnn(x)[0][60:]
    torch.testing.assert_close(warm(x[60:]), expected)
    assert not torch.allclose(elman.Stream(rnn, 4, 4)(x[60:]), expected)


def test_burn_in_says_what_is_wrong():
    stream = elman.Stream(elman.RNN(3, 5), 4, 12)
    with pytest.raises(ValueError, match="input: burn_in takes a multiple of k1 = 4 steps, got 6"):
        stream.burn_in(torch.zeros(6, 2, 3))
    with pytest.raises(TypeError, match="input should be a Tensor, got: int"):
        stream.burn_in(3)
    with pytest.raises(RuntimeError, match="reset must have 8 steps as input has, got a tensor"):
        stream.burn_in(torch.zeros(8, 2, 3), reset=torch.zeros(4, 2, dtype=torch.bool))
    stream.burn_in(torch.zeros(0, 2, 3))
    assert stream.state is None


def test_a_contraction_forgets_after_as_many_steps_as_its_factor_says():
    rnn = elman.RNN(1, 1, bias=False, nonlinearity="identity", dtype=torch.float64)
    with torch.no_grad():
        rnn.weight_hh_l0.fill_(0.5)
        rnn.weight_ih_l0.zero_()
    # The other state is at most 1, so after 20 steps the difference is at most 2^-20.
    x = torch.zeros(40, 1, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    start = torch.empty(1, dtype=torch.float64).uniform_(-1, 1, generator=generator).abs().item()
    expected = next(n for n in range(41) if start * 0.5**n <= 2.0**-20)
    generator.manual_seed(1)
    length = elman.forgetting_length(rnn, x, tolerance=2.0**-20, generator=generator)
    assert length == expected
    assert elman.forgetting_length(rnn, x, tolerance=1.0) == 0


def test_new_networks_forget_soon_and_integrators_never():
    torch.manual_seed(0)
    for layers in (1, 2):
        for batch_first in (False, True):
            rnn = elman.RNN(8, 64, layers, batch_first=batch_first)
            length = elman.forgetting_length(rnn, torch.randn(100, 100, 8))
            assert 10 < length < 40 * layers
    with torch.no_grad():
        rnn = elman.RNN(8, 64, nonlinearity="identity")
        rnn.weight_hh_l0.copy_(torch.eye(64))
    assert elman.forgetting_length(rnn, torch.randn(100, 8)) is None


def test_runs_from_elsewhere_agree_from_there_on():
    torch.manual_seed(0)
    rnn = elman.RNN(4, 32, 2)
    x = torch.randn(200, 3, 4)
    length = elman.forgetting_length(rnn, x)
    with torch.no_grad():
        a, _ = rnn(x)
        b, _ = rnn(x[20:])
    assert (a[20 + length :] - b[length:]).abs().max() < 5e-6


def test_forgetting_length_says_what_is_wrong():
    rnn, x = elman.RNN(3, 5), torch.zeros(6, 3)
    with pytest.raises(TypeError, match=r"rnn should be an elman\.RNN, got: Linear"):
        elman.forgetting_length(torch.nn.Linear(3, 3), x)
    with pytest.raises(ValueError, match="rnn: where a bidirectional network starts"):
        elman.forgetting_length(elman.RNN(3, 5, bidirectional=True), x)
    with pytest.raises(ValueError, match="tolerance must be greater than zero, got 0"):
        elman.forgetting_length(rnn, x, tolerance=0)
    with pytest.raises(TypeError, match="tolerance should be a number, got: str"):
        elman.forgetting_length(rnn, x, tolerance="small")
    with pytest.raises(RuntimeError, match="3"):
        elman.forgetting_length(rnn, torch.zeros(6, 4))


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("layers", [1, 2])
def test_leaky_networks(form, layers):
    torch.manual_seed(0)
    rnn = elman.LeakyRNN(3, 8, layers, alpha=0.3, form=form, dtype=torch.float64)
    x = torch.randn(24, 2, 3, dtype=torch.float64)
    p = torch.randn((24, 2, 8) if layers == 1 else (2, 24, 2, 8), dtype=torch.float64)
    stream = elman.Stream(rnn, 4, 8)
    stream.burn_in(x[:20], preactivation=p[..., :20, :, :])
    with torch.no_grad():
        expected, h_n = rnn(x, preactivation=p)
    torch.testing.assert_close(stream(x[20:], preactivation=p[..., 20:, :, :]), expected[20:])
    torch.testing.assert_close(stream.state, h_n)
    # What leaks is remembered for longer.
    x = torch.randn(3000, 3, dtype=torch.float64)
    slow = elman.LeakyRNN(3, 8, layers, alpha=0.05, form=form, dtype=torch.float64)
    slow.load_state_dict(rnn.state_dict() | {"alpha": slow.alpha})
    lengths = [elman.forgetting_length(r, x, tolerance=1e-6) for r in (rnn, slow)]
    assert lengths[0] * 2 < lengths[1] < 3000
