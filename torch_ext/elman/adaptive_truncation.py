"""`AdaptiveTruncation`: the truncation length from the gradient's decay."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman._checks import as_index, check_tensor

__all__ = ["AdaptiveTruncation"]


class AdaptiveTruncation:
    r"""Chooses the truncation length k2 from how fast the gradient decays with the lag.

    After Aicher, Foti & Fox, "Adaptively Truncating Backpropagation Through Time to Control
    Gradient Bias" (2019). With :math:`\phi_j` the largest layer's norm at lag j and
    :math:`\hat\beta` from the least-squares slope of :math:`\log \phi_j` over the last half of the
    lags, a gradient that is cut off after K lags lacks about

    .. math::
        \text{tail}(K) = \phi_{K-1} \hat\beta / (1 - \hat\beta), \qquad
        \text{relative bias}(K) = \text{tail}(K) / (\sum_{j<K} \phi_j - \text{tail}(K))

    and the proposal is the smallest K whose relative bias is within the tolerance.

    Args:
        tolerance: the relative bias allowed, greater than 0
        max_length: the longest proposal, and the one where the gradient does not decay
            (:math:`\hat\beta \ge 1`) or no shorter one is within the tolerance
        hysteresis: the proposal changes only when the new one differs from it by more than this,
            relative to it. Default: 0.1

    Raises:
        TypeError: `max_length` is no int
        ValueError: `tolerance` is not positive, `max_length` less than 1, `hysteresis` negative

    Example::

        >>> adaptive = elman.AdaptiveTruncation(tolerance=0.1, max_length=100)
        >>> k2 = adaptive.update(elman.gradient_by_lag(rnn, x, max_lag=100))
        >>> rnn.truncation = (1, k2)
    """

    def __init__(self, tolerance: float, max_length: int, *, hysteresis: float = 0.1) -> None:
        self._tolerance = float(tolerance)
        self._max_length = as_index("max_length", max_length)
        self._hysteresis = float(hysteresis)
        self._impl = torch.classes.elman.AdaptiveTruncation(
            self.tolerance, self.max_length, self.hysteresis
        )

    def update(self, norms: Tensor) -> int:
        """Takes `gradient_by_lag(...)`, `(L, lags)` of float64 or float32, and returns the
        proposal, from 1 to `max_length`.

        Raises:
            TypeError, RuntimeError: it is no Tensor, or of another shape or dtype
            ValueError: there is no gradient to go by: norms that are NaN, infinite or negative, or
                all zero
        """
        check_tensor("norms", norms)
        return self._impl.update(norms)

    @property
    def tolerance(self) -> float:
        """The relative bias allowed; read-only."""
        return self._tolerance

    @property
    def max_length(self) -> int:
        """The longest proposal; read-only."""
        return self._max_length

    @property
    def hysteresis(self) -> float:
        """By how much, relative to it, a proposal has to change; read-only."""
        return self._hysteresis

    @property
    def length(self) -> int:
        """The proposal; `max_length` before the first update."""
        return self._impl.length()

    def state_dict(self) -> dict[str, int | None]:
        """What a later run needs to take up here."""
        return {"length": self._impl.proposal()}

    def load_state_dict(self, state_dict: Mapping[str, int | None]) -> None:
        """Takes up where another one left off.

        Raises:
            TypeError, KeyError: it is not what `state_dict` returns
            ValueError: the other one's proposal is longer than this one's `max_length`
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        if "length" not in state_dict:
            raise KeyError(f"state_dict: expected 'length', got {sorted(state_dict)}")
        length = state_dict["length"]
        self._impl.set_proposal(None if length is None else as_index("length", length))

    def __repr__(self) -> str:
        return (
            f"AdaptiveTruncation(tolerance={self.tolerance}, max_length={self.max_length}, "
            f"hysteresis={self.hysteresis})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {
            "tolerance": self.tolerance,
            "max_length": self.max_length,
            "hysteresis": self.hysteresis,
            "state_dict": self.state_dict(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["tolerance"], state["max_length"], hysteresis=state["hysteresis"])  # type: ignore[misc]
        self.load_state_dict(state["state_dict"])
