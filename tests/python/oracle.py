"""Brute force: the forward step by step, and the sum of the TBPTT windows, each by itself.

An independent statement of what elman computes, written for clarity and without any of its code:
plain autograd does the work, no window is batched with another, and a state is held constant by
`detach`.
"""

import dataclasses

import torch
from torch.nn.utils.rnn import pack_sequence

ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


@dataclasses.dataclass
class Problem:
    """Sequences of one length, time major; the shapes are those of `elman::rnn`, batched."""

    input: torch.Tensor  # [T, B, I]
    hx: torch.Tensor  # [L*D, B, H]
    params: list[torch.Tensor]
    bias: bool
    num_layers: int
    directions: int
    nonlinearity: str
    reset: torch.Tensor | None = None  # [T, B]
    carry_scale: torch.Tensor | None = None  # [T, B]
    masks: torch.Tensor | None = None  # [L-1, T, B, D*H], factors of the lower layers' outputs

    def cell(self, layer, direction):
        size = 4 if self.bias else 2
        start = (layer * self.directions + direction) * size
        return self.params[start : start + size]

    def entering(self, state, t, direction):
        """The state as it enters step t from the step before it in `direction`."""
        # The border that it crosses lies between the steps border - 1 and border.
        border = t if direction == 0 else t + 1
        if self.reset is not None and border < self.input.size(0):
            state = torch.where(self.reset[border].unsqueeze(-1), torch.zeros_like(state), state)
        if self.carry_scale is not None:
            scale = self.carry_scale[t].unsqueeze(-1)
            # The state's own value, so that dW_h has it as a factor, but a scaled path back.
            state = state.detach() + (state - state.detach()) * scale
        return state

    def run(self, first, last, before):
        """The steps first <= t < last, from the states `before` that enter each cell's first step.

        Returns states[layer][direction], lists over the steps.
        """
        f = ACTIVATIONS[self.nonlinearity]
        inputs = [self.input[t] for t in range(first, last)]
        result = []
        for layer in range(self.num_layers):
            result.append([])
            for direction in range(self.directions):
                w_ih, w_hh, *biases = self.cell(layer, direction)
                state = before[layer * self.directions + direction]
                states = [None] * (last - first)
                order = range(first, last) if direction == 0 else range(last - 1, first - 1, -1)
                for t in order:
                    entering = self.entering(state, t, direction)
                    state = f(inputs[t - first] @ w_ih.T + entering @ w_hh.T + sum(biases))
                    states[t - first] = state
                result[-1].append(states)
            inputs = [torch.cat(both, -1) for both in zip(*result[-1], strict=True)]
            if self.masks is not None and layer < self.num_layers - 1:
                inputs = [
                    x * self.masks[layer][t]
                    for x, t in zip(inputs, range(first, last), strict=True)
                ]
        return result

    def forward(self):
        """(output [T, B, D*H], h_n [L*D, B, H])."""
        states = self.run(0, self.input.size(0), list(self.hx))
        return _output(states), _final(states)


def _output(states):
    return torch.stack([torch.cat(both, -1) for both in zip(*states[-1], strict=True)])


def _final(states):
    return torch.stack([s[-1 if d == 0 else 0] for layer in states for d, s in enumerate(layer)])


def _window_gradients(problem, leaves, k1, k2, grad_output, grad_h_n):
    """The TBPTT(k1, k2) gradients of <output, grad_output> + <h_n, grad_h_n> for `leaves`, of which
    the tensors of `problem` are functions. Full BPTT is k1 = 0.
    """
    steps = problem.input.size(0)
    if k1 == 0:
        k1 = k2 = steps
    with torch.no_grad():
        states = problem.run(0, steps, list(problem.hx))
    total = [torch.zeros_like(leaf) for leaf in leaves]
    for m in range((steps + k1 - 1) // k1):
        # 0-based, half open: the window covers [first, last) and owns the losses of [owned, last).
        first, owned, last = max(0, (m + 1) * k1 - k2), m * k1, min((m + 1) * k1, steps)
        before = []
        for layer in range(problem.num_layers):
            for direction in range(problem.directions):
                cell = layer * problem.directions + direction
                outermost = first == 0 if direction == 0 else last == steps
                border = first - 1 if direction == 0 else last
                before.append(problem.hx[cell] if outermost else states[layer][direction][border])
        window = problem.run(first, last, before)
        loss = (_output(window)[owned - first :] * grad_output[owned:last]).sum()
        for cell in range(problem.num_layers * problem.directions):
            layer, direction = divmod(cell, problem.directions)
            # h_n was made at the last step, in reverse at the first one.
            if last == steps if direction == 0 else first == 0:
                made = window[layer][direction][-1 if direction == 0 else 0]
                loss = loss + (made * grad_h_n[cell]).sum()
        # The leaves' views are shared by all windows, so the graph must outlive this one.
        found = torch.autograd.grad(loss, leaves, allow_unused=True, retain_graph=True)
        total = [a if b is None else a + b for a, b in zip(total, found, strict=True)]
    return total


def _time_major(case, tensor):
    """[T, B, ...] of a tensor in the case's layout, and back."""
    if not case.batched:
        return tensor.unsqueeze(1)
    return tensor.transpose(0, 1) if case.batch_first else tensor


def _problems(sample, masks):
    """The rows of `sample`, (problem, grad_output [T, B, D*H], grad_h_n [L*D, B, H]): the whole
    batch, or packed sequences one by one.
    """
    case = sample.case
    batch = 1 if not case.batched else len(case.lengths or range(case.batch))
    shape = (case.num_layers * case.directions, batch, case.hidden_size)
    hx = torch.zeros(shape, dtype=case.dtype) if sample.hx is None else sample.hx.view(shape)
    grad_h_n = sample.grad_h_n.view(shape)
    options = (sample.params, case.bias, case.num_layers, case.directions, case.nonlinearity)
    if case.lengths is None:
        input = _time_major(case, sample.input)
        reset = None if sample.reset is None else _time_major(case, sample.reset)
        scale = sample.carry_scale
        if case.carry_scale == "steps":
            scale = scale.unsqueeze(1).expand(input.shape[:2])
        elif case.carry_scale == "rows":
            scale = _time_major(case, scale)
        grad_output = _time_major(case, sample.grad_output)
        yield Problem(input, hx, *options, reset, scale, masks), grad_output, grad_h_n
        return
    starts = torch.cumsum(sample.batch_sizes, 0) - sample.batch_sizes
    for b, length in enumerate(case.lengths):
        rows = starts[:length] + b
        problem = Problem(sample.input[rows].unsqueeze(1), hx[:, b : b + 1], *options)
        yield problem, sample.grad_output[rows].unsqueeze(1), grad_h_n[:, b : b + 1]


def forward(sample, masks=None):
    """What the operator returns for `sample`: (output, h_n), in the sample's layout."""
    case = sample.case
    results = [problem.forward() for problem, _, _ in _problems(sample, masks)]
    h_n = torch.cat([h for _, h in results], dim=1)
    if case.lengths is not None:
        return pack_sequence([output.squeeze(1) for output, _ in results]).data, h_n
    output = results[0][0]
    if not case.batched:
        return output.squeeze(1), h_n.squeeze(1)
    return _time_major(case, output), h_n


def gradients(sample, masks=None):
    """The gradients of <output, grad_output> + <h_n, grad_h_n> for `sample.leaves()`, truncated as
    the case says."""
    leaves = sample.leaves()
    total = [torch.zeros_like(leaf) for leaf in leaves]
    for problem, grad_output, grad_h_n in _problems(sample, masks):
        found = _window_gradients(
            problem, leaves, sample.case.k1, sample.case.k2, grad_output, grad_h_n
        )
        total = [a + b for a, b in zip(total, found, strict=True)]
    return total
