"""The grid of models that the runtimes are tried on."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import elman
import torch
from torch import Tensor
from torch.export import Dim
from torch.nn.utils.rnn import PackedSequence, pack_sequence

T, B = Dim("T"), Dim("B")

I, H = 4, 6


@dataclass(frozen=True)
class Model:
    """One row of the table: a module, exported in one form and run at other sizes."""

    name: str
    make: Callable[[], torch.nn.Module]
    arguments: Callable[[int, int], tuple[Tensor, ...]]  # of T, B
    dynamic_shapes: object = None
    form: str = "Scan"
    exported_at: tuple[int, int] = (7, 3)
    run_at: tuple[int, int] = (11, 2)
    relative: float = 1e-5
    absolute: float = 1e-5
    steps_per_turn: int | None = None


def _seeded(make: Callable[[], torch.nn.Module]) -> Callable[[], torch.nn.Module]:
    def make_it() -> torch.nn.Module:
        torch.manual_seed(0)
        return make().eval()

    return make_it


def _x(steps: int, batch: int) -> tuple[Tensor]:
    return (torch.randn(steps, batch, I),)


_X = {"input": {0: T, 1: B}}


def _rnn(name: str, *, form: str = "Scan", fixed: bool = False, **options) -> Model:
    layers = options.get("num_layers", 1)
    cells = layers * (2 if options.get("bidirectional") else 1)
    dtype = options.get("dtype", torch.float32)
    with_hx = cells > 1
    first = bool(options.get("batch_first"))

    def arguments(steps: int, batch: int) -> tuple[Tensor, ...]:
        sizes = (batch, steps, I) if first else (steps, batch, I)
        x = torch.randn(sizes, dtype=dtype)
        return (x, torch.randn(cells, batch, H, dtype=dtype)) if with_hx else (x,)

    shapes: dict = {"input": {0: B, 1: T} if first else {0: T, 1: B}}
    if with_hx:
        shapes["hx"] = {1: B}
    return Model(
        name,
        _seeded(lambda: elman.RNN(I, H, **options)),
        arguments,
        None if fixed else shapes,
        form,
        run_at=(7, 3) if fixed else (11, 2),
    )


class _Decaying(torch.nn.Module):
    """A state that dies out after a short input: h is about 0.8 of itself at each step."""

    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(I, H, bias=False)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(0.8 * torch.linalg.qr(torch.randn(H, H)).Q)

    def forward(self, input: Tensor):
        return self.rnn(input)


def _short_input(steps: int, batch: int) -> tuple[Tensor]:
    x = torch.zeros(steps, batch, I)
    x[:2] = torch.randn(2, batch, I)
    return (x,)


def _decaying(form: str, fixed: bool = False) -> Model:
    return Model(
        "a decaying state, down to 1e-6",
        _seeded(_Decaying),
        _short_input,
        None if fixed else _X,
        form,
        (60, 2) if fixed else (7, 3),
        (60, 2),
        relative=1e-5,
        absolute=1e-9,
    )


class _Reset(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(I, H, bidirectional=True)

    def forward(self, input: Tensor, reset: Tensor):
        return self.rnn(input, reset=reset)


class _Packed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(I, H, 2, bidirectional=True)

    def forward(self, data: Tensor, batch_sizes: Tensor, hx: Tensor):
        output, h_n = self.rnn(PackedSequence(data, batch_sizes), hx)
        return output.data, h_n


def _packed_arguments(steps: int, batch: int) -> tuple[Tensor, ...]:
    lengths = [max(1, steps - 2 * row) for row in range(batch)]
    packed = pack_sequence([torch.randn(length, I) for length in lengths])
    return packed.data, packed.batch_sizes, torch.randn(4, batch, H)


def _packed(form: str) -> Model:
    shapes = {"data": {0: Dim("N")}, "batch_sizes": {0: T}, "hx": {1: B}}
    fixed = form == "unrolled"
    return Model(
        "packed, 2 layers, both directions",
        _seeded(_Packed),
        _packed_arguments,
        None if fixed else shapes,
        form,
        run_at=(7, 3) if fixed else (11, 2),
    )


def _cell(nonlinearity: str) -> Model:
    return Model(
        f"a cell, {nonlinearity}",
        _seeded(lambda: elman.RNNCell(I, H, nonlinearity=nonlinearity)),
        lambda steps, batch: (torch.randn(batch, I), torch.randn(batch, H)),
        {"input": {0: B}, "hx": {0: B}},
        "cell",
    )


_SMALL_CELL = Model(
    "a cell, tanh, small states",
    _seeded(lambda: elman.RNNCell(I, H, bias=False)),
    lambda steps, batch: (torch.zeros(batch, I), 1e-4 * torch.randn(batch, H)),
    {"input": {0: B}, "hx": {0: B}},
    "cell",
    relative=1e-6,
    absolute=1e-9,
)


def _stacked(form: str, fixed: bool = False) -> Model:
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True, "bias": False}
    return _rnn("2 layers, both directions, batch first, hx", form=form, fixed=fixed, **options)


def _leaky(leak_form: str, form: str, fixed: bool = False) -> Model:
    alpha = torch.linspace(0.2, 0.9, H)
    return Model(
        f"leaky, {leak_form}",
        _seeded(lambda: elman.LeakyRNN(I, H, alpha=alpha, form=leak_form)),
        _x,
        None if fixed else _X,
        form,
        run_at=(7, 3) if fixed else (11, 2),
    )


def _leaky_cell(leak_form: str) -> Model:
    return Model(
        f"a leaky cell, {leak_form}",
        _seeded(lambda: elman.LeakyRNNCell(I, H, alpha=0.3, form=leak_form)),
        lambda steps, batch: (torch.randn(batch, I), torch.randn(batch, H)),
        {"input": {0: B}, "hx": {0: B}},
        "cell",
    )


_LEAK_FORMS = ("rate", "current")
_NONLINEARITIES = ("tanh", "relu", "sigmoid", "softplus", "identity")

_SCANS = [
    *(_rnn(f"{name}, no hx", nonlinearity=name) for name in _NONLINEARITIES),
    _rnn("tanh, no hx, fixed T and B", fixed=True),
    _stacked("Scan"),
    _rnn("float64", dtype=torch.float64),
    _decaying("Scan"),
    Model(
        "reset, both directions",
        _seeded(_Reset),
        lambda steps, batch: (*_x(steps, batch), torch.rand(steps, batch) > 0.7),
        {"input": {0: T, 1: B}, "reset": {0: T, 1: B}},
    ),
    _packed("Scan"),
    Model(
        "a network, many to one, softmax",
        _seeded(lambda: elman.Network(I, H, 3, mapping="many_to_one", output="softmax")),
        _x,
        _X,
    ),
    *(_leaky(name, "Scan") for name in _LEAK_FORMS),
]

MODELS = [
    *_SCANS,
    *(replace(model, steps_per_turn=1) for model in _SCANS),
    *(_cell(name) for name in _NONLINEARITIES),
    *(_leaky_cell(name) for name in _LEAK_FORMS),
    _SMALL_CELL,
    *(
        _rnn(f"{name}, no hx, fixed T and B", form="unrolled", fixed=True, nonlinearity=name)
        for name in _NONLINEARITIES
    ),
    _stacked("unrolled", fixed=True),
    _decaying("unrolled", fixed=True),
    _packed("unrolled"),
    *(_leaky(name, "unrolled", fixed=True) for name in _LEAK_FORMS),
    *(_rnn(f"{name}, no hx", form="RNN", nonlinearity=name) for name in _NONLINEARITIES),
    _rnn("tanh, no hx, fixed T and B", form="RNN", fixed=True),
    _stacked("RNN"),
    _rnn("float64", form="RNN", dtype=torch.float64),
    _decaying("RNN"),
    _packed("RNN"),
]
