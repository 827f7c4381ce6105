"""elman.Stream over leaky modules."""

import elman
import pytest
import torch
from samples import assert_close

DTYPE = torch.float64
FORMS = ["rate", "current"]


def leaky(*args, **options):
    options = {"alpha": 0.3, "dtype": DTYPE} | options
    return elman.LeakyRNN(4, 6, *args, **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("learn_alpha", [False, True])
@pytest.mark.parametrize("k1, k2", [(2, 2), (2, 5), (1, 4)])
def test_chunks_with_fixed_weights_are_one_truncated_call(form, learn_alpha, k1, k2):
    rnn = leaky(2, form=form, learn_alpha=learn_alpha, truncation=(k1, k2))
    x = torch.randn(8, 3, 4, dtype=DTYPE)
    p = torch.randn(2, 8, 3, 6, dtype=DTYPE)
    stream = elman.Stream(rnn, k1, k2)
    parts = []
    for chunk, injected in zip(x.split(k1), p.split(k1, dim=1), strict=True):
        parts.append(stream(chunk, preactivation=injected))
        parts[-1].square().sum().backward()
    mine = {name: q.grad for name, q in rnn.named_parameters()}
    rnn.zero_grad()
    output, h_n = rnn(x, preactivation=p)
    assert_close([torch.cat(parts), stream.state], [output, h_n])
    output.square().sum().backward()
    for name, q in rnn.named_parameters():
        assert_close(mine[name], q.grad)


@pytest.mark.parametrize("form", FORMS)
def test_training_hooks_and_noise(form):
    rnn = leaky(form=form, learn_alpha=True, noise=0.1)
    calls = []
    rnn.register_forward_hook(lambda *_: calls.append(1))
    stream = elman.Stream(rnn, 2, 6)
    optimizer = torch.optim.SGD(rnn.parameters(), lr=0.1)
    before = rnn.alpha.item()
    for chunk in torch.randn(10, 3, 4, dtype=DTYPE).split(2):
        optimizer.zero_grad()
        stream(chunk).square().sum().backward()
        optimizer.step()
    assert len(calls) == 5
    assert rnn.alpha.item() != before
    state = stream.state_dict()
    other = elman.Stream(rnn, 2, 6)
    other.load_state_dict(state)
    x = torch.randn(2, 3, 4, dtype=DTYPE)
    rnn.noise = 0.0
    assert other(x).equal(stream(x))


def test_preactivation_is_for_leaky_modules():
    stream = elman.Stream(elman.RNN(4, 6), 2, 2)
    with pytest.raises(TypeError, match="preactivation is for an elman"):
        stream(torch.randn(2, 3, 4), preactivation=torch.zeros(2, 3, 6))
    with pytest.raises(TypeError, match="preactivation is for leaky modules only"):
        elman.kernel_info(elman.RNN(4, 6), torch.randn(2, 3, 4), preactivation=torch.zeros(1))
