#!/bin/bash
# MNN 3.6.1: an ONNX RNN node with activations=["Relu"] is converted and run without an error, and
# computes tanh.
# Seen: the output is tanh's to 1e-6; it is off by more than 1 from relu's.
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
  "$python" -m pip install --quiet numpy==2.4.6 onnx==1.23.2 mnn==3.6.1
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

import _tools  # what mnnconvert wraps; the tool itself installs a package
import MNN


def run(made, *feeds):
    onnx.save(made, "rnn.onnx")
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", "rnn.onnx", "--MNNModel", "rnn.mnn"])
    module = MNN.nn.load_module_from_file("rnn.mnn", ["X", "h0"], ["Y", "Y_h"])
    given = []
    for feed in feeds:
        given.append(MNN.expr.placeholder(list(feed.shape), MNN.expr.NCHW, MNN.expr.float))
        given[-1].write(feed)
    return [np.array(MNN.expr.convert(r, MNN.expr.NCHW).read()) for r in module.forward(given)]


actual = run(model("Relu"), X, h0)[0].reshape(T, B, H)
print("MNN", MNN.version())
print("from relu:", np.abs(actual - loop(relu)).max(), "from tanh:", np.abs(actual - loop(np.tanh)).max())
assert np.abs(actual - loop(np.tanh)).max() < 1e-4
assert np.abs(actual - loop(relu)).max() > 0.1
EOF
