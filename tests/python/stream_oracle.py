"""The stream by the textbook: every step's states as they were made, the weights as they are now.

    delta_t = f'(h_t) * (g_t + scale_{t+1} [no border at t+1] delta_{t+1} W_h)
    dW_x = sum_t delta_t^T x_t,  dW_h = sum_t delta_t^T h_{t-1},  db = sum_t delta_t

over the steps of one window, layer by layer; an error goes down a layer as mask * delta_t W_x. A
loop over rows of plain matrix products, without autograd and without any of elman's kernels.
"""

import dataclasses

import elman
import torch
from oracle import ACTIVATIONS

DERIVATIVE = {
    "tanh": lambda h: 1 - h * h,
    "relu": lambda h: (h > 0).to(h.dtype),
    "sigmoid": lambda h: h * (1 - h),
    "softplus": lambda h: 1 - torch.exp(-h),
    "identity": torch.ones_like,
}


@dataclasses.dataclass
class Step:
    """One step of the past, all layers."""

    inputs: list[torch.Tensor]  # per layer [B, I or H] what it was given, after dropout
    entering: list[torch.Tensor]  # per layer [B, H] the state that entered, after reset
    made: list[torch.Tensor]  # per layer [B, H]
    masks: torch.Tensor | None  # [L-1, B, H]
    open: torch.Tensor  # [B] whether a gradient passes to the step before
    scale: torch.Tensor  # [B]


class StreamOracle:
    """TBPTT(k1, k2) over a stream. `params()` returns the weights as they are, in torch's order."""

    def __init__(self, params, num_layers, bias, nonlinearity, k1, k2):
        self.params, self.num_layers, self.bias = params, num_layers, bias
        self.nonlinearity, self.kept = nonlinearity, k2 - k1
        self.reset()

    def reset(self):
        self.past, self.state, self.fresh = [], None, None

    def detach(self):
        self.past, self.fresh = [], None

    def set_rows(self, state, rows):
        """A new sequence begins in `rows` from `state`: [L, B, H]."""
        self.state = [
            torch.where(rows.unsqueeze(1), a, b) for a, b in zip(state, self.state, strict=True)
        ]
        self.fresh = rows if self.fresh is None else self.fresh | rows

    def cell(self, layer):
        size = 4 if self.bias else 2
        w_x, w_h, *biases = [p.detach() for p in self.params()[layer * size : (layer + 1) * size]]
        return w_x, w_h, sum(biases) if biases else 0

    def forward(self, x, reset=None, carry_scale=None, masks=None):
        """x: [c, B, I] -> output [c, B, H] and the window that a backward pass at any later time
        takes."""
        steps, batch = x.shape[:2]
        if self.state is None:
            hidden = self.params()[1].size(0)
            self.state = [torch.zeros(batch, hidden, dtype=x.dtype) for _ in range(self.num_layers)]
        window = self.past[len(self.past) - min(self.kept, len(self.past)) :]
        for t in range(steps):
            border = torch.zeros(batch, dtype=torch.bool) if reset is None else reset[t]
            scale = torch.ones(batch, dtype=x.dtype) if carry_scale is None else carry_scale[t]
            fresh = self.fresh if self.fresh is not None else torch.zeros_like(border)
            self.fresh = None
            step = Step([], [], [], None, ~(border | fresh), scale)
            step.masks = None if masks is None else masks[:, t]
            given = x[t].detach()
            for layer in range(self.num_layers):
                w_x, w_h, b = self.cell(layer)
                entering = torch.where(border.unsqueeze(1), 0, self.state[layer])
                made = ACTIVATIONS[self.nonlinearity](given @ w_x.T + entering @ w_h.T + b)
                step.inputs.append(given)
                step.entering.append(entering)
                step.made.append(made)
                self.state[layer] = given = made
                if masks is not None and layer + 1 < self.num_layers:
                    given = given * masks[layer, t]
            window.append(step)
        self.past = window[len(window) - min(self.kept, len(window)) :]
        return torch.stack([step.made[-1] for step in window[-steps:]]), window

    def gradients(self, window, grad_output):
        """grad_output: [c, B, H] of the window's last c steps -> (dx [c, B, I], d params)."""
        owned = grad_output.size(0)
        cells = [self.cell(layer) for layer in range(self.num_layers)]
        d_x = torch.zeros(owned, *window[-1].inputs[0].shape, dtype=grad_output.dtype)
        d_params = [torch.zeros_like(p) for p in self.params()]
        size = 4 if self.bias else 2
        later = [torch.zeros_like(h) for h in window[-1].made]  # what goes back into the step
        for i in reversed(range(len(window))):
            step = window[i]
            from_above = torch.zeros_like(step.made[-1])
            if i >= len(window) - owned:
                from_above = grad_output[i - (len(window) - owned)]
            for layer in reversed(range(self.num_layers)):
                w_x, w_h, _ = cells[layer]
                slope = DERIVATIVE[self.nonlinearity](step.made[layer])
                delta = slope * (from_above + later[layer])
                grads = d_params[layer * size : (layer + 1) * size]
                grads[0] += delta.T @ step.inputs[layer]
                grads[1] += delta.T @ step.entering[layer]
                for d_bias in grads[2:]:
                    d_bias += delta.sum(0)
                passing = (step.open * step.scale).unsqueeze(1)
                later[layer] = torch.where(step.open.unsqueeze(1), delta @ w_h * passing, 0)
                from_above = delta @ w_x
                if layer > 0 and step.masks is not None:
                    from_above = from_above * step.masks[layer - 1]
            if i >= len(window) - owned:
                d_x[i - (len(window) - owned)] = from_above
        return d_x, d_params


def random_rnn(**options):
    return elman.RNN(**{"input_size": 3, "hidden_size": 4, "dtype": torch.float64, **options})


def oracle_of(rnn, k1, k2):
    return StreamOracle(rnn._current_weights, rnn.num_layers, rnn.bias, rnn.nonlinearity, k1, k2)


def nudge(rnn):
    """What an optimizer does: every weight changes in place."""
    with torch.no_grad():
        for p in rnn.parameters():
            p.add_(0.1 * torch.randn_like(p))
