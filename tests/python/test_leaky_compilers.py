"""Leaky modules under torch.compile, torch.export, AOTInductor, TorchScript, torch.fx and
autocast."""

import copy

import elman
import leaky_samples
import pytest
import torch
from samples import assert_close
from scripted import save_and_load
from torch.export import Dim
from torch.nn.utils.rnn import PackedSequence, pack_sequence

DTYPE = torch.float64
MODULES = {
    "rate": lambda: elman.LeakyRNN(4, 6, 2, alpha=0.3, truncation=(2, 5)),
    "current": lambda: elman.LeakyRNN(4, 6, alpha=torch.full((6,), 0.3), form="current"),
    "learnt": lambda: elman.LeakyRNN(4, 6, alpha=0.3, learn_alpha=True, truncation=2),
    "alpha of one": lambda: elman.LeakyRNN(4, 6, alpha=1.0),
    "Network": lambda: elman.Network(
        4, 6, 3, cell="leaky", mapping="many_to_one", form="current", alpha=0.3
    ),
}


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def results_and_gradients(module, x):
    output, h_n = module(x)
    loss = output.square().sum() + h_n.sum()
    parameters = [p for _, p in sorted(module.named_parameters())]
    return [output, h_n, *torch.autograd.grad(loss, parameters)]


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_compiled(make):
    module = make().double()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    for steps, batch in ((7, 3), (9, 2)):
        x = torch.randn(steps, batch, 4, dtype=DTYPE)
        actual = compiled(x)
        loss = actual[0].square().sum() + actual[1].sum()
        parameters = [p for _, p in sorted(module.named_parameters())]
        assert_close(
            [*actual, *torch.autograd.grad(loss, parameters)], results_and_gradients(module, x)
        )


@pytest.mark.parametrize("case", leaky_samples.REPRESENTATIVE, ids=str)
def test_operator_compiled(case):
    sample = leaky_samples.make(case)
    results = torch.compile(sample.run, fullgraph=True, backend="aot_eager")(sample.leaves())
    assert_close(list(results), list(sample.run()))
    found = torch.autograd.grad(results, sample.leaves(), (sample.grad_output, sample.grad_h_n))
    assert_close(list(found), list(sample.gradients()))


@pytest.mark.slow
def test_inductor_with_noise():
    rnn = elman.LeakyRNN(4, 6, alpha=0.3, noise=0.1, form="current")
    compiled = torch.compile(rnn, fullgraph=True)
    x = torch.randn(7, 3, 4)
    torch.manual_seed(1)
    first = compiled(x)[0]
    torch.manual_seed(1)
    assert first.equal(compiled(x)[0])
    assert not first.equal(compiled(x)[0])
    rnn.noise = 0.0
    assert_close(compiled(x)[0], rnn(x)[0])


def export(module, *arguments):
    T, B = Dim("T"), Dim("B")
    dynamic = tuple({0: T, 1: B} for _ in arguments)
    return torch.export.export(module, arguments, dynamic_shapes=dynamic)


class WithPreactivation(torch.nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, x, p):
        return self.rnn(x, preactivation=p)


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_exported(make):
    module = make().double()
    program = export(module, torch.randn(7, 3, 4, dtype=DTYPE)).module()
    for steps, batch in ((7, 3), (12, 5)):
        x = torch.randn(steps, batch, 4, dtype=DTYPE)
        assert_close(results_and_gradients(program, x), results_and_gradients(module, x))


@pytest.mark.slow
def test_aot_inductor_package(tmp_path):
    module = WithPreactivation(MODULES["current"]()).eval()
    arguments = torch.randn(7, 3, 4), torch.randn(7, 3, 6)
    with torch.no_grad():
        program = export(module, *arguments)
        path = torch._inductor.aoti_compile_and_package(
            program, package_path=str(tmp_path / "m.pt2")
        )
        loaded = torch._inductor.aoti_load_package(path)
        for steps, batch in ((7, 3), (12, 5)):
            arguments = torch.randn(steps, batch, 4), torch.randn(steps, batch, 6)
            assert_close(list(loaded(*arguments)), list(module(*arguments)))


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
@pytest.mark.parametrize("contained", [False, True])
def test_scripted(make, contained):
    module = make().double()
    if contained:
        module = torch.nn.Sequential(module)
    scripted = torch.jit.script(module)
    x = torch.randn(7, 3, 4, dtype=DTYPE)
    for program in (scripted, save_and_load(scripted)):
        assert_close(results_and_gradients(program, x), results_and_gradients(module, x))


def test_scripted_calls_with_everything():
    rnn = MODULES["current"]().double()
    scripted = torch.jit.script(rnn)
    x, p = torch.randn(5, 3, 4, dtype=DTYPE), torch.randn(5, 3, 6, dtype=DTYPE)
    reset = torch.rand(5, 3) < 0.3
    expected = rnn(x, reset=reset, preactivation=p)
    assert_close(list(scripted(x, None, reset, None, p)), list(expected))
    packed = pack_sequence([x[:, 0], x[:3, 1]])
    rows = torch.randn(8, 6, dtype=DTYPE)
    actual = scripted.forward_with_packed_input(packed, None, rows)
    expected = rnn(packed, preactivation=rows)
    assert_close([actual[0].data, actual[1]], [expected[0].data, expected[1]])


class Loop(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.cell = elman.LeakyRNNCell(4, 6, dtype=DTYPE, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.size(1), 6, dtype=x.dtype)
        for step in x:
            h = self.cell(step, h, h)
        return self.cell.output(h)


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("learn_alpha", [False, True])
def test_scripted_and_compiled_cell(form, learn_alpha):
    module = Loop(alpha=0.3, form=form, learn_alpha=learn_alpha)
    x = torch.randn(3, 2, 4, dtype=DTYPE)
    assert_close(torch.jit.script(module)(x), module(x))
    assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x), module(x))


def test_noise_in_scripts_and_exports():
    rnn = elman.LeakyRNN(4, 6, 2, alpha=0.3, noise=0.5, dtype=DTYPE)
    x = torch.randn(5, 3, 4, dtype=DTYPE)
    torch.manual_seed(2)
    expected = rnn(x)[0]
    for program in (torch.jit.script(rnn), export(rnn, x).module(), copy.deepcopy(rnn)):
        torch.manual_seed(2)
        assert_close(program(x)[0], expected)
        assert not program(x)[0].equal(expected)


def test_exported_packed_data():
    class OnPackedData(WithPreactivation):
        def forward(self, data, batch_sizes, hx):
            output, h_n = self.rnn(PackedSequence(data, batch_sizes), hx)
            return output.data, h_n

    module = OnPackedData(MODULES["current"]().double())

    def arguments(*lengths):
        packed = pack_sequence([torch.randn(n, 4, dtype=DTYPE) for n in lengths])
        return packed.data, packed.batch_sizes, torch.randn(1, len(lengths), 6, dtype=DTYPE)

    dynamic = ({0: Dim("N")}, {0: Dim("T")}, {1: Dim("B")})
    program = torch.export.export(module, arguments(5, 3, 2), dynamic_shapes=dynamic).module()
    for lengths in ((5, 3, 2), (9, 4, 4, 1)):
        args = arguments(*lengths)
        assert_close(list(program(*args)), list(module(*args)))


def test_symbolic_trace_keeps_the_module_as_a_leaf():
    model = torch.nn.Sequential(MODULES["rate"]())
    graph = torch.fx.symbolic_trace(model)
    assert [node.op for node in graph.graph.nodes] == ["placeholder", "call_module", "output"]
    x = torch.randn(5, 3, 4)
    assert_close(list(graph(x)), list(model(x)))
    bare = torch.fx.symbolic_trace(model[0])
    assert_close(list(bare(x)), list(model(x)))


@pytest.mark.parametrize("form", ["rate", "current"])
def test_autocast(form):
    # Alpha and the weights are what bfloat16 has; the casts are then the only difference.
    rnn = elman.LeakyRNN(4, 6, alpha=0.25, form=form, noise=0.125)
    low = elman.LeakyRNN(4, 6, alpha=0.25, form=form, dtype=torch.bfloat16)
    low.load_state_dict(rnn.state_dict())
    rnn.load_state_dict(low.state_dict())
    x, p = torch.randn(5, 3, 4).bfloat16(), torch.randn(5, 3, 6).bfloat16()
    rnn.noise = 0.0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = rnn(x.float(), preactivation=p.float())
    assert actual[0].dtype == torch.bfloat16
    assert_close(list(actual), list(low(x, preactivation=p)))
    rnn.noise = 0.125
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rnn(x)[0].dtype == rnn(x.float())[0].dtype == torch.bfloat16
