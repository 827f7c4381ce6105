#!/bin/bash
# tract 0.23.9: a Scan's body may not go on with a value that it stacks: the axis that the stacking
# adds is seen by the nodes inside, too. The file is refused; with an Identity between the value and
# the output it is computed right.
# Seen: "Impossible to unify Val(2) with Val(1)" for a file that onnxruntime and ONNX's reference take.
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
  "$python" -m pip install --quiet numpy==2.4.6 onnx==1.23.2 tract==0.23.9
fi
cd "$folder"
"$python" - <<'EOF'
import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator

T, B, H = 3, 2, 2


def value(name, *shape):
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def model(by_identity):
    """m_t = s_{t-1} + x_t, s_t = m_t m_t; Y has all m_t."""
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "x"], ["m"]), helper.make_node("Mul", ["m", "m"], ["new"])]
        + ([helper.make_node("Identity", ["m"], ["stacked"])] if by_identity else []),
        "body",
        [value("s", B, H), value("x", B, H)],
        [value(name, B, H) for name in ["new", "stacked" if by_identity else "m"]],
    )
    scan = helper.make_node("Scan", ["s_0", "X"], ["s_n", "Y"], body=body, num_scan_inputs=1)
    graph = helper.make_graph(
        [scan],
        "scan",
        [value("X", T, B, H), value("s_0", B, H)],
        [value("s_n", B, H), value("Y", T, B, H)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


X = np.arange(1, 1 + T * B * H, dtype=np.float32).reshape(T, B, H)
s_0 = np.ones((B, H), np.float32)

import importlib.metadata

import tract


def run(made):
    onnx.save(made, "model.onnx")
    runnable = tract.onnx().load("model.onnx").into_model().into_runnable()
    return runnable.run([X, s_0])[1].to_numpy()


expected = ReferenceEvaluator(model(False)).run(["Y"], {"X": X, "s_0": s_0})[0]
print("tract", importlib.metadata.version("tract"))
np.testing.assert_array_equal(run(model(True)), expected)
print("with an Identity: right")
try:
    run(model(False))
except Exception as error:
    reason = next(line for line in str(error).splitlines() if "unify" in line and "Val" in line)
    print("without:", reason.strip())
else:
    raise AssertionError("tract takes the file")
EOF
