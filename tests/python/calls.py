"""Calls of the operators for the tests of errors: right ones to spoil, the ways in which a program
makes them, and a record of what ran."""

import re

import elman  # noqa: F401 - registers the operators
import pytest
import torch
from torch import Tensor

T, B, I, H = 5, 3, 4, 6


def params(layers=1, directions=1, dtype=torch.float32):
    """The operator's list of parameters."""
    shapes = []
    for layer in range(layers):
        columns = I if layer == 0 else H * directions
        shapes += [(H, columns), (H, H), (H,), (H,)] * directions
    return [torch.zeros(shape, dtype=dtype) for shape in shapes]


_OPTIONS = {
    "has_biases": True,
    "num_layers": 1,
    "dropout": 0.0,
    "train": False,
    "bidirectional": False,
}


def arguments(operator):
    """The arguments of a right call of `operator`: "rnn", "rnn.data" or "rnn_cell"."""
    if operator == "rnn":
        tensors = {"input": torch.zeros(T, B, I), "hx": torch.zeros(1, B, H), "params": params()}
        return {**tensors, **_OPTIONS, "batch_first": False}
    if operator == "rnn.data":
        tensors = {"data": torch.zeros(6, I), "batch_sizes": torch.tensor([3, 2, 1])}
        return {**tensors, "hx": torch.zeros(1, B, H), "params": params(), **_OPTIONS}
    w_ih, w_hh, b_ih, b_hh = params()
    states = {"input": torch.zeros(B, I), "hx": torch.zeros(B, H)}
    return {**states, "w_ih": w_ih, "w_hh": w_hh, "b_ih": b_ih, "b_hh": b_hh}


@torch.jit.script
def _scripted_rnn(
    input: Tensor,
    hx: Tensor | None,
    params: list[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    nonlinearity: str = "tanh",
    k1: int = 0,
    k2: int = 0,
    reset: Tensor | None = None,
    carry_scale: Tensor | None = None,
    leak: Tensor | None = None,
    leak_form: str = "rate",
    preactivation: Tensor | None = None,
):
    return torch.ops.elman.rnn(
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        nonlinearity=nonlinearity,
        k1=k1,
        k2=k2,
        reset=reset,
        carry_scale=carry_scale,
        leak=leak,
        leak_form=leak_form,
        preactivation=preactivation,
    )


@torch.jit.script
def _scripted_rnn_data(
    data: Tensor,
    batch_sizes: Tensor,
    hx: Tensor | None,
    params: list[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    nonlinearity: str = "tanh",
    k1: int = 0,
    k2: int = 0,
    leak: Tensor | None = None,
    leak_form: str = "rate",
    preactivation: Tensor | None = None,
):
    return torch.ops.elman.rnn(
        data,
        batch_sizes,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        nonlinearity=nonlinearity,
        k1=k1,
        k2=k2,
        leak=leak,
        leak_form=leak_form,
        preactivation=preactivation,
    )


@torch.jit.script
def _scripted_rnn_cell(
    input: Tensor,
    hx: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
    nonlinearity: str = "tanh",
    leak: Tensor | None = None,
    leak_form: str = "rate",
    preactivation: Tensor | None = None,
):
    return torch.ops.elman.rnn_cell(
        input,
        hx,
        w_ih,
        w_hh,
        b_ih,
        b_hh,
        nonlinearity=nonlinearity,
        leak=leak,
        leak_form=leak_form,
        preactivation=preactivation,
    )


_EAGER = {
    "rnn": torch.ops.elman.rnn.default,
    "rnn.data": torch.ops.elman.rnn.data,
    "rnn_cell": torch.ops.elman.rnn_cell.default,
}
_SCRIPTED = {
    "rnn": _scripted_rnn,
    "rnn.data": _scripted_rnn_data,
    "rnn_cell": _scripted_rnn_cell,
}

#: Ways to call an operator: recorded by autograd, not recorded, and from TorchScript.
WAYS = ("autograd", "no_grad", "script")


def _as_leaves(value, name=None):
    if isinstance(value, list):
        return [_as_leaves(element) for element in value]
    if not isinstance(value, Tensor) or not value.is_floating_point() or name == "carry_scale":
        return value
    return value.detach().requires_grad_()


def prepare(operator, way, **changes):
    """A function without arguments that calls `operator`, its arguments made already."""
    spoilt = {**arguments(operator), **changes}
    if way == "no_grad":
        return torch.no_grad()(lambda: _EAGER[operator](**spoilt))
    spoilt = {name: _as_leaves(value, name) for name, value in spoilt.items()}
    return lambda: (_EAGER if way == "autograd" else _SCRIPTED)[operator](**spoilt)


def operators_run_by(function):
    """The names of all operators that `function()` runs."""
    with torch.autograd.profiler.profile() as profile:
        function()
    # Without a namespace are the functions of TorchScript.
    return {event.name for event in profile.function_events if "::" in event.name}


def expect_refusal(operator, way, changes, kind, words):
    """Expects a wrong call to be refused, by an error of `kind` whose message has all of `words`
    in their order, before anything is allocated or computed.

    What TorchScript raises is a RuntimeError, whatever the kind.
    """
    call = prepare(operator, way, **changes)
    message = "(?s:.*)".join(map(re.escape, words))

    def wrong_call():
        with pytest.raises(RuntimeError if way == "script" else kind, match=message) as caught:
            call()
        assert way == "script" or caught.type is kind

    # Only the operators themselves were entered: what allocates or computes is one of aten's.
    assert {name.partition("::")[0] for name in operators_run_by(wrong_call)} == {"elman"}


def words_of_torchs_cell(input, hx):
    """The first line of torch.nn.RNNCell's error, which is another one in torch 2.15."""
    with pytest.raises(RuntimeError) as caught:
        torch.nn.RNNCell(I, H)(input, hx)
    return str(caught.value).splitlines()[0]
