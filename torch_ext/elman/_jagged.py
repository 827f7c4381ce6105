"""Jagged nested tensors as packed sequences and back."""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

__all__ = ["from_packed", "to_packed"]


def to_packed(input: Tensor) -> tuple[PackedSequence, Tensor]:
    """The sequences of `input`, a jagged nested tensor [B, j, I], packed.

    Returns the PackedSequence and, for each row of its data, the row of ``input.values()`` from
    which it comes.
    """
    _check(input)
    jagged: Any = input  # which has more than a Tensor
    offsets, lengths = jagged.offsets(), jagged.lengths()
    # The lengths decide about shapes, so they are needed on the CPU, as pack_padded_sequence does.
    on_cpu = (offsets.diff() if lengths is None else lengths).cpu()
    if on_cpu.numel() == 0 or int(on_cpu.min()) < 1:
        raise RuntimeError(
            "Expected sequence length to be larger than 0 in RNN, got a nested input with the "
            f"lengths {on_cpu.tolist()}"
        )
    ordered, order = on_cpu.sort(descending=True, stable=True)
    steps = torch.arange(int(ordered[0]), device="cpu").unsqueeze(1)
    alive = ordered > steps  # [T, B]
    rows = (offsets[:-1].cpu()[order] + steps)[alive].to(input.device)
    order = order.to(input.device)
    data = input.values().index_select(0, rows)
    return PackedSequence(data, alive.sum(1), order, order.argsort()), rows


def from_packed(packed: PackedSequence, rows: Tensor, like: Tensor) -> Tensor:
    """The nested tensor with the data of `packed` and the structure of `like`, of which
    `to_packed` made `rows`.
    """
    data, jagged = packed.data, cast(Any, like)
    values = data.new_zeros(like.values().size(0), data.size(1)).index_copy(0, rows, data)
    return torch.nested.nested_tensor_from_jagged(
        values,
        jagged.offsets(),
        jagged.lengths(),
        min_seqlen=int((packed.batch_sizes == packed.batch_sizes[0]).sum()),
        max_seqlen=packed.batch_sizes.size(0),
    )


def _check(input: Tensor) -> None:
    if input.layout != torch.jagged:
        raise RuntimeError(
            "RNN: Expected nested input to have the layout torch.jagged, got "
            f"{input.layout}; make it by torch.nested.nested_tensor(..., layout=torch.jagged)"
        )
    if input.dim() != 3 or cast(Any, input)._ragged_idx != 1:
        raise RuntimeError(
            "RNN: Expected nested input to be of shape [B, j, input_size], one sequence of j steps "
            f"for each row of the batch, got {list(input.shape)}"
        )
