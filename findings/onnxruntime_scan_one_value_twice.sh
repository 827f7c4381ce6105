#!/bin/bash
# onnxruntime 1.31.1: a Scan whose body names one value both as the carried state and as the stacked
# output is valid ONNX (onnx.checker's full check passes; onnx's evaluator is right), runs without an
# error, and gives wrong numbers (what its memory held). An Identity between the two is right.
# Seen: differences around 1 in 20 runs; with the Identity 1e-7.
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
from onnx import helper, numpy_helper

T, B, H = 5, 2, 6
rng = np.random.default_rng(0)
U = (0.4 * rng.standard_normal((H, H))).astype(np.float32)
X = rng.standard_normal((T, B, H)).astype(np.float32)
h0 = rng.standard_normal((B, H)).astype(np.float32)


def value(name, *shape):
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def model(nodes, carried, stacked):
    """h_t = tanh(x_t + h_{t-1} U) as a Scan."""
    body = helper.make_graph(
        nodes, "body", [value("h", B, H), value("x", B, H)], [value(carried, B, H), value(stacked, B, H)]
    )
    scan = helper.make_node("Scan", ["h0", "X"], ["h_n", "Y"], body=body, num_scan_inputs=1)
    graph = helper.make_graph(
        [scan],
        "scan",
        [value("X", T, B, H), value("h0", B, H)],
        [value("Y", T, B, H), value("h_n", B, H)],
        [numpy_helper.from_array(U, "U")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def node(op, inputs, output):
    return helper.make_node(op, inputs, [output])


h, states = h0, []
for x in X:
    h = np.tanh(x + h @ U)
    states.append(h)
expected = np.stack(states)


import onnxruntime
from onnx.reference import ReferenceEvaluator

nodes = [
    node("MatMul", ["h", "U"], "product"),
    node("Add", ["product", "x"], "sum"),
    node("Tanh", ["sum"], "new"),
]
twice = model(nodes, "new", "new")
apart = model([*nodes, node("Identity", ["new"], "y")], "new", "y")


def difference(serialized):
    session = onnxruntime.InferenceSession(serialized, providers=["CPUExecutionProvider"])
    runs = [session.run(["Y"], {"X": X, "h0": h0})[0] for _ in range(20)]
    return np.array([np.abs(run - expected).max() for run in runs])


by_onnx = ReferenceEvaluator(onnx.load_from_string(twice)).run(["Y"], {"X": X, "h0": h0})[0]
print("onnxruntime", onnxruntime.__version__)
once, two = difference(apart), difference(twice)
print("largest differences in 20 runs, one value twice:", two)
print("with an Identity:", once.max())
print("onnx's evaluator, one value twice:", np.abs(by_onnx - expected).max())
assert np.abs(by_onnx - expected).max() < 1e-5
assert once.max() < 1e-5
assert not two.max() < 1e-2
EOF
