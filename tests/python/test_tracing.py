"""make_fx in all of its modes, torch.fx, fake tensors: graphs with elman's operators in them."""

import elman
import pytest
import torch
from samples import REPRESENTATIVE, assert_close, make
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._pytree import tree_map_only


def calls(graph_module, *operators):
    """How often each of the operators is called in the graph."""
    targets = [node.target for node in graph_module.graph.nodes]
    return [targets.count(operator) for operator in operators]


def with_gradients(module):
    """A function of (parameters, x) that returns the output and, taken inside, all gradients."""

    def run(parameters, x):
        output, h_n = torch.func.functional_call(module, parameters, (x,))
        loss = output.square().sum() + h_n.sum()
        return output, torch.autograd.grad(loss, [x, *parameters.values()])

    return run


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
@pytest.mark.parametrize("truncation", [None, (2, 3)], ids=str)
def test_make_fx_with_gradients_inside(mode, truncation):
    rnn = elman.RNN(4, 6, 2, truncation=truncation, dtype=torch.float64)
    parameters = dict(rnn.named_parameters())
    x = torch.randn(5, 3, 4, dtype=torch.float64, requires_grad=True)
    traced = make_fx(with_gradients(rnn), tracing_mode=mode)(parameters, x)
    ops = torch.ops.elman
    assert calls(traced, ops._rnn_forward.default, ops._rnn_backward.default) == [1, 1]
    sizes = (5, 3) if mode != "symbolic" else (9, 2)
    x = torch.randn(*sizes, 4, dtype=torch.float64, requires_grad=True)
    actual, expected = traced(parameters, x), with_gradients(rnn)(parameters, x)
    assert_close(actual[0], expected[0])
    assert_close(actual[1], expected[1])


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_of_a_transformed_function(mode):
    rnn = elman.RNN(4, 6, truncation=(1, 2), dtype=torch.float64)

    def loss(parameters, x):
        return torch.func.functional_call(rnn, parameters, (x,))[0].square().sum()

    parameters = {name: p.detach() for name, p in rnn.named_parameters()}
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    gradient = torch.func.grad(loss)
    traced = make_fx(gradient, tracing_mode=mode)(parameters, x)
    ops = torch.ops.elman
    assert calls(traced, ops._rnn_forward.default, ops._rnn_backward.default) == [1, 1]
    sizes = (5, 3) if mode != "symbolic" else (9, 2)
    x = torch.randn(*sizes, 4, dtype=torch.float64)
    actual, expected = traced(parameters, x), gradient(parameters, x)
    assert_close(list(actual.values()), list(expected.values()))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("save_states", [True, False])
def test_results_share_no_memory(layers, save_states):
    # Which compilers demand of an operator.
    rnn = elman.RNN(4, 6, layers)
    options = {"nonlinearity": "tanh", "k1": 0, "k2": 0}
    options |= dict.fromkeys(("batch_sizes", "reset", "carry_scale", "masks"))
    results = torch.ops.elman._rnn_forward(
        *(torch.randn(5, 3, 4), None, list(rnn.parameters())),
        *(True, layers, 0.0, False, False, False),
        **options,
        save_states=save_states,
        save_drives=save_states,
    )
    assert not torch._C._any_output_is_alias_to_input_or_output((), {}, results)


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_fake_tensors_have_the_shapes_of_real_ones(case):
    sample = make(case)
    real = [*sample.run(), *sample.gradients()]
    mode = FakeTensorMode()
    fakes = {id(leaf): mode.from_tensor(leaf) for leaf in sample.leaves()}

    def fake_of(tensor):
        return fakes[id(tensor)] if id(tensor) in fakes else mode.from_tensor(tensor)

    args, kwargs = tree_map_only(torch.Tensor, fake_of, (sample.args(), sample.kwargs()))
    with mode:
        results = sample.op(*args, **kwargs)
        gradients = torch.autograd.grad(
            results, list(fakes.values()), [torch.empty_like(result) for result in results]
        )
    for fake, wanted in zip([*results, *gradients], real, strict=True):
        assert fake.shape == wanted.shape
        assert fake.dtype == wanted.dtype
        assert fake.stride() == wanted.stride()


class Tagger(torch.nn.Module):
    """A user's module, with RNNs in a ModuleList, a cell and a Network."""

    def __init__(self):
        super().__init__()
        self.rnns = torch.nn.ModuleList(
            [elman.RNN(4, 6, truncation=2), elman.RNN(6, 6, 2, dropout=0.5, bidirectional=True)]
        )
        self.cell = elman.RNNCell(12, 5, nonlinearity="relu")
        self.network = elman.Network(12, 5, 3, mapping="many_to_one")

    def forward(self, x, hx):
        x, h_n = self.rnns[0](x, hx, reset=x[:, :, 0] > 1)
        x = self.rnns[1](x)[0]
        return self.cell(x[-1]), self.network(x)[0], h_n


def test_symbolic_trace_keeps_the_modules_as_leaves():
    module = Tagger()
    traced = torch.fx.symbolic_trace(module)
    leaves = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert leaves == ["rnns.0", "rnns.1", "cell", "network.rnn", "network.out"]
    args = torch.randn(7, 3, 4), torch.randn(1, 3, 6)
    for training in (True, False):  # followed by the leaves, dropout included
        module.train(training)
        traced.train(training)
        torch.manual_seed(1)
        actual = traced(*args)
        torch.manual_seed(1)
        assert_close(actual, module(*args))
    assert_close(torch.fx.Transformer(traced).transform()(*args), module(*args))


def test_symbolic_trace_of_the_bare_modules():
    # Which torch.fx refuses for torch's own.
    x, hx = torch.randn(7, 3, 4), torch.randn(1, 3, 6)
    rnn, cell = elman.RNN(4, 6, truncation=(1, 3)), elman.RNNCell(4, 6)
    traced = torch.fx.symbolic_trace(rnn)
    assert calls(traced, torch.ops.elman.rnn.default) == [1]
    assert_close(traced(x), rnn(x))
    assert_close(traced(x, hx), rnn(x, hx))
    weights = list(rnn.parameters())
    assert_close(
        torch.autograd.grad(traced(x)[0].square().sum(), weights),
        torch.autograd.grad(rnn(x)[0].square().sum(), weights),
    )
    assert_close(torch.fx.symbolic_trace(cell)(x[0], hx[0]), cell(x[0], hx[0]))


class Residual(elman.RNN):
    def forward(self, input, hx=None):
        output, h_n = super().forward(input, hx)
        return output + input, h_n


class ResidualCell(elman.RNNCell):
    def forward(self, input, hx=None):
        return super().forward(input, hx) + input


class Doubled(elman.Network):
    def forward(self, input, hx=None, *, steps=None):
        y, h_n = super().forward(input, hx, steps=steps)
        return 2 * y, h_n


class Plain(elman.RNN):
    """A subclass without a forward of its own."""


class Parent(torch.nn.Module):
    def __init__(self, child):
        super().__init__()
        self.child = child

    def forward(self, x):
        return self.child(x)


SUBCLASSES = {
    "RNN": (lambda: Residual(4, 4, 2, truncation=2), [torch.ops.elman.rnn.default]),
    "cell": (lambda: ResidualCell(4, 4), [torch.ops.elman.rnn_cell]),
    "Network": (lambda: Doubled(4, 6, 3), ["child.rnn", "child.out"]),
    "no forward of its own": (lambda: Plain(4, 4), ["child"]),
}


@pytest.mark.parametrize(("make_child", "recorded"), SUBCLASSES.values(), ids=SUBCLASSES)
def test_symbolic_trace_of_a_subclass_does_once_what_it_does(make_child, recorded):
    module = Parent(make_child())
    traced = torch.fx.symbolic_trace(module)
    assert [node.target for node in traced.graph.nodes if node.target in recorded] == recorded
    x = torch.randn(3, 4) if isinstance(module.child, elman.RNNCell) else torch.randn(7, 3, 4)
    actual, expected = traced(x), module(x)
    assert_close(actual, expected)
    weights = list(module.parameters())
    losses = [(y[0] if isinstance(y, tuple) else y).square().sum() for y in (actual, expected)]
    assert_close(*(torch.autograd.grad(loss, weights) for loss in losses))


def test_symbolic_trace_of_an_object_whose_forward_was_replaced():
    module = Parent(rnn := elman.RNN(4, 4))
    rnn.forward = Residual.forward.__get__(Residual(4, 4))
    with pytest.raises(NameError, match="not installed as a submodule"):
        torch.fx.symbolic_trace(module)  # that one is not in the model


class Decoder(torch.nn.Module):
    """Of whose arguments only a state is traced: what it begins with is a constant."""

    def __init__(self):
        super().__init__()
        self.rnn, self.cell = elman.RNN(4, 6), elman.RNNCell(4, 6)
        self.network = elman.Network(4, 6, 4, mapping="one_to_many")
        self.register_buffer("start", torch.randn(3, 4))

    def forward(self, state):
        output, h_n = self.rnn(torch.ones(5, 3, 4), state)
        h = self.cell(self.start, h_n[0])
        return output, h, self.network(self.start, state, steps=3)[0]


def test_symbolic_trace_where_only_the_state_is_traced():
    module, state = Decoder(), torch.randn(1, 3, 6)
    traced = torch.fx.symbolic_trace(module)
    leaves = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert leaves == ["rnn", "cell"] + 3 * ["network.rnn", "network.out"]
    assert_close(traced(state), module(state))


class Resets(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, dropout=0.5)
        self.register_buffer("x", torch.randn(5, 3, 4))

    def forward(self, reset, carry_scale):
        return self.rnn(self.x, reset=reset)[0] + self.rnn(self.x, carry_scale=carry_scale)[0]


def test_symbolic_trace_where_only_an_option_is_traced():
    module, args = Resets(), (torch.rand(5, 3) < 0.3, torch.rand(5, 3))
    traced = torch.fx.symbolic_trace(module)
    assert [node.op for node in traced.graph.nodes].count("call_module") == 2
    assert_close(traced.eval()(*args), module.eval()(*args))  # leaves follow eval()
