"""torch.compile(fullgraph=True): the same values and gradients as eager, without recompiling for
each T and B."""

import elman
import pytest
import torch
from samples import REPRESENTATIVE, Case, assert_close, make
from torch.nn.utils.rnn import pack_sequence


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def assert_compiled_equals_eager(sample, backend):
    compiled = torch.compile(sample.run, fullgraph=True, backend=backend)
    results = compiled(sample.leaves())
    assert_close(results, sample.run())
    gradients = torch.autograd.grad(results, sample.leaves(), (sample.grad_output, sample.grad_h_n))
    assert_close(gradients, sample.gradients())


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_operator_with_aot_eager(case):
    assert_compiled_equals_eager(make(case), "aot_eager")


@pytest.mark.slow
def test_operator_with_inductor():
    assert_compiled_equals_eager(make(Case(steps=7, num_layers=2, k1=2, k2=5)), "inductor")


MODULES = {
    "RNN": lambda: elman.RNN(4, 6, 2, truncation=(2, 5)),
    "bidirectional": lambda: elman.RNN(4, 6, 2, bidirectional=True, batch_first=True, truncation=2),
    "Network": lambda: elman.Network(4, 6, 3, output="softmax", truncation=(1, 3)),
}


@pytest.mark.parametrize("make_module", MODULES.values(), ids=MODULES)
def test_module_with_aot_eager(make_module):
    module = make_module().double()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    x = torch.randn(7, 3, 4, dtype=torch.float64, requires_grad=True)
    for hx in (None, module(x)[1].detach().requires_grad_()):
        wanted = [x, *module.parameters()] + ([] if hx is None else [hx])
        actual, expected = compiled(x, hx), module(x, hx)
        assert_close(actual, expected)
        assert_close(
            torch.autograd.grad(actual[0].square().sum() + actual[1].sum(), wanted),
            torch.autograd.grad(expected[0].square().sum() + expected[1].sum(), wanted),
        )


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_module_with_packed_input(enforce_sorted):
    rnn = elman.RNN(4, 6, 2, truncation=(2, 3), dtype=torch.float64)
    sequences = [torch.randn(n, 4, dtype=torch.float64) for n in (5, 3)]
    packed = pack_sequence(sequences, enforce_sorted=enforce_sorted)
    compiled = torch.compile(rnn, fullgraph=True, backend="aot_eager")
    for hx in (None, torch.randn(2, 2, 6, dtype=torch.float64)):
        (actual, h_n), (expected, expected_h_n) = compiled(packed, hx), rnn(packed, hx)
        assert_close((actual.data, h_n), (expected.data, expected_h_n))
        wanted = list(rnn.parameters())
        assert_close(
            torch.autograd.grad(actual.data.square().sum(), wanted),
            torch.autograd.grad(expected.data.square().sum(), wanted),
        )


def test_cell_with_aot_eager():
    cell = elman.RNNCell(4, 6, nonlinearity="sigmoid")

    def loop(xs, h):
        for x in xs:
            h = cell(x, h)
        return h

    xs, h = torch.randn(3, 2, 4), torch.randn(2, 6)
    assert_close(torch.compile(loop, fullgraph=True, backend="aot_eager")(xs, h), loop(xs, h))


def test_module_with_the_weights_of_functional_call():
    rnn = elman.RNN(4, 6)
    other = {name: torch.randn_like(p) for name, p in rnn.named_parameters()}

    def call(weights, x):
        return torch.func.functional_call(rnn, weights, (x,))

    x = torch.randn(5, 2, 4)
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    assert_close(compiled(other, x), call(other, x))


@pytest.mark.parametrize("truncation", [None, (2, 5)], ids=str)
def test_dynamic_steps_and_batch_compile_once(truncation):
    rnn = elman.RNN(4, 6, 2, truncation=truncation, dtype=torch.float64)
    compiled = torch.compile(rnn, fullgraph=True, backend="aot_eager", dynamic=True)

    def gradients(module, x):
        output, h_n = module(x)
        loss = output.square().sum() + h_n.sum()
        return [output, *torch.autograd.grad(loss, [x, *rnn.parameters()])]

    first, *others = (
        torch.randn(steps, batch, 4, dtype=torch.float64, requires_grad=True)
        for steps, batch in ((6, 3), (9, 3), (6, 5), (23, 2))
    )
    assert_close(gradients(compiled, first), gradients(rnn, first))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for x in others:
            assert_close(gradients(compiled, x), gradients(rnn, x))
