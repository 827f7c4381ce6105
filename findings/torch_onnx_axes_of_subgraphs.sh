#!/bin/bash
# torch 2.11.0: torch.onnx.export gives the dynamic axes of a model the names of its dynamic_shapes,
# but not those of the inputs of a Scan's body: they keep a name such as s27, while the state that is
# fed to them has the axis B. tract refuses such a file: "Impossible to unify Sym(s27) with Sym(B)".
# Seen: two names for one axis.
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
  "$python" -m pip install --quiet numpy==2.4.6 torch==2.11.0 onnx==1.23.2 onnxscript==0.7.2
fi
cd "$folder"
"$python" - <<'EOF'
import torch
from torch._higher_order_ops.scan import scan

T, B = torch.export.Dim("T"), torch.export.Dim("B")


class Sum(torch.nn.Module):
    def forward(self, x, h):
        def step(state, row):
            state = state + row
            return state, state.clone()

        return scan(step, h, x)


program = torch.onnx.export(
    Sum(),
    (torch.randn(5, 3, 2), torch.randn(3, 2)),
    dynamo=True,
    dynamic_shapes={"x": {0: T, 1: B}, "h": {0: B}},
    verbose=False,
)
graph = program.model_proto.graph
body = next(a.g for node in graph.node if node.op_type == "Scan" for a in node.attribute if a.name == "body")


def axes(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


print("torch", torch.__version__)
print("the model's h:", axes(graph.input[1]), " the body's:", axes(body.input[0]))
assert axes(graph.input[1]) == ["B", 2]
assert axes(body.input[0])[0] != "B"
EOF
