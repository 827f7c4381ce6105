"""What elman's operators become for exporters that know ATen's only: decompositions."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from elman._activations import activate
from elman._plain import Packed, Padded, Run, Stack, network
from elman._schema import by_name


def _zeros(batch: int, w_hh: Tensor) -> Tensor:
    """[B, H], the state that a call without one starts from.

    Not `new_zeros`: tract refuses the ConstantOfShape that it becomes in an export (of float64,
    as it says).
    """
    return w_hh.new_full((batch, w_hh.size(0)), 0.0)


def check_inference(input: Tensor, num_layers: int = 1, dropout: float = 0, train: bool = False):
    """Refuses what an export for inference cannot hold."""
    if input.is_complex():
        raise RuntimeError(f"elman: an export has no complex numbers, got {input.dtype}")
    if train and dropout > 0 and num_layers > 1:
        raise RuntimeError(
            "elman: an export has no dropout, but the model is in training mode with dropout "
            f"{dropout}; call model.eval() before the export"
        )


def _time_major(
    args: SimpleNamespace,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """(input [T, B, I], hx, reset [T, B], preactivation [layers, T, B, D*H]) of a padded call."""
    input, hx, reset, added = args.input, args.hx, args.reset, args.preactivation
    if added is not None and added.dim() == input.dim():
        added = added.unsqueeze(0)
    if input.dim() == 2:
        # A batch of one.
        parts = (input, hx, reset)
        input, hx, reset = (None if one is None else one.unsqueeze(1) for one in parts)
        added = None if added is None else added.unsqueeze(2)
    elif args.batch_first:
        input, reset = (None if one is None else one.transpose(0, 1) for one in (input, reset))
        added = None if added is None else added.transpose(1, 2)
    return input, hx, reset, added


def _stack(args: SimpleNamespace) -> Stack:
    directions = 2 if args.bidirectional else 1
    sizes = (args.has_biases, args.num_layers, directions)
    return Stack(args.params, *sizes, args.nonlinearity, args.leak, args.leak_form)


def _rnn(run: Run, args: SimpleNamespace) -> tuple[Tensor, Tensor]:
    check_inference(args.input, args.num_layers, args.dropout, args.train)
    stack = _stack(args)
    input, hx, reset, added = _time_major(args)
    initial: Tensor | list[Tensor] = (
        [_zeros(input.size(1), args.params[1])] * (args.num_layers * stack.directions)
        if hx is None
        else hx
    )
    output, h_n = network(run, Padded(), input, initial, stack, reset, added)
    if args.input.dim() == 2:
        return output.squeeze(1), h_n.squeeze(1)
    return (output.transpose(0, 1) if args.batch_first else output), h_n


def _rnn_data(run: Run, args: SimpleNamespace) -> tuple[Tensor, Tensor]:
    data, hx, added = args.data, args.hx, args.preactivation
    check_inference(data, args.num_layers, args.dropout, args.train)
    packed = Packed(args.batch_sizes, data.size(0), hx.size(1))
    if added is not None:
        layers = added if added.dim() > data.dim() else added.unsqueeze(0)
        added = torch.stack([packed.pad(layer) for layer in layers.unbind(0)])
    output, h_n = network(run, packed, packed.pad(data), hx, _stack(args), added=added)
    return packed.pack(output), h_n


def _rnn_cell(run: Run, args: SimpleNamespace) -> Tensor:
    input, hx = args.input, args.hx
    check_inference(input)
    batched = input.dim() == 2
    if not batched:
        input, hx = input.unsqueeze(0), None if hx is None else hx.unsqueeze(0)
    if hx is None:
        hx = _zeros(input.size(0), args.w_hh)
    f = functools.partial(activate, args.nonlinearity)
    current = args.leak_form == "current"
    # Two Gemm and an Add, which all runtimes compute correctly.
    a = torch.nn.functional.linear(input, args.w_ih, args.b_ih)
    a = a + torch.nn.functional.linear(f(hx) if current else hx, args.w_hh, args.b_hh)
    if args.preactivation is not None:
        a = a + args.preactivation
    state = a if current else f(a)
    if args.leak is not None:
        alpha = args.leak.to(input.dtype)
        state = hx + alpha * (state - hx)
    return state if batched else state.squeeze(0)


#: The arguments that play a part here, and those that leave no trace in an export.
_KNOWN = {
    *("input", "data", "batch_sizes", "hx", "params", "w_ih", "w_hh", "b_ih", "b_hh"),
    *("has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first"),
    *("nonlinearity", "reset", "leak", "leak_form", "preactivation"),
    *("k1", "k2", "carry_scale"),
}


def _check_known(operator: torch._ops.OpOverload, given: dict[str, Any]) -> None:
    """Refuses what would be left out in silence: a later argument of the operator."""
    for one in operator._schema.arguments:
        if one.name not in _KNOWN and given[one.name] != one.default_value:
            raise RuntimeError(f"elman: {one.name} of {operator} is not supported in an export")


def decompositions(run: Run) -> dict[torch._ops.OpOverload, Callable]:
    """What elman's operators become, each cell run over its sequence by `run`."""

    def named(operator: torch._ops.OpOverload, decomposition: Callable) -> Callable:
        def decompose(*args: Any, **kwargs: Any) -> Any:
            given = by_name(operator, args, kwargs)
            _check_known(operator, given)
            return decomposition(run, SimpleNamespace(**given))

        return decompose

    ops = torch.ops.elman
    return {
        operator: named(operator, decomposition)
        for operator, decomposition in (
            (ops.rnn.default, _rnn),
            (ops.rnn.data, _rnn_data),
            (ops.rnn_cell.default, _rnn_cell),
        )
    }
