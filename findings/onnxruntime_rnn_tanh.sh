#!/bin/bash
# onnxruntime 1.31.1: the tanh of an RNN node has an absolute error of about 1e-7 however small its
# argument is (it is 2 sigmoid(2x) - 1), so small states are wrong by per cents and decaying ones stop
# at a fixed size. The operator Tanh of the same release keeps seven digits.
# Seen: an RNN node's state that should be 1e-6 is wrong by 2 to 50 per cent.
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


import onnxruntime

W[:], R[0] = 0, np.eye(H)  # so that h_t = tanh(h_{t-1})
h0[:] = np.linspace(1e-6, 4e-6, h0.size, dtype=np.float32).reshape(h0.shape)
options = {"providers": ["CPUExecutionProvider"]}
session = onnxruntime.InferenceSession(model("Tanh").SerializeToString(), **options)
states = session.run(["Y"], {"X": 0 * X, "h0": h0})[0][:, 0]
tanh = helper.make_graph(
    [helper.make_node("Tanh", ["X"], ["Y"])], "tanh", [value("X", 1, B, H)], [value("Y", 1, B, H)]
)
tanh = helper.make_model(tanh, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
alone = onnxruntime.InferenceSession(tanh.SerializeToString(), **options).run(None, {"X": h0})[0]
exact = np.tanh(h0.astype(np.float64))
by_node, by_tanh = (np.abs(a / exact - 1).max() for a in (states[:1], alone))
print("onnxruntime", onnxruntime.__version__)
print("tanh of 1e-6 to 4e-6, largest relative error: RNN", by_node, " Tanh", by_tanh)
print("the first state after 1 and 7 steps, 1e-6 by the formula:", states[0, 0, 0], states[-1, 0, 0])
assert by_tanh < 1e-6
assert by_node > 0.01
EOF
