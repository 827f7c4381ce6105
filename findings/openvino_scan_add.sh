#!/bin/bash
# OpenVINO 2026.4.1: inside of a Scan whose batch is fixed, Add(x, MatMul(h, U)) is computed wrong
# from the second step on; Add(MatMul(h, U), x), the same sum, is right. No error, no warning.
# Seen: largest difference 1.1 where the states are below 1; 1e-7 with the operands exchanged.
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
  "$python" -m pip install --quiet numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
fi
cd "$folder"
"$python" - <<'EOF'
import numpy as np
import onnx
from onnx import helper, numpy_helper

T, B, H = 5, 1, 6
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


import openvino


def run(add_inputs):
    nodes = [
        node("MatMul", ["h", "U"], "product"),
        node("Add", add_inputs, "sum"),
        node("Tanh", ["sum"], "new"),
        node("Identity", ["new"], "y"),
    ]
    core = openvino.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model(nodes, "new", "y")), "CPU", options)
    return np.abs(compiled([X, h0])[0] - expected).max(axis=(1, 2))


product_second, product_first = run(["x", "product"]), run(["product", "x"])
print("openvino", openvino.__version__)
print("Add(x, MatMul), largest difference at each step:", product_second)
print("Add(MatMul, x), largest difference at each step:", product_first)
assert product_first.max() < 1e-5
assert product_second[0] < 1e-5 and product_second[1:].max() > 0.1
EOF
