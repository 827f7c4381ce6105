"""`elman.to_torch`, the way back of `elman.convert`."""

import copy
import io
import warnings

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils import parametrizations, prune


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, "relu", bidirectional=True, batch_first=True)
        self.again = self.rnn
        self.cell = elman.RNNCell(12, 5)
        self.network = elman.Network(4, 6, 2, mapping="many_to_one", bias=False)

    def forward(self, x):
        output, h_n = self.again(x)
        return self.cell(output[:, -1]), h_n, self.network(x)[0]


X = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(2))


def outcome(model):
    results = model(X)
    loss = sum(result.square().sum() for result in results)
    return [*results, *torch.autograd.grad(loss, list(model.parameters()))]


def test_a_model_computes_what_it_did():
    model, report = Tagger(), []
    expected, keys = outcome(model), list(model.state_dict())
    rnn, parameters = model.rnn, list(model.parameters())
    assert elman.to_torch(model, report) is model
    assert model.rnn is model.again is rnn
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    kinds = [type(module) for module in (model.rnn, model.cell, model.network.rnn)]
    assert kinds == [torch.nn.RNN, torch.nn.RNNCell, torch.nn.RNN]
    assert repr(model.rnn) == repr(
        torch.nn.RNN(4, 6, 2, "relu", bidirectional=True, batch_first=True)
    )
    assert list(model.state_dict()) == keys
    assert_close(outcome(model), expected)
    assert report == [
        "rnn, again: elman.RNN replaced by torch.nn.RNN",
        "cell: elman.RNNCell replaced by torch.nn.RNNCell",
        "network.rnn: elman.RNN replaced by torch.nn.RNN",
    ]
    assert vars(model.cell).keys() == vars(torch.nn.RNNCell(12, 5)).keys()
    assert vars(model.rnn).keys() == vars(torch.nn.RNN(4, 6)).keys()


def test_there_and_back_again():
    model = Tagger()
    expected = outcome(model)
    for _ in range(2):
        elman.convert(elman.to_torch(model))
        assert type(model.rnn) is elman.RNN
        assert_close(outcome(model), expected)


@pytest.mark.parametrize(
    "use",
    [
        copy.deepcopy,
        lambda model: torch.load(saved(model), weights_only=False),
        torch.jit.script,
        lambda model: model.double().float(),
    ],
    ids=["deepcopy", "save", "script", "to"],
)
def test_it_is_a_torch_module_in_every_respect(use):
    model = torch.nn.Sequential(elman.RNN(4, 6, batch_first=True))
    torch.jit.script(model)  # what that leaves in the module is gone
    expected = model(X)
    elman.to_torch(model)
    assert_close(use(model)(X), expected)
    with torch.no_grad():
        model[0].weight_hh_l0 = torch.nn.Parameter(torch.zeros(6, 6))
    assert not torch.equal(model(X)[0], expected[0])


def saved(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return buffer


def test_quantize_dynamic_knows_what_comes_out():
    model = elman.to_torch(torch.nn.Sequential(elman.RNNCell(4, 6)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated upstream
        quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.RNNCell})
    assert "DynamicQuantizedRNNCell" in repr(quantized)


def test_one_to_many():
    network = elman.Network(4, 6, 4, mapping="one_to_many")
    expected = network(X[:, 0], steps=3)
    elman.to_torch(network)
    assert_close(network(X[:, 0], steps=3), expected)
    assert_close(torch.jit.script(network)(X[:, 0], None, 3), expected)


@pytest.mark.parametrize("make", ["parametrized", "pruned"])
def test_weights_that_are_made(make):
    rnn = elman.RNN(4, 6)
    if make == "pruned":
        prune.random_unstructured(rnn, "weight_hh_l0", 0.5)
    else:
        parametrizations.weight_norm(rnn, "weight_hh_l0")
    expected = rnn(X)
    elman.to_torch(rnn)
    assert isinstance(rnn, torch.nn.RNN)
    assert_close(rnn(X), expected)


def test_lost_truncation_is_warned_of_and_reported():
    model, report = torch.nn.Sequential(elman.RNN(4, 6, truncation=(2, 5)), elman.RNN(4, 6)), []
    with pytest.warns(UserWarning, match=r"to_torch: 0: .* truncation \(2, 5\) is lost") as record:
        elman.to_torch(model, report)
    assert len(record) == 1
    assert [line.truncation for line in report] == [(2, 5), None]
    assert report[0] == (
        "0: elman.RNN replaced by torch.nn.RNN, its truncation (2, 5) is lost: full BPTT"
    )
    assert elman.convert(model)[0].truncation is None


@pytest.mark.parametrize("kind", [elman.RNN, elman.RNNCell])
@pytest.mark.parametrize("name", ["sigmoid", "softplus", "identity"])
def test_what_torch_has_not_is_refused_and_nothing_changed(kind, name):
    model = torch.nn.ModuleDict({"a": elman.RNN(4, 6), "b": kind(4, 6, nonlinearity=name)})
    message = f"b: elman.{kind.__name__} has the nonlinearity '{name}'; expected 'tanh' or 'relu'"
    with pytest.raises(ValueError, match=message):
        elman.to_torch(model)
    assert type(model["a"]) is elman.RNN


def test_what_is_left_alone():
    class Mine(elman.RNN):
        pass

    replaced = elman.RNN(4, 6)
    replaced.forward = lambda *args: args
    model, report = torch.nn.Sequential(Mine(4, 6), replaced, torch.nn.RNN(4, 6)), []
    kinds = [type(module) for module in model]
    elman.to_torch(model, report)
    assert [type(module) for module in model] == kinds
    assert [line.reason for line in report] == [
        "a subclass of elman.RNN may do something else",
        "its forward was replaced",
    ]


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"module should be a torch\.nn\.Module, got: int"):
        elman.to_torch(3)
    rnn = elman.RNN(4, 6)
    with pytest.raises(TypeError, match="report should be None, callable or a list"):
        elman.to_torch(rnn, 3)
    assert type(rnn) is elman.RNN
