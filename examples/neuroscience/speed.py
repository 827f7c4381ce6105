"""The same leaky network as a loop in Python, as it is usually written, and how much slower it is.

    python examples/neuroscience/speed.py

Both compute the same numbers; a step of training (forward and backward) is timed, one after the
other in turns, and medians are compared. --compile compares with torch.compile of the loop too,
which unrolls all steps, and takes a minute or more to do so.
"""

import argparse
import statistics
import time

import elman
import task
import torch
from common import BLUE, GREY, ORANGE, parse, plt, progress, save


class Loop(torch.nn.Module):
    """One layer of elman.LeakyRNN, step by step: h = (1 - alpha) h + alpha f(W_x x + W_h h + b)."""

    def __init__(self, rnn):
        super().__init__()
        self.alpha = rnn.alpha.item()
        self.input = torch.nn.Linear(rnn.input_size, rnn.hidden_size)
        self.recurrent = torch.nn.Linear(rnn.hidden_size, rnn.hidden_size)
        with torch.no_grad():
            self.input.weight.copy_(rnn.weight_ih_l0)
            self.input.bias.copy_(rnn.bias_ih_l0)
            self.recurrent.weight.copy_(rnn.weight_hh_l0)
            self.recurrent.bias.copy_(rnn.bias_hh_l0)

    def forward(self, x):
        h = x.new_zeros(x.size(1), self.recurrent.out_features)
        outputs = []
        for step in x:
            h = (1 - self.alpha) * h + self.alpha * torch.relu(self.input(step) + self.recurrent(h))
            outputs.append(h)
        return torch.stack(outputs)


def training_step(module, x):
    output = module(x)
    output = output[0] if isinstance(output, tuple) else output
    module.zero_grad(set_to_none=True)
    output.square().mean().backward()
    return output


def medians(modules, x, repeats):
    """Milliseconds of a training step of each, in turns."""
    for module in modules.values():
        for _ in range(3):
            training_step(module, x)
    times = {name: [] for name in modules}
    for _ in progress(range(repeats)):
        for name, module in modules.items():
            start = time.perf_counter()
            training_step(module, x)
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hidden", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100, 200, 400])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="torch.compile(loop) as well")
    arguments = parse(parser, quick=dict(steps=[20, 40], repeats=3))

    rows = []
    for steps in arguments.steps:
        rnn = elman.LeakyRNN(
            task.INPUTS, arguments.hidden, nonlinearity="relu", tau=task.TAU, dt=task.DT
        )
        loop = Loop(rnn)
        x = torch.randn(steps, arguments.batch, task.INPUTS)
        apart = (training_step(rnn, x) - training_step(loop, x)).abs().max().item()
        modules = {"elman.LeakyRNN": rnn, "loop": loop}
        if arguments.compile:
            modules["compiled loop"] = torch.compile(loop)
        found = medians(modules, x, arguments.repeats)
        rows.append(found)
        ours = found["elman.LeakyRNN"]
        line = f"{steps} steps: elman.LeakyRNN {ours:.2f} ms"
        for name in list(modules)[1:]:
            line += f", {name} {found[name]:.2f} ms, ratio {found[name] / ours:.1f}"
        print(f"{line}; outputs differ by {apart:.1e}")

    figure, ax = plt.subplots(figsize=(5, 3))
    for name, colour in zip(rows[0], (BLUE, ORANGE, GREY), strict=False):
        ax.loglog(arguments.steps, [row[name] for row in rows], "o-", color=colour, label=name)
    ax.set(title="a training step, ms", xlabel="steps T")
    ax.legend()
    save(figure, arguments)


if __name__ == "__main__":
    main()
