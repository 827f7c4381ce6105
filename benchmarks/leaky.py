"""What a leak costs: leaky networks in both forms against the plain one, in turns, in one process.

    PYTHONPATH=build/release/python python benchmarks/leaky.py [--threads N] [--repetitions N]

Prints a Markdown table of ratios of medians, leaky over plain. With one thread the times are those
that the thread has had the core for, so that other programs show less in them.
"""

import argparse
import functools
import statistics
import time

import elman
import torch

# T, B, I, H
CASES = [
    (steps, batch, inputs, hidden)
    for steps, batch, hidden in ((200, 64, 256), (500, 32, 128), (1000, 1, 100))
    for inputs in (16, hidden)
]
FORMS = ("plain", "rate", "current")
ALPHA = 0.2


class Workload:
    """One case in all forms, with the same weights and input."""

    def __init__(self, steps, batch, inputs, hidden):
        self.input = torch.randn(steps, batch, inputs)
        weights = torch.nn.RNN(inputs, hidden).parameters()
        self.params = [weight.detach().requires_grad_() for weight in weights]
        self.grad_output = torch.randn(steps, batch, hidden)
        self.leak = torch.full((1, hidden), ALPHA)

    def output(self, form):
        leaky = {} if form == "plain" else {"leak": self.leak, "leak_form": form}
        arguments = (self.input, None, self.params, True, 1, 0.0, True, False, False)
        return torch.ops.elman.rnn(*arguments, **leaky)[0]

    def forward(self, form):
        with torch.no_grad():
            self.output(form)

    def train(self, form):
        torch.autograd.grad(self.output(form), self.params, self.grad_output)


def medians(runs, repetitions, clock):
    """The median time of each run, by name, taken in turns that begin with each by turns."""
    names = list(runs)
    times = {name: [] for name in names}
    for repetition in range(repetitions + 3):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            start = clock()
            runs[name]()
            if repetition >= 3:
                times[name].append(clock() - start)
    return {name: statistics.median(times[name]) for name in names}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=41)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    clock = time.thread_time if options.threads == 1 else time.perf_counter
    print(f"elman {elman.__version__}, {options.threads} thread(s), float32, tanh")
    print("| T · B · I · H | forward: rate | current | train: rate | current |")
    print("|---|---:|---:|---:|---:|")
    for case in CASES:
        workload = Workload(*case)
        ratios = []
        for run in (workload.forward, workload.train):
            runs = {form: functools.partial(run, form) for form in FORMS}
            found = medians(runs, options.repetitions, clock)
            ratios += [f"{found[form] / found['plain']:.2f}" for form in FORMS[1:]]
        print("| " + " · ".join(map(str, case)) + " | " + " | ".join(ratios) + " |", flush=True)


if __name__ == "__main__":
    main()
