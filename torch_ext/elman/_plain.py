"""elman's operators written in ATen's, for exporters that know only those.

What a network is made of stands here once: directions, layers, packed rows. How one cell runs over
its sequence is an argument, `run`, so that each form of an export is one function:

    run(x: [T, B, I], state: [B, H], cell, reset: [T, B] or None, added: [T, B, H] or None)
        -> (outputs: [T, B, H], states: [T, B, H], final: [B, H])

`added` is the preactivation. The states are the outputs but for a leaky cell in the current form.

For inference only: truncation and `carry_scale` leave no trace.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from elman._activations import activate


class Cell(NamedTuple):
    """One layer's weights in one direction, as torch.nn.RNN has them."""

    w_ih: Tensor  # [H, I]
    w_hh: Tensor  # [H, H]
    b_ih: Tensor | None  # [H]
    b_hh: Tensor | None  # [H]
    nonlinearity: str
    leak: Tensor | None = None  # [H]
    leak_form: str = "rate"

    def project(self, x: Tensor, added: Tensor | None) -> Tensor:
        """What does not depend on the state, for all steps at once: [..., I] -> [..., H]."""
        projected = torch.matmul(x, self.w_ih.t())
        if self.b_ih is not None and self.b_hh is not None:
            projected = projected + (self.b_ih + self.b_hh)
        return projected if added is None else projected + added

    @property
    def constants(self) -> list[Tensor]:
        """What each step needs beside its input: w_hh transposed, and the leak if there is one."""
        return [self.w_hh.t(), *([] if self.leak is None else [self.leak])]

    def step(
        self,
        projected: Tensor,
        state: Tensor,
        constants: Sequence[Tensor],
        reset: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One step: projected, state: [B, H]; reset: [B, 1]. Returns the new state and output."""
        f = functools.partial(activate, self.nonlinearity)
        w_hh_t, *leak = constants
        current = self.leak_form == "current"
        if reset is not None:
            state = state.masked_fill(reset, 0)
        # In this order: OpenVINO 2026.4 adds wrongly inside of a loop if the product comes second.
        a = torch.mm(f(state) if current else state, w_hh_t) + projected
        new = a if current else f(a)
        if leak:
            new = state + leak[0] * (new - state)
        return new, f(new) if current else new


Run = Callable[[Tensor, Tensor, Cell, Tensor | None, Tensor | None], tuple[Tensor, Tensor, Tensor]]


def unrolled(
    x: Tensor, state: Tensor, cell: Cell, reset: Tensor | None, added: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Each step by itself; the number of steps is that of the example and stays so."""
    steps = x.size(0)
    if not isinstance(steps, int) and not steps.node.is_constant():
        raise RuntimeError(
            "elman: the unrolled form has a fixed number of steps, but the program's is dynamic; "
            "export it with a fixed number of steps, or take another form"
        )
    projected = cell.project(x, added)
    outputs, states = [], []
    for t in range(int(steps)):
        reset_t = None if reset is None else reset[t].unsqueeze(1)
        state, output = cell.step(projected[t], state, cell.constants, reset_t)
        states.append(state)
        outputs.append(output)
    made = torch.stack(outputs)
    return made, torch.stack(states) if cell.leak_form == "current" else made, state


def _reversed(x: Tensor) -> Tensor:
    """x backwards in time. Not `flip`: it becomes a Slice of step -1, which tract refuses."""
    steps = x.size(0)
    return x.index_select(0, steps - 1 - torch.arange(steps, device=x.device))


class Padded:
    """Dense sequences: all of T steps."""

    def reverse(self, x: Tensor) -> Tensor:
        return _reversed(x)

    def final(self, states: Tensor, final: Tensor) -> Tensor:
        return final


class Packed:
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


class Stack(NamedTuple):
    """What a network is made of."""

    params: list[Tensor]
    has_biases: bool
    layers: int
    directions: int
    nonlinearity: str
    leak: Tensor | None  # [L*D, H]
    leak_form: str

    def cell(self, i: int) -> Cell:
        """Layer i // directions in direction i % directions."""
        weights = 4 if self.has_biases else 2
        w_ih, w_hh, *biases = self.params[i * weights : (i + 1) * weights]
        b_ih, b_hh = biases if biases else (None, None)
        leak = None if self.leak is None else self.leak[i].to(w_ih.dtype)
        return Cell(w_ih, w_hh, b_ih, b_hh, self.nonlinearity, leak, self.leak_form)


def network(
    run: Run,
    layout: Padded | Packed,
    x: Tensor,
    hx: Tensor | list[Tensor],
    stack: Stack,
    reset: Tensor | None = None,
    added: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """x: [T, B, I]; hx, h_n: [L*D, B, H]; added: [L, T, B, D*H] or None; output: [T, B, D*H]."""
    finals = []
    for layer in range(stack.layers):
        outputs = []
        for direction in range(stack.directions):
            i = layer * stack.directions + direction
            cell, given, borders, own = stack.cell(i), x, reset, None
            if added is not None:
                own = added[layer].tensor_split(stack.directions, 2)[direction]
            if direction == 1:
                given = layout.reverse(x)
                own = None if own is None else layout.reverse(own)
                borders = None if reset is None else _reversed_reset(reset)
            output, states, final = run(given, hx[i], cell, borders, own)
            finals.append(layout.final(states, final))
            outputs.append(output if direction == 0 else layout.reverse(output))
        x = outputs[0] if stack.directions == 1 else torch.cat(outputs, 2)
    return x, torch.stack(finals)
