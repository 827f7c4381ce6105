"""torch.compile(fullgraph=True): the same values and gradients as eager, without recompiling for
each T and B."""

import elman
import pytest
import torch
from samples import REPRESENTATIVE, assert_close, make
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.utils.rnn import PackedSequence, pack_sequence


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


def test_dropout_draws_the_numbers_of_eager():
    rnn = elman.RNN(4, 6, 3, dropout=0.5, truncation=(2, 3), dtype=torch.float64)
    compiled = torch.compile(rnn, fullgraph=True, backend="aot_eager")
    x = torch.randn(7, 3, 4, dtype=torch.float64)

    def run(module):
        torch.manual_seed(1)
        output = module(x)[0]
        return [output, *torch.autograd.grad(output.square().sum(), list(rnn.parameters()))]

    assert_close(run(compiled), run(rnn))
    assert not torch.equal(compiled(x)[0], compiled(x)[0])


def test_checkpoint_inside():
    rnn = elman.RNN(4, 6, 2, dropout=0.5, truncation=2, dtype=torch.float64)

    def run(x):
        return torch.utils.checkpoint.checkpoint(lambda y: rnn(y)[0], x, use_reentrant=False)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    gradients = []
    for function in (compiled, run, lambda x: rnn(x)[0]):
        torch.manual_seed(1)
        loss = function(x).square().sum()
        gradients.append(torch.autograd.grad(loss, list(rnn.parameters())))
    assert_close(gradients[0], gradients[2])
    assert_close(gradients[1], gradients[2])


def counted(function, **options):
    """The function compiled, and what counts how often that happened."""
    counter = CompileCounterWithBackend("aot_eager")
    return torch.compile(function, fullgraph=True, backend=counter, **options), counter


def results_and_gradients(rnn, module, x, **options):
    """Of `module`, which is `rnn` or `rnn` compiled."""
    output, h_n = module(x, **options)
    loss = output.square().sum() + h_n.sum()
    return [output, h_n, *torch.autograd.grad(loss, list(rnn.parameters()))]


def assert_same(rnn, compiled, x, **options):
    assert_close(
        results_and_gradients(rnn, compiled, x, **options),
        results_and_gradients(rnn, rnn, x, **options),
    )


SIZES = ((6, 3), (9, 4), (6, 5), (23, 2), (5, 7))


@pytest.mark.parametrize("truncation", [None, 2, (2, 5)], ids=str)
@pytest.mark.parametrize("how", ["dynamic=True", "automatic", "mark_dynamic"])
def test_steps_and_batch_do_not_recompile(truncation, how):
    rnn = elman.RNN(4, 6, 2, truncation=truncation, dtype=torch.float64)
    compiled, counter = counted(rnn, dynamic=True if how == "dynamic=True" else None)
    # By itself, dynamo takes sizes for constant until the first that differ.
    compiling_calls = 2 if how == "automatic" else 1
    for call, (steps, batch) in enumerate(SIZES):
        compilations = counter.frame_count
        x = torch.randn(steps, batch, 4, dtype=torch.float64)
        if how == "mark_dynamic":
            torch._dynamo.mark_dynamic(x, 0)
            torch._dynamo.mark_dynamic(x, 1)
        assert_same(rnn, compiled, x)
        assert (counter.frame_count > compilations) == (call < compiling_calls)


def test_packed_input_does_not_recompile():
    rnn = elman.RNN(4, 6, 2, bidirectional=True, truncation=2, dtype=torch.float64)

    def run(data, batch_sizes, hx):
        output, h_n = rnn(PackedSequence(data, batch_sizes), hx)
        return output.data, h_n

    compiled, counter = counted(run, dynamic=True)
    for call, lengths in enumerate(((5, 3, 2), (9, 4, 4, 2), (3, 2))):
        compilations = counter.frame_count
        packed = pack_sequence([torch.randn(n, 4, dtype=torch.float64) for n in lengths])
        hx = torch.randn(4, len(lengths), 6, dtype=torch.float64)
        actual, expected = (f(packed.data, packed.batch_sizes, hx) for f in (compiled, run))
        assert_close(actual, expected)
        assert_close(
            torch.autograd.grad(actual[0].square().sum(), list(rnn.parameters())),
            torch.autograd.grad(expected[0].square().sum(), list(rnn.parameters())),
        )
        assert (counter.frame_count > compilations) == (call == 0)


def test_reset_and_carry_scale_do_not_recompile():
    rnn = elman.RNN(4, 6, 2, truncation=(1, 3), dtype=torch.float64)
    compiled, counter = counted(rnn, dynamic=True)
    for call, (steps, batch) in enumerate(SIZES[:3]):
        compilations = counter.frame_count
        x = torch.randn(steps, batch, 4, dtype=torch.float64)
        reset, scale = torch.rand(steps, batch) < 0.3, torch.rand(steps, dtype=torch.float64)
        assert_same(rnn, compiled, x, reset=reset, carry_scale=scale)
        assert (counter.frame_count > compilations) == (call == 0)


def test_another_truncation_recompiles_once():
    rnn = elman.RNN(4, 6, dtype=torch.float64)
    compiled, counter = counted(rnn)
    x = torch.randn(8, 3, 4, dtype=torch.float64)
    gradients = []
    for truncation, compilations in ((None, 1), ((1, 2), 2), (3, 3), ((1, 2), 3), (None, 3)):
        rnn.truncation = truncation
        assert_same(rnn, compiled, x)
        assert counter.frame_count == compilations
        gradients.append(results_and_gradients(rnn, compiled, x)[3])
    assert not torch.allclose(gradients[0], gradients[1])
    assert torch.equal(gradients[1], gradients[3])


class Tagger(torch.nn.Module):
    """What inductor compiles: RNNs, packed and not, and a loop over a cell, among operators of
    its own."""

    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, dropout=0.5, truncation=(2, 3))
        self.packed = elman.RNN(4, 6, bidirectional=True, truncation=2)
        self.cell = elman.RNNCell(6, 6)

    def forward(self, x, data, batch_sizes, hx):
        states, h_n = self.rnn(x.relu())
        state = h_n[-1]
        for step in range(2):
            state = self.cell(states[step], state)
        packed, h_n = self.packed(PackedSequence(data, batch_sizes), hx)
        return states.softmax(-1), state, packed.data.square(), h_n


@pytest.mark.slow
def test_inductor():
    module = Tagger()
    compiled = torch.compile(module, fullgraph=True, backend="inductor", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        # Sizes that are equal at the first call would be taken for the same size.
        for lengths, steps, batch in (((5, 3, 2), 7, 8), ((9, 4), 11, 12)):
            packed = pack_sequence([torch.randn(n, 4) for n in lengths])
            hx = torch.randn(2, len(lengths), 6)
            x = torch.randn(steps, batch, 4)
            results = []
            for run in (compiled, module):
                torch.manual_seed(1)
                outputs = run(x, packed.data, packed.batch_sizes, hx)
                loss = sum(output.square().sum() for output in outputs)
                results.append([*outputs, *torch.autograd.grad(loss, list(module.parameters()))])
            assert_close(*results)
