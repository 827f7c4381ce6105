#!/bin/bash
# torch 2.11.0: torch._higher_order_ops.partitioner sets its own logger to DEBUG, so that whoever runs a
# scan over tensors that need gradients gets pages of graphs on stderr, without having asked for a log.
# Gone in 2.15.
# Seen: more than 50 lines, "before min_cut_partition" among them.
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
  "$python" -m pip install --quiet numpy==2.4.6 torch==2.11.0
fi
cd "$folder"
"$python" - <<'EOF'
import subprocess
import sys

PROGRAM = """
import torch
from torch._higher_order_ops.scan import scan

def step(state, x):
    state = state * x
    return state, state.clone()

x = torch.randn(5, 3, requires_grad=True)
torch._dynamo.config.suppress_errors = False
scan(step, torch.ones(3), x)
"""
done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
lines = done.stderr.splitlines()
print("exit status", done.returncode, "lines on stderr", len(lines))
print(*lines[:3], sep="\n")
assert done.returncode == 0, done.stderr[-2000:]
assert any("before min_cut_partition" in line for line in lines) and len(lines) > 50
EOF
