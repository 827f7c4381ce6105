#!/bin/bash
# onnxruntime 1.31.1: where a Scan's body lists one value twice among its outputs, as the state that is
# carried on and as the one that is stacked, both results are wrong, without an error. ONNX's checker
# takes the file, and ONNX's reference and OpenVINO compute it. An Identity in between makes it right.
# Seen: each step starts from what is in the memory, zeros for example, and not from the last state.
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
  "$python" -m pip install --quiet numpy==2.4.6 onnx==1.23.2 onnxruntime==1.31.1
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
    """s_t = s_{t-1} + x_t; Y has all states."""
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "x"], ["new"])]
        + ([helper.make_node("Identity", ["new"], ["stacked"])] if by_identity else []),
        "body",
        [value("s", B, H), value("x", B, H)],
        [value(name, B, H) for name in ["new", "stacked" if by_identity else "new"]],
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
states = s_0 + X.cumsum(axis=0)

import onnxruntime


def run(made):
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(["Y"], {"X": X, "s_0": s_0})[0]


# First of all, before the memory has held the right numbers.
given_out = run(model(False))
reference = ReferenceEvaluator(model(False)).run(["Y"], {"X": X, "s_0": s_0})[0]
print("onnxruntime", onnxruntime.__version__)
print("the states:      ", states.ravel())
print("onnx's reference:", reference.ravel())
print("with an Identity:", run(model(True)).ravel())
print("given out twice: ", given_out.ravel())
np.testing.assert_array_equal(reference, states)
np.testing.assert_array_equal(run(model(True)), states)
assert not np.array_equal(given_out, states)
EOF
