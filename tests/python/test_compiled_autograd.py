"""Compiled autograd over elman's nodes: the gradients of eager, at other sizes than those that were
captured."""

import contextlib

import elman
import pytest
import torch
import torch._dynamo.compiled_autograd
from samples import assert_close
from torch._dynamo.utils import counters
from torch.nn.utils.rnn import PackedSequence, pack_sequence

DTYPE = torch.float64


@pytest.fixture(autouse=True)
def fresh_compiler():
    def clear():
        torch._dynamo.reset()
        torch._dynamo.compiled_autograd.reset()
        counters.clear()

    clear()
    yield
    clear()


@contextlib.contextmanager
def compiled_autograd(backend):
    compiler = torch.compile(backend=backend, dynamic=True)
    with torch._dynamo.compiled_autograd._enable(compiler):
        yield


def gradients_of(leaves, make_loss, backend=None):
    for leaf in leaves:
        leaf.grad = None
    loss = make_loss()
    with compiled_autograd(backend) if backend else contextlib.nullcontext():
        loss.backward()
    return [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad.clone() for leaf in leaves]


def assert_as_eager(leaves, make_loss, backend="aot_eager"):
    captures = counters["compiled_autograd"]["captures"]
    compiled = gradients_of(leaves, make_loss, backend)
    assert counters["compiled_autograd"]["captures"] - captures in (0, 1)
    eager = gradients_of(leaves, make_loss)
    assert any(gradient.abs().max() > 0 for gradient in eager)
    assert_close(compiled, eager)


CASES = {
    "stack": dict(num_layers=2),
    "truncated": dict(num_layers=2, truncation=(2, 5)),
    "bidirectional": dict(bidirectional=True, batch_first=True, truncation=2),
    "no biases, relu": dict(bias=False, nonlinearity="relu"),
    "complex": dict(num_layers=2, dtype=torch.complex128),
}


@pytest.mark.parametrize(
    ("case", "used"),
    [*((case, "both") for case in CASES), ("stack", "output"), ("stack", "h_n")],
)
def test_rnn(case, used):
    rnn = elman.RNN(4, 6, **{"dtype": DTYPE, **CASES[case]})
    for steps, batch in ((7, 3), (9, 5)):
        x = torch.randn(steps, batch, 4, dtype=rnn.weight_hh_l0.dtype, requires_grad=True)
        cells, rows = rnn(x)[1].shape[:2]
        hx = torch.randn(cells, rows, 6, dtype=x.dtype, requires_grad=True)

        def loss(x=x, hx=hx):
            output, h_n = rnn(x, hx)
            results = {"output": [output], "h_n": [h_n], "both": [output, h_n]}[used]
            return sum(result.abs().square().sum() for result in results)

        assert_as_eager([x, hx, *rnn.parameters()], loss)
    # The sizes are no part of what was captured.
    assert counters["compiled_autograd"]["captures"] <= 2


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_backends(backend):
    rnn = elman.RNN(4, 6, 2, truncation=(1, 3), dtype=DTYPE)
    x = torch.randn(7, 3, 4, dtype=DTYPE, requires_grad=True)
    assert_as_eager([x, *rnn.parameters()], lambda: rnn(x)[0].square().sum(), backend)


def test_reset_and_carry_scale():
    rnn = elman.RNN(4, 6, 2, dtype=DTYPE)
    for steps in (7, 9):
        x = torch.randn(steps, 3, 4, dtype=DTYPE)
        reset, scale = torch.rand(steps, 3) < 0.3, torch.rand(steps, dtype=DTYPE)
        assert_as_eager(
            list(rnn.parameters()),
            lambda x=x, reset=reset, scale=scale: rnn(x, reset=reset, carry_scale=scale)[0].sum(),
        )


def test_packed_input():
    rnn = elman.RNN(4, 6, 2, bidirectional=True, truncation=2, dtype=DTYPE)
    for lengths in ((5, 3, 1), (9, 4), (5, 2, 2)):
        packed = pack_sequence([torch.randn(n, 4, dtype=DTYPE) for n in lengths])
        data = packed.data.requires_grad_()

        def loss(data=data, batch_sizes=packed.batch_sizes):
            output, h_n = rnn(PackedSequence(data, batch_sizes))
            return output.data.square().sum() + h_n.sum()

        assert_as_eager([data, *rnn.parameters()], loss)


def test_dropout_uses_the_masks_of_the_forward_pass():
    rnn = elman.RNN(4, 6, 3, dropout=0.5, dtype=DTYPE)
    x = torch.randn(7, 3, 4, dtype=DTYPE)

    def loss():
        torch.manual_seed(1)
        return rnn(x)[0].square().sum()

    assert_as_eager(list(rnn.parameters()), loss)


def test_frozen_parameters_and_an_accumulated_gradient():
    rnn = elman.RNN(4, 6, 2, dtype=DTYPE)
    rnn.weight_ih_l0.requires_grad_(False)
    rnn.bias_hh_l1.requires_grad_(False)
    x = torch.randn(7, 3, 4, dtype=DTYPE)
    trained = [p for p in rnn.parameters() if p.requires_grad]
    # Two calls, each with a node: their gradients are added.
    assert_as_eager(trained, lambda: rnn(rnn(x)[0][..., :4])[0].square().sum())
    assert rnn.weight_ih_l0.grad is None and rnn.bias_hh_l1.grad is None


def test_what_differs_is_captured_anew():
    rnn = elman.RNN(4, 6, dtype=DTYPE)
    x = torch.randn(9, 3, 4, dtype=DTYPE)
    found = []
    for truncation in (None, 3, (1, 2), 3):
        rnn.truncation = truncation
        assert_as_eager(list(rnn.parameters()), lambda: rnn(x)[0].square().sum())
        found.append(gradients_of(list(rnn.parameters()), lambda: rnn(x)[0].square().sum()))
    assert counters["compiled_autograd"]["captures"] == 3
    assert not torch.allclose(found[0][1], found[1][1])


def test_saved_tensor_hooks():
    rnn = elman.RNN(4, 6, 2, dtype=DTYPE)
    x = torch.randn(7, 3, 4, dtype=DTYPE)

    def loss():
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t / 2):
            return rnn(x)[0].square().sum()

    assert_as_eager(list(rnn.parameters()), loss, "eager")


def test_cell():
    cell = elman.RNNCell(4, 6, nonlinearity="sigmoid", dtype=DTYPE)
    for batch in (3, 5):
        xs = torch.randn(3, batch, 4, dtype=DTYPE, requires_grad=True)

        def loss(xs=xs):
            h = None
            for x in xs:
                h = cell(x, h)
            return h.square().sum()

        assert_as_eager([xs, *cell.parameters()], loss)


@pytest.mark.parametrize("batch_first", [False, True])
def test_stream(batch_first):
    """With optimizer steps in between: the Jacobians are those of the weights as they are."""

    def train(backend):
        torch.manual_seed(0)
        rnn = elman.RNN(4, 6, 2, dropout=0.3, batch_first=batch_first, dtype=DTYPE)
        optimizer = torch.optim.SGD(rnn.parameters(), lr=0.1)
        stream = elman.Stream(rnn, 3, 7)
        losses = []
        for chunk in range(5):
            sizes = (3 if chunk < 4 else 2, 2, 4)
            x = torch.randn(sizes, dtype=DTYPE)
            x = (x.transpose(0, 1) if batch_first else x).requires_grad_()
            options = {}
            if chunk == 2:
                options = {"reset": torch.rand(x.shape[:2]) < 0.4}
            if chunk == 3:
                options = {"carry_scale": torch.rand(x.shape[:2], dtype=DTYPE)}
            optimizer.zero_grad()
            loss = stream(x, **options).square().sum()
            with compiled_autograd(backend) if backend else contextlib.nullcontext():
                loss.backward()
            optimizer.step()
            losses += [loss.detach(), x.grad]
        return losses + [p.detach() for p in rnn.parameters()]

    assert_close(train("aot_eager"), train(None))
    assert counters["compiled_autograd"]["captures"] > 0


def test_of_a_gradient():
    """The second derivative, of a graph that create_graph made."""
    rnn = elman.RNN(4, 6, 2, truncation=(1, 3), dtype=DTYPE)
    packed = pack_sequence([torch.randn(n, 4, dtype=DTYPE) for n in (5, 3)])
    x = torch.randn(7, 3, 4, dtype=DTYPE)

    def penalty(make_output):
        output = make_output()
        gradients = torch.autograd.grad(output.square().sum(), rnn.parameters(), create_graph=True)
        return sum(gradient.square().sum() for gradient in gradients)

    for make_output in (lambda: rnn(x)[0], lambda: rnn(packed)[0].data):
        assert_as_eager(list(rnn.parameters()), lambda f=make_output: penalty(f))


def test_a_stream_refuses_the_second_derivative():
    rnn = elman.RNN(4, 6, dtype=DTYPE)
    output = elman.Stream(rnn, 3, 6)(torch.randn(3, 2, 4, dtype=DTYPE))
    gradients = torch.autograd.grad(output.square().sum(), rnn.parameters(), create_graph=True)
    with compiled_autograd("eager"), pytest.raises(RuntimeError, match="double backward is not"):
        sum(gradient.sum() for gradient in gradients).backward()


@pytest.mark.parametrize("of_a_stream", [False, True])
def test_backward_twice_is_refused(of_a_stream):
    rnn = elman.RNN(4, 6, dtype=DTYPE)
    x = torch.randn(3, 2, 4, dtype=DTYPE)
    loss = (elman.Stream(rnn, 3, 6)(x) if of_a_stream else rnn(x)[0]).sum()
    with compiled_autograd("eager"):
        loss.backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()


def test_the_switch_of_a_compiled_step():
    rnn = elman.RNN(4, 6, dtype=DTYPE)
    x = torch.randn(7, 3, 4, dtype=DTYPE)
    expected = gradients_of(list(rnn.parameters()), lambda: rnn(x)[0].square().sum())
    for p in rnn.parameters():
        p.grad = None
    with torch._dynamo.config.patch(compiled_autograd=True):

        @torch.compile(backend="aot_eager")
        def step():
            rnn(x)[0].square().sum().backward()

        step()
    assert_close([p.grad for p in rnn.parameters()], expected)
