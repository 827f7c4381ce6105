"""What `torch.fx.symbolic_trace` records of elman's modules."""

from typing import Any, cast

import torch
from torch.fx import Proxy, Tracer

from elman._received import has_own_forward

__all__ = ["as_leaf", "first_proxy"]


def first_proxy(*arguments: object) -> Proxy | None:
    """The first argument that stands for a value which is not known yet; None in a real call."""
    for argument in arguments:
        if isinstance(argument, Proxy):
            return argument
    return None


def as_leaf(
    module: torch.nn.Module,
    base: type[torch.nn.Module],
    proxy: Proxy,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
) -> Any:
    """The call of `module`, of class `base`, as one node, as torch.fx keeps torch's own modules:
    a Proxy.

    None where its forward is only a part of what is traced, and its operator is to be recorded: it
    is the root, or its class has a forward of its own that called `base.forward`.
    """
    path = cast(Tracer, proxy.tracer).path_of_module(module)
    if not path or has_own_forward(module, base):
        return None
    return proxy.tracer.create_proxy("call_module", path, arguments, options)
