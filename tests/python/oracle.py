"""Brute force: the forward step by step, and the sum of the TBPTT windows, each by itself.

An independent statement of what elman computes, written for clarity and without any of its code:
plain autograd does the work, no window is batched with another, and a state is held constant by
`detach`.
"""

import dataclasses

import torch

ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": lambda a: a.clamp(min=0) + torch.log1p(torch.exp(-abs(a))),
    "identity": lambda a: a,
}
#: Those that torch.nn.RNN has not.
OWN = ("sigmoid", "softplus", "identity")


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

    def entering(self, state, constant, t, direction):
        """The state as it enters step t from the step before it in `direction`.

        constant: its value, without a way back.
        """
        # The border that it crosses lies between the steps border - 1 and border.
        border = t if direction == 0 else t + 1
        if self.reset is not None and border < self.input.size(0):
            cut = self.reset[border].unsqueeze(-1)
            state, constant = (torch.where(cut, torch.zeros_like(x), x) for x in (state, constant))
        if self.carry_scale is not None:
            scale = self.carry_scale[t].unsqueeze(-1)
            # The state's own value, so that dW_h has it as a factor, but a scaled path back.
            state = constant + (state - constant) * scale
        return state

    def run(self, first, last, before, constants=None):
        """The steps first <= t < last, from the states `before` that enter each cell's first step.

        Returns states[layer][direction], lists over the steps. constants: hx and the states of all
        steps, in that form; to the windows they are constants, but not to who differentiates once
        more.
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
                    constant = state.detach()
                    if constants is not None and direction == 0:
                        start, made = constants
                        cell = layer * self.directions
                        constant = made[layer][0][t - 1] if t > 0 else start[cell]
                    entering = self.entering(state, constant, t, direction)
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
        # The values do not depend on carry_scale, and neither do their exact derivatives.
        exact = dataclasses.replace(self, carry_scale=None)
        states = exact.run(0, self.input.size(0), list(self.hx))
        return _output(states), _final(states)


def _output(states):
    return torch.stack([torch.cat(both, -1) for both in zip(*states[-1], strict=True)])


def _final(states):
    return torch.stack([s[-1 if d == 0 else 0] for layer in states for d, s in enumerate(layer)])


def _inner_product(x, grad):
    """The real loss whose gradient for x is grad, in autograd's convention for complex numbers."""
    return (x * grad.conj()).sum().real if x.is_complex() else (x * grad).sum()


def _window_gradients(problem, leaves, k1, k2, grad_output, grad_h_n, outer=None):
    """The TBPTT(k1, k2) gradients of <output, grad_output> + <h_n, grad_h_n> for `leaves`, of which
    the tensors of `problem` are functions. Full BPTT is k1 = 0.

    outer: the same problem with tensors of other identity. The result is then differentiable with
    respect to them: they make the states that the windows begin from.
    """
    steps = problem.input.size(0)
    if k1 == 0:
        k1 = k2 = steps
    with torch.set_grad_enabled(outer is not None):
        source = dataclasses.replace(outer or problem, carry_scale=None)
        states = source.run(0, steps, list(source.hx))
        start = source.hx if outer is not None else source.hx.detach()
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
        window = problem.run(first, last, before, (start, states))
        loss = _inner_product(_output(window)[owned - first :], grad_output[owned:last])
        for cell in range(problem.num_layers * problem.directions):
            layer, direction = divmod(cell, problem.directions)
            # h_n was made at the last step, in reverse at the first one.
            if last == steps if direction == 0 else first == 0:
                made = window[layer][direction][-1 if direction == 0 else 0]
                loss = loss + _inner_product(made, grad_h_n[cell])
        # The leaves' views are shared by all windows, so the graph must outlive this one.
        found = torch.autograd.grad(
            loss, leaves, allow_unused=True, retain_graph=True, create_graph=outer is not None
        )
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
        # pack_sequence does not differentiate complex numbers.
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
    return _time_major(case, output), h_n


def gradients(sample, masks=None, create_graph=False):
    """The gradients of <output, grad_output> + <h_n, grad_h_n> for `sample.leaves()`, truncated as
    the case says; with `create_graph` as a function of the leaves and of grad_output, grad_h_n."""
    leaves = sample.leaves()
    outer = [None] * len(sample.case.lengths or (1,))
    if create_graph:
        # A window differentiates with respect to aliases, so that its first states, which are made
        # of the leaves, are constant to it but not to whoever differentiates the result.
        outer = [problem for problem, _, _ in _problems(sample, masks)]
        leaves = [leaf.view_as(leaf) for leaf in leaves]
        sample = sample.replace(leaves)
    total = [torch.zeros_like(leaf) for leaf in leaves]
    for i, (problem, grad_output, grad_h_n) in enumerate(_problems(sample, masks)):
        found = _window_gradients(
            problem, leaves, sample.case.k1, sample.case.k2, grad_output, grad_h_n, outer[i]
        )
        total = [a + b for a, b in zip(total, found, strict=True)]
    return total
