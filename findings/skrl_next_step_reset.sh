#!/bin/bash
# skrl 2.1.1 with gymnasium 1.4.0: PPO_RNN makes the recurrent state zero for the step after a flag
# `terminated`. In gymnasium's default autoreset mode that step's observation is still the last one of
# the old episode, so every episode but the first begins on the last observation of the one before.
# Seen: observations 0 1 2 3 0 1 2 3 with episodes of 3 steps; the state is zero on each 3, not on the 0.
#
# Exits with an error once the behaviour has changed. PYTHON=... names an interpreter that has the
# packages; without it they are installed into a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-}
unset PYTHON  # some packages have a use of their own for it
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python3
  "$python" -m pip install --quiet numpy==2.4.6 gymnasium==1.4.0 skrl==2.1.1 torch==2.11.0
fi
cd "$folder"
"$python" - <<'EOF'
import gymnasium
import numpy as np
import skrl
import torch
from skrl.agents.torch.base import Agent
from skrl.agents.torch.ppo.ppo_rnn import PPO_RNN


class Count(gymnasium.Env):
    """Observes the number of steps of the episode, which ends with the third."""

    observation_space = gymnasium.spaces.Box(0, 9, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.full(1, self.steps, np.float32), 1.0, self.steps == 3, False, {}


# The part of PPO_RNN that keeps the states between steps, without a policy and a memory.
Agent.record_transition = lambda self, **transition: None
agent = PPO_RNN.__new__(PPO_RNN)
agent.training, agent._rnn, agent.policy, agent.value = False, True, None, None
names = "observations states actions rewards next_observations next_states infos timestep timesteps"
rest = dict.fromkeys(names.split())
envs = gymnasium.vector.SyncVectorEnv([Count])
observation, _ = envs.reset()
seen, is_zero = [int(observation[0, 0])], [True]
for _ in range(9):
    observation, _, terminated, truncated, _ = envs.step(np.array([0]))
    agent._rnn_final_states = {"policy": [torch.ones(1, 1, 2)]}
    flags = [torch.from_numpy(flag).view(-1, 1) for flag in (terminated, truncated)]
    agent.record_transition(terminated=flags[0], truncated=flags[1], **rest)
    seen.append(int(observation[0, 0]))
    is_zero.append(not agent._rnn_initial_states["policy"][0].any())
print("skrl", skrl.__version__, "gymnasium", gymnasium.__version__)
print("observations:      ", seen)
print("state made zero on:", [o if zero else "-" for o, zero in zip(seen, is_zero)])
assert seen == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
assert [o for o, zero in zip(seen[1:], is_zero[1:]) if zero] == [3, 3]
EOF
