"""The activations f of the recurrence, as Python needs them: csrc/activation.h has the same list
for C++.
"""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ACTIVATIONS", "OF_TORCH", "activate", "check_nonlinearity"]


class Activation(NamedTuple):
    """What is to be known of one beside f."""

    onnx: str  # its name in ONNX's RNN node
    alpha: float | None = None  # the parameters there, of those that have some
    beta: float | None = None


#: By name, the same names as the operators have.
ACTIVATIONS = {
    "tanh": Activation("Tanh"),
    "relu": Activation("Relu"),
    "sigmoid": Activation("Sigmoid"),
    "softplus": Activation("Softplus"),
    "identity": Activation("Affine", 1.0, 0.0),  # alpha a + beta
}

#: Those that torch.nn.RNN and torch.nn.RNNCell have.
OF_TORCH = ("tanh", "relu")


def activate(nonlinearity: str, a: Tensor) -> Tensor:
    """f(a) in ATen's operators. TorchScript compiles it, which cannot read a table."""
    if nonlinearity == "tanh":
        return torch.tanh(a)
    if nonlinearity == "relu":
        return torch.relu(a)
    if nonlinearity == "sigmoid":
        return torch.sigmoid(a)
    if nonlinearity == "softplus":
        # a itself from 40 on, for float64: torch's default is 20, where log(1 + e^a) - a is 2e-9.
        return torch.nn.functional.softplus(a, threshold=40)
    assert nonlinearity == "identity"
    return a


def check_nonlinearity(nonlinearity: object) -> None:
    """Raises ValueError, in torch's words, unless `nonlinearity` is the name of one."""
    if not isinstance(nonlinearity, str) or nonlinearity not in ACTIVATIONS:
        *names, last = map(repr, ACTIVATIONS)
        raise ValueError(
            f"Unknown nonlinearity '{nonlinearity}'. Select from {', '.join(names)} or {last}."
        )
