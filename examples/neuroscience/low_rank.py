"""A network whose recurrent weights have low rank, W_h = m n' / H, and what it does in a plane.

    python examples/neuroscience/low_rank.py

The two factors are what is trained; torch.nn.utils.parametrize makes the weights of them. Whatever
the units get from each other lies in the space that m spans, so the network's state can be looked
at there: n' f(v) / H, one number for each rank.
"""

import argparse

import elman
import task
import torch
from common import BLUE, GREY, ORANGE, parse, plt, progress, save
from torch.nn.utils import parametrize


class LowRank(torch.nn.Module):
    """W = m n' / H, with the factors m and n: [H, R] as the two parameters."""

    def __init__(self, rank):
        super().__init__()
        self.rank = rank

    def forward(self, m, n):
        return m @ n.T / m.size(0)

    def right_inverse(self, weight):
        """The nearest matrix of that rank, its factors as large as each other."""
        H = weight.size(0)
        u, s, v = torch.linalg.svd(weight)
        root = (H * s[: self.rank]).sqrt()
        return u[:, : self.rank] * root, v[: self.rank].T * root


def factors(rnn):
    """M and n, [H, R]."""
    made = rnn.parametrizations.weight_hh_l0
    return made.original0.detach(), made.original1.detach()


def draw(network, losses, arguments):
    _, n = factors(network.rnn)
    strengths = torch.cat([task.COHERENCES, -task.COHERENCES])
    x, _ = task.trials(strengths.repeat_interleave(50))
    _, activity = task.choices(network, x)
    latent = (activity @ n / len(n)).unflatten(1, (len(strengths), 50)).mean(2)  # [T, N, R]
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 2.9))
    axes[0].semilogy(losses, color=BLUE, linewidth=0.8)
    axes[0].set(title="training loss (logarithmic)", xlabel="step")
    axes[1].semilogy(torch.linalg.svdvals(network.rnn.weight_hh_l0.detach()).clamp_min(1e-12), ".")
    axes[1].set(title="singular values of W_h (logarithmic)", xlabel="index", ylim=(1e-9, None))
    time = torch.arange(task.STEPS) * task.DT
    ranked = latent[-1].std(0).argsort(descending=True)
    for i, coherence in enumerate(strengths):
        colour = BLUE if coherence > 0 else ORANGE
        alpha = 0.3 + 0.7 * (coherence.abs() / strengths.max()).item()
        axes[2].plot(time, latent[:, i, ranked[0]], color=colour, alpha=alpha, linewidth=1.2)
        if latent.size(-1) > 1:
            a, b = latent[:, i, ranked[0]], latent[:, i, ranked[1]]
            axes[3].plot(a, b, color=colour, alpha=alpha, linewidth=1.2)
    for edge in (task.FIXATION, task.FIXATION + task.STIMULUS):
        axes[2].axvline(edge * task.DT, color=GREY, linewidth=0.8, linestyle="--")
    axes[2].set(title="state along m: left (blue), right", xlabel="time, ms")
    axes[3].set(title="two of its dimensions")
    save(figure, arguments)


def main():
    parser = task.add_options(argparse.ArgumentParser(description=__doc__.split("\n")[0]))
    parser.add_argument("--rank", type=int, default=2)
    arguments = parse(parser, quick=task.QUICK)
    network = elman.Network(
        task.INPUTS,
        arguments.hidden,
        task.OUTPUTS,
        cell="leaky",
        form="current",
        tau=task.TAU,
        dt=task.DT,
        noise=0.05,
    )
    parametrize.register_parametrization(
        network.rnn, "weight_hh_l0", LowRank(arguments.rank), unsafe=True
    )
    losses = task.train(network, arguments, progress)
    rank = torch.linalg.matrix_rank(network.rnn.weight_hh_l0.detach(), rtol=1e-4).item()
    print(f"rank of W_h after training: {rank}")
    print(f"coherence 0.512: {task.accuracy(network, 0.512):.1%} right")
    draw(network, losses, arguments)


if __name__ == "__main__":
    main()
