"""`elman::rnn`, `elman::rnn.data`, `elman::rnn_cell` with full BPTT, against torch and against
brute force."""

import itertools

import elman
import oracle
import pytest
import torch
from samples import Case, assert_close, grid, make, to_double
from torch.nn.utils.rnn import PackedSequence


def run_torch(sample):
    """(output, h_n) of torch.nn.RNN on the sample's tensors."""
    case = sample.case
    rnn = torch.nn.RNN(
        case.input_size,
        case.hidden_size,
        case.num_layers,
        case.nonlinearity,
        case.bias,
        case.batch_first,
        case.dropout,
        case.bidirectional,
        dtype=case.dtype,
    )
    weights = dict(zip(rnn._flat_weights_names, sample.params, strict=True))
    input = sample.input
    if sample.batch_sizes is not None:
        input = PackedSequence(input, sample.batch_sizes)
    torch.manual_seed(case.seed)
    output, h_n = torch.func.functional_call(rnn, weights, (input, sample.hx))
    return (output.data if sample.batch_sizes is not None else output), h_n


def assert_equals_torch(sample):
    expected = run_torch(sample)
    expected_gradients = torch.autograd.grad(
        expected, sample.leaves(), (sample.grad_output, sample.grad_h_n)
    )
    torch.manual_seed(sample.case.seed)
    assert_close(sample.run(), expected)
    assert_close(sample.gradients(), expected_gradients)


@pytest.mark.parametrize(
    "case",
    grid(
        num_layers=(1, 2),
        bidirectional=(False, True),
        bias=(True, False),
        batch_first=(False, True),
        nonlinearity=("tanh", "relu"),
        batched=(True, False),
        hx=(True, False),
    ),
    ids=str,
)
def test_full_bptt_equals_torch(case):
    assert_equals_torch(make(case))


@pytest.mark.parametrize(
    "case",
    grid(
        lengths=((5, 3, 3, 1),),
        num_layers=(1, 3),
        bidirectional=(False, True),
        nonlinearity=("tanh", "relu"),
        bias=(True, False),
        hx=(True, False),
    ),
    ids=str,
)
def test_packed_input_equals_torch(case):
    assert_equals_torch(make(case))


@pytest.mark.parametrize(
    ("steps", "batch", "input_size", "hidden_size"),
    [
        (1, 1, 1, 1),
        (1, 5, 3, 17),
        (40, 1, 3, 64),
        (3, 70, 33, 16),
        (20, 9, 1, 100),
        (6, 4, 65, 129),
        (130, 2, 5, 7),
        (130, 2, 60, 64),  # more rows than a block of the weights' gradient sums at a time
        (60, 9, 64, 128),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_sizes_at_the_borders_of_blocks(steps, batch, input_size, hidden_size, dtype):
    sample = make(Case(steps, batch, input_size, hidden_size, num_layers=2, dtype=dtype))
    reference = to_double(sample)
    assert_close(sample.run(), run_torch(reference))
    assert_close(sample.gradients(), reference.gradients())
    assert_equals_torch(reference)


@pytest.mark.parametrize(
    "case",
    [
        *grid(
            nonlinearity=oracle.OWN,
            num_layers=(1, 2),
            bidirectional=(False, True),
            bias=(True, False),
            batch_first=(False, True),
        ),
        *grid(nonlinearity=oracle.OWN, bidirectional=(False, True), lengths=((4, 2, 1),)),
    ],
    ids=str,
)
def test_what_torch_has_not_equals_brute_force(case):
    sample = make(case)
    assert_close(sample.run(), oracle.forward(sample))
    assert_close(sample.gradients(), oracle.gradients(sample))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("nonlinearity", ["tanh", *oracle.OWN])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "bidirectional": True},
        {"k1": 2, "k2": 3},
        {"lengths": (6, 4, 1)},
        {"lengths": (6, 4, 4, 1), "num_layers": 2, "bidirectional": True, "k1": 2, "k2": 2},
        {"reset": True, "num_layers": 2, "bidirectional": True},
        {"reset": True, "carry_scale": "rows", "k1": 1, "k2": 4},
    ],
    ids=str,
)
def test_narrow_dtypes_against_float64(dtype, nonlinearity, options):
    sample = make(Case(steps=6, nonlinearity=nonlinearity, dtype=dtype, **options))
    reference = to_double(sample)
    results = sample.run()
    assert all(result.dtype == dtype for result in results)
    assert_close(results, reference.run())
    gradients = sample.gradients()
    assert all(gradient.dtype == dtype for gradient in gradients)
    assert_close(gradients, reference.gradients())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_complex_equals_torch(bidirectional):
    assert_equals_torch(
        make(Case(num_layers=2, bidirectional=bidirectional, dtype=torch.complex128))
    )


@pytest.mark.parametrize(
    "case", grid(batch_first=(False, True), bidirectional=(False, True)), ids=str
)
def test_dropout_equals_torch_with_the_same_seed(case):
    options = {"num_layers": 3, "dropout": 0.4, "steps": 8}
    assert_equals_torch(
        make(Case(batch_first=case.batch_first, bidirectional=case.bidirectional, **options))
    )


def test_dropout_of_everything_leaves_the_upper_layers_biases():
    sample = make(Case(num_layers=2, dropout=1.0))
    assert_equals_torch(sample)
    sample.input = torch.randn_like(sample.input)
    again = sample.run()
    assert_close(again, make(Case(num_layers=2, dropout=1.0)).run()[:1] + again[1:])


def test_dropout_is_off_outside_of_training():
    sample = make(Case(num_layers=2))
    input, hx, params, bias, layers, _, _, bidirectional, batch_first = sample.args()
    quiet = sample.op(input, hx, params, bias, layers, 0.9, False, bidirectional, batch_first)
    assert_close(quiet, sample.run())


@pytest.mark.parametrize("nonlinearity", oracle.ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(), (3,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("has_hx", [True, False])
def test_cell_equals_its_formula(nonlinearity, bias, batch, has_hx):
    def leaf(*shape):
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    input, w_ih, w_hh = leaf(*batch, 4), leaf(6, 4), leaf(6, 6)
    hx = leaf(*batch, 6) if has_hx else None
    biases = [leaf(6), leaf(6)] if bias else []
    leaves = [x for x in (input, hx, w_ih, w_hh, *biases) if x is not None]
    actual = torch.ops.elman.rnn_cell(input, hx, w_ih, w_hh, *biases, nonlinearity=nonlinearity)
    carried = 0 if hx is None else hx @ w_hh.T
    expected = oracle.ACTIVATIONS[nonlinearity](input @ w_ih.T + carried + sum(biases))
    assert_close(actual, expected)
    needed = [x for x in leaves if has_hx or x is not w_hh]
    grad = torch.randn_like(expected)
    assert_close(
        torch.autograd.grad(actual, needed, grad), torch.autograd.grad(expected, needed, grad)
    )


@pytest.mark.parametrize("which", ["output", "h_n"])
def test_a_loss_on_one_result_only(which):
    for k1, k2 in ((0, 0), (2, 3)):
        sample = make(Case(num_layers=2, k1=k1, k2=k2))
        (sample.grad_h_n if which == "output" else sample.grad_output).zero_()
        index = 0 if which == "output" else 1
        grad = (sample.grad_output, sample.grad_h_n)[index]
        actual = torch.autograd.grad(sample.run()[index], sample.leaves(), grad)
        assert_close(actual, oracle.gradients(sample))


@pytest.mark.parametrize("batch_first", [False, True])
def test_empty_batch(batch_first):
    sample = make(Case(batch=0, num_layers=2, batch_first=batch_first))
    output, h_n = sample.run()
    assert output.shape == sample.grad_output.shape
    assert h_n.shape == (2, 0, 6)
    assert all(not gradient.any() for gradient in sample.gradients())


def test_inference_mode_and_no_grad_give_the_same_values():
    sample = make(Case(num_layers=2, bidirectional=True))
    expected = sample.run()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            results = sample.run()
        assert not any(result.requires_grad for result in results)
        assert_close(results, [result.detach() for result in expected])


def test_softplus_is_exact_far_from_zero_in_every_engine():
    """torch's own softplus is the identity from 20 on, which float64 sees."""
    x = torch.tensor([[-800.0], [-30.0], [-1e-3], [0.5], [19.0], [21.0], [33.0], [900.0]])
    x = x.double().requires_grad_()
    cell = elman.RNNCell(1, 1, bias=False, nonlinearity="softplus", dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih.fill_(1)
    expected = torch.logaddexp(x, torch.zeros_like(x)).detach()
    fused = cell(x)
    tangents = torch.func.jvp(cell, (x.detach(),), (torch.ones_like(x),))  # composite
    exported = elman.decompose(torch.export.export(cell, (x.detach(),))).module()(x.detach())
    for h in (fused, tangents[0], exported):
        torch.testing.assert_close(h, expected, rtol=1e-15, atol=0)
    slopes = torch.sigmoid(x).detach()
    (grad,) = torch.autograd.grad(fused.sum(), x)
    for slope in (grad, tangents[1]):
        torch.testing.assert_close(slope, slopes, rtol=4e-15, atol=0)


def test_nan_passes_and_stays_in_its_row():
    for nonlinearity, (k1, k2) in itertools.product(oracle.ACTIVATIONS, ((0, 0), (1, 3))):
        sample = make(Case(nonlinearity=nonlinearity, k1=k1, k2=k2))
        with torch.no_grad():
            sample.input[1, 0] = torch.nan
        output, _ = sample.run()
        assert output[1:, 0].isnan().all()
        assert not output[:1].isnan().any()
        assert not output[:, 1:].isnan().any()
        grad_input = sample.gradients()[0]
        assert not grad_input[:, 1:].isnan().any()
        # relu' is 1 at NaN, as torch has it, and identity' is: the gradient passes as it is.
        constant = nonlinearity in ("relu", "identity")
        passes = torch.Tensor.all if constant else torch.Tensor.isnan
        assert passes(grad_input[1, 0]).all()


def test_input_without_features():
    w_ih, w_hh = torch.empty(4, 0, dtype=torch.double), torch.randn(4, 4, dtype=torch.double)
    biases = [torch.randn(4, dtype=torch.double), torch.zeros(4, dtype=torch.double)]
    params = [p.requires_grad_() for p in (w_ih, w_hh, *biases)]
    x = torch.empty(3, 2, 0, dtype=torch.double, requires_grad=True)
    output, _ = torch.ops.elman.rnn(x, None, params, True, 1, 0.0, True, False, False)
    h, expected = torch.zeros(2, 4, dtype=torch.double), []
    for _ in range(3):
        h = torch.tanh(biases[0] + biases[1] + h @ w_hh.T)
        expected.append(h)
    torch.testing.assert_close(output, torch.stack(expected))
    actual = torch.autograd.grad(output.sum(), [x, *params])
    assert actual[0].shape == x.shape and actual[1].shape == w_ih.shape
    wanted = torch.autograd.grad(torch.stack(expected).sum(), params[1:])
    torch.testing.assert_close(actual[2:], wanted)
