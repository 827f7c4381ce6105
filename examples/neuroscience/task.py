"""What the programs here share: a task for an animal, or a network, and how it is trained.

Perceptual decision: two noisy stimuli, left and right, one of them stronger by the coherence. While
the fixation cue is on, the network fixates; when it goes off, it says which stimulus was stronger.
"""

import sys
from pathlib import Path

import torch

# The style of the pictures, the command line.
sys.path.append(str(Path(__file__).parents[1] / "training"))

TAU, DT = 100.0, 20.0  # milliseconds
FIXATION, STIMULUS, DECISION = 5, 30, 8  # steps of DT
STEPS = FIXATION + STIMULUS + DECISION
COHERENCES = torch.tensor([0.032, 0.064, 0.128, 0.256, 0.512])
FIXATE, LEFT, RIGHT = 0, 1, 2
INPUTS, OUTPUTS = 3, 3


def trials(coherence, noise=0.3):
    """Inputs [T, B, 3] (cue, left, right) and the right answers [T, B].

    coherence: [B], positive where the left stimulus is the stronger one
    """
    x = torch.zeros(STEPS, len(coherence), INPUTS)
    x[: FIXATION + STIMULUS, :, 0] = 1
    shown = x[FIXATION : FIXATION + STIMULUS]
    shown[..., LEFT] = (1 + coherence) / 2
    shown[..., RIGHT] = (1 - coherence) / 2
    shown[..., LEFT:] += noise * torch.randn(STIMULUS, len(coherence), 2)
    answers = torch.full(x.shape[:2], FIXATE)
    answers[FIXATION + STIMULUS :] = torch.where(coherence > 0, LEFT, RIGHT)
    return x, answers


def random_trials(batch):
    strength = COHERENCES[torch.randint(len(COHERENCES), (batch,))]
    return trials(strength * (2 * torch.randint(2, (batch,)) - 1))


def loss_of(logits, answers):
    """Cross entropy at all steps; the decision counts as much as the fixation before it."""
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), answers.flatten(), reduction="none"
    ).view_as(answers)
    return each[: FIXATION + STIMULUS].mean() + each[FIXATION + STIMULUS :].mean()


def choices(network, x):
    """LEFT or RIGHT [B], at the last step, and the units' activity [T, B, H]."""
    with torch.no_grad():
        activity, _ = network.rnn(x)
        logits = network.out(activity[-1])
    return logits[:, LEFT:].argmax(-1) + LEFT, activity


def train(network, arguments, progress, after_step=lambda: None):
    """The loss of each step."""
    optimizer = torch.optim.Adam(network.parameters(), lr=arguments.learning_rate)
    losses = []
    bar = progress(range(arguments.steps), unit="step")
    for _ in bar:
        x, answers = random_trials(arguments.batch)
        loss = loss_of(network(x)[0], answers)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        after_step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{sum(losses[-50:]) / len(losses[-50:]):.3f}")
    return losses


def accuracy(network, coherence, count=400):
    """The share of right answers at one strength of the stimulus."""
    x, answers = trials(coherence * (2 * torch.randint(2, (count,)) - 1))
    chosen, _ = choices(network, x)
    return (chosen == answers[-1]).double().mean().item()


def add_options(parser):
    parser.add_argument("--hidden", type=int, default=100, help="number of units")
    parser.add_argument("--steps", type=int, default=1500, help="of the optimizer")
    parser.add_argument("--batch", type=int, default=64, help="trials a step")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    return parser


QUICK = dict(hidden=50, steps=250, batch=48, learning_rate=5e-3)
