#!/bin/sh
# torch 2.11.0: a torch.nn.RNN exported with Dim.AUTO for its steps is specialized to the example's length. The exported
# program refuses another length ("Guard failed"), but the AOTInductor package made of it takes a longer sequence, and returns
# the first steps only, without an error.
# Seen: "9 steps given, 5 returned"
# Exits non-zero where torch behaves otherwise. Needs a C++ compiler. PYTHON=... takes an interpreter that has torch.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  PYTHON=$folder/venv/bin/python
  "$PYTHON" -m pip install -q torch==2.11.0 numpy==2.4.6 setuptools==80.9.0
fi
cat > "$folder/run.py" <<'PY'
import sys

import torch

AUTO = torch.export.Dim.AUTO
rnn = torch.nn.RNN(4, 6)
program = torch.export.export(rnn, (torch.randn(5, 3, 4),), dynamic_shapes=({0: AUTO, 1: AUTO},))
path = torch._inductor.aoti_compile_and_package(program, package_path=sys.argv[1])
x = torch.randn(9, 3, 4)
output, _ = torch._inductor.aoti_load_package(path)(x)
print(f"{len(x)} steps given, {len(output)} returned")
sys.exit(not (len(output) == 5 and torch.allclose(output, rnn(x)[0][:5], atol=1e-6)))
PY
TORCHINDUCTOR_CACHE_DIR=$folder/cache "$PYTHON" -W ignore "$folder/run.py" "$folder/rnn.pt2"
