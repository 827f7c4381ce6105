"""`random_truncation`: cut points and compensation factors of unbiased truncation."""

import numbers

import torch
from torch import Tensor

from elman._checks import as_index

__all__ = ["random_truncation"]


def random_truncation(
    T: int,
    B: int,
    length: float,
    *,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """A `carry_scale` for unbiased random truncation, ARTBP (Tallec & Ollivier, "Unbiasing
    Truncated Backpropagation Through Time", 2017, with the same chance of a cut at every step).

    Each step of each row is cut, with probability 1 / length, independently of all others; a
    gradient that passes is scaled by 1 / (1 - 1 / length), so that its mean is the gradient without
    truncation, while it goes back `length` steps in the mean.

    Args:
        T: steps
        B: rows
        length: greater than 1; need not be whole
        generator: where the random numbers come from. Default: the device's own
        device: of the result. Default: the CPU

    Returns: `(T, B)` in the default dtype, each element 0 or 1 / (1 - 1 / length); transpose it for
    ``batch_first``

    Raises:
        TypeError: T or B is no int, `length` no number, `generator` no Generator
        ValueError: `length` is not greater than 1, or T or B negative

    Example::

        >>> output, h_n = rnn(x, carry_scale=elman.random_truncation(T, B, 20))
    """
    if isinstance(length, bool) or not isinstance(length, numbers.Real):
        raise TypeError(f"length should be a number, got: {length!r}")
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator should be a torch.Generator, got: {type(generator).__name__}")
    return torch.ops.elman.random_truncation(
        as_index("T", T),
        as_index("B", B),
        float(length),
        generator=generator,
        device=None if device is None else torch.device(device),
    )
