"""The noise of leaky modules: its size, when it is drawn, and that a seed repeats it."""

import copy
import math

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils.rnn import pack_sequence

DTYPE = torch.float64


def noisy(*args, **options):
    options = {"alpha": 0.25, "noise": 0.3, "dtype": DTYPE} | options
    return elman.LeakyRNN(4, 6, *args, **options)


def drawn(rnn, x):
    """What the module adds to the pre-activation after torch.manual_seed(3)."""
    torch.manual_seed(3)
    directions = 2 if rnn.bidirectional else 1
    shape = (*x.shape[:-1], directions * 6)
    shape = (rnn.num_layers, *shape) if rnn.num_layers > 1 else shape
    alpha = torch.ones((), dtype=DTYPE) if rnn.alpha is None else rnn.alpha
    scale = rnn.noise * (2 / alpha.expand(rnn.num_layers * directions, 6)).sqrt()
    by_layer = (rnn.num_layers, *(1,) * (x.dim() - 1), directions * 6)
    return scale.reshape(by_layer if rnn.num_layers > 1 else -1) * torch.randn(shape, dtype=DTYPE)


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("layers, bidirectional", [(1, False), (2, False), (2, True)])
@pytest.mark.parametrize("alpha", [1.0, 0.25, torch.linspace(0.1, 0.9, 6)])
def test_it_is_added_to_the_preactivation(form, layers, bidirectional, alpha):
    rnn = noisy(layers, bidirectional=bidirectional, form=form, alpha=alpha)
    quiet = copy.deepcopy(rnn)
    quiet.noise = 0.0
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    noise = drawn(rnn, x)
    p = torch.randn_like(noise)
    for given in (None, p):
        torch.manual_seed(3)
        actual = rnn(x, preactivation=given)
        total = noise if given is None else noise + given
        assert_close(list(actual), list(quiet(x, preactivation=total)))


def test_packed_rows_and_single_sequences():
    rnn = noisy(2)
    quiet = copy.deepcopy(rnn)
    quiet.noise = 0.0
    packed = pack_sequence([torch.randn(n, 4, dtype=DTYPE) for n in (5, 3)])
    noise = drawn(rnn, packed.data)
    torch.manual_seed(3)
    assert_close(rnn(packed)[0].data, quiet(packed, preactivation=noise)[0].data)
    x = torch.randn(5, 4, dtype=DTYPE)
    noise = drawn(rnn, x)
    torch.manual_seed(3)
    assert_close(rnn(x)[0], quiet(x, preactivation=noise)[0])


def test_its_size():
    rnn = noisy(alpha=0.04, noise=0.5, nonlinearity="relu", form="current", bias=False)
    with torch.no_grad():
        for weight in (rnn.weight_ih_l0, rnn.weight_hh_l0):
            weight.zero_()
    _, v = rnn(torch.zeros(400, 2000, 4, dtype=DTYPE))
    # v = (1 - alpha) v + alpha sqrt(2 / alpha) sigma xi has the variance sigma^2 / (1 - alpha / 2).
    assert abs(v.std().item() / (0.5 / math.sqrt(1 - 0.02)) - 1) < 0.03


def test_a_seed_repeats_it_forward_and_backward():
    rnn = noisy(2)
    x = torch.randn(5, 3, 4, dtype=DTYPE, requires_grad=True)

    def run():
        torch.manual_seed(7)
        output, h_n = rnn(x)
        return output, h_n, *torch.autograd.grad(output.square().sum(), [x, *rnn.parameters()])

    first, second = run(), run()
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))
    assert not rnn(x)[0].equal(first[0])


def test_gradients_are_those_with_this_noise():
    """By finite differences: the backward pass sees the noise of the forward pass."""
    rnn = noisy(alpha=torch.full((6,), 0.4), learn_alpha=True)
    x = torch.randn(3, 2, 4, dtype=DTYPE)
    raw = rnn.parametrizations.alpha.original

    def run(x, raw):
        torch.manual_seed(7)
        return torch.func.functional_call(rnn, {"parametrizations.alpha.original": raw}, (x,))[0]

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), raw.detach().requires_grad_()))


def test_evaluation():
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    always, training = noisy().eval(), noisy(noise_in_eval=False)
    assert not always(x)[0].equal(always(x)[0])
    assert not training(x)[0].equal(training(x)[0])
    training.eval()
    assert training(x)[0].equal(training(x)[0])


def test_a_generator_of_its_own():
    rnn = noisy(generator=torch.Generator().manual_seed(5))
    other = copy.deepcopy(rnn)
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    state = torch.get_rng_state()
    first = rnn(x)[0]
    assert torch.get_rng_state().equal(state)
    assert other(x)[0].equal(first)  # it was copied, at the same place
    assert not rnn(x)[0].equal(first)
    rnn.generator.manual_seed(5)
    assert rnn(x)[0].equal(first)


def test_no_numbers_are_drawn_without_noise():
    rnn = elman.LeakyRNN(4, 6, alpha=0.2)
    state = torch.get_rng_state()
    rnn(torch.randn(5, 3, 4, generator=torch.Generator()))
    assert torch.get_rng_state().equal(state)
    rnn.noise = 0.1
    elman.kernel_info(rnn, torch.zeros(5, 3, 4))
    assert torch.get_rng_state().equal(state)


def test_cell():
    cell = elman.LeakyRNNCell(4, 6, alpha=0.25, noise=0.3, dtype=DTYPE)
    x, h = torch.randn(3, 4, dtype=DTYPE), torch.randn(3, 6, dtype=DTYPE)
    torch.manual_seed(3)
    noise = 0.3 * math.sqrt(2 / 0.25) * torch.randn(3, 6, dtype=DTYPE)
    torch.manual_seed(3)
    actual = cell(x, h)
    cell.noise = 0.0
    assert_close(actual, cell(x, h, noise))


@pytest.mark.parametrize("form", ["rate", "current"])
def test_gradient_by_lag_draws_once(form):
    rnn = noisy(form=form)
    x = torch.randn(6, 3, 4, dtype=DTYPE)
    results = []
    for hooked in (False, True):
        if hooked:  # the module is called, and goes on with what the receiver returns
            rnn.register_forward_hook(lambda module, args, result: results.append(result[0]))
        torch.manual_seed(3)
        results.append(elman.gradient_by_lag(rnn, x, max_lag=4))
    torch.manual_seed(3)
    assert_close(results[1], rnn(x)[0].detach())
    assert_close(results[0], results[2])


def test_a_preactivation_of_another_dtype_is_refused():
    x, wrong = torch.randn(5, 3, 4, dtype=DTYPE), torch.zeros(5, 3, 6)
    rnn = noisy()
    for call in (rnn, torch.jit.script(rnn)):
        with pytest.raises((RuntimeError, torch.jit.Error), match="must have the input's dtype"):
            call(x, None, None, None, wrong) if call is not rnn else call(x, preactivation=wrong)
    with torch.autocast("cpu", torch.bfloat16):
        assert rnn.float()(x.bfloat16(), preactivation=wrong)[0].dtype == torch.bfloat16
