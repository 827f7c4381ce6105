"""Draws gradient_by_lag.svg: how gradients fade with the lag, by the size of the weights.

PYTHONPATH=build/release/python python docs/figures/gradient_by_lag.py
"""

import pathlib

import elman
import matplotlib
import torch

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "elman"  # the same picture, the same file
matplotlib.rcParams["svg.fonttype"] = "none"  # text as text


def norms_of(scale):
    """Of a network whose recurrent matrix is orthogonal, times `scale`."""
    torch.manual_seed(0)
    rnn = elman.RNN(8, 64, dtype=torch.float64)
    with torch.no_grad():
        torch.nn.init.orthogonal_(rnn.weight_hh_l0).mul_(scale)
        rnn.weight_ih_l0.mul_(0.5)
    return elman.gradient_by_lag(rnn, torch.randn(200, 4, 8, dtype=torch.float64), max_lag=60)


def main():
    """Draws the picture."""
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 3, figsize=(11, 3.8), sharey=True, layout="constrained")
    places = {0.6: "upper right", 0.9: "lower right", 1.1: "lower left"}  # of the legend
    for ax, (scale, place) in zip(panels, places.items(), strict=True):
        norms = norms_of(scale)
        length = elman.AdaptiveTruncation(0.1, 60).update(norms)
        elman.plot_gradient_by_lag(norms, truncation=length, ax=ax)
        ax.set_title(f"orthogonal W_h × {scale}\n{ax.get_title()}", fontsize="small")
        ax.legend(loc=place, fontsize="small")
        ax.label_outer()
    path = pathlib.Path(__file__).with_suffix(".svg")
    figure.savefig(path, metadata={"Date": None})
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


if __name__ == "__main__":
    main()
