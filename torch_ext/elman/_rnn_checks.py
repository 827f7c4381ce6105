"""The checks of torch.nn.RNN's forward, in its words; the operators check the rest."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from elman.rnn import RNN

__all__ = ["check_dtype", "check_padded", "check_size"]


def check_dtype(input: Tensor, weight: Tensor) -> None:
    if input.dtype != weight.dtype and not torch._C._is_any_autocast_enabled():
        raise ValueError(
            f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). "
            f"Convert input: input.to({weight.dtype}), "
            f"or convert model: model.to({input.dtype})"
        )


def check_size(rnn: "RNN", input: Tensor) -> None:
    if torch.jit.is_tracing():  # where sizes are tensors: the operator checks them, too
        return
    if input.size(-1) != rnn.input_size:
        raise RuntimeError(
            "input.size(-1) must be equal to input_size. "
            f"Expected {rnn.input_size}, got {input.size(-1)}"
        )


def check_padded(rnn: "RNN", input: Tensor, hx: Tensor | None, weight: Tensor) -> None:
    """The checks of torch.nn.RNN, in its order and its words; the operator checks the rest."""
    dim = input.dim()
    if dim not in (2, 3):
        raise ValueError(f"RNN: Expected input to be 2D or 3D, got {dim}D tensor instead")
    if hx is not None and hx.dim() != dim:
        kind = "batched 3-D" if dim == 3 else "unbatched 2-D"
        raise RuntimeError(
            f"For {kind} input, hx should also be {dim}-D but got {hx.dim()}-D tensor"
        )
    check_dtype(input, weight)
    check_size(rnn, input)
    if hx is not None and not torch.jit.is_tracing():
        if dim == 3:
            batch = input.size(0 if rnn.batch_first else 1)
        else:
            batch, hx = 1, hx.unsqueeze(1)
        cells = rnn.num_layers * (2 if rnn.bidirectional else 1)
        rnn.check_hidden_size(hx, (cells, batch, rnn.hidden_size))
