#!/bin/bash
# nn4n 1.1.1: an ei_mask (Dale's law) divides the recurrent weights that it leaves by ten, and does not balance excitation
# with inhibition: the sums to be balanced are taken where the *sparsity* mask is 1 and -1, and that has no -1. So a
# network with an ei_mask begins with a spectral radius ten times too small.
# Seen: "without the mask 10.0 times as large; excitation 4.0 times inhibition" (80 of 100 units excite)
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

signs = torch.where(torch.arange(100) < 80, 1, -1)
mask = signs.unsqueeze(1).expand(100, 100)  # [from, to]


def recurrent_weights(ei_mask):
    torch.manual_seed(0)
    network = CTRNN(dims=[3, 100, 2], ei_masks=[None, ei_mask, None])
    return network.recurrent_layer.hidden_layer.weight.detach()


plain, dale = recurrent_weights(None), recurrent_weights(mask)
kept = dale != 0
ratio = (plain[kept] / dale[kept]).mean().item()
excitation, inhibition = dale[dale > 0].sum().item(), -dale[dale < 0].sum().item()
balance = excitation / inhibition
print(f"without the mask {ratio:.1f} times as large; excitation {balance:.1f} times inhibition")
assert abs(ratio - 10) < 0.01 and balance > 3
PY
