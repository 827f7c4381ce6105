"""Checks of arguments that several modules have in common, of what the operators do not check."""

import operator

from torch import Tensor

__all__ = ["as_index", "check_optional_tensors", "check_tensor"]


def check_tensor(name: str, value: object) -> None:
    """Raises TypeError unless `value` is a Tensor, padded and not nested."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} should be a Tensor, got: {type(value).__name__}")
    if value.is_nested:
        raise TypeError(f"{name} should be a padded Tensor, got a nested one ({value.layout})")


def check_optional_tensors(**values: object) -> None:
    """Raises TypeError for the first one that is neither a Tensor nor None."""
    for name, value in values.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(f"{name} should be a Tensor or None, got: {type(value).__name__}")


def as_index(name: str, value: object) -> int:
    """`value` as an int; TypeError for what is not a whole number."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} should be an int, got: {value!r}")
    return operator.index(value)
