"""What elman's operators become for exporters that know ATen's only: decompositions."""

from collections.abc import Callable

import torch
from torch import Tensor

from elman._activations import ACTIVATIONS
from elman._plain import Packed, Padded, Run, Stack, network


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


def decompositions(run: Run) -> dict[torch._ops.OpOverload, Callable]:
    """What elman's operators become, each cell run over its sequence by `run`."""

    def rnn(
        input,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        *,
        nonlinearity="tanh",
        k1=0,
        k2=0,
        reset=None,
        carry_scale=None,
        leak=None,
        leak_form="rate",
        preactivation=None,
    ):
        check_inference(input, num_layers, dropout, train)
        directions = 2 if bidirectional else 1
        batched = input.dim() == 3
        added = preactivation
        if added is not None:
            added = added if added.dim() > input.dim() else added.unsqueeze(0)
            if not batched:
                added = added.unsqueeze(2)
            elif batch_first:
                added = added.transpose(1, 2)
        if not batched:
            input, hx = input.unsqueeze(1), None if hx is None else hx.unsqueeze(1)
            reset = None if reset is None else reset.unsqueeze(1)
        elif batch_first:
            input = input.transpose(0, 1)
            reset = None if reset is None else reset.transpose(0, 1)
        if hx is None:
            hx = [_zeros(input.size(1), params[1])] * (num_layers * directions)
        stack = Stack(params, has_biases, num_layers, directions, nonlinearity, leak, leak_form)
        output, h_n = network(run, Padded(), input, hx, stack, reset, added)
        if not batched:
            return output.squeeze(1), h_n.squeeze(1)
        return (output.transpose(0, 1) if batch_first else output), h_n

    def rnn_data(
        data,
        batch_sizes,
        hx,
        params,
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        *,
        nonlinearity="tanh",
        k1=0,
        k2=0,
        leak=None,
        leak_form="rate",
        preactivation=None,
    ):
        check_inference(data, num_layers, dropout, train)
        directions = 2 if bidirectional else 1
        packed = Packed(batch_sizes, data.size(0), hx.size(1))
        stack = Stack(params, has_biases, num_layers, directions, nonlinearity, leak, leak_form)
        added = preactivation
        if added is not None:
            layers = added if added.dim() > data.dim() else added.unsqueeze(0)
            added = torch.stack([packed.pad(layer) for layer in layers.unbind(0)])
        output, h_n = network(run, packed, packed.pad(data), hx, stack, added=added)
        return packed.pack(output), h_n

    def rnn_cell(
        input,
        hx,
        w_ih,
        w_hh,
        b_ih=None,
        b_hh=None,
        *,
        nonlinearity="tanh",
        leak=None,
        leak_form="rate",
        preactivation=None,
    ):
        check_inference(input)
        batched = input.dim() == 2
        if not batched:
            input, hx = input.unsqueeze(0), None if hx is None else hx.unsqueeze(0)
        if hx is None:
            hx = _zeros(input.size(0), w_hh)
        f = ACTIVATIONS[nonlinearity].plain
        current = leak_form == "current"
        # Two Gemm and an Add, which all runtimes compute correctly.
        a = torch.nn.functional.linear(input, w_ih, b_ih)
        a = a + torch.nn.functional.linear(f(hx) if current else hx, w_hh, b_hh)
        if preactivation is not None:
            a = a + preactivation
        state = a if current else f(a)
        if leak is not None:
            alpha = leak.to(input.dtype)
            state = (1 - alpha) * hx + alpha * state
        return state if batched else state.squeeze(0)

    return {
        torch.ops.elman.rnn.default: rnn,
        torch.ops.elman.rnn.data: rnn_data,
        torch.ops.elman.rnn_cell.default: rnn_cell,
    }
