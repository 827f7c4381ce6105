#!/usr/bin/env bash
# torch.set_flush_denormal(True) reaches the calling thread only, once torch's threads exist, so one
# call of an element-wise operator flushes some of its results and keeps the others, and the number of
# threads decides which.
#
# Seen with torch 2.11.0 on x86-64, a tensor of 4,194,304 equal numbers 1e-38 times 0.1:
#   1 thread:  0 results kept as denormal numbers
#   2 threads: 2097152 of 4194304 kept
# and the other way round, a pool whose threads were made while the mode was on goes on flushing after
# torch.set_flush_denormal(False):
#   2 threads: 2097152 of 4194304 kept
#
# Exits with 1 if torch no longer does this. PYTHON=... takes an interpreter that has torch instead of installing it.
set -euo pipefail

if [[ -z ${PYTHON:-} ]]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  python3 -m venv "$folder/venv"
  PYTHON=$folder/venv/bin/python
  "$PYTHON" -m pip install --quiet torch==2.11.0
fi

run() {
  OMP_NUM_THREADS=2 OMP_DYNAMIC=false "$PYTHON" - "$1"
}

run on <<'PROGRAM'
import warnings

warnings.filterwarnings("ignore")  # torch says that NumPy is not there
import torch

print("torch", torch.__version__)
small = torch.full((1 << 22,), 1e-38)
torch.set_num_threads(2)
small.sin()  # from here on there are two threads
assert torch.set_flush_denormal(True), "this CPU cannot flush denormal numbers"
kept = {}
for threads in (1, 2):
    torch.set_num_threads(threads)
    product = small * 0.1
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)  # counting must not flush
    kept[threads] = int((product != 0).sum())
    torch.set_flush_denormal(True)
    print(f"mode on, {threads} thread(s): {kept[threads]} of {small.numel()} kept")
assert kept[1] == 0, "one thread does not flush"
assert 0 < kept[2] < small.numel(), "two threads agree: torch's behaviour has changed"
PROGRAM

run off <<'PROGRAM'
import warnings

warnings.filterwarnings("ignore")
import torch

torch.set_num_threads(2)
torch.set_flush_denormal(True)
torch.ones(1 << 22).sin()  # the second thread is made, and inherits the mode
torch.set_flush_denormal(False)
small = torch.full((1 << 22,), 1e-38)
product = small * 0.1
torch.set_num_threads(1)
kept = int((product != 0).sum())
print(f"mode off again, 2 threads: {kept} of {small.numel()} kept")
assert 0 < kept < small.numel(), "two threads agree: torch's behaviour has changed"
PROGRAM
