"""Writes recorded.safetensors and recorded.txt, which consumer.cpp reads; needs elman and torch.

A line of recorded.txt: the inputs and outputs of a step, computed by the module in float64.
"""

from pathlib import Path

import elman
import torch

torch.manual_seed(1)
net = elman.Network(3, 12, 2, num_layers=2, output="softmax")
folder = Path(__file__).parent
elman.save_stepper(net, folder / "recorded.safetensors")
x = torch.randn(50, 3)
with torch.no_grad():
    y, _ = net.double()(x.double())
with open(folder / "recorded.txt", "w") as file:
    for inputs, outputs in zip(x.tolist(), y.tolist(), strict=True):
        print(*(f"{v:.9g}" for v in inputs), *(f"{v:.12g}" for v in outputs), file=file)
