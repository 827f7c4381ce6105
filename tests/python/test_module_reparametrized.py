"""Weights that are computed from others, skipped at construction or swapped: elman.RNN beside
torch.nn.RNN."""

import copy

import elman
import pytest
import torch
from samples import assert_close
from side_by_side import example, modules, outcome
from torch.nn.utils import parametrizations, parametrize, prune


def custom_prune(module):
    prune.random_unstructured(module, "weight_ih_l0", amount=0.4)
    return prune.ln_structured(module, "weight_hh_l0", amount=2, n=2, dim=0)


REPARAMETRIZATIONS = {
    "weight_norm": lambda m: parametrizations.weight_norm(m, "weight_hh_l0"),
    "weight_norm of all": lambda m: [
        parametrizations.weight_norm(m, name)
        for name in m.state_dict()
        if name.startswith("weight")
    ],
    # In training mode each evaluation is a step of an iteration, and torch evaluates more often.
    "spectral_norm": lambda m: parametrizations.spectral_norm(m.eval(), "weight_hh_l1"),
    "orthogonal": lambda m: parametrizations.orthogonal(m, "weight_hh_l0"),
    "hooked weight_norm": lambda m: torch.nn.utils.weight_norm(m, "weight_hh_l0"),
    "hooked spectral_norm": lambda m: torch.nn.utils.spectral_norm(m, "weight_hh_l0"),
    "pruned": custom_prune,
    "pruned by magnitude": lambda m: prune.l1_unstructured(m, "weight_hh_l1", amount=0.5),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("change", REPARAMETRIZATIONS.values(), ids=REPARAMETRIZATIONS)
def test_reparametrized_weights(change):
    results = []
    for module in modules(2):
        torch.manual_seed(3)
        change(module)
        before = outcome(module)
        # An optimizer's step on what the weights are made of is seen by the next call.
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        module(example())[0].square().sum().backward()
        optimizer.step()
        results.append([*before, *outcome(module), *outcome(module.eval())])
    assert_close(*results)
    assert not torch.allclose(results[0][0], results[0][len(results[0]) // 3])


def test_parametrized_modules_are_copied_and_converted():
    results = []
    for module in modules():
        parametrizations.weight_norm(module, "weight_hh_l0")
        copied = copy.deepcopy(module)
        with torch.no_grad():
            copied.parametrizations.weight_hh_l0.original0.mul_(2)
        half = copy.deepcopy(module).float()(example().float())[0].double()
        with parametrize.cached():
            module(example())
            results.append([*outcome(module), half])
        results[-1][:0] = outcome(copied)
    assert_close(results[0][:-1], results[1][:-1])
    torch.testing.assert_close(results[0][-1], results[1][-1], rtol=1e-5, atol=1e-5)


def test_parametrized_modules_are_copied_after_a_call():
    """torch.nn.RNN keeps what the call computed, and then it cannot be copied."""
    rnn, theirs = modules()
    for module in (rnn, theirs):
        parametrizations.weight_norm(module, "weight_hh_l0")
        module(example())
    with pytest.raises(RuntimeError, match="support the deepcopy protocol"):
        copy.deepcopy(theirs)
    assert_close(outcome(copy.deepcopy(rnn.float().double())), outcome(rnn))


def test_skip_init():
    """torch.nn.RNN hides its argument `device`, and skip_init refuses it."""
    with pytest.raises(RuntimeError, match="must support a 'device' arg"):
        torch.nn.utils.skip_init(torch.nn.RNN, 4, 6)
    before = torch.random.get_rng_state()
    rnn = torch.nn.utils.skip_init(elman.RNN, 4, 6, 2, dtype=torch.float64)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(p.device.type == "cpu" for p in rnn.parameters())
    expected = torch.nn.RNN(4, 6, 2, dtype=torch.float64)
    rnn.load_state_dict(expected.state_dict())
    assert_close(outcome(rnn), outcome(expected))
    cell = torch.nn.utils.skip_init(elman.RNNCell, 4, 6)
    cell.reset_parameters()
    assert cell(torch.zeros(3, 4)).isfinite().all()


@pytest.fixture
def swapping():
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield
    torch.__future__.set_swap_module_params_on_conversion(False)


@pytest.mark.usefixtures("swapping")
def test_swapping_of_parameters():
    """torch.nn.RNN refers to its weights weakly, and then they cannot be swapped."""
    rnn, theirs = modules(2)
    parameters = dict(rnn.named_parameters())
    rnn.float().double()
    for name, parameter in rnn.named_parameters():
        assert parameter is parameters[name]
    assert_close(outcome(rnn), outcome(theirs.float().double()))

    state = torch.nn.RNN(4, 6, 2, dtype=torch.float64).state_dict()
    with pytest.raises(RuntimeError, match="weakref"):
        theirs.load_state_dict(state)
    rnn.load_state_dict(state)
    assert parameters["weight_hh_l1"] is rnn.weight_hh_l1
    assert torch.equal(rnn.weight_hh_l1, state["weight_hh_l1"])

    torch.utils.swap_tensors(
        rnn.weight_hh_l0, torch.nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
    )
    assert not rnn.weight_hh_l0.any()
    for module in (copy.deepcopy(rnn), elman.convert(theirs)):
        module.load_state_dict(rnn.state_dict())
        assert_close(outcome(module), outcome(rnn))
