#!/bin/bash
# gymnasium 1.4.0: in a vector environment's default autoreset mode, NEXT_STEP, the step after the one
# that ended an episode only resets: its action is ignored, its reward is 0, and its observation is the
# first of the new episode. The observation that came with `terminated` is the last of the old episode;
# a policy with a state acts once more on it, and must forget at the second step after the flag.
# Seen: observations 1 2 3 0 1 for an environment that counts to 3 (terminated with the 3).
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
  "$python" -m pip install --quiet numpy==2.4.6 gymnasium==1.4.0
fi
cd "$folder"
"$python" - <<'EOF'
import gymnasium
import numpy as np


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


def episode(**options):
    envs = gymnasium.vector.SyncVectorEnv([Count], **options)
    envs.reset()
    steps = [envs.step(np.array([0])) for _ in range(6)]
    return [(int(o[0, 0]), float(r[0]), bool(t[0])) for o, r, t, _, _ in steps]


default = episode()
same = episode(autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)
print("gymnasium", gymnasium.__version__, "(observation, reward, terminated)")
print("NEXT_STEP:", default)
print("SAME_STEP:", same)
assert default[2:4] == [(3, 1.0, True), (0, 0.0, False)]
assert same[2:4] == [(0, 1.0, True), (1, 1.0, False)]
EOF
