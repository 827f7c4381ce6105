#!/bin/bash
# coremltools 9.0: torch's Tensor.new_full(size, 0) has the dtype of the tensor that it is called on;
# the converter takes the dtype of the fill value, so a float tensor's new_full with an integer 0 becomes
# int32, and what multiplies it is refused. 0.0 converts.
# Seen: "the named input `weight` must have the same data type as the named input `x`. However, weight has
# dtype fp32 whereas x has dtype int32".
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
  "$python" -m pip install --quiet numpy==2.4.6 coremltools==9.0 torch==2.11.0
fi
cd "$folder"
"$python" - <<'EOF'
import coremltools
import torch


class Product(torch.nn.Module):
    def __init__(self, zero):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 3))
        self.zero = zero

    def forward(self, x):
        zeros = self.weight.new_full((2, 3), self.zero)
        assert zeros.dtype == torch.float32
        return x + torch.mm(zeros, self.weight)


def convert(zero):
    program = torch.export.export(Product(zero).eval(), (torch.randn(2, 3),))
    return coremltools.convert(program.run_decompositions({}))


print("coremltools", coremltools.__version__, "torch", torch.__version__)
convert(0.0)
print("0.0: converted")
try:
    convert(0)
except ValueError as error:
    print("0:", error)
    assert "int32" in str(error)
else:
    raise SystemExit("0: converted, too")
EOF
