"""Calls of operators as their schemas describe them, for code that passes arguments on and so need
not know them all.
"""

from typing import Any

import torch

__all__: list[str] = []


def by_name(
    operator: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a call by their names, with the defaults of those that were not given."""
    arguments = operator._schema.arguments
    defaults = {one.name: one.default_value for one in arguments if one.has_default_value()}
    names = [one.name for one in arguments]
    return defaults | dict(zip(names, args, strict=False)) | kwargs


def call(operator: torch._ops.OpOverload, arguments: dict[str, Any]) -> Any:
    """`operator` with `arguments` by name, every one of its schema among them."""
    schema = operator._schema.arguments
    positional = [arguments[one.name] for one in schema if not one.kwarg_only]
    return operator(
        *positional, **{one.name: arguments[one.name] for one in schema if one.kwarg_only}
    )
