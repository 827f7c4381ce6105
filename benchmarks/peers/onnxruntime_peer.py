"""onnxruntime as a peer, with what elman exports: ONNX's Scan, or with --form RNN its RNN node.

See peer.h. Steps are calls of a session for one step, with the inputs and outputs bound.
"""

from __future__ import annotations

import argparse
import logging
import warnings

import elman
import numpy as np
import onnxruntime
import torch
from peer import Prepared, Size, parameters, pattern, serve


def open_session(size: Size, form: str, threads: int) -> onnxruntime.InferenceSession:
    """A session with the network exported for sequences of its length."""
    rnn = elman.RNN(size.I, size.H, num_layers=size.L).eval()
    rnn.load_state_dict({name: torch.tensor(v) for name, v in parameters(size).items()})
    x, h = torch.zeros(size.T, size.B, size.I), torch.zeros(size.L, size.B, size.H)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = elman.onnx.export(rnn, (x, h), form=form, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Its threads would go on waiting actively in the next peer's time.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def bind(session: onnxruntime.InferenceSession, arrays: list[np.ndarray]) -> onnxruntime.IOBinding:
    """Binds inputs, then outputs, in their order to where the arrays' elements are."""
    binding = session.io_binding()
    inputs, outputs = session.get_inputs(), session.get_outputs()
    for i, array in enumerate(arrays):
        add, value = (
            (binding.bind_input, inputs[i])
            if i < len(inputs)
            else (binding.bind_output, outputs[i - len(inputs)])
        )
        add(value.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
    return binding


def prepare_steps(size: Size, form: str, threads: int) -> Prepared:
    """A step reads one of two states and writes the other one."""
    session = open_session(size._replace(T=1), form, threads)
    inputs = pattern((size.T, 1, size.B, size.I), "input", 1)
    x, y = inputs[0].copy(), np.zeros((1, size.B, size.H), np.float32)
    states = [np.zeros((size.L, size.B, size.H), np.float32) for _ in range(2)]
    bindings = [bind(session, [x, states[i], y, states[1 - i]]) for i in range(2)]
    t = 0

    def call() -> None:
        nonlocal t
        x[...] = inputs[t % size.T]
        session.run_with_iobinding(bindings[t % 2])
        t += 1

    def restart() -> None:
        nonlocal t
        t = 0
        states[0][...] = 0

    return Prepared(call, lambda: [y], restart)


def main() -> None:
    """Answers until the standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--form", default="Scan", choices=["Scan", "RNN"])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # the exporter's

    def prepare(size: Size, mode: str) -> Prepared:
        if mode == "backward":
            raise ValueError("onnxruntime has no backward pass")
        if mode == "step":
            return prepare_steps(size, arguments.form, arguments.threads)
        session = open_session(size, arguments.form, arguments.threads)
        x = pattern((size.T, size.B, size.I), "input", 1)
        h = np.zeros((size.L, size.B, size.H), np.float32)
        arrays = [x, h, np.zeros((size.T, size.B, size.H), np.float32), h.copy()]
        binding = bind(session, arrays)
        # The binding has addresses only; the results keep the arrays.
        return Prepared(lambda: session.run_with_iobinding(binding), lambda: arrays[2:3])

    serve(prepare)


main()
