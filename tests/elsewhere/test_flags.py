"""elman.reset_from_flags against the libraries: an environment that counts shows which step each of
their flags belongs to, and their own recurrent code what they reset."""

import itertools

import elman
import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

T = 11


class Count(gymnasium.Env):
    """Observes the number of steps of its episode, which ends after `length` of them."""

    observation_space = gymnasium.spaces.Box(0, 99, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, length=3):
        self.length = length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        over = self.steps == self.length
        return np.full(1, self.steps, np.float32), 1.0, over, False, {}


def rollout(mode):
    """x_t and the flag that came back after the action on it, both [T, B]."""
    envs = SyncVectorEnv([lambda: Count(3), lambda: Count(4)], autoreset_mode=mode)
    observation, _ = envs.reset()
    seen, flags = [], []
    for _ in range(T):
        seen.append(observation[:, 0])
        observation, _, terminated, truncated, _ = envs.step(np.array([0, 0]))
        flags.append(terminated | truncated)
    return torch.from_numpy(np.stack(seen)), torch.from_numpy(np.stack(flags))


def first_observations(seen):
    first = seen == 0
    first[0] = False  # the rollout's own beginning has no flag
    return first


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_gymnasium(mode):
    seen, flags = rollout(mode)
    reset = elman.reset_from_flags(flags, f"gymnasium_{mode.name.lower()}")
    assert reset.any() and torch.equal(reset, first_observations(seen))


def test_gymnasiums_default_is_next_step():
    envs = SyncVectorEnv([Count])
    assert envs.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP


def test_torchrl():
    from torchrl.envs import GymWrapper, InitTracker, TransformedEnv

    env = TransformedEnv(GymWrapper(Count()), InitTracker())
    steps = env.rollout(T, break_when_any_done=False, auto_reset=True)
    reset = elman.reset_from_flags(steps["is_init"].unsqueeze(0), "torchrl", batch_first=True)
    observations = steps["observation"].squeeze(-1)
    assert reset.shape == (1, T)
    assert torch.equal(reset[0], observations == 0)


class AsLSTM(torch.nn.Module):
    """An RNN with the interface of an LSTM, whose cell state is passed on as it is."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn, self.input_size = rnn, rnn.input_size

    def forward(self, x, states):
        output, h_n = self.rnn(x, states[0].contiguous())
        return output, (h_n, states[1])


def test_sb3_contrib():
    from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy

    torch.manual_seed(0)
    rnn, x, hx = elman.RNN(3, 5), torch.randn(T, 2, 3), torch.randn(1, 2, 5)
    episode_starts = (torch.rand(T, 2) > 0.6).float()
    expected, (h_n, _) = RecurrentActorCriticPolicy._process_sequence(
        x.transpose(0, 1).reshape(-1, 3),
        (hx, hx),
        episode_starts.transpose(0, 1).reshape(-1),
        AsLSTM(rnn),
    )
    reset = elman.reset_from_flags(episode_starts, "sb3_contrib")
    output, final = rnn(x, hx, reset=reset)
    torch.testing.assert_close(output.transpose(0, 1).reshape(-1, 5), expected)
    torch.testing.assert_close(final, h_n)


def test_rsl_rl():
    from rsl_rl.utils import split_and_pad_trajectories, unpad_trajectories

    torch.manual_seed(0)
    rnn, x = elman.RNN(3, 5), torch.randn(T, 2, 3)
    dones = torch.rand(T, 2, 1) > 0.6
    trajectories, masks = split_and_pad_trajectories(x, dones)
    expected = unpad_trajectories(rnn(trajectories)[0], masks)
    output, _ = rnn(x, reset=elman.reset_from_flags(dones, "rsl_rl"))
    torch.testing.assert_close(output, expected)


def test_skrl(monkeypatch):
    """skrl makes the state of the step after the flag zero, and in gymnasium's default mode that
    step still sees the old episode's last observation.
    """
    from skrl.agents.torch.base import Agent
    from skrl.agents.torch.ppo.ppo_rnn import PPO_RNN

    monkeypatch.setattr(Agent, "record_transition", lambda self, **transition: None)
    agent = PPO_RNN.__new__(PPO_RNN)
    agent.training, agent._rnn, agent.policy = False, True, None
    agent.value = agent.policy
    rest = ("observations states actions rewards next_observations next_states infos").split()
    rest = dict.fromkeys([*rest, "timestep", "timesteps"])
    seen, flags = rollout(AutoresetMode.NEXT_STEP)
    zeroed = [torch.zeros(2, dtype=torch.bool)]
    for flag in flags.unsqueeze(2):
        agent._rnn_final_states = {"policy": [torch.ones(1, 2, 4)]}
        agent.record_transition(terminated=flag, truncated=torch.zeros_like(flag), **rest)
        zeroed.append((agent._rnn_initial_states["policy"][0] == 0).all(2)[0])
    reset = elman.reset_from_flags(flags, "skrl")
    assert reset.any() and torch.equal(reset, torch.stack(zeroed[:-1]))
    lengths = torch.tensor([3.0, 4.0]).expand_as(seen)
    assert torch.equal(seen[reset], lengths[reset])


class Recurrent(torch.nn.Module):
    """A policy's memory for TorchRL: [B, T, ...] with the flag of InitTracker."""

    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(1, 8, batch_first=True)

    def forward(self, observation, is_init):
        reset = elman.reset_from_flags(is_init, "torchrl", batch_first=True)
        return self.rnn(observation, reset=reset)[0]


def test_a_module_of_torchrl():
    from tensordict.nn import TensorDictModule
    from torchrl.envs import GymWrapper, InitTracker, TransformedEnv

    env = TransformedEnv(GymWrapper(Count()), InitTracker())
    steps = env.rollout(T, break_when_any_done=False, auto_reset=True)
    memory = TensorDictModule(Recurrent(), ["observation", "is_init"], ["states"])
    states = memory(steps.unsqueeze(0))["states"][0]
    starts = [*(steps["observation"] == 0).squeeze(-1).nonzero().flatten().tolist(), T]
    assert len(starts) > 3
    for begin, end in itertools.pairwise(starts):
        alone, _ = memory.module.rnn(steps["observation"][None, begin:end])
        torch.testing.assert_close(states[begin:end], alone[0])
