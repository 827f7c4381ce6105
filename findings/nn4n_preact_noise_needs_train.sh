#!/bin/bash
# nn4n 1.1.1: CTRNN(preact_noise=...) makes no noise until .train() is called, though a new module is in training mode
# (training is True): the value reaches the recurrent layer in train() only. A training loop without that call trains
# a network without noise, and nothing says so. postact_noise is the same.
# Seen: "training: True, two runs equal: True; after train(): two runs equal: False"
#
# Exits with an error once the behaviour has changed. PYTHON=... names an interpreter that has the
# packages; without it they are installed into a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-}
unset PYTHON
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python3
  "$python" -m pip install --quiet torch==2.11.0 numpy==2.4.6 matplotlib==3.11.2 scipy==1.17.1 \
    ipython==9.18.1 nn4n==1.1.1
fi
cd "$folder"
"$python" - <<'PY'
import torch
from nn4n.model import CTRNN


def runs_are_equal():
    (_, (first,)), (_, (second,)) = network(x), network(x)
    return torch.equal(first, second)


network = CTRNN(dims=[3, 8, 2], preact_noise=0.5)
x = torch.randn(10, 4, 3)
training, before = network.training, runs_are_equal()
network.train()
after = runs_are_equal()
print(f"training: {training}, two runs equal: {before}; after train(): two runs equal: {after}")
assert training and before and not after
PY
