"""Learns to balance a pole on a cart, and saves the policy for a program without Python.

    python examples/training/balance.py

The policy sees where the cart and the pole are, not how fast they move: it has to remember. It is
trained through the simulation, which is differentiable: the loss is how far cart and pole were from
the middle. Then it runs by `elman.Stepper`, one observation at a time. Writes `balance.safetensors`
beside the picture; examples/stepper/balance.cpp runs it in C++.
"""

import argparse
import math
from pathlib import Path

import elman
import torch
from common import BLUE, ORANGE, parse, plt, progress, save

STEP = 0.02  # seconds
FORCE = 10.0  # newtons, at most
FALLEN = 0.4  # radians


def move(state, action):
    """The cart-pole of Barto, Sutton and Anderson (1983), a step later.

    state: [..., 4] position, velocity, angle, angular velocity; action: [...] in (-1, 1).
    """
    gravity, mass, pole_mass, length = 9.8, 1.1, 0.1, 0.5
    x, v, angle, turn = state.unbind(-1)
    sine, cosine = angle.sin(), angle.cos()
    push = (FORCE * action + pole_mass * length * turn**2 * sine) / mass
    angular = (gravity * sine - cosine * push) / (length * (4 / 3 - pole_mass * cosine**2 / mass))
    linear = push - pole_mass * length * angular * cosine / mass
    v, turn = v + STEP * linear, turn + STEP * angular
    return torch.stack((x + STEP * v, v, angle + STEP * turn, turn), -1)


def observe(state):
    """Position and angle, scaled. [..., 2]"""
    return state[..., ::2] * torch.tensor([1.0, 5.0])


def starts(count):
    return (torch.rand(count, 4) - 0.5) * torch.tensor([1.0, 0.4, 0.3, 0.4])


def train(arguments):
    policy = elman.Network(2, arguments.hidden, 1, output="tanh")
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    for update in (bar := progress(range(arguments.updates), desc="updates")):
        state, hx, loss = starts(64), None, 0.0
        # Longer and longer, as the policy learns not to fall.
        steps = 20 + (arguments.steps - 20) * update // arguments.updates
        for _ in range(steps):
            action, hx = policy(observe(state)[None], hx)
            state = move(state, action[0, :, 0])
            loss = loss + (state[:, 2] ** 2 * 10 + state[:, 0] ** 2).clamp(max=10).mean()
        optimizer.zero_grad()
        (loss / steps).backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        bar.set_postfix(loss=f"{loss.item() / steps:.4f}", refresh=False)
    return policy


def run(stepper, start, steps):
    """The states, [steps, 4], until the pole falls."""
    stepper.reset()
    state, path = start, [start]
    while len(path) < steps and abs(state[2]) < FALLEN:
        state = move(state, stepper.step(observe(state))[0])
        path.append(state)
    return torch.stack(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hidden", type=int, default=16)
    parser.add_argument("--updates", type=int, default=400)
    parser.add_argument("--steps", type=int, default=150, help="of the longest run in training")
    arguments = parse(parser, {"updates": 150, "steps": 80})
    policy = train(arguments)
    file = Path(arguments.picture).with_name("balance.safetensors")
    elman.save_stepper(policy, file)
    stepper = elman.Stepper.load(file)
    with torch.no_grad():
        paths = [run(stepper, start, 500) for start in starts(20)]
    kept = sum(len(path) == 500 for path in paths)
    print(f"kept the pole up for 10 s in {kept} of 20 runs")
    print(f"policy: {file.resolve()}")
    figure, axes = plt.subplots(2, sharex=True, figsize=(8, 4.5))
    for path in paths:
        seconds = torch.arange(len(path)) * STEP
        axes[0].plot(seconds, path[:, 2] * 180 / math.pi, color=BLUE, lw=0.8)
        axes[1].plot(seconds, path[:, 0], color=ORANGE, lw=0.8)
    axes[0].set(title="Angle of the pole, degrees")
    axes[1].set(title="Position of the cart, metres", xlabel="seconds")
    save(figure, arguments)


if __name__ == "__main__":
    main()
