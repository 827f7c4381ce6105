"""Small calls of every kind, forward and backward: what compute-sanitizer watches.

compute-sanitizer --tool memcheck python gpu_small_calls.py [--device cuda]
"""

from __future__ import annotations

import argparse
import itertools

import elman
import torch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--load", help="a library with kernels that take the place of elman's own")
    options = parser.parse_args()
    device = options.device
    if options.load:
        torch.ops.load_library(options.load)
    torch.manual_seed(0)
    kinds = [
        {},
        {"num_layers": 2, "bidirectional": True, "truncation": 3},
        {"num_layers": 2, "truncation": (2, 5)},
        {"truncation": (1, 4), "nonlinearity": "sigmoid", "bias": False},
    ]
    dtypes = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
    calls = 0
    for kind, hidden_size, dtype in itertools.product(kinds, (5, 72, 264), dtypes):
        rnn = elman.RNN(9, hidden_size, device=device, dtype=dtype, **kind)
        x = torch.randn(8, 5, 9, device=device, dtype=dtype, requires_grad=True)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor([8, 8, 5, 2, 1]))
        reset = torch.rand(8, 5, device=device) < 0.3
        for given, extra in ((x, {}), (x, {"reset": reset}), (packed, {})):
            output, h_n = rnn(given, **extra)
            loss = output.data.sum() + h_n.sum()
            gradients = torch.autograd.grad(loss, [x, *rnn.parameters()])
            assert all(bool(gradient.isfinite().all()) for gradient in gradients)
            calls += 1
    print(f"{calls} calls, forward and backward")


if __name__ == "__main__":
    main()
