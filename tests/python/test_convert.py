"""`elman.convert`: torch's modules become elman's where they stand, and the model works on."""

import copy
import gc
import io

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils import parametrizations, parametrize, prune


class Tagger(torch.nn.Module):
    """A model as users write them: torch's recurrent modules here and there, one of them shared."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(9, 4)
        self.encoder = torch.nn.RNN(4, 6, 2, bidirectional=True, dropout=0.5)
        self.blocks = torch.nn.ModuleList(
            torch.nn.ModuleDict({"rnn": torch.nn.RNN(n, 6, nonlinearity="relu")}) for n in (12, 6)
        )
        self.cell = torch.nn.RNNCell(6, 6, nonlinearity="relu")
        self.again = self.blocks[1]["rnn"]
        self.gru = torch.nn.GRU(6, 6)
        self.lstm = torch.nn.LSTM(6, 6)

    def forward(self, tokens):
        x, _ = self.encoder(self.embed(tokens))
        for block in self.blocks:
            x, h = block["rnn"](x)
        x, _ = self.again(x, h)
        x, _ = self.lstm(self.gru(x)[0])
        return torch.stack([self.cell(step) for step in x])


TOKENS = torch.arange(21).remainder(9).view(7, 3)


def outcome(model):
    """The output of `model` and the gradients of all of its parameters."""
    torch.manual_seed(5)  # dropout
    output = model(TOKENS)
    gradients = torch.autograd.grad(output.square().sum(), list(model.parameters()))
    return output, *gradients


def test_a_model_computes_what_it_did():
    model = Tagger().double()
    expected, keys = outcome(model), list(model.state_dict())
    parameters = dict(model.named_parameters(remove_duplicate=False))
    assert elman.convert(model) is model
    assert [type(module) for module in model.modules() if "RNN" in type(module).__name__] == [
        elman.RNN,
        elman.RNN,
        elman.RNN,
        elman.RNNCell,
    ]
    assert type(model.gru) is torch.nn.GRU
    assert type(model.lstm) is torch.nn.LSTM
    assert model.again is model.blocks[1]["rnn"]
    assert_close(outcome(model), expected)
    assert list(model.state_dict()) == keys
    for name, parameter in model.named_parameters(remove_duplicate=False):
        assert parameter is parameters[name]
    assert model.encoder.truncation is None
    model.encoder.truncation = 3
    assert_close(outcome(model)[0], expected[0])
    assert elman.convert(model) is model  # nothing is left to do


def test_a_converted_model_can_be_copied_saved_scripted_and_loaded():
    model = elman.convert(Tagger())
    model.load_state_dict(Tagger().state_dict())
    expected = outcome(model)
    assert_close(outcome(copy.deepcopy(model)), expected)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    assert_close(outcome(torch.load(buffer, weights_only=False)), expected)
    rnn = elman.convert(torch.nn.Sequential(torch.nn.RNN(4, 6)))
    x = torch.randn(5, 3, 4)
    assert_close(torch.jit.script(rnn)(x), rnn(x))
    assert repr(rnn) == repr(torch.nn.Sequential(torch.nn.RNN(4, 6)))


@pytest.mark.parametrize(
    "make", [lambda: torch.nn.RNN(4, 6, batch_first=True), lambda: torch.nn.RNNCell(4, 6)]
)
def test_the_root(make):
    theirs = make()
    x = torch.randn(3, 4)
    expected = theirs(x)
    ours = elman.convert(theirs)
    assert ours is theirs
    assert type(ours) in (elman.RNN, elman.RNNCell)
    assert_close(ours(x), expected)


def test_an_optimizer_made_before_goes_on():
    model = torch.nn.RNN(4, 6)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.randn(5, 3, 4)
    before = elman.convert(model)(x)[0]
    before.sum().backward()
    optimizer.step()
    assert not torch.allclose(model(x)[0], before)


def test_state_of_the_module_stays():
    rnn = torch.nn.RNN(4, 6, 2).eval()
    rnn.bias_hh_l0.requires_grad_(False)
    rnn.weight_hh_l1 = rnn.weight_hh_l0
    rnn.note = "mine"
    rnn.register_buffer("mask", torch.ones(6))
    elman.convert(rnn)
    assert not rnn.training
    assert not rnn.bias_hh_l0.requires_grad
    assert rnn.weight_hh_l1 is rnn.weight_hh_l0
    assert rnn.note == "mine"
    assert "mask" in rnn.state_dict()
    rnn(torch.randn(5, 3, 4))[0].sum().backward()
    assert rnn.weight_hh_l0.grad is not None
    assert rnn.bias_hh_l0.grad is None


def test_hooks_and_their_handles_stay():
    rnn = torch.nn.RNN(4, 6)
    seen = []
    forward = rnn.register_forward_hook(lambda module, args, output: seen.append("forward"))
    rnn.register_forward_pre_hook(lambda module, args: seen.append("pre"))
    rnn.register_full_backward_hook(lambda module, *grads: seen.append("backward"))
    rnn.register_load_state_dict_pre_hook(lambda module, *args: seen.append(module))
    elman.convert(rnn)
    gc.collect()
    rnn(torch.randn(5, 3, 4, requires_grad=True))[0].sum().backward()
    assert seen == ["pre", "forward", "backward"]
    forward.remove()
    rnn(torch.randn(5, 3, 4))
    rnn.load_state_dict(rnn.state_dict())
    assert seen[3:] == ["pre", rnn]


def parametrized():
    return parametrizations.weight_norm(torch.nn.RNN(4, 6), "weight_hh_l0")


def pruned():
    return prune.l1_unstructured(torch.nn.RNN(4, 6), "weight_hh_l0", amount=0.5)


@pytest.mark.parametrize("make", [parametrized, pruned])
def test_parametrized_and_pruned_modules(make):
    rnn = make().double()
    x = torch.randn(5, 3, 4, dtype=torch.float64)

    def run(module):
        output, h_n = module(x)
        gradients = torch.autograd.grad(output.square().sum(), list(module.parameters()))
        return output, h_n, *gradients

    other, keys = make().double(), list(rnn.state_dict())
    expected = run(rnn)
    elman.convert(rnn)
    assert isinstance(rnn, elman.RNN)
    assert not isinstance(rnn, torch.nn.RNN)
    assert_close(run(rnn), expected)
    assert list(rnn.state_dict()) == keys
    assert isinstance(other, torch.nn.RNN)  # another object's class is its own
    if make is parametrized:
        assert_close(run(copy.deepcopy(rnn)), expected)
        parametrize.remove_parametrizations(rnn, "weight_hh_l0")
    else:
        prune.remove(rnn, "weight_hh_l0")
    assert type(rnn) is elman.RNN
    assert_close(run(rnn)[:2], expected[:2])


class Mine(torch.nn.RNN):
    """A user's own kind of RNN."""

    def forward(self, input, hx=None):
        return super().forward(2 * input, hx)


def test_what_is_left_alone():
    replaced_forward = torch.nn.RNN(4, 6)
    replaced_forward.forward = lambda input: input
    refused = torch.nn.RNNCell(4, 6, nonlinearity="gelu")
    model = torch.nn.ModuleDict(
        {
            "mine": Mine(4, 6),
            "parametrized": parametrizations.spectral_norm(Mine(4, 6), "weight_hh_l0"),
            "replaced": replaced_forward,
            "refused": refused,
            "lstm": torch.nn.LSTM(4, 6),
            "ours": elman.RNN(4, 6),
        }
    )
    kinds = [type(module) for module in model.modules()]
    report = []
    elman.convert(model, report)
    assert [type(module) for module in model.modules()] == kinds
    assert [(line.names, line.replaced) for line in report] == [
        ((name,), False) for name in ("mine", "parametrized", "replaced", "refused")
    ]
    assert report[0] == (
        f"mine: {__name__}.Mine left alone: a subclass of torch.nn.RNN may do something else"
    )
    assert report[1].reason == report[0].reason
    assert report[2].reason == "its forward was replaced"
    assert report[3].reason.startswith("its nonlinearity is 'gelu'")
    assert all(line.module is model[line.names[0]] for line in report)


def test_the_report(capsys):
    elman.convert(Tagger(), report=print)
    assert capsys.readouterr().out.splitlines() == [
        "encoder: torch.nn.RNN replaced by elman.RNN",
        "blocks.0.rnn: torch.nn.RNN replaced by elman.RNN",
        "blocks.1.rnn, again: torch.nn.RNN replaced by elman.RNN",
        "cell: torch.nn.RNNCell replaced by elman.RNNCell",
    ]
    report = []
    rnn = elman.convert(torch.nn.RNN(4, 6), report)
    assert report == ["(the model itself): torch.nn.RNN replaced by elman.RNN"]
    assert (report[0].names, report[0].module, report[0].replaced, report[0].reason) == (
        ("",),
        rnn,
        True,
        "",
    )


def test_wrong_arguments_change_nothing():
    with pytest.raises(TypeError, match=r"module should be a torch.nn.Module, got: type"):
        elman.convert(torch.nn.RNN)
    rnn = torch.nn.RNN(4, 6)
    with pytest.raises(TypeError, match="report should be None, callable or a list"):
        elman.convert(rnn, report="print")
    assert type(rnn) is torch.nn.RNN


def test_an_rnn_whose_nonlinearity_was_set_afterwards_goes_by_its_mode():
    rnn = torch.nn.RNN(4, 6, nonlinearity="relu")
    rnn.nonlinearity = "tanh"  # torch does not look at it
    x = torch.randn(5, 3, 4)
    expected = rnn(x)
    assert_close(elman.convert(rnn)(x), expected)


def test_where_there_is_no_rnn_the_report_names_what_others_call_so():
    """As in libraries whose "RNN" is a GRU or an LSTM."""
    gru = torch.nn.GRU(4, 6)
    model = torch.nn.ModuleDict({"rnn": gru, "again": gru, "cell": torch.nn.LSTMCell(4, 6)})
    report = []
    elman.convert(model, report)
    assert report == [
        "rnn, again: torch.nn.GRU left alone: another network than torch.nn.RNN, of which there is "
        "none",
        "cell: torch.nn.LSTMCell left alone: another network than torch.nn.RNN, of which there is "
        "none",
    ]
    assert not any(line.replaced for line in report)
    for rnn in (torch.nn.RNN(4, 6), elman.RNN(4, 6)):
        report = []
        elman.convert(torch.nn.ModuleList([gru, rnn]), report)
        assert not any("GRU" in line for line in report)
