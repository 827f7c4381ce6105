"""Complex and narrow dtypes, autocast's rules for mixed ones, and torch's global switches of
precision and determinism."""

import dataclasses

import elman
import oracle
import pytest
import torch
from samples import REPRESENTATIVE, SMALL, Case, assert_close, make, to_double
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

#: The dtypes' promise, as a multiple of eps of the largest element of each result: states are
#: rounded to the dtype once a step, in bfloat16 also errors before they are multiplied with
#: weights, inputs or states, everything else is computed in float32.
ROUNDINGS = 16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {"k1": 1, "k2": 4},
        {"num_layers": 3, "k1": 2, "k2": 5},
        {"num_layers": 2, "bidirectional": True, "k1": 3, "k2": 3},
        {"num_layers": 2, "lengths": (12, 7, 2), "k1": 2, "k2": 3},
        {"reset": True, "carry_scale": "rows", "k1": 1, "k2": 5},
    ],
    ids=str,
)
def test_accuracy_of_truncated_calls_against_float64(dtype, options):
    sample = make(Case(steps=12, batch=3, input_size=9, hidden_size=16, dtype=dtype, **options))
    reference = to_double(sample)
    assert_within_roundings(sample, reference)


@pytest.mark.parametrize("mkldnn", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k1": 1, "k2": 4, "input_size": 33},
        {"num_layers": 2, "k1": 2, "k2": 5, "hidden_size": 65},
        {"num_layers": 2, "bidirectional": True, "k1": 3, "k2": 3},
        {"input_size": 0},
        {"num_layers": 2, "lengths": (9, 9, 7, 6, 5, 5, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1)},
        {"reset": True, "carry_scale": "rows", "k1": 1, "k2": 5},
    ],
    ids=str,
)
def test_accuracy_of_bfloat16_where_the_cpu_multiplies_it(options, mkldnn):
    """Sizes at which bfloat16's own products are used, where the CPU has them; oneDNN's, with AMX,
    unless that is switched off."""
    size = {"steps": 9, "batch": 20, "input_size": 40, "hidden_size": 64}
    sample = make(Case(**{**size, **options}, dtype=torch.bfloat16))
    with torch.backends.mkldnn.flags(enabled=mkldnn):
        assert_within_roundings(sample, to_double(sample))


def assert_within_roundings(sample, reference):
    pairs = [
        *zip(sample.run(), oracle.forward(reference), strict=True),
        *zip(sample.gradients(), oracle.gradients(reference), strict=True),
    ]
    for actual, expected in pairs:
        assert actual.dtype == sample.input.dtype
        largest = expected.abs().max().item() if expected.numel() > 0 else 0
        atol = ROUNDINGS * torch.finfo(actual.dtype).eps * largest
        torch.testing.assert_close(actual.double(), expected, rtol=0, atol=atol)


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "k1": 1, "k2": 3},
        {"num_layers": 2, "bidirectional": True, "k1": 2, "k2": 2, "batch_first": True},
        {"lengths": (5, 3, 1), "k1": 2, "k2": 3},
        {"reset": True, "carry_scale": "rows", "nonlinearity": "sigmoid"},
        {"num_layers": 2, "nonlinearity": "identity"},
    ],
    ids=str,
)
def test_complex_calls_equal_brute_force(options):
    sample = make(Case(dtype=torch.complex128, **options))
    if sample.carry_scale is not None:
        sample.carry_scale = sample.carry_scale.real
    assert_close(sample.run(), oracle.forward(sample))
    assert_close(sample.gradients(), oracle.gradients(sample))


@pytest.mark.parametrize("nonlinearity", ["tanh", "sigmoid", "identity"])
def test_complex_gradients_under_a_dispatch_mode(nonlinearity):
    """Below a TorchDispatchMode nobody minds the mark that Tensor.conj leaves on a tensor."""

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            return function(*args, **(kwargs or {}))

    sample = make(Case(num_layers=2, nonlinearity=nonlinearity, dtype=torch.complex128))
    expected = sample.run(), sample.gradients()
    with Mode():
        assert_close(sample.run(), expected[0])
        assert_close(sample.gradients(), expected[1])


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_complex_modules(dtype, dropout):
    ours, theirs = elman.RNN(3, 4, 2, dtype=dtype), torch.nn.RNN(3, 4, 2, dtype=dtype)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(5, 2, 3, dtype=dtype) / 4  # far from the poles of tanh
    if dropout:
        # at::dropout has no complex masks; ours drop whole numbers.
        ours.dropout = dropout
        torch.manual_seed(3)
        mask = torch.empty(5, 2, 4).to(x.real.dtype).bernoulli_(0.6) / 0.6
        one, two = torch.nn.RNN(3, 4, dtype=dtype), torch.nn.RNN(4, 4, dtype=dtype)
        for cell, layer in ((one, 0), (two, 1)):
            state = theirs.state_dict().items()
            cell.load_state_dict({k[:-1] + "0": v for k, v in state if k.endswith(str(layer))})
        expected = two(one(x)[0] * mask)[0]
    else:
        expected = theirs(x)[0]
    torch.manual_seed(3)
    assert_close(ours(x)[0], expected)


def test_numerical_derivatives_of_complex_calls():
    for options in ({"num_layers": 2}, {"lengths": (4, 2)}):
        sample = make(Case(**SMALL, **options, dtype=torch.complex128))
        leaves = tuple(sample.leaves())
        run = lambda *leaves, sample=sample: sample.run(leaves)  # noqa: E731
        assert gradcheck(run, leaves, check_forward_ad=True, fast_mode=True)
    truncated = make(Case(**SMALL, k1=1, k2=2, dtype=torch.complex128))
    leaves = tuple(truncated.leaves())
    assert gradgradcheck(lambda *leaves: truncated.run(leaves), leaves, fast_mode=True)


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def outcome(module, x, device):
    """The result's dtype under autocast, or the error's kind and text."""
    try:
        with torch.autocast(device, dtype=torch.bfloat16):
            result = module(x)
    except RuntimeError as error:
        # The first line: elman then names the argument.
        return type(error), str(error).partition("\n")[0]
    return (result if isinstance(result, torch.Tensor) else result[0]).dtype


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("weight", DTYPES, ids=str)
@pytest.mark.parametrize("input", DTYPES, ids=str)
def test_autocast_takes_each_pair_of_dtypes_as_torch_does(input, weight, device):
    options = {"dtype": weight, "device": device}
    x = torch.randn(5, 2, 3, dtype=input, device=device)
    linear = outcome(torch.nn.Linear(3, 4, **options), x, device)
    assert outcome(elman.RNN(3, 4, **options), x, device) == linear
    assert outcome(elman.RNNCell(3, 4, **options), x[0], device) == linear
    if device == "cpu":
        assert outcome(torch.nn.RNN(3, 4, **options), x, device) == linear


def test_float64_is_left_alone_by_autocast():
    model = elman.RNN(3, 4, 2, truncation=(1, 3), dtype=torch.float64)
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    expected = model(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = model(x)
    assert all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True))


def test_backward_under_autocast_and_after_it():
    model = elman.RNN(3, 4, 2, truncation=(1, 3))
    x = torch.randn(6, 2, 3)
    found = []
    for inside in (True, False):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(x)[0].float().square().sum()
            if inside:
                found.append(torch.autograd.grad(loss, list(model.parameters())))
        if not inside:
            found.append(torch.autograd.grad(loss, list(model.parameters())))
    for a, b in zip(*found, strict=True):
        assert a.dtype == torch.float32
        assert torch.equal(a, b)


@pytest.fixture
def restored():
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_float32_matmul_precision(restored, precision):
    """A lower precision is a permission: "highest" is always kept, the others within their own."""
    torch.set_float32_matmul_precision(precision)
    for options in ({"num_layers": 2, "k1": 1, "k2": 3}, {"lengths": (9, 4, 1)}):
        case = Case(steps=9, input_size=40, hidden_size=48, dtype=torch.float32, **options)
        sample = make(case)
        expected = oracle.gradients(to_double(sample))
        eps = {"highest": 2**-23, "high": 2**-10, "medium": 2**-7}[precision]
        for actual, right in zip(sample.gradients(), expected, strict=True):
            atol = ROUNDINGS * eps * right.abs().max().item()
            torch.testing.assert_close(actual.double(), right, rtol=0, atol=atol)


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_deterministic_mode_with_filled_memory(restored, case):
    """Uninitialized memory is NaN in this mode: whoever reads some of it shows it."""
    case = dataclasses.replace(case, dropout=0.3 if case.num_layers > 1 else 0.0)
    sample = make(case)

    def run():
        torch.manual_seed(case.seed)
        return [*sample.run(), *sample.gradients()]

    expected = run()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    for actual, right in zip(run(), expected, strict=True):
        assert torch.equal(actual, right)
