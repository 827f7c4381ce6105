#!/bin/bash
# tinygrad 0.14.0: Tensor.tanh is 2 sigmoid(2x) - 1, so that of a small float32 keeps an absolute error
# of 1e-7 and few digits, or none.
# Seen: relative errors above 1 per cent for arguments of 1e-6.
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
  "$python" -m pip install --quiet numpy==2.4.6 tinygrad==0.14.0
fi
cd "$folder"
"$python" - <<'EOF'
import importlib.metadata

import numpy as np
from tinygrad import Tensor

x = np.linspace(1e-6, 4e-6, 50, dtype=np.float32)
error = np.abs(Tensor(x).tanh().numpy() / np.tanh(x.astype(np.float64)) - 1).max()
print("tinygrad", importlib.metadata.version("tinygrad"), "largest relative error of tanh:", error)
assert error > 0.01
EOF
