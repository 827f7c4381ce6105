"""Steps from Python: elman.Stepper, or with --torch torch.nn.RNN in inference_mode. See peer.h."""

from __future__ import annotations

import sys

import elman
import torch
from peer import Prepared, Size, parameters, pattern, serve


def prepare(size: Size, mode: str) -> Prepared:
    """A case of steps."""
    if mode != "step":
        raise ValueError("steps only")
    rnn = torch.nn.RNN(size.I, size.H, num_layers=size.L)
    rnn.load_state_dict({name: torch.tensor(v) for name, v in parameters(size).items()})
    inputs = torch.tensor(pattern((size.T, size.B, size.I), "input", 1))
    t, y, h = 0, torch.zeros(size.B, size.H), None
    if "--torch" in sys.argv:
        xs = inputs.split(1)

        def call() -> None:
            nonlocal t, y, h
            with torch.inference_mode():
                y, h = rnn(xs[t % size.T], h)
            t += 1

    else:
        stepper = elman.Stepper(rnn, rows=size.B)
        xs = inputs.unbind()

        def call() -> None:
            nonlocal t, y
            y = stepper.step(xs[t % size.T])
            t += 1

    def restart() -> None:
        nonlocal t, h
        t, h = 0, None
        if "--torch" not in sys.argv:
            stepper.reset()

    return Prepared(call, lambda: [y.numpy()], restart)


torch.set_num_threads(1)
serve(prepare)
