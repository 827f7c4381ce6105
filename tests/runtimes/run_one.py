"""Runs one ONNX file in one runtime: run_one.py RUNTIME MODEL.onnx FEEDS.npz RESULTS.npz.

A process of its own, since some runtimes end the process where others raise an exception. FEEDS
and RESULTS are arrays in the order of the model's inputs and outputs.
"""

import sys
from pathlib import Path

import numpy as np

Arrays = list[np.ndarray]


def names_of(model: str) -> tuple[list[str], list[str]]:
    import onnx

    graph = onnx.load(model).graph
    return [value.name for value in graph.input], [value.name for value in graph.output]


def onnxruntime(model: str, feeds: Arrays) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, feeds, strict=True)))


def reference_evaluator(model: str, feeds: Arrays) -> Arrays:
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(model)
    return session.run(None, dict(zip(session.input_names, feeds, strict=True)))


def openvino(model: str, feeds: Arrays) -> Arrays:
    import openvino

    core = openvino.Core()
    # By default it computes float32 in bfloat16 on CPUs with AMX.
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model), "CPU", options)
    results = compiled(feeds)
    return [results[i].copy() for i in range(len(compiled.outputs))]


def tract(model: str, feeds: Arrays) -> Arrays:
    import tract

    runnable = tract.onnx().load(model).into_model().into_runnable()
    return [result.to_numpy() for result in runnable.run(feeds)]


def mnn(model: str, feeds: Arrays) -> Arrays:
    # What MNN.tools.mnnconvert wraps, without its log, which installs a package by itself.
    import _tools  # isort: skip
    import MNN

    inputs, outputs = names_of(model)
    converted = str(Path(model).with_suffix(".mnn"))
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", converted])
    module = MNN.nn.load_module_from_file(converted, inputs, outputs)
    placed = []
    for feed in feeds:
        if feed.dtype.char not in "flq":
            raise TypeError(f"MNN's Python binding takes no {feed.dtype}")
        small = feed.astype(np.int32) if feed.dtype == np.int64 else feed
        kind = MNN.expr.float if small.dtype == np.float32 else MNN.expr.int
        variable = MNN.expr.placeholder(list(small.shape), MNN.expr.NCHW, kind)
        variable.write(np.ascontiguousarray(small))
        placed.append(variable)
    results = module.forward(placed)
    return [np.array(MNN.expr.convert(r, MNN.expr.NCHW).read()) for r in results]


def tinygrad(model: str, feeds: Arrays) -> Arrays:
    from tinygrad import Tensor
    from tinygrad.nn.onnx import OnnxRunner

    inputs, outputs = names_of(model)
    results = OnnxRunner(model)({name: Tensor(x) for name, x in zip(inputs, feeds, strict=True)})
    return [results[name].numpy() for name in outputs]


RUNTIMES = {
    "onnxruntime": onnxruntime,
    "onnx": reference_evaluator,
    "openvino": openvino,
    "tract": tract,
    "mnn": mnn,
    "tinygrad": tinygrad,
}

if __name__ == "__main__":
    runtime, model, feeds, results = sys.argv[1:]
    with np.load(feeds) as arrays:
        loaded = [arrays[name] for name in arrays.files]
    np.savez(results, *RUNTIMES[runtime](model, loaded))
