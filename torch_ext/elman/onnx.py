"""What torch.onnx.export(dynamo=True) makes of elman's operators: ONNX's own RNN operator.

Nothing has to be passed to the exporter: importing elman adds its operators to the table of
decompositions that an export makes for itself. No other table of torch's knows of them, since a
decomposition there would come before elman's kernels elsewhere. The cell comes as an RNN of one
step.

The models are for inference: what only gradients know (truncation, `carry_scale`) leaves no trace.
`reset` and dropout in training mode, which ONNX's operator has not, are refused.
"""

import functools
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from elman._on_import import on_import

__all__: list[str] = []

_ACTIVATIONS = {"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}


_DECOMPOSITIONS: dict[torch._ops.OpOverload, Callable] = {}


def _decomposes(op: torch._ops.OpOverload):
    """Makes a function what `op` becomes in an ONNX export."""

    def register(function):
        _DECOMPOSITIONS[op] = function
        return function

    return register


@on_import("torch.onnx._internal.exporter._decomp")
def _join_exports(decomp: ModuleType) -> None:
    """Adds the decompositions to the table of each export.

    The exporter offers no public place for this, short of an argument that each caller would have
    to pass. In a torch that makes its table elsewhere an export says that it does not know elman's
    operators.
    """
    create_table = getattr(decomp, "create_onnx_friendly_decomposition_table", None)
    if create_table is None:
        return

    @functools.wraps(create_table)
    def create_table_with_elman(*args, **kwargs):
        return {**create_table(*args, **kwargs), **_DECOMPOSITIONS}

    decomp.create_onnx_friendly_decomposition_table = create_table_with_elman


def _check_inference(
    input: Tensor, num_layers: int, dropout: float, train: bool, reset: Tensor | None
) -> None:
    if input.is_complex():
        raise RuntimeError(f"elman: ONNX's RNN has no complex numbers, got {input.dtype}")
    if train and dropout > 0 and num_layers > 1:
        raise RuntimeError(
            "elman: ONNX's RNN has no dropout, but the model is in training mode with dropout "
            f"{dropout}; call model.eval() before the export"
        )
    if reset is not None:
        raise RuntimeError("elman: ONNX's RNN has no reset; export a model that does not pass it")


def _layers(
    x: Tensor,
    hx: Tensor | None,
    params: list[Tensor],
    has_biases: bool,
    num_layers: int,
    directions: int,
    nonlinearity: str,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One ONNX node for each layer.

    x: [T, B, I]; hx, h_n: [L*D, B, H]; output: [T, B, D*H]; lengths: [B] int32 or None (all T).
    """
    hidden_size = params[1].size(1)
    steps, batch = x.size(0), x.size(1)
    attributes = {
        "hidden_size": hidden_size,
        "direction": "forward" if directions == 1 else "bidirectional",
        "activations": [_ACTIVATIONS[nonlinearity]] * directions,
    }
    params_per_cell = 4 if has_biases else 2
    finals = []
    for layer in range(num_layers):
        first = layer * directions
        cells = [
            params[i * params_per_cell : (i + 1) * params_per_cell]
            for i in range(first, first + directions)
        ]
        states, final = torch.onnx.ops.symbolic_multi_out(
            "RNN",
            (
                x,
                torch.stack([cell[0] for cell in cells]),
                torch.stack([cell[1] for cell in cells]),
                torch.stack([torch.cat(cell[2:]) for cell in cells]) if has_biases else None,
                lengths,
                None if hx is None else hx[first : first + directions],
            ),
            attributes,
            dtypes=(x.dtype, x.dtype),
            shapes=([steps, directions, batch, hidden_size], [directions, batch, hidden_size]),
        )
        finals.append(final)
        # states: [T, D, B, H]
        x = states.transpose(1, 2).reshape(steps, batch, directions * hidden_size)
    return x, torch.cat(finals)


@_decomposes(torch.ops.elman.rnn.default)
def _rnn(
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
):
    _check_inference(input, num_layers, dropout, train, reset)
    batched = input.dim() == 3
    if not batched:
        input, hx = input.unsqueeze(1), None if hx is None else hx.unsqueeze(1)
    elif batch_first:
        input = input.transpose(0, 1)
    directions = 2 if bidirectional else 1
    output, h_n = _layers(input, hx, params, has_biases, num_layers, directions, nonlinearity)
    if not batched:
        return output.squeeze(1), h_n.squeeze(1)
    return (output.transpose(0, 1) if batch_first else output), h_n


@_decomposes(torch.ops.elman.rnn.data)
def _rnn_data(
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
):
    _check_inference(data, num_layers, dropout, train, reset=None)
    # ONNX has padded sequences with lengths: pad, run, and pack again.
    steps, batch = batch_sizes.size(0), hx.size(1)
    row_of_batch = torch.arange(batch, device=batch_sizes.device)
    valid = row_of_batch < batch_sizes.unsqueeze(1)  # [T, B]
    lengths = valid.sum(0).to(torch.int32)
    ends = batch_sizes.cumsum(0)  # [T], one past each step's last row of data
    starts = ends - batch_sizes
    rows = torch.where(valid, starts.unsqueeze(1) + row_of_batch, 0)  # [T, B]
    padded = data.index_select(0, rows.flatten()).view(steps, batch, data.size(1))
    directions = 2 if bidirectional else 1
    output, h_n = _layers(
        padded, hx, params, has_biases, num_layers, directions, nonlinearity, lengths
    )
    # For each row of data, the step that it belongs to: as many steps end before or at it.
    row = torch.arange(data.size(0), device=batch_sizes.device)
    step = (ends.unsqueeze(0) <= row.unsqueeze(1)).sum(1)  # [sum of batch_sizes]
    place = step * batch + row - starts.index_select(0, step)
    return output.reshape(steps * batch, -1).index_select(0, place), h_n
