"""Trains a leaky network on a perceptual decision, and looks at it as at an animal.

    python examples/neuroscience/decision.py

The picture: how often it says "left" by the strength of the evidence (the psychometric curve), how
a unit ramps up to the decision, and the path of all units in the plane of the first two principal
components.
"""

import argparse

import elman
import task
import torch
from common import BLUE, GREY, ORANGE, parse, plt, progress, save


def psychometric(network, count):
    """Signed coherences [N] and how often the network chose left [N]."""
    strengths = torch.cat([-task.COHERENCES.flip(0), torch.zeros(1), task.COHERENCES])
    shares = []
    for coherence in strengths:
        x, _ = task.trials(coherence.expand(count))
        shares.append((task.choices(network, x)[0] == task.LEFT).double().mean().item())
    return strengths, torch.tensor(shares)


def fit(strengths, shares):
    """(bias, slope) of the logistic curve 1 / (1 + exp(-(bias + slope * coherence)))."""
    parameters = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=200, line_search_fn="strong_wolfe")
    x, y = strengths.double(), shares.double()

    def closure():
        optimizer.zero_grad()
        logits = parameters[0] + parameters[1] * x
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return parameters.detach()


def principal_components(activity):
    """The first two of activity [T, B, H], as [T, B, 2]."""
    flat = activity.flatten(0, 1)
    flat = flat - flat.mean(0)
    _, _, directions = torch.linalg.svd(flat, full_matrices=False)
    return (flat @ directions[:2].T).view(*activity.shape[:2], 2)


def draw(network, losses, arguments):
    strengths, shares = psychometric(network, arguments.trials)
    bias, slope = fit(strengths, shares)
    threshold = ((torch.logit(torch.tensor(0.75)) - bias) / slope).item()
    print(f"psychometric curve: 75% left at a coherence of {threshold:.3f}")

    figure, axes = plt.subplots(1, 4, figsize=(12, 2.9), width_ratios=(1, 1.2, 1.2, 1))
    axes[0].semilogy(losses, color=BLUE, linewidth=0.8)
    axes[0].set(title="training loss (logarithmic)", xlabel="step")
    fine = torch.linspace(-0.55, 0.55, 200)
    axes[1].plot(fine, torch.sigmoid(bias + slope * fine), color=GREY)
    axes[1].plot(strengths, shares, "o", color=BLUE, markersize=4)
    axes[1].set(title="chose left", xlabel="coherence", ylim=(-0.03, 1.03))

    # One trial of each strength and side, many times: the mean activity of the unit that prefers
    # left most.
    side = {task.LEFT: BLUE, task.RIGHT: ORANGE}
    time = torch.arange(task.STEPS) * task.DT
    x, _ = task.trials(torch.cat([task.COHERENCES, -task.COHERENCES]).repeat_interleave(50))
    _, activity = task.choices(network, x)
    mean = activity.unflatten(1, (2, len(task.COHERENCES), 50)).mean(3)  # [T, 2, N, H]
    preference = (mean[-1, 0] - mean[-1, 1]).mean(0)  # [H]
    unit = preference.argmax().item()
    for s, colour in enumerate(side.values()):
        for n in range(len(task.COHERENCES)):
            axes[2].plot(
                time, mean[:, s, n, unit], color=colour, alpha=0.25 + 0.15 * n, linewidth=1.2
            )
    for edge in (task.FIXATION, task.FIXATION + task.STIMULUS):
        axes[2].axvline(edge * task.DT, color=GREY, linewidth=0.8, linestyle="--")
    axes[2].set(title=f"unit {unit}: left (blue), right", xlabel="time, ms")

    path = principal_components(mean.flatten(1, 2))
    for i in range(path.size(1)):
        colour = BLUE if i < len(task.COHERENCES) else ORANGE
        axes[3].plot(path[:, i, 0], path[:, i, 1], color=colour, linewidth=1)
    axes[3].set(title="first two components", xticks=[], yticks=[])
    save(figure, arguments)


def main():
    parser = task.add_options(argparse.ArgumentParser(description=__doc__.split("\n")[0]))
    parser.add_argument("--noise", type=float, default=0.05, help="of each unit")
    parser.add_argument("--form", choices=["rate", "current"], default="rate")
    parser.add_argument("--trials", type=int, default=400, help="for a point of the curve")
    arguments = parse(parser, quick=task.QUICK | dict(trials=150))
    network = elman.Network(
        task.INPUTS,
        arguments.hidden,
        task.OUTPUTS,
        cell="leaky",
        tau=task.TAU,
        dt=task.DT,
        form=arguments.form,
        noise=arguments.noise,
    )
    losses = task.train(network, arguments, progress)
    for coherence in (0.512, 0.128, 0.032):
        print(f"coherence {coherence}: {task.accuracy(network, coherence):.1%} right")
    draw(network, losses, arguments)


if __name__ == "__main__":
    main()
