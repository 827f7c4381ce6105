#!/bin/sh
# thop 0.1.1.post2209072238: thop.profile leaves the parameters of a module that it has no rule for out of the model's total,
# without a warning unless verbose. The total of a model is then less than the sum of its parameters.
# Seen: "in the model: 32, counted: 20" (a Linear(4, 4) and a module of one parameter of 12 elements)
# Exits non-zero where thop behaves otherwise. PYTHON=... takes an interpreter that has thop.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  PYTHON=$folder/venv/bin/python
  "$PYTHON" -m pip install -q torch==2.11.0 numpy==2.4.6 thop==0.1.1.post2209072238
fi
cat > "$folder/run.py" <<'PY'
import sys

import thop
import torch


class Unknown(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(3, 4))

    def forward(self, x):
        return x @ self.weight.t()


model = torch.nn.Sequential(torch.nn.Linear(4, 4), Unknown())
total = sum(parameter.numel() for parameter in model.parameters())
_, counted = thop.profile(model, (torch.ones(2, 4),), verbose=False)
print(f"in the model: {total}, counted: {int(counted)}")
sys.exit(not (total == 32 and counted == 20))
PY
"$PYTHON" -W ignore "$folder/run.py"
