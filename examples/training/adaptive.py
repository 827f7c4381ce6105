"""Lets the gradient say how far back it has to go: far to add or copy, less far on text.

    python examples/training/adaptive.py

`elman.gradient_by_lag` measures how the gradient decays with the distance in time from the loss
that it comes from; `elman.AdaptiveTruncation` bounds from that the relative bias of cutting it off
after k2 steps, and chooses the smallest k2 within the tolerance (Aicher, Foti & Fox 2019). Three
tasks are learnt: to add up two marked ones of many numbers, and to copy at the end what was shown
in the first step (both after Hochreiter & Schmidhuber 1997), where the network has to look back to
the beginning, and to guess the next character of English text.
"""

import argparse
from dataclasses import dataclass, field

import elman
import torch
from common import BLUE, GREEN, GREY, ORANGE, PINK, parse, plt, progress, save, text_of_python_help


class AddingTask:
    """Of T random numbers two are marked, one in each half; their sum is asked for at the end."""

    name = "adding problem"

    def __init__(self, arguments):
        self.shape = arguments.length, arguments.batch
        self.encoder = torch.nn.Linear(2, arguments.embedding)
        self.head = torch.nn.Linear(arguments.hidden, 1)

    def draw(self):
        """Input [T, B, 2], target [B], and whether the state before goes on."""
        numbers, marks = torch.rand(self.shape), torch.zeros(self.shape)
        half = self.shape[0] // 2
        for begin in (0, half):
            marks.scatter_(0, begin + torch.randint(half, (1, self.shape[1])), 1.0)
        return torch.stack([numbers, marks], dim=-1), (numbers * marks).sum(dim=0), False

    def loss(self, states, target):
        """Mean square error; 0.1667 for one that always says 1. states: [T, B, H]."""
        return torch.nn.functional.mse_loss(self.head(states[-1]).squeeze(-1), target)


class CopyTask:
    """A symbol shown in the first step is asked for in the last one; in between comes nothing."""

    name = "copying"
    SYMBOLS = 4
    NOTHING, ASKED = SYMBOLS, SYMBOLS + 1  # what stands in between, and at the end

    def __init__(self, arguments):
        self.shape = arguments.length, arguments.batch
        self.encoder = torch.nn.Embedding(self.SYMBOLS + 2, arguments.embedding)
        self.head = torch.nn.Linear(arguments.hidden, self.SYMBOLS)

    def draw(self):
        """Input [T, B], target [B], and whether the state before goes on."""
        symbol = torch.randint(self.SYMBOLS, self.shape[1:])
        input = torch.full(self.shape, self.NOTHING)
        input[0], input[-1] = symbol, self.ASKED
        return input, symbol, False

    def loss(self, states, target):
        """Nats per symbol; log(SYMBOLS) for one that guesses. states: [T, B, H]."""
        return torch.nn.functional.cross_entropy(self.head(states[-1]), target)


class TextTask:
    """The next character of a text, cut into B streams."""

    name = "text"

    def __init__(self, arguments):
        codes, vocabulary = text_of_python_help()
        length = (len(codes) - 1) // arguments.batch
        self.input = codes[: arguments.batch * length].view(arguments.batch, length).T
        self.target = codes[1 : arguments.batch * length + 1].view(arguments.batch, length).T
        self.encoder = torch.nn.Embedding(len(vocabulary), arguments.embedding)
        self.head = torch.nn.Linear(arguments.hidden, len(vocabulary))
        self.length = arguments.length
        self.position = 0

    def draw(self):
        """Input and target [T, B], and whether the state before goes on."""
        if self.position + self.length > len(self.input):
            self.position = 0
        chunk = slice(self.position, self.position + self.length)
        goes_on = self.position > 0
        self.position += self.length
        return self.input[chunk], self.target[chunk], goes_on

    def loss(self, states, target):
        """Nats per character. states: [T, B, H]."""
        return torch.nn.functional.cross_entropy(self.head(states).flatten(0, 1), target.flatten())


@dataclass
class History:
    losses: list = field(default_factory=list)  # of each step
    at: list = field(default_factory=list)  # the steps at which the decay was measured
    lengths: list = field(default_factory=list)  # k2 from there on
    biases: list = field(default_factory=list)  # estimated, relative, of that k2
    norms: list = field(default_factory=list)  # [lags] each


def relative_bias(norms, length):
    """The estimate that AdaptiveTruncation goes by, for one length. norms: [lags]."""
    lags = torch.arange(len(norms), dtype=torch.double)
    used = (lags >= len(norms) // 2) & (norms > 0)
    x, y = lags[used], norms[used].double().log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    decay = slope.exp().item()
    if decay >= 1:
        return float("inf")
    tail = norms[length - 1].item() * decay / (1 - decay)
    kept = norms[:length].sum().item() - tail
    return tail / kept if kept > 0 else float("inf")


def measure(rnn, task, x, target, state, max_lag):
    """How the gradient of this loss decays with the lag, [max_lag]. x: [T, B, I]."""
    with torch.no_grad():
        states, _ = rnn(x, state)
    (gradient,) = torch.autograd.grad(task.loss(states.requires_grad_(), target), states)
    norms = elman.gradient_by_lag(rnn, x, state, grad_output=gradient, max_lag=max_lag)
    return norms.amax(dim=0)


def train(task_type, arguments):
    torch.manual_seed(arguments.seed)
    task = task_type(arguments)
    rnn = elman.RNN(arguments.embedding, arguments.hidden)
    parameters = [*task.encoder.parameters(), *rnn.parameters(), *task.head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=arguments.learning_rate)
    adaptive = elman.AdaptiveTruncation(arguments.tolerance, arguments.length)
    history = History()
    state = None
    bar = progress(range(arguments.steps), unit="step", desc=task.name)
    for step in bar:
        input, target, goes_on = task.draw()
        x = task.encoder(input)
        state = state if goes_on else None
        if step % arguments.every == 0:
            norms = measure(rnn, task, x.detach(), target, state, arguments.length)
            length = adaptive.update(norms[None])
            rnn.truncation = (1, length)
            history.at.append(step)
            history.lengths.append(length)
            history.biases.append(relative_bias(norms, length))
            history.norms.append(norms)
        states, last = rnn(x, state)
        state = last.detach()
        loss = task.loss(states, target)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        history.losses.append(loss.item())
        bar.set_postfix(k2=length, loss=f"{history.losses[-1]:.3f}", refresh=False)
    return history


def draw(histories, arguments):
    columns = len(histories)
    figure, axes = plt.subplots(4, columns, figsize=(4.2 * columns, 8.2))
    for column, (name, history) in enumerate(histories.items()):
        loss_ax, length_ax, bias_ax, decay_ax = axes[:, column]
        for ax in (loss_ax, length_ax):
            ax.sharex(bias_ax)
            ax.tick_params(labelbottom=False)
        loss_ax.semilogy(history.losses, color=GREY, lw=0.7)
        loss_ax.set(title=f"{name}: loss (logarithmic)")

        length_ax.step(history.at, history.lengths, where="post", color=BLUE)
        length_ax.axhline(arguments.length, color=GREY, lw=0.8, ls=":", label="longest allowed")
        length_ax.set(title="k2", ylim=(0, 1.1 * arguments.length))

        biases = torch.tensor(history.biases)
        bias_ax.semilogy(history.at, biases.clamp(max=10).tolist(), ".", color=ORANGE, ms=4)
        bias_ax.axhline(arguments.tolerance, color=GREY, lw=0.8, ls=":", label="tolerance")
        bias_ax.set(title="its estimated relative bias (logarithmic; 10: or more)", xlabel="step")
        bias_ax.set_ylim(1e-2, 15)

        for part, colour, when in ((0, PINK, "first"), (-1, GREEN, "last")):
            decay = history.norms[part] / history.norms[part][0]
            decay_ax.semilogy(
                decay.where(decay > 0, torch.nan).tolist(), color=colour, label=f"{when} measured"
            )
        decay_ax.set(title="gradient by lag, of that at lag 0 (logarithmic)", xlabel="lag, steps")
        for ax, place in ((length_ax, "lower right"), (bias_ax, "lower right"), (decay_ax, "best")):
            ax.legend(loc=place, fontsize=8)
    save(figure, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--length", type=int, default=20, help="T, and the longest k2")
    parser.add_argument("--tolerance", type=float, default=0.1, help="relative bias allowed")
    parser.add_argument("--every", type=int, default=50, help="steps between two measurements")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--embedding", type=int, default=16)
    parser.add_argument("--hidden", type=int, default=48, help="hidden size")
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    arguments = parse(
        parser, quick=dict(length=10, steps=400, batch=32, every=25, learning_rate=1e-2)
    )
    histories = {}
    for task_type in (AddingTask, CopyTask, TextTask):
        history = histories[task_type.name] = train(task_type, arguments)
        tail = history.losses[-arguments.every :]
        print(
            f"{task_type.name}: k2 = {history.lengths[0]} at first, {history.lengths[-1]} at the "
            f"end; loss {sum(tail) / len(tail):.4f}"
        )
    draw(histories, arguments)


if __name__ == "__main__":
    main()
