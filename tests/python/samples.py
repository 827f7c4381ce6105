"""The one sample-input function of the Python tests: forward, gradient, opcheck and compile tests
all feed on it."""

import dataclasses
import itertools

import elman  # noqa: F401 - registers the operators
import torch


@dataclasses.dataclass(frozen=True)
class Case:
    """What to make a `Sample` of: sizes and options, nothing random."""

    steps: int = 5
    batch: int = 3
    input_size: int = 4
    hidden_size: int = 6
    num_layers: int = 1
    bidirectional: bool = False
    bias: bool = True
    batch_first: bool = False
    nonlinearity: str = "tanh"
    k1: int = 0
    k2: int = 0
    batched: bool = True
    hx: bool = True
    dropout: float = 0.0
    lengths: tuple[int, ...] | None = None  # packed input: each sequence's length, longest first
    reset: bool = False
    carry_scale: str | None = None  # "steps": [T], "rows": the input's shape without its last dim
    dtype: torch.dtype = torch.float64
    seed: int = 0

    @property
    def directions(self):
        return 2 if self.bidirectional else 1

    def __str__(self):
        """The fields that are not at their defaults: a test's id."""
        return (
            "-".join(
                f"{field.name}={str(getattr(self, field.name)).replace(' ', '')}"
                for field in dataclasses.fields(self)
                if getattr(self, field.name) != field.default
            )
            or "default"
        )


#: Sizes for what takes long: differences, derivatives of higher order.
SMALL = {"steps": 4, "batch": 2, "input_size": 2, "hidden_size": 3}


@dataclasses.dataclass
class Sample:
    """Tensors for one call of `elman::rnn` (or `rnn.data`, if packed), and gradients for its
    results."""

    case: Case
    input: torch.Tensor
    hx: torch.Tensor | None
    params: list[torch.Tensor]
    batch_sizes: torch.Tensor | None
    reset: torch.Tensor | None
    carry_scale: torch.Tensor | None
    grad_output: torch.Tensor
    grad_h_n: torch.Tensor

    @property
    def op(self):
        return torch.ops.elman.rnn.default if self.batch_sizes is None else torch.ops.elman.rnn.data

    def leaves(self):
        """Everything that can be differentiated: input, hx if there is one, params."""
        return [self.input, *([] if self.hx is None else [self.hx]), *self.params]

    def replace(self, leaves):
        """This sample with other `leaves()`."""
        first = 1 if self.hx is None else 2
        hx = leaves[1] if first == 2 else None
        return dataclasses.replace(self, input=leaves[0], hx=hx, params=list(leaves[first:]))

    def args(self, leaves=None):
        """The operator's positional arguments, with `leaves` in the places of `self.leaves()`."""
        leaves = self.leaves() if leaves is None else leaves
        first = 1 if self.hx is None else 2
        input, hx, params = leaves[0], (leaves[1] if first == 2 else None), list(leaves[first:])
        case = self.case
        options = [case.bias, case.num_layers, case.dropout, case.dropout > 0, case.bidirectional]
        if self.batch_sizes is not None:
            return (input, self.batch_sizes, hx, params, *options)
        return (input, hx, params, *options, case.batch_first)

    def kwargs(self):
        case = self.case
        options = {"nonlinearity": case.nonlinearity, "k1": case.k1, "k2": case.k2}
        if self.batch_sizes is None:
            options |= {"reset": self.reset, "carry_scale": self.carry_scale}
        return options

    def run(self, leaves=None):
        return self.op(*self.args(leaves), **self.kwargs())

    def gradients(self, wanted=None, **options):
        """The gradients of <output, grad_output> + <h_n, grad_h_n>, by default for all leaves."""
        torch.manual_seed(self.case.seed)
        results = self.run()
        wanted = self.leaves() if wanted is None else wanted
        return torch.autograd.grad(results, wanted, (self.grad_output, self.grad_h_n), **options)


def param_shapes(case):
    """The shapes of `params`, in the operator's order."""
    h = case.hidden_size
    for layer, _ in itertools.product(range(case.num_layers), range(case.directions)):
        yield h, (case.input_size if layer == 0 else h * case.directions)
        yield h, h
        if case.bias:
            yield from ((h,), (h,))


def make(case):
    """The same `case` makes the same `Sample` each time, drawn on the CPU and then brought to the
    default device; its leaves require gradients."""
    generator = torch.Generator().manual_seed(case.seed)
    device = torch.get_default_device()
    drawn = torch.complex128 if case.dtype.is_complex else torch.float64

    def randn(*shape, scale=1.0, grad=False):
        tensor = torch.randn(shape, generator=generator, dtype=drawn, device="cpu") * scale
        return tensor.to(device, case.dtype).requires_grad_(grad)

    def rand(shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu").to(device)

    if case.lengths is not None:
        rows = (sum(case.lengths),)
        batch_sizes = torch.tensor(
            [sum(length > t for length in case.lengths) for t in range(max(case.lengths))],
            device="cpu",
        )
    else:
        rows = (case.batch, case.steps) if case.batch_first else (case.steps, case.batch)
        rows = rows if case.batched else (case.steps,)
        batch_sizes = None
    batch = () if not case.batched else (case.batch if not case.lengths else len(case.lengths),)
    cells = case.num_layers * case.directions
    reset = rand(rows) < 0.3 if case.reset else None
    carry_scale = None
    if case.carry_scale is not None:
        shape = (case.steps,) if case.carry_scale == "steps" else rows
        carry_scale = 2 * rand(shape)
        carry_scale = (carry_scale * (carry_scale > 0.5)).to(case.dtype)
    return Sample(
        case=case,
        input=randn(*rows, case.input_size, grad=True),
        hx=randn(cells, *batch, case.hidden_size, grad=True) if case.hx else None,
        params=[
            randn(*shape, scale=case.hidden_size**-0.5, grad=True) for shape in param_shapes(case)
        ],
        batch_sizes=batch_sizes,
        reset=reset,
        carry_scale=carry_scale,
        grad_output=randn(*rows, case.directions * case.hidden_size),
        grad_h_n=randn(cells, *batch, case.hidden_size),
    )


def grid(**choices):
    """Every combination of the given values of `Case`'s fields."""
    return [
        Case(**dict(zip(choices, values, strict=True)))
        for values in itertools.product(*choices.values())
    ]


#: A few cases that together touch every argument: what opcheck and the compilers are run on.
REPRESENTATIVE = [
    Case(),
    Case(hx=False, bias=False),
    Case(batched=False, nonlinearity="sigmoid"),
    Case(batch_first=True, nonlinearity="relu", num_layers=2),
    Case(steps=7, num_layers=2, k1=2, k2=5),
    Case(steps=7, k1=1, k2=3, hx=False),
    Case(steps=7, num_layers=2, bidirectional=True, k1=3, k2=3),
    Case(num_layers=2, bidirectional=True, batch_first=True, bias=False),
    Case(reset=True, k1=2, k2=3),
    Case(reset=True, bidirectional=True, batch_first=True),
    Case(carry_scale="steps", num_layers=2),
    Case(carry_scale="rows", reset=True, k1=1, k2=4, batch_first=True),
    Case(lengths=(5, 3, 1)),
    Case(lengths=(6, 4, 4, 2), num_layers=2, k1=2, k2=4, nonlinearity="sigmoid"),
    Case(lengths=(5, 3, 3), bidirectional=True, num_layers=2, k1=2, k2=2),
    Case(dtype=torch.float32, num_layers=2),
    Case(steps=7, nonlinearity="softplus", num_layers=2, k1=2, k2=3),
    Case(nonlinearity="identity", bidirectional=True),
]


def to_double(sample):
    """The same numbers in float64, as leaves of their own."""

    def convert(value):
        if isinstance(value, list):
            return [convert(element) for element in value]
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        return value.detach().double().requires_grad_(value.requires_grad)

    fields = {field.name: getattr(sample, field.name) for field in dataclasses.fields(sample)}
    fields["case"] = dataclasses.replace(sample.case, dtype=torch.float64)
    return Sample(**{name: convert(value) for name, value in fields.items()})


def tolerance(dtype):
    """Relative to the largest element: 1e-10 for float64, otherwise some of the dtype's own
    steps."""
    return 1e-10 if dtype in (torch.float64, torch.complex128) else 16 * torch.finfo(dtype).eps


def assert_close(actual, expected):
    """Tensors, or sequences of them: each equals the expected one up to the `tolerance` of its own
    dtype.

    The tolerance is relative to the largest element of the expected tensor, which may have a wider
    dtype.
    """
    if not isinstance(actual, torch.Tensor):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e)
        return
    assert actual.shape == expected.shape
    atol = tolerance(actual.dtype) * expected.abs().max().item()
    torch.testing.assert_close(actual.to(expected.dtype), expected, rtol=0, atol=atol)


def inner_product(results, grads):
    """The scalar whose gradient is that of `results` for the gradients `grads`."""
    return sum((result * g).sum() for result, g in zip(results, grads, strict=True))
