"""Learns to remember: a recurrent policy in T-shaped mazes, by policy gradient.

    python examples/training/episodes.py

At the entrance of a maze a sign says left or right; then follows a corridor of unknown length, and
where it ends, the policy has to turn as the sign said (Bakker 2002). Mazes are walked through side
by side and end at different times, so a rollout of T steps in B mazes holds pieces of many
episodes. `reset` tells the network where one begins: T·B steps are learnt from in one call, where
the usual loop calls a cell T times to clear states in between.
"""

import argparse
import statistics
import time

import elman
import torch
from common import BLUE, GREEN, GREY, ORANGE, package, parse, plt, progress, save
from torch.nn.functional import one_hot

legend_handler = package("matplotlib.legend_handler")

FORWARD, LEFT, RIGHT = range(3)


class Mazes:
    """B mazes side by side; where an episode ends, a new one begins with the next step.

    What is seen: a sign to the left, a sign to the right, the corridor, its end.
    """

    def __init__(self, batch, longest):
        self.longest = longest
        self.begins = torch.ones(batch, dtype=torch.bool)
        self.sign = torch.zeros(batch, dtype=torch.long)
        self.left = torch.zeros(batch, dtype=torch.long)  # steps to the end of the corridor
        self.age = torch.zeros(batch, dtype=torch.long)
        self._begin(self.begins)

    def _begin(self, rows):
        fresh = torch.Size([int(rows.sum())])
        self.sign[rows] = torch.randint(2, fresh)
        self.left[rows] = torch.randint(1, self.longest + 1, fresh)
        self.age[rows] = 0

    def look(self):
        """What is seen now, [B, 4], and whether an episode begins here, [B]."""
        where = torch.where(self.age == 0, self.sign, torch.where(self.left > 0, 2, 3))
        return one_hot(where, 4).float(), self.begins.clone()

    def act(self, action):
        """Rewards [B] of the actions [B]; None for success where no episode has ended."""
        at_end = (self.left == 0) & (self.age > 0)
        turned = action != FORWARD
        right = at_end & turned & (action - LEFT == self.sign)
        wrong = at_end & turned & ~right
        reward = right.float() - wrong.float() - 0.1 * (at_end ^ turned).float()
        self.left = (self.left - (~turned).long()).clamp(min=0)
        self.age += 1
        self.begins = right | wrong | (self.age > 4 * self.longest)
        ended = self.begins
        self._begin(ended)
        return reward, right, ended


class Policy(torch.nn.Module):
    """Says what to do, as logits, and what reward to expect."""

    def __init__(self, hidden, remembers):
        super().__init__()
        self.remembers = remembers
        self.rnn = elman.RNN(4, hidden)
        self.head = torch.nn.Linear(hidden, 4)

    def forward(self, seen, state, begins):
        """seen: [T, B, 4], state: [1, B, H], begins: [T, B]. Logits [T, B, 3], values [T, B]."""
        # One that begins anew at every step remembers nothing.
        reset = begins if self.remembers else torch.ones_like(begins)
        states, last = self.rnn(seen, state, reset=reset)
        out = self.head(states)
        return out[..., :3], out[..., 3], last


class Rollout:
    """T steps in B mazes, and the state of the network before them."""

    def __init__(self, policy, mazes, state, arguments):
        self.state = state
        seen, begins, actions, rewards = [], [], [], []
        self.successes = self.episodes = 0
        with torch.no_grad():
            for _ in range(arguments.steps):
                view, fresh = mazes.look()
                logits, _, state = policy(view[None], state, fresh[None])
                action = torch.distributions.Categorical(logits=logits[0]).sample()
                reward, success, ended = mazes.act(action)
                for values, value in zip(
                    (seen, begins, actions, rewards), (view, fresh, action, reward), strict=True
                ):
                    values.append(value)
                self.successes += int(success.sum())
                self.episodes += int(ended.sum())
            view, fresh = mazes.look()
            _, value_after, _ = policy(view[None], state, fresh[None])
        self.last = state
        self.seen, self.begins = torch.stack(seen), torch.stack(begins)
        self.actions = torch.stack(actions)
        ends = torch.cat([self.begins[1:], fresh[None]])  # [T, B] an episode's last step
        # What came after each step, [T, B], as far as it is known, then as expected.
        self.returns = torch.stack(rewards)
        following = value_after[0]
        for t in reversed(range(arguments.steps)):
            self.returns[t] += arguments.discount * following * ~ends[t]
            following = self.returns[t]


def loss_of(logits, values, rollout):
    policy = torch.distributions.Categorical(logits=logits)
    returns = rollout.returns
    advantage = (returns - values).detach()
    gain = policy.log_prob(rollout.actions) * advantage
    return (0.5 * (returns - values) ** 2 - gain - 0.02 * policy.entropy()).mean()


def train(policy, arguments, label):
    """The share of episodes that ended well, for each rollout."""
    mazes = Mazes(arguments.batch, arguments.corridor)
    optimizer = torch.optim.Adam(policy.parameters(), lr=arguments.learning_rate)
    state = torch.zeros(1, arguments.batch, arguments.hidden)
    shares = []
    bar = progress(range(arguments.updates), unit="update", desc=label)
    for _ in bar:
        rollout = Rollout(policy, mazes, state, arguments)
        state = rollout.last
        logits, values, _ = policy(rollout.seen, rollout.state, rollout.begins)
        loss = loss_of(logits, values, rollout)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        optimizer.step()
        shares.append(rollout.successes / max(1, rollout.episodes))
        bar.set_postfix(success=f"{sum(shares[-20:]) / len(shares[-20:]):.0%}")
    return shares


def cell_by_cell(policy, cell, rollout):
    """The same as `policy(...)`, in the usual loop over the steps."""
    state, states = rollout.state[0], []
    for view, begins in zip(rollout.seen, rollout.begins, strict=True):
        state = cell(view, state * ~begins[:, None])
        states.append(state)
    out = policy.head(torch.stack(states))
    return out[..., :3], out[..., 3]


def compare(policy, rollout, arguments):
    """Largest difference of the gradients, and seconds of one call and of the loop, in pairs."""
    rnn = policy.rnn
    cell = torch.nn.RNNCell(rnn.input_size, rnn.hidden_size)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        setattr(cell, name, getattr(rnn, f"{name}_l0"))  # the very same parameters

    def gradients(run):
        policy.zero_grad()
        begin = time.perf_counter()
        loss_of(*run(), rollout).backward()
        seconds = time.perf_counter() - begin
        return seconds, [parameter.grad.clone() for parameter in policy.parameters()]

    times, differences = [], []
    for _ in range(arguments.repeats):
        call, ours = gradients(lambda: policy(rollout.seen, rollout.state, rollout.begins)[:2])
        loop, theirs = gradients(lambda: cell_by_cell(policy, cell, rollout))
        times.append((call, loop))
        differences += [
            ((a - b).abs().max() / b.abs().max()).item() for a, b in zip(ours, theirs, strict=True)
        ]
    return max(differences), times


def smooth(values, window):
    padded = [values[0]] * (window - 1) + values
    return [sum(padded[i : i + window]) / window for i in range(len(values))]


def draw(curves, rollout, times, arguments):
    figure, (learning, map_, speed) = plt.subplots(
        1, 3, figsize=(9.5, 3.1), width_ratios=(1.3, 1.3, 0.8)
    )
    per_update = arguments.steps * arguments.batch / 1000
    for (label, shares), colour in zip(curves.items(), (BLUE, GREY), strict=True):
        steps = [per_update * (i + 1) for i in range(len(shares))]
        learning.plot(steps, [100 * s for s in smooth(shares, 10)], color=colour, label=label)
    learning.set(title="episodes that end well, %", xlabel="thousand steps", ylim=(0, 102))
    learning.legend(loc="lower right")

    pieces = rollout.begins.long().cumsum(0) % 2
    map_.imshow(pieces.T.numpy(), aspect="auto", cmap="Blues", vmax=3, interpolation="nearest")
    t, row = rollout.begins.nonzero(as_tuple=True)
    map_.scatter(t.tolist(), row.tolist(), s=3, color=ORANGE, label="reset")
    map_.set(title="episodes in the last rollout", xlabel="step", ylabel="maze")
    map_.grid(False)
    # The two shades alternate, so that neighbouring episodes can be told apart.
    shades = [plt.Rectangle((0, 0), 1, 1, color=plt.cm.Blues(shade)) for shade in (0.0, 1 / 3)]
    dots = plt.Line2D([], [], marker=".", color=ORANGE, ls="")
    map_.legend(
        [tuple(shades), dots],
        ["an episode each", "reset"],
        handler_map={tuple: legend_handler.HandlerTuple(ndivide=None)},
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncols=2,
    )

    call, loop = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    bars = speed.bar(["one call", "cell by cell"], [call, loop], color=[GREEN, GREY], width=0.6)
    speed.bar_label(bars, fmt="%.1f")
    speed.set(title="learning pass, ms")
    speed.grid(axis="x", visible=False)
    save(figure, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corridor", type=int, default=12, help="the longest")
    parser.add_argument("--updates", type=int, default=200)
    parser.add_argument("--steps", type=int, default=64, help="of a rollout, T")
    parser.add_argument("--batch", type=int, default=32, help="mazes side by side, B")
    parser.add_argument("--hidden", type=int, default=48, help="hidden size")
    parser.add_argument("--discount", type=float, default=0.97)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--repeats", type=int, default=20, help="of the two ways to be timed")
    arguments = parse(
        parser,
        quick=dict(corridor=4, updates=80, steps=24, hidden=24, learning_rate=8e-3, repeats=3),
    )

    curves, rollout = {}, None
    for label, remembers in (("with memory", True), ("without", False)):
        torch.manual_seed(arguments.seed)
        policy = Policy(arguments.hidden, remembers)
        curves[label] = train(policy, arguments, label)
        print(f"{label}: {sum(curves[label][-20:]) / 20:.1%} of the last episodes ended well")
        if remembers:
            mazes = Mazes(arguments.batch, arguments.corridor)
            state = torch.zeros(1, arguments.batch, arguments.hidden)
            rollout = Rollout(policy, mazes, state, arguments)
            difference, times = compare(policy, rollout, arguments)
    ratio = statistics.median(loop / call for call, loop in times)
    print(f"one call with reset against a loop over cells: gradients differ by {difference:.1e} of")
    print(f"their largest, time ratio {ratio:.1f} (median of {len(times)} pairs)")
    draw(curves, rollout, times, arguments)


if __name__ == "__main__":
    main()
