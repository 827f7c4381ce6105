"""The activations f of the recurrence, in each form that Python needs: csrc/activation.h has the
same list for C++.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["ACTIVATIONS", "OF_TORCH", "activate", "check_nonlinearity"]


class Activation(NamedTuple):
    """One activation."""

    plain: Callable[[Tensor], Tensor]  # f in ATen's operators
    onnx: str  # its name in ONNX's RNN node
    alpha: float | None = None  # the parameters there, of those that have some
    beta: float | None = None


def _softplus(a: Tensor) -> Tensor:
    # a itself from 40 on, for float64: torch's default is 20, where log(1 + e^a) - a is 2e-9.
    return torch.nn.functional.softplus(a, threshold=40)


#: By name, the same names as the operators have.
ACTIVATIONS = {
    "tanh": Activation(torch.tanh, "Tanh"),
    "relu": Activation(torch.relu, "Relu"),
    "sigmoid": Activation(torch.sigmoid, "Sigmoid"),
    "softplus": Activation(_softplus, "Softplus"),
    # alpha a + beta
    "identity": Activation(lambda a: a, "Affine", 1.0, 0.0),
}

#: Those that torch.nn.RNN and torch.nn.RNNCell have.
OF_TORCH = ("tanh", "relu")


def activate(nonlinearity: str, a: Tensor) -> Tensor:
    """f(a) where TorchScript, which cannot read the list, is to compile it."""
    if nonlinearity == "tanh":
        return torch.tanh(a)
    if nonlinearity == "relu":
        return torch.relu(a)
    if nonlinearity == "sigmoid":
        return torch.sigmoid(a)
    if nonlinearity == "softplus":
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
