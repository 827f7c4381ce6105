#!/bin/bash
# litert-torch 0.10.0: a program is unrolled for the number of steps that it was converted with. The
# interpreter accepts a resize of the input to more steps, runs, and returns the old number of steps:
# the others are dropped without an error.
# Seen: an input of 11 steps gives 7.
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
  "$python" -m pip install --quiet litert-torch==0.10.0 torch==2.11.0
fi
cd "$folder"
"$python" - <<'EOF'
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
import litert_torch


class Sums(torch.nn.Module):
    """The cumulative sums of x [T, B], step by step."""

    def forward(self, x):
        state, states = torch.zeros_like(x[0]), []
        for t in range(x.size(0)):
            state = state + x[t]
            states.append(state)
        return torch.stack(states)


litert_torch.convert(Sums().eval(), (torch.randn(7, 3),)).export("sums.tflite")
interpreter = Interpreter("sums.tflite")
index = interpreter.get_input_details()[0]["index"]
interpreter.resize_tensor_input(index, [11, 3])
interpreter.allocate_tensors()
interpreter.set_tensor(index, np.ones((11, 3), np.float32))
interpreter.invoke()
result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
print("torch", torch.__version__, "input", [11, 3], "output", list(result.shape), result[:, 0])
assert result.shape == (7, 3)
np.testing.assert_array_equal(result[:, 0], np.arange(1, 8))
EOF
