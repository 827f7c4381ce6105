"""elman's operators written in ATen's, for exporters that know only those.

What a network is made of stands here once: directions, layers, packed rows. How one cell runs over
its sequence is an argument, `run`, so that each form of an export is one function:

    run(x: [T, B, I], state: [B, H], cell, reset: [T, B] or None) -> ([T, B, H], final: [B, H])

For inference only: truncation and `carry_scale` leave no trace.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from elman._activations import ACTIVATIONS


class Cell(NamedTuple):
    """One layer's weights in one direction, as torch.nn.RNN has them."""

    w_ih: Tensor  # [H, I]
    w_hh: Tensor  # [H, H]
    b_ih: Tensor | None  # [H]
    b_hh: Tensor | None  # [H]
    nonlinearity: str

    def project(self, x: Tensor) -> Tensor:
        """What does not depend on the state, for all steps at once: [..., I] -> [..., H]."""
        projected = torch.matmul(x, self.w_ih.t())
        return projected if self.b_ih is None else projected + (self.b_ih + self.b_hh)

    def step(self, projected: Tensor, state: Tensor, w_hh_t: Tensor, reset: Tensor | None = None):
        """One step: projected, state: [B, H]; w_hh_t: [H, H], transposed; reset: [B, 1]."""
        if reset is not None:
            state = state.masked_fill(reset, 0)
        # In this order: OpenVINO 2026.4 adds wrongly inside of a loop if the product comes second.
        return ACTIVATIONS[self.nonlinearity].plain(torch.mm(state, w_hh_t) + projected)


Run = Callable[[Tensor, Tensor, Cell, Tensor | None], tuple[Tensor, Tensor]]


def unrolled(x: Tensor, state: Tensor, cell: Cell, reset: Tensor | None) -> tuple[Tensor, Tensor]:
    """Each step by itself; the number of steps is that of the example and stays so."""
    steps = x.size(0)
    if not isinstance(steps, int) and not steps.node.is_constant():
        raise RuntimeError(
            "elman: the unrolled form has a fixed number of steps, but the program's is dynamic; "
            "export it with a fixed number of steps, or take another form"
        )
    projected = cell.project(x)
    w_hh_t = cell.w_hh.t()
    states = []
    for t in range(int(steps)):
        reset_t = None if reset is None else reset[t].unsqueeze(1)
        state = cell.step(projected[t], state, w_hh_t, reset_t)
        states.append(state)
    return torch.stack(states), state


def _reversed(x: Tensor) -> Tensor:
    """x backwards in time. Not `flip`: it becomes a Slice of step -1, which tract refuses."""
    steps = x.size(0)
    return x.index_select(0, steps - 1 - torch.arange(steps, device=x.device))


class _Padded:
    """Dense sequences: all of T steps."""

    def reverse(self, x: Tensor) -> Tensor:
        return _reversed(x)

    def final(self, states: Tensor, final: Tensor) -> Tensor:
        return final


class _Packed:
    """Rows as a PackedSequence has them, padded for the run and packed again.

    No step beyond a sequence's length is ever read, so nothing has to be masked: the padding comes
    last in either direction, and the final state is that of the last valid step.
    """

    def __init__(self, batch_sizes: Tensor, rows: int, batch: int):
        device = batch_sizes.device
        steps = batch_sizes.size(0)
        row_of_batch = torch.arange(batch, device=device)  # [B]
        valid = row_of_batch < batch_sizes.unsqueeze(1)  # [T, B]
        lengths = valid.sum(0)  # [B]
        ends = batch_sizes.cumsum(0)  # [T], one past each step's last row of data
        starts = ends - batch_sizes
        self.steps, self.batch = steps, batch
        self._rows = torch.where(valid, starts.unsqueeze(1) + row_of_batch, 0).flatten()
        # The step that each row of data belongs to: as many steps end before it.
        row = torch.arange(rows, device=device)
        step = (ends.unsqueeze(0) <= row.unsqueeze(1)).sum(1)  # [rows]
        self._places = step * batch + row - starts.index_select(0, step)
        self._finals = (lengths - 1) * batch + row_of_batch
        opposite = lengths - 1 - torch.arange(steps, device=device).unsqueeze(1)  # [T, B]
        self._opposite = (opposite.clamp(min=0) * batch + row_of_batch).flatten()

    def pad(self, data: Tensor) -> Tensor:
        return data.index_select(0, self._rows).view(self.steps, self.batch, data.size(1))

    def pack(self, x: Tensor) -> Tensor:
        return x.flatten(0, 1).index_select(0, self._places)

    def reverse(self, x: Tensor) -> Tensor:
        """Each sequence by its own length; what it makes of the padding is never read."""
        return x.flatten(0, 1).index_select(0, self._opposite).view_as(x)

    def final(self, states: Tensor, final: Tensor) -> Tensor:
        return states.flatten(0, 1).index_select(0, self._finals)


def _reversed_reset(reset: Tensor) -> Tensor:
    """The border before step t, seen from the other side: it is crossed into step t - 1."""
    return torch.cat([torch.zeros_like(reset[:1]), _reversed(reset)[:-1]])


def _network(run, layout, x, hx, params, has_biases, layers, directions, nonlinearity, reset=None):
    """x: [T, B, I]; hx, h_n: [L*D, B, H]; output: [T, B, D*H]."""
    weights = 4 if has_biases else 2
    finals = []
    for layer in range(layers):
        outputs = []
        for direction in range(directions):
            i = layer * directions + direction
            own = params[i * weights : (i + 1) * weights]
            cell = Cell(*(own if has_biases else [*own, None, None]), nonlinearity)
            if direction == 0:
                states, final = run(x, hx[i], cell, reset)
            else:
                borders = None if reset is None else _reversed_reset(reset)
                states, final = run(layout.reverse(x), hx[i], cell, borders)
            finals.append(layout.final(states, final))
            outputs.append(states if direction == 0 else layout.reverse(states))
        x = outputs[0] if directions == 1 else torch.cat(outputs, 2)
    return x, torch.stack(finals)


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
    ):
        check_inference(input, num_layers, dropout, train)
        directions = 2 if bidirectional else 1
        batched = input.dim() == 3
        if not batched:
            input, hx = input.unsqueeze(1), None if hx is None else hx.unsqueeze(1)
            reset = None if reset is None else reset.unsqueeze(1)
        elif batch_first:
            input = input.transpose(0, 1)
            reset = None if reset is None else reset.transpose(0, 1)
        if hx is None:
            hx = [_zeros(input.size(1), params[1])] * (num_layers * directions)
        output, h_n = _network(
            *(run, _Padded(), input, hx, params, has_biases, num_layers, directions, nonlinearity),
            reset=reset,
        )
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
    ):
        check_inference(data, num_layers, dropout, train)
        directions = 2 if bidirectional else 1
        packed = _Packed(batch_sizes, data.size(0), hx.size(1))
        output, h_n = _network(
            *(run, packed, packed.pad(data), hx, params),
            *(has_biases, num_layers, directions, nonlinearity),
        )
        return packed.pack(output), h_n

    def rnn_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None, *, nonlinearity="tanh"):
        check_inference(input)
        batched = input.dim() == 2
        if not batched:
            input, hx = input.unsqueeze(0), None if hx is None else hx.unsqueeze(0)
        if hx is None:
            hx = _zeros(input.size(0), w_hh)
        products = [torch.nn.functional.linear(input, w_ih, b_ih)]
        products.append(torch.nn.functional.linear(hx, w_hh, b_hh))
        state = ACTIVATIONS[nonlinearity].plain(products[0] + products[1])
        return state if batched else state.squeeze(0)

    return {
        torch.ops.elman.rnn.default: rnn,
        torch.ops.elman.rnn.data: rnn_data,
        torch.ops.elman.rnn_cell.default: rnn_cell,
    }
