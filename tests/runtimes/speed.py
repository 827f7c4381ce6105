"""How fast onnxruntime runs an exported sequence, by form: one thread, float32, in pairs.

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
SECONDS = 4.0  # for each size


def session(rnn: elman.RNN, x: torch.Tensor, form: str) -> onnxruntime.InferenceSession:
    shapes = {"input": {0: Dim("T"), 1: Dim("B")}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = elman.onnx.export(rnn, (x,), form=form, dynamic_shapes=shapes, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def main() -> None:
    print(
        "| T·B·H | Scan, ms | RNN, ms | Scan is as fast as RNN, times (middle half of the pairs) |"
    )
    print("|---|---|---|---|")
    for steps, batch, size in SIZES:
        rnn, x = elman.RNN(size, size).eval(), torch.randn(steps, batch, size)
        sessions = [session(rnn, x, form) for form in ("Scan", "RNN")]
        feeds, times = {"input": x.numpy()}, []
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            pair = []
            for each in sessions:
                start = time.perf_counter()
                each.run(None, feeds)
                pair.append(1e3 * (time.perf_counter() - start))
            times.append(pair)
        scan, node = np.array(times).T
        low, middle, high = np.percentile(node / scan, [25, 50, 75])
        print(
            f"| {steps}·{batch}·{size} | {np.median(scan):.2f} | {np.median(node):.2f} "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) |",
            flush=True,
        )


if __name__ == "__main__":
    main()
