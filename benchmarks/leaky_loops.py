"""Leaky networks against loops over their steps in Python, in turns, in one process.

    PYTHONPATH=build/release/python python benchmarks/leaky_loops.py [--threads N] [--repetitions N]

Prints a Markdown table of ratios of medians, a loop's time over elman's. The loops: with
torch.addmm, the same with its step compiled by torch.compile, and one of plainer operators. With
TBPTT(20) the loop detaches its state every 20 steps; the last column is the same of the plain
networks, torch.nn.RNN in such a loop over elman.RNN.
"""

import argparse
import time

import elman
import torch
from leaky import medians

CASES = [(500, 32, 16, 128), (1000, 1, 16, 100)]  # T, B, I, H
ALPHA = 0.2
CHUNK = 20


class Workload:
    """One case in one form, with the same weights for all."""

    def __init__(self, steps, batch, inputs, hidden, form):
        self.form = form
        self.leaky = elman.LeakyRNN(inputs, hidden, alpha=ALPHA, form=form)
        self.plain = elman.RNN(inputs, hidden)
        self.torchs = torch.nn.RNN(inputs, hidden)
        self.input = torch.randn(steps, batch, inputs)
        self.grad_output = torch.randn(steps, batch, hidden)
        torch._dynamo.reset()  # which counts all that it has compiled of one function
        self.compiled_step = torch.compile(self.step)

    def read(self, state):
        return torch.tanh(state) if self.form == "current" else state

    def leak(self, a, state):
        return (1 - ALPHA) * state + ALPHA * (a if self.form == "current" else torch.tanh(a))

    def step(self, projected, state, w_hh_t):
        return self.leak(torch.addmm(projected, self.read(state), w_hh_t), state)

    def plain_step(self, x, state):
        rnn = self.leaky
        a = x @ rnn.weight_ih_l0.T + rnn.bias_ih_l0 + rnn.bias_hh_l0
        return self.leak(a + self.read(state) @ rnn.weight_hh_l0.T, state)

    def loop(self, step, chunk=None):
        rnn = self.leaky
        biases = rnn.bias_ih_l0 + rnn.bias_hh_l0
        projected = torch.nn.functional.linear(self.input, rnn.weight_ih_l0, biases)
        state = torch.zeros_like(projected[0])
        states = []
        for t, p in enumerate(projected.unbind(0)):
            if chunk and t % chunk == 0:
                state = state.detach()
            state = step(p, state, rnn.weight_hh_l0.t())
            states.append(state)
        return self.read(torch.stack(states))

    def plain_loop(self):
        state = self.input.new_zeros(self.input.size(1), self.leaky.hidden_size)
        states = []
        for x in self.input.unbind(0):
            state = self.plain_step(x, state)
            states.append(state)
        return self.read(torch.stack(states))

    def torch_in_chunks(self):
        outputs, state = [], None
        for chunk in self.input.split(CHUNK):
            output, state = self.torchs(chunk, state)
            state = state.detach()
            outputs.append(output)
        return torch.cat(outputs)

    def truncated(self, module):
        module.truncation = CHUNK
        output = module(self.input)[0]
        module.truncation = None
        return output

    def runs(self):
        """What is timed, by name: (the function, whose weights it has)."""
        return {
            "elman": (lambda: self.leaky(self.input)[0], self.leaky),
            "loop": (lambda: self.loop(self.step), self.leaky),
            "compiled": (lambda: self.loop(self.compiled_step), self.leaky),
            "plainer": (self.plain_loop, self.leaky),
            "elman, TBPTT": (lambda: self.truncated(self.leaky), self.leaky),
            "loop, TBPTT": (lambda: self.loop(self.step, CHUNK), self.leaky),
            "plain, TBPTT": (lambda: self.truncated(self.plain), self.plain),
            "torch, TBPTT": (self.torch_in_chunks, self.torchs),
        }

    def timed(self, train):
        """The runs of inference, without TBPTT, or of training, as `medians` takes them."""

        def training(run, module):
            return lambda: torch.autograd.grad(run(), list(module.parameters()), self.grad_output)

        if train:
            return {name: training(*run) for name, run in self.runs().items()}
        return {
            name: torch.no_grad()(run)
            for name, (run, _) in self.runs().items()
            if not name.endswith("TBPTT")
        }

    def check(self):
        """All loops compute what elman does."""
        expected, *others = (run() for run in self.timed(train=False).values())
        for other in others:
            torch.testing.assert_close(other, expected, rtol=1e-4, atol=1e-5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"elman {elman.__version__}, {options.threads} thread(s), float32, tanh")
    columns = ["loop: forward", "train", "compiled loop: forward", "train"]
    columns += ["plainer loop: forward", "train", "loop, TBPTT(20)", "plain, TBPTT(20)"]
    print("| T · B · I · H, form | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for case in CASES:
        for form in ("rate", "current"):
            work = Workload(*case, form)
            work.check()
            forward, train = (
                medians(work.timed(train), options.repetitions, time.perf_counter)
                for train in (False, True)
            )
            ratios = []
            for name in ("loop", "compiled", "plainer"):
                ratios += [forward[name] / forward["elman"], train[name] / train["elman"]]
            for ours, theirs in (("elman", "loop"), ("plain", "torch")):
                ratios.append(train[f"{theirs}, TBPTT"] / train[f"{ours}, TBPTT"])
            sizes = " · ".join(map(str, case))
            print(f"| {sizes}, {form} | " + " | ".join(f"{r:.1f}" for r in ratios) + " |")


if __name__ == "__main__":
    main()
