"""The options that elman's modules have in common."""

import operator
from typing import TypedDict

import torch
from torch.types import Device

__all__ = ["RNNArguments", "Truncation", "parse_truncation"]

#: None is full BPTT; k is TBPTT(k, k); (k1, k2) is TBPTT(k1, k2).
Truncation = None | int | tuple[int, int]


class RNNArguments(TypedDict, total=False):
    """What `RNN` takes beside its sizes, for modules that hand it on."""

    num_layers: int
    nonlinearity: str
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    device: Device
    dtype: torch.dtype | None
    truncation: Truncation
    # of LeakyRNN
    alpha: float | torch.Tensor | None
    tau: float | torch.Tensor | None
    dt: float | None
    learn_alpha: bool
    form: str
    noise: float
    noise_in_eval: bool
    generator: torch.Generator | None


def parse_truncation(truncation: Truncation, bidirectional: bool) -> tuple[int, int]:
    """The (k1, k2) of the operators, (0, 0) for full BPTT."""
    if truncation is None:
        return 0, 0
    pair = truncation if isinstance(truncation, (tuple, list)) else (truncation, truncation)
    if len(pair) != 2 or any(isinstance(k, bool) or not hasattr(k, "__index__") for k in pair):
        raise TypeError(
            f"truncation should be None, an int k or a pair of ints (k1, k2), got: {truncation!r}"
        )
    k1, k2 = (operator.index(k) for k in pair)
    if k1 < 1:
        raise ValueError(f"truncation: k1 must be at least 1, got k1 = {k1}, k2 = {k2}")
    if k2 < k1:
        raise ValueError(f"truncation: k2 must be at least k1, got k1 = {k1}, k2 = {k2}")
    if bidirectional and k1 != k2:
        raise ValueError(
            "truncation: k1 < k2 is not defined for a bidirectional network, which has no online "
            f"order; expected k1 = k2, got k1 = {k1}, k2 = {k2}"
        )
    return k1, k2
