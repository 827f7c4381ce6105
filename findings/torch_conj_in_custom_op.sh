#!/bin/sh
# torch 2.15.0 (2.11.0 too): a custom operator that is correct in eager mode, x.conj() * x, gives
# another result, without an error, once torch.compile runs it ("aot_eager" and "inductor" alike), or
# under any TorchDispatchMode, one that does nothing included. Tensor.conj() only marks the tensor;
# kernels below such a mode run with the dispatch key excluded that minds the mark, and multiply x by
# itself. `torch.conj_physical(x) * x` is right in all of them.
#
# Exits non-zero if that changes. PYTHON=... takes an interpreter that has torch already.
#
# Output seen (2026-11-28, torch 2.15.0+cu132, Python 3.11, Linux):
#   torch 2.15.0+cu132
#   largest difference from (x.conj() * x) in eager mode:
#     under a mode that does nothing     2.475
#     torch.compile, backend eager       0.000
#     torch.compile, backend aot_eager   2.475
#     torch.compile, backend inductor    2.475
#     conj_physical, under the mode      0.000
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  PYTHON="$folder/venv/bin/python"
  "$PYTHON" -m pip install --quiet torch==2.15.0 numpy
fi
cat > "$folder/conj.py" <<'EOF'
import sys

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@torch.library.custom_op("finding::square", mutates_args=())
def square(x: torch.Tensor) -> torch.Tensor:
    return x.conj() * x


@torch.library.custom_op("finding::square_physical", mutates_args=())
def square_physical(x: torch.Tensor) -> torch.Tensor:
    return torch.conj_physical(x) * x


square.register_fake(torch.empty_like)
square_physical.register_fake(torch.empty_like)


class Nothing(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


torch.manual_seed(0)
x = torch.randn(2, 2, dtype=torch.complex128)
expected = square(x)
assert torch.equal(expected, torch.conj_physical(x) * x)
with Nothing():
    found = {"under a mode that does nothing": (square(x), True)}
for backend in ("eager", "aot_eager", "inductor"):
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: square(x) * 1, backend=backend)
    found[f"torch.compile, backend {backend}"] = compiled(x), backend != "eager"
with Nothing():
    found["conj_physical, under the mode"] = square_physical(x), False

print("torch", torch.__version__)
print("largest difference from (x.conj() * x) in eager mode:")
as_described = True
for name, (result, wrong) in found.items():
    difference = (result - expected).abs().max().item()
    print(f"  {name:34} {difference:.3f}")
    as_described &= (difference > 0.1) == wrong
sys.exit(0 if as_described else "the behaviour has changed")
EOF
"$PYTHON" -W ignore "$folder/conj.py"
