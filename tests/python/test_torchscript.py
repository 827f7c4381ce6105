"""torch.jit.script of the modules: bare, inside others, saved and loaded, trained."""

import copy

import elman
import pytest
import torch
from samples import assert_close
from scripted import Parent, save_and_load
from torch.nn.utils.rnn import PackedSequence, pack_sequence


def gradients(module, x):
    output = module(x)
    output = output[0] if isinstance(output, tuple) else output
    return torch.autograd.grad(output.square().sum(), list(module.parameters()))


class Tagger(torch.nn.Module):
    """A user's module that calls an RNN with all of its arguments, and another inside a
    Sequential."""

    def __init__(self):
        super().__init__()
        self.first = elman.RNN(4, 6, truncation=(2, 3))
        self.rest = torch.nn.Sequential(
            torch.nn.Linear(6, 4), elman.RNN(4, 6, nonlinearity="sigmoid")
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hx = torch.zeros(1, x.size(1), 6)
        reset = x[:, :, 0] > 1.0
        return self.rest(self.first(x, hx, reset=reset)[0])[0]


class Layers(torch.nn.Module):
    """RNNs in a ModuleList, as a loop calls them."""

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([elman.RNN(4, 6, truncation=2), elman.RNN(6, 6)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)[0]
        return x


MODULES = {
    "ModuleList": Layers,
    "RNN": lambda: elman.RNN(4, 6),
    "RNN, everything": lambda: elman.RNN(4, 6, 2, "relu", False, True, 0.0, True, truncation=2),
    "softplus": lambda: elman.RNN(4, 6, 2, "softplus", bidirectional=True, truncation=2),
    "identity": lambda: elman.RNN(4, 6, nonlinearity="identity"),
    "sliding": lambda: elman.RNN(4, 6, 2, nonlinearity="sigmoid", truncation=(1, 3)),
    "Sequential": lambda: torch.nn.Sequential(torch.nn.Linear(4, 4), elman.RNN(4, 6)),
    "Tagger": Tagger,
    "Network": lambda: elman.Network(4, 6, 2, output="softmax", bidirectional=True, truncation=2),
    "many to one": lambda: elman.Network(4, 6, 2, mapping="many_to_one"),
}


@pytest.mark.parametrize("make_module", MODULES.values(), ids=MODULES)
def test_scripted_equals_eager(make_module):
    module = make_module()
    x = torch.randn(7, 3, 4)
    expected, expected_gradients = module(x), gradients(module, x)
    keys = list(module.state_dict())
    scripted = torch.jit.script(module)
    for script in (scripted, save_and_load(scripted)):
        assert list(script.state_dict()) == keys
        assert_close(script(x), expected)
        assert_close(gradients(script, x), expected_gradients)
    assert list(module.state_dict()) == keys
    assert_close(module(x), expected)  # scripting leaves the module itself as good as it was


def test_scripted_module_has_the_same_parameters():
    rnn = elman.RNN(4, 6)
    scripted = torch.jit.script(rnn)
    for ours, theirs in zip(rnn.parameters(), scripted.parameters(), strict=True):
        assert ours is theirs
    optimizer = torch.optim.SGD(scripted.parameters(), lr=0.1)
    x = torch.randn(5, 3, 4)
    before = rnn(x)[0]
    scripted(x)[0].sum().backward()
    optimizer.step()
    assert not torch.allclose(rnn(x)[0], before)
    assert_close(scripted(x), rnn(x))


def test_scripted_module_moves_to_another_dtype():
    scripted = torch.jit.script(elman.RNN(4, 6)).double()
    assert scripted(torch.randn(5, 3, 4, dtype=torch.float64))[0].dtype == torch.float64


def test_scripted_dropout_follows_train_and_eval():
    scripted = torch.jit.script(elman.RNN(4, 6, 2, dropout=0.5))
    x = torch.randn(5, 3, 4)
    assert not torch.equal(scripted(x)[0], scripted(x)[0])
    scripted.eval()
    assert torch.equal(scripted(x)[0], scripted(x)[0])


class OnPackedInput(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, bidirectional=True, truncation=2)

    def forward(
        self, input: PackedSequence, hx: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output, h_n = self.rnn(input, hx)
        return output.data, h_n


class OnPackedInputByName(OnPackedInput):
    def forward(
        self, input: PackedSequence, hx: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        output, h_n = self.rnn.forward_with_packed_input(input, hx)
        return output.data, h_n


@pytest.mark.parametrize("cls", [OnPackedInput, OnPackedInputByName])
@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_input_scripted(cls, enforce_sorted):
    module = cls()
    script = save_and_load(torch.jit.script(module))
    lengths = (5, 3, 2) if enforce_sorted else (2, 5, 3)
    packed = pack_sequence([torch.randn(n, 4) for n in lengths], enforce_sorted=enforce_sorted)
    for hx in (None, torch.randn(4, 3, 6)):
        actual, expected = script(packed, hx), module(packed, hx)
        assert_close(actual, expected)
        assert_close(
            torch.autograd.grad(actual[0].square().sum(), list(script.parameters())),
            torch.autograd.grad(expected[0].square().sum(), list(module.parameters())),
        )
    bare = save_and_load(torch.jit.script(module.rnn))
    assert_close(bare.forward_with_packed_input(packed)[1], module(packed, None)[1])
    inside = torch.jit.script(module).rnn
    assert_close(inside(packed)[1], module(packed, None)[1])
    assert_close(inside(packed.data.unsqueeze(1)), module.rnn(packed.data.unsqueeze(1)))


class NetworkOnPackedInput(torch.nn.Module):
    def __init__(self, mapping: str):
        super().__init__()
        self.network = elman.Network(4, 6, 2, mapping=mapping, output="softmax")

    def forward(self, input: PackedSequence) -> torch.Tensor:
        return self.network(input)[0].data


@pytest.mark.parametrize("mapping", ["many_to_many", "many_to_one"])
def test_a_network_with_packed_input_scripted(mapping):
    module = NetworkOnPackedInput(mapping)
    packed = pack_sequence([torch.randn(n, 4) for n in (2, 5, 3)], enforce_sorted=False)
    script = torch.jit.script(module)
    assert_close(save_and_load(script)(packed), module(packed))
    y, h_n = script.network(packed)
    assert_close([y.data, h_n], [module(packed), module.network(packed)[1]])
    x = torch.randn(5, 3, 4)
    assert_close(script.network(x), module.network(x))


@pytest.mark.parametrize("make_module", MODULES.values(), ids=MODULES)
def test_frozen_and_optimized_for_inference(make_module):
    module = make_module().eval()
    x = torch.randn(7, 3, 4)
    expected = module(x)
    frozen = torch.jit.freeze(torch.jit.script(module))
    assert not list(frozen.parameters())  # the weights are constants of the graph
    for script in (save_and_load(frozen), torch.jit.optimize_for_inference(frozen)):
        for _ in range(3):  # the executor specialises itself over the first calls
            assert_close(script(x), expected)
        assert_close(script(x[:4, :2]), module(x[:4, :2]))


def test_one_to_many_scripted():
    net = elman.Network(4, 6, 4, mapping="one_to_many", output="tanh")
    x = torch.randn(3, 4)
    assert_close(torch.jit.script(net)(x, None, 5), net(x, steps=5))


def test_cell_is_scriptable_as_it_is():
    cells = [elman.RNNCell(4, 6, nonlinearity=name) for name in ("sigmoid", "softplus", "identity")]
    for cell in (*cells, elman.RNNCell(4, 6, bias=False)):
        scripted = save_and_load(torch.jit.script(cell))
        x, hx = torch.randn(3, 4), torch.randn(3, 6)
        assert_close(scripted(x), cell(x))
        assert_close(scripted(x, hx), cell(x, hx))


def test_errors_in_script_name_the_argument():
    scripted = torch.jit.script(elman.RNN(4, 6))
    with pytest.raises(RuntimeError, match=r"input.size\(-1\) must be equal to input_size"):
        scripted(torch.randn(5, 3, 5))


@pytest.mark.filterwarnings("error::torch.jit.TracerWarning")
def test_trace_runs_at_another_length():
    rnn = elman.RNN(4, 6, 2, truncation=(1, 3))
    traced = torch.jit.trace(rnn, torch.randn(5, 3, 4))
    x = torch.randn(9, 2, 4)
    assert_close(traced(x), rnn(x))
    assert_close(gradients(traced, x), gradients(rnn, x))


def test_parametrized_weights_are_refused():
    rnn = elman.RNN(4, 6)
    torch.nn.utils.parametrize.register_parametrization(rnn, "weight_hh_l0", torch.nn.Identity())
    with pytest.raises(RuntimeError, match="weight_hh_l0 is not a Parameter"):
        torch.jit.script(rnn)


EAGER = {
    "RNN": lambda: elman.RNN(4, 6, 2, dropout=0.5, truncation=(2, 3)),
    "Network": lambda: elman.Network(4, 6, 2, num_layers=2, dropout=0.5),
    "cell": lambda: elman.RNNCell(4, 6),
}


@pytest.mark.parametrize("make_child", EAGER.values(), ids=EAGER)
def test_the_eager_model_is_what_it_was(make_child):
    model = Parent(make_child())
    child, text = model.child, repr(model)
    inside = list(model.modules())
    script = torch.jit.script(model)
    assert all(a is b for a, b in zip(model.modules(), inside, strict=True))
    assert model.child is child
    assert repr(model) == text
    copied = copy.deepcopy(model)  # attributes that the compiler left do no harm
    model.eval()
    assert not any(module.training for module in inside)
    x = torch.randn(3, 4) if isinstance(child, elman.RNNCell) else torch.randn(5, 3, 4)
    assert_close(script.eval()(x), model(x))
    assert_close(copied.eval()(x), model(x))
    torch.jit.script(child)  # and again by itself, and again inside
    assert_close(torch.jit.script(model).eval()(x), model(x))
    assert model.child is child


def test_variables_and_streams_go_on_with_the_model():
    model = Parent(rnn := elman.RNN(4, 6, 2, dropout=0.5))
    stream = elman.Stream(rnn, 5, 5)
    torch.jit.script(model)
    model.eval()
    x = torch.randn(5, 3, 4)
    first = stream(x)
    stream.reset()
    assert torch.equal(stream(x), first)  # no dropout: eval() has reached the stream
    rnn.truncation = 2
    assert model.child.truncation == (2, 2)
    zeros = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    model.load_state_dict(zeros, assign=True)
    assert not rnn.weight_hh_l0.any()


def test_weights_assigned_before_scripting_are_compiled():
    rnn = elman.RNN(4, 6)
    rnn._parameters["weight_hh_l0"] = torch.nn.Parameter(torch.zeros(6, 6))
    x = torch.randn(5, 3, 4)
    assert_close(torch.jit.script(Parent(rnn))(x), rnn(x)[0])
    assert_close(torch.jit.script(rnn)(x), rnn(x))
