"""How fast onnxruntime runs an exported sequence, against the standard's RNN node: one thread,
float32, in pairs.

PYTHONPATH=build/release/python build/runtimes-venv/bin/python3 tests/runtimes/speed.py
"""

import time
import warnings

import elman
import numpy as np
import onnxruntime
import torch
from torch.export import Dim

SIZES = [(100, 1, 64), (1000, 8, 32), (100, 32, 128), (1000, 1, 256)]
FORMS = {
    "the default": {},
    "`steps_per_turn=1`": {"steps_per_turn": 1},
}
SECONDS = 4.0  # for each size and form


def session(rnn: elman.RNN, x: torch.Tensor, **form) -> onnxruntime.InferenceSession:
    shapes = {"input": {0: Dim("T"), 1: Dim("B")}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = elman.onnx.export(rnn, (x,), dynamic_shapes=shapes, verbose=False, **form)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def compare(scan, node, x: np.ndarray) -> str:
    """How many times as fast as `node` is `scan`: the median of the pairs and their middle half."""
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        pair = []
        for each in (scan, node):
            start = time.perf_counter()
            each.run(None, {"input": x})
            pair.append(time.perf_counter() - start)
        times.append(pair)
    scan_times, node_times = np.array(times).T
    low, middle, high = np.percentile(node_times / scan_times, [25, 50, 75])
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    print(f"| T·B·H | {' | '.join(FORMS)} |")
    print("|---|" + "---|" * len(FORMS))
    for steps, batch, size in SIZES:
        rnn, x = elman.RNN(size, size).eval(), torch.randn(steps, batch, size)
        node = session(rnn, x, form="RNN")
        cells = [compare(session(rnn, x, **form), node, x.numpy()) for form in FORMS.values()]
        print(f"| {steps}·{batch}·{size} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
