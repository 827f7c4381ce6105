#!/bin/bash
# tract 0.23.9: Mod of a negative number that was made from a Shape has the sign of the dividend, as in
# C; ONNX's Mod of integers has that of the divisor, and tract's own of other numbers, too. So
# (-T) mod 4, the padding to a multiple of four, is negative or wrong, without an error.
# Seen: -3 where 1 should be, for T = 11.
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
import importlib.metadata

import numpy as np
import onnx
import tract
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator


def model(of_a_size):
    """(-T) mod 4, where T is the length of x, or a number that is given; float for any runtime."""
    source = "size" if of_a_size else "number"
    nodes = [
        helper.make_node("Neg", [source], ["negative"]),
        helper.make_node("Mod", ["negative", "four"], ["padding"]),
        helper.make_node("Cast", ["padding"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    if of_a_size:
        nodes.insert(0, helper.make_node("Shape", ["x"], ["size"]))
        given = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["T"])
    else:
        given = helper.make_tensor_value_info("number", onnx.TensorProto.INT64, [1])
    graph = helper.make_graph(
        nodes,
        "padding",
        [given],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(np.array([4]), "four")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def run(made, feed):
    onnx.save(made, "model.onnx")
    runnable = tract.onnx().load("model.onnx").into_model().into_runnable()
    (name,) = (value.name for value in made.graph.input)
    by_tract = runnable.run([feed])[0].to_numpy()
    return by_tract.item(), ReferenceEvaluator(made).run(None, {name: feed})[0].item()


of_a_size = run(model(True), np.zeros(11, np.float32))
of_a_number = run(model(False), np.array([11]))
print("tract", importlib.metadata.version("tract"))
print("(-11) mod 4 where 11 is a size: tract", of_a_size[0], " onnx's reference", of_a_size[1])
print("               it is a number:  tract", of_a_number[0], " onnx's reference", of_a_number[1])
assert of_a_number == (1, 1)
assert of_a_size == (-3, 1)
EOF
