#!/bin/bash
# tract 0.23.9: an ONNX RNN node with activations=["Relu"] runs without an error and computes tanh.
# Seen: the output is tanh's to 1e-7; it is off by more than 1 from relu's.
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
from onnx import helper, numpy_helper

T, B, I, H = 7, 2, 4, 6
rng = np.random.default_rng(0)
W = rng.standard_normal((1, H, I)).astype(np.float32)
R = (0.3 * rng.standard_normal((1, H, H))).astype(np.float32)
X = rng.standard_normal((T, B, I)).astype(np.float32)
h0 = np.zeros((1, B, H), np.float32)


def value(name, *shape, kind=onnx.TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(activation, lengths=None, steps=T):
    """One RNN node, with the sequences' lengths as a constant if there are some."""
    constants = [numpy_helper.from_array(W, "W"), numpy_helper.from_array(R, "R")]
    if lengths is not None:
        constants.append(numpy_helper.from_array(np.array(lengths, np.int32), "lengths"))
    inputs = ["X", "W", "R", "", "" if lengths is None else "lengths", "h0"]
    rnn = helper.make_node(
        "RNN", inputs, ["Y", "Y_h"], hidden_size=H, activations=[activation]
    )
    graph = helper.make_graph(
        [rnn],
        "rnn",
        [value("X", steps, B, I), value("h0", 1, B, H)],
        [value("Y", steps, 1, B, H), value("Y_h", 1, B, H)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def loop(activation, X=X, h=h0[0]):
    """The formula: all states [T, B, H]."""
    states = []
    for x in X:
        h = activation(x @ W[0].T + h @ R[0].T)
        states.append(h)
    return np.stack(states)


def relu(a):
    return np.maximum(a, 0)


import tract

onnx.save(model("Relu"), "relu.onnx")
runnable = tract.onnx().load("relu.onnx").into_model().into_runnable()
actual = runnable.run([X, h0])[0].to_numpy()[:, 0]
print("tract", tract.version())
print("from relu:", np.abs(actual - loop(relu)).max(), "from tanh:", np.abs(actual - loop(np.tanh)).max())
assert np.abs(actual - loop(np.tanh)).max() < 1e-5
assert np.abs(actual - loop(relu)).max() > 0.1
EOF
