#!/bin/sh
# torch 2.11.0: torch.jit.script writes what a child's __prepare_scriptable__ returns into the eager parent. The parent then
# holds another object than the variables and optimizers made before; model.eval() does not reach the old one.
# Seen: "replaced: True, the old child is still in training mode: True"
# Exits non-zero where torch behaves otherwise. PYTHON=... takes an interpreter that has torch.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  PYTHON=$folder/venv/bin/python
  "$PYTHON" -m pip install -q torch==2.11.0 numpy==2.4.6
fi
cat > "$folder/run.py" <<'PY'
import sys

import torch


class Twin(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


class Child(torch.nn.Module):
    def forward(self, x):
        return 2 * x

    def __prepare_scriptable__(self):
        return Twin()


model = torch.nn.Sequential(child := Child())
torch.jit.script(model)
model.eval()
replaced = model[0] is not child
print(f"replaced: {replaced}, the old child is still in training mode: {child.training}")
sys.exit(not (replaced and child.training))
PY
"$PYTHON" -W ignore "$folder/run.py"
