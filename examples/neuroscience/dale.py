"""A network that obeys Dale's law and is sparse: each unit either excites or inhibits.

    python examples/neuroscience/dale.py

The recurrent weights are computed from free ones by torch.nn.utils.parametrize: their absolute
values, times a sign for each sending unit, times a mask of the connections that there are. So every
step of any optimizer keeps both.
"""

import argparse

import elman
import task
import torch
from common import BLUE, GREY, parse, plt, progress, save
from torch.nn.utils import parametrize


class DaleAndSparse(torch.nn.Module):
    """W[i, j] = |free[i, j]| signs[j] mask[i, j]: column j is what unit j sends."""

    def __init__(self, signs, mask):
        super().__init__()
        self.register_buffer("factor", signs * mask)  # [H, H]

    def forward(self, free):
        return free.abs() * self.factor

    def right_inverse(self, weight):
        return weight.abs()


def constrain(rnn, inhibitory_share, density, radius):
    """Makes the recurrent weights of the first layer Dale's and sparse; returns signs and mask."""
    H = rnn.hidden_size
    signs = torch.ones(H)
    signs[round(H * (1 - inhibitory_share)) :] = -1
    mask = (torch.rand(H, H) < density) & ~torch.eye(H, dtype=torch.bool)
    # A balanced start: what a unit gets from the few inhibitory ones weighs as much as the rest.
    weight = torch.rand(H, H)
    weight[:, signs < 0] *= (signs > 0).sum() / (signs < 0).sum()
    weight *= signs * mask
    weight *= radius / torch.linalg.eigvals(weight).abs().max()
    parametrize.register_parametrization(rnn, "weight_hh_l0", DaleAndSparse(signs, mask))
    rnn.weight_hh_l0 = weight  # through right_inverse
    return signs, mask


def violations(weight, signs, mask):
    """The number of weights with the wrong sign, and of those where no connection is."""
    wrong = ((weight * signs < 0) & mask).sum().item()
    return wrong, (weight[~mask] != 0).sum().item()


def draw(before, after, losses, arguments):
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 2.9), width_ratios=(1, 1, 1, 1))
    axes[0].semilogy(losses, color=BLUE, linewidth=0.8)
    axes[0].set(title="training loss (logarithmic)", xlabel="step")
    limit = after.abs().quantile(0.995).item()
    for ax, weight, title in ((axes[1], before, "W_h at first"), (axes[2], after, "W_h trained")):
        ax.imshow(weight, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(title=title, xlabel="from unit", ylabel="to unit")
        ax.grid(False)
    for weight, colour, label in ((before, GREY, "at first"), (after, BLUE, "trained")):
        values = torch.linalg.eigvals(weight)
        axes[3].plot(values.real, values.imag, ".", color=colour, markersize=3, label=label)
    axes[3].set(title="eigenvalues of W_h", xlabel="real part", ylabel="imaginary part")
    axes[3].legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    save(figure, arguments)


def main():
    parser = task.add_options(argparse.ArgumentParser(description=__doc__.split("\n")[0]))
    parser.add_argument("--inhibitory", type=float, default=0.2, help="share of the units")
    parser.add_argument("--density", type=float, default=0.3, help="share of the connections")
    parser.add_argument("--radius", type=float, default=1.0, help="spectral radius at first")
    arguments = parse(parser, quick=task.QUICK)
    network = elman.Network(
        task.INPUTS,
        arguments.hidden,
        task.OUTPUTS,
        cell="leaky",
        nonlinearity="relu",
        tau=task.TAU,
        dt=task.DT,
        noise=0.02,
    )
    signs, mask = constrain(network.rnn, arguments.inhibitory, arguments.density, arguments.radius)
    before = network.rnn.weight_hh_l0.detach().clone()
    most = [0, 0]

    def check():
        found = violations(network.rnn.weight_hh_l0.detach(), signs, mask)
        most[:] = map(max, most, found)

    losses = task.train(network, arguments, progress, check)
    after = network.rnn.weight_hh_l0.detach()
    print(f"weights of the wrong sign, at most in {len(losses)} steps: {most[0]}")
    print(f"weights where no connection is: {most[1]}")
    print(f"weights changed by {(after - before).norm() / before.norm():.2f} of their norm")
    print(f"coherence 0.512: {task.accuracy(network, 0.512):.1%} right")
    draw(before, after, losses, arguments)


if __name__ == "__main__":
    main()
