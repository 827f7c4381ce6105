"""Brute force for leaky cells: the formulas step by step, and the sum of the TBPTT windows.

Without any of elman's code: plain autograd does the work, each window is run by itself, and a state
is held constant by `detach`.
"""

import dataclasses

import torch
from oracle import ACTIVATIONS


@dataclasses.dataclass
class Call:
    """Sequences of one length, time major."""

    input: torch.Tensor  # [T, B, I]
    hx: torch.Tensor  # [L*D, B, H]
    params: list[torch.Tensor]
    leak: torch.Tensor  # [L*D, H]
    preactivation: torch.Tensor  # [L, T, B, D*H]
    reset: torch.Tensor  # [T, B]
    carry_scale: torch.Tensor  # [T, B]
    case: object

    def step(self, cell, x, state, p):
        """One step of a cell. state: [B, H], what is carried. Returns (carried, output)."""
        f = ACTIVATIONS[self.case.nonlinearity]
        size = 4 if self.case.bias else 2
        w_x, w_h, *biases = self.params[cell * size : (cell + 1) * size]
        alpha = self.leak[cell]
        if self.case.form == "rate":
            h = (1 - alpha) * state + alpha * f(x @ w_x.T + state @ w_h.T + sum(biases) + p)
            return h, h
        v = (1 - alpha) * state + alpha * (x @ w_x.T + f(state) @ w_h.T + sum(biases) + p)
        return v, f(v)

    def entering(self, state, t, direction):
        """The carried state as it enters step t."""
        border = t if direction == 0 else t + 1  # it crosses the one before this step
        if border < len(self.input):
            state = torch.where(self.reset[border].unsqueeze(-1), torch.zeros_like(state), state)
        scale = self.carry_scale[t].unsqueeze(-1)
        return state.detach() + (state - state.detach()) * scale

    def run(self, first, last, before):
        """The steps first <= t < last from the states `before`: carried[cell][t - first] and the
        top layer's outputs [last - first, B, D*H]."""
        directions, H = self.case.directions, self.hx.size(-1)
        inputs, carried = list(self.input[first:last]), []
        for layer in range(self.case.num_layers):
            outputs = [[None] * (last - first) for _ in range(directions)]
            for direction in range(directions):
                cell = layer * directions + direction
                state, states = before[cell], [None] * (last - first)
                for t in range(first, last) if direction == 0 else range(last - 1, first - 1, -1):
                    state = self.entering(state, t, direction)
                    p = self.preactivation[layer, t, :, direction * H : (direction + 1) * H]
                    state, outputs[direction][t - first] = self.step(
                        cell, inputs[t - first], state, p
                    )
                    states[t - first] = state
                carried.append(states)
            inputs = [torch.cat(both, -1) for both in zip(*outputs, strict=True)]
        return carried, torch.stack(inputs)

    def forward(self):
        """(output [T, B, D*H], h_n [L*D, B, H])."""
        carried, output = self.run(0, len(self.input), list(self.hx))
        final = [s[-1 if cell % self.case.directions == 0 else 0] for cell, s in enumerate(carried)]
        return output, torch.stack(final)

    def gradients(self, leaves, grad_output, grad_h_n):
        """The sum over the windows of the gradients of <output, grad_output> + <h_n, grad_h_n>."""
        T, k1, k2 = len(self.input), self.case.k1, self.case.k2
        if k1 == 0:
            k1 = k2 = T
        with torch.no_grad():
            states, _ = self.run(0, T, list(self.hx))
        total = [torch.zeros_like(leaf) for leaf in leaves]
        for m in range((T + k1 - 1) // k1):
            # 0-based, half open: the window covers [first, last), owns the losses of [owned, last).
            first, owned, last = max(0, (m + 1) * k1 - k2), m * k1, min((m + 1) * k1, T)
            before = []
            for cell, hx in enumerate(self.hx):
                forwards = cell % self.case.directions == 0
                outermost = first == 0 if forwards else last == T
                before.append(hx if outermost else states[cell][first - 1 if forwards else last])
            carried, output = self.run(first, last, before)
            loss = (output[owned - first :] * grad_output[owned:last]).sum()
            for cell, grad in enumerate(grad_h_n):
                forwards = cell % self.case.directions == 0
                if last == T if forwards else first == 0:
                    loss = loss + (carried[cell][-1 if forwards else 0] * grad).sum()
            found = torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True)
            total = [a if b is None else a + b for a, b in zip(total, found, strict=True)]
        return total


def _calls(sample):
    """(Call, grad_output [T, B, D*H], grad_h_n [L*D, B, H]): the batch, or packed sequences one by
    one."""
    case, input = sample.case, sample.input
    cells, H = case.num_layers * case.directions, case.hidden_size
    leak = sample.leak if sample.leak is not None else torch.ones(cells, H, dtype=case.dtype)
    p = sample.preactivation
    if p is None:
        shape = (case.num_layers, *input.shape[:-1], case.directions * H)
        p = torch.zeros(shape, dtype=case.dtype)
    elif case.num_layers == 1:
        p = p.unsqueeze(0)
    if case.lengths is not None:
        batch = len(case.lengths)
        rows_of = torch.cumsum(sample.batch_sizes, 0) - sample.batch_sizes
        parts = [(rows_of[:length] + b, slice(b, b + 1)) for b, length in enumerate(case.lengths)]

        def time_major(tensor, rows, dim=0):
            return tensor.index_select(dim, rows).unsqueeze(dim + 1)

    else:
        batch = case.batch if case.batched else 1
        parts = [(None, slice(None))]

        def time_major(tensor, rows, dim=0):
            if not case.batched:
                return tensor.unsqueeze(dim + 1)
            return tensor.transpose(dim, dim + 1) if case.batch_first else tensor

    shape = (cells, batch, H)
    hx = sample.hx.view(shape) if sample.hx is not None else torch.zeros(shape, dtype=case.dtype)
    grad_h_n = sample.grad_h_n.view(shape)
    for rows, columns in parts:
        x = time_major(input, rows)
        reset, scale = sample.reset, sample.carry_scale
        reset = torch.zeros(x.shape[:2], dtype=bool) if reset is None else time_major(reset, rows)
        if scale is None:
            scale = torch.ones(x.shape[:2], dtype=case.dtype)
        elif case.carry_scale == "steps":
            scale = scale.unsqueeze(1).expand(x.shape[:2])
        else:
            scale = time_major(scale, rows)
        call = Call(
            x, hx[:, columns], sample.params, leak, time_major(p, rows, 1), reset, scale, case
        )
        yield call, time_major(sample.grad_output, rows), grad_h_n[:, columns]


def forward(sample):
    """What the operator returns for `sample`, in its layout."""
    case = sample.case
    results = [call.forward() for call, _, _ in _calls(sample)]
    h_n = torch.cat([h for _, h in results], 1)
    if case.lengths is not None:
        rows = [
            output[t, 0]
            for t in range(max(case.lengths))
            for (output, _), length in zip(results, case.lengths, strict=True)
            if t < length
        ]
        return torch.stack(rows), h_n
    output = results[0][0]
    if not case.batched:
        return output.squeeze(1), h_n.squeeze(1)
    return output.transpose(0, 1) if case.batch_first else output, h_n


def gradients(sample):
    """The truncated gradients for `sample.leaves()`."""
    leaves = sample.leaves()
    total = [torch.zeros_like(leaf) for leaf in leaves]
    for call, grad_output, grad_h_n in _calls(sample):
        found = call.gradients(leaves, grad_output, grad_h_n)
        total = [a + b for a, b in zip(total, found, strict=True)]
    return total
