"""What programs do with a module's parameters: torch.nn.RNN and elman.RNN side by side."""

import copy
import io
import pickle
import warnings

import elman
import pytest
import torch
from samples import assert_close
from side_by_side import KINDS, example, modules, outcome


def test_tied_weights():
    results = []
    for module in modules(2):
        module.weight_hh_l1 = module.weight_hh_l0
        module.bias_ih_l0 = module.bias_hh_l0 = module.bias_ih_l1
        assert len(list(module.parameters())) == 5
        copied = copy.deepcopy(module)
        assert copied.weight_hh_l1 is copied.weight_hh_l0
        results.append([*outcome(module), *outcome(copied)])
    assert_close(*results)
    rnn, cell = elman.RNN(4, 6), elman.RNNCell(4, 6)
    cell.weight_hh = rnn.weight_hh_l0
    (rnn(torch.ones(5, 3, 4))[0].sum() + cell(torch.ones(3, 4)).sum()).backward()
    assert cell.weight_hh.grad is rnn.weight_hh_l0.grad


def test_plain_tensors_in_the_places_of_parameters():
    """As hypernetworks and meta-learners do: weights with a history of their own."""
    results = []
    for module in modules():
        source = torch.linspace(-1, 1, 36, dtype=torch.float64).view(6, 6).requires_grad_()
        del module.weight_hh_l0
        module.weight_hh_l0 = source.t() * 0.5
        output, h_n = module(example())
        results.append([output, h_n, *torch.autograd.grad(output.sum(), source)])
    assert_close(*results)


def test_changes_in_place_are_seen_at_once():
    results = []
    for module in modules():
        seen = []
        with torch.no_grad():
            module.weight_hh_l0.mul_(0.5)
            seen.append(module(example())[0])
            module.bias_hh_l0.data = torch.ones(6, dtype=torch.float64)
            seen.append(module(example())[0])
            torch.nn.init.orthogonal_(module.weight_hh_l0)
            module.apply(lambda m: torch.nn.init.constant_(m.weight_ih_l0, 0.25))
            module.weight_hh_l0.copy_(torch.eye(6))
            seen.append(module(example())[0])
        results.append(seen)
    assert_close(*results)


def test_shared_memory():
    rnn = elman.RNN(4, 6, 2, dtype=torch.float64)
    expected = outcome(rnn)
    assert rnn.share_memory() is rnn
    assert all(parameter.is_shared() for parameter in rnn.parameters())
    assert_close(outcome(rnn), expected)


def test_meta_device_and_materialization():
    rnn = elman.RNN(4, 6, 2, bidirectional=True, device="meta", dtype=torch.float64)
    output, h_n = rnn(torch.empty(5, 3, 4, device="meta", dtype=torch.float64))
    assert (output.shape, h_n.shape) == ((5, 3, 12), (4, 3, 6))
    assert output.is_meta
    output, h_n = rnn(torch.empty(5, 4, device="meta", dtype=torch.float64))
    assert (output.shape, h_n.shape) == ((5, 12), (4, 6))
    output.sum().backward()
    assert rnn.weight_hh_l1.grad.shape == (6, 6)

    theirs = torch.nn.RNN(4, 6, 2, bidirectional=True, dtype=torch.float64)
    assigned = copy.deepcopy(rnn)
    assigned.load_state_dict(theirs.state_dict(), assign=True)
    assert_close(outcome(assigned), outcome(theirs))
    rnn.to_empty(device="cpu")
    torch.manual_seed(4)
    rnn.reset_parameters()
    torch.manual_seed(4)
    theirs.reset_parameters()
    assert_close(outcome(rnn), outcome(theirs))


def test_default_device_and_dtype():
    with torch.device("meta"):
        assert elman.RNN(4, 6).weight_hh_l0.is_meta
        assert elman.RNNCell(4, 6).weight_hh.is_meta
    assert elman.RNN(4, 6, dtype=torch.bfloat16).half().weight_hh_l0.dtype == torch.float16
    torch.set_default_dtype(torch.float64)
    try:
        assert elman.RNN(4, 6)(example())[0].dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_order_of_the_parameters(nonlinearity, bidirectional):
    ours, theirs = modules(2, nonlinearity, bidirectional=bidirectional)
    assert [*ours._modules] == [*theirs._modules]
    names = [name for name, _ in theirs.named_parameters()]
    assert [name for name, _ in ours.named_parameters()] == names
    assert ours._flat_weights_names == theirs._flat_weights_names == names
    in_all_weights = [weight for cell in ours.all_weights for weight in cell]
    for a, b, c in zip(ours._flat_weights, ours.parameters(), in_all_weights, strict=True):
        assert a is b is c
    torch.manual_seed(9)
    ours.reset_parameters()
    torch.manual_seed(9)
    theirs.reset_parameters()
    assert_close(list(ours.parameters()), list(theirs.parameters()))


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9),
        lambda parameters: torch.optim.AdamW(parameters, lr=0.1, foreach=True),
        lambda parameters: torch.optim.Adam(parameters, lr=0.1, fused=True),
        lambda parameters: torch.optim.LBFGS(parameters, max_iter=3),
    ],
    ids=["SGD", "AdamW, foreach", "Adam, fused", "LBFGS"],
)
def test_optimizers_and_gradient_clipping(make_optimizer):
    results = []
    for module in modules(2):
        optimizer = make_optimizer(module.parameters())

        def closure(module=module, optimizer=optimizer):
            optimizer.zero_grad()
            loss = module(example())[0].square().sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            return loss

        for _ in range(3):
            optimizer.step(closure)
        results.append(torch.nn.utils.parameters_to_vector(module.parameters()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-8, atol=1e-8)


def test_vectors_of_parameters():
    rnn, theirs = modules(2)
    torch.nn.utils.vector_to_parameters(
        0.5 * torch.nn.utils.parameters_to_vector(theirs.parameters()), rnn.parameters()
    )
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.mul_(0.5)
    assert_close(outcome(rnn), outcome(theirs))


def test_frozen_and_partly_frozen_parameters():
    results = []
    for module in modules(2):
        module.requires_grad_(False)
        assert not module(example())[0].requires_grad
        module.weight_hh_l0.requires_grad_()
        x = example().requires_grad_()
        module(x)[0].sum().backward()
        assert module.weight_hh_l1.grad is None
        results.append([x.grad, module.weight_hh_l0.grad])
    assert_close(*results)


def test_containers():
    results = []
    for kind in KINDS:
        torch.manual_seed(1)
        layers = torch.nn.ModuleList(kind(n, 6, dtype=torch.float64) for n in (4, 6))
        model = torch.nn.ModuleDict({"layers": layers, "one": torch.nn.Sequential(layers[0])})
        x, _ = layers[0](example())
        x, _ = layers[1](x)
        x = x + model["one"](example())[0]
        results.append([x, *torch.autograd.grad(x.sum(), list(model.parameters()))])
        assert list(model.state_dict())[-1] == "one.0.bias_hh_l0"
    assert_close(*results)


def test_replicas_of_data_parallel_use_their_own_weights():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    replica = rnn._replicate_for_data_parallel()
    for name, parameter in rnn.named_parameters():
        setattr(replica, name, 2 * parameter)
    replica(example())[0].sum().backward()
    assert rnn.weight_hh_l0.grad is not None
    assert not torch.equal(replica(example())[0], rnn(example())[0])


@pytest.mark.parametrize("protocol", [2, 5])
def test_pickles_hold_the_weights_in_force(protocol):
    rnn = elman.RNN(4, 6, truncation=3, dtype=torch.float64)
    rnn.weight_hh_l0 = torch.nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
    loaded = pickle.loads(pickle.dumps(rnn, protocol))
    assert loaded.truncation == (3, 3)
    assert_close(outcome(loaded), outcome(rnn))
    assert loaded._flat_weights[1] is loaded.weight_hh_l0
    assert_close(outcome(copy.copy(rnn)), outcome(rnn))


def test_states_of_old_pickles():
    """Those of torch before 1.8 have no proj_size, and older ones no names of the weights."""
    theirs = torch.nn.RNN(4, 6, 2, "relu", dtype=torch.float64)
    state = theirs.__getstate__()
    state["all_weights"] = theirs.all_weights
    for name in ("proj_size", "_flat_weights_names", "_flat_weights", "_all_weights"):
        del state[name]
    ours = elman.RNN.__new__(elman.RNN)
    ours.__setstate__(state)
    assert_close(outcome(ours), outcome(theirs))
    assert ours._flat_weights_names == theirs._flat_weights_names


def test_checkpoints_and_strictness():
    rnn, theirs = modules()
    buffer = io.BytesIO()
    torch.save({"model": theirs.state_dict(), "step": 3}, buffer)
    buffer.seek(0)
    rnn.load_state_dict(torch.load(buffer, weights_only=True)["model"])
    assert_close(outcome(rnn), outcome(theirs))
    messages = []
    for module in (rnn, theirs):
        state = {**module.state_dict(), "surplus": torch.zeros(1)}
        state["weight_hh_l0"] = torch.zeros(5, 5)
        del state["bias_hh_l0"]
        with pytest.raises(RuntimeError) as caught:
            module.load_state_dict(state)
        messages.append(str(caught.value))
        keys = module.load_state_dict({"surplus": torch.zeros(1)}, strict=False)
        messages.append(str(keys))
    assert messages[:2] == messages[2:]


def test_dropout_warning_points_at_the_module_and_comes_once_for_each_construction():
    with warnings.catch_warnings(record=True) as records:
        warnings.simplefilter("always")
        elman.RNN(4, 6, 2, dropout=0.5)
        assert not records
        elman.RNN(4, 6, 1, dropout=0.5)
    assert [r.category for r in records] == [UserWarning]
