"""Calls of an `RNN` whose steps go to somebody else than the operator: to a stream, say.

The module is called as ever, so that its hooks, and a forward of a subclass, see what they see in
`rnn(x)`: hooks make weights (`torch.nn.utils.prune`, `spectral_norm`), gather them (FSDP2) or load
them (offloading).
"""

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules import module as torch_module

__all__ = ["Receiver", "call", "has_own_forward", "is_plain", "receiver_of"]

#: (input, hx, reset, carry_scale, preactivation) -> (output, h_n), in the place of RNN.forward's
#: operator.
Receiver = Callable[
    [Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None],
    tuple[Tensor, Tensor | None],
]


class _Here(threading.local):
    """This thread's call, if there is one: the module and who receives it."""

    module: torch.nn.Module | None = None
    receiver: Receiver | None = None


_here = _Here()


def receiver_of(module: torch.nn.Module) -> Receiver | None:
    """Who receives this call of `module`; None for the operator."""
    return _here.receiver if _here.module is module else None


def has_own_forward(module: torch.nn.Module, base: type[torch.nn.Module]) -> bool:
    """Whether the module, of class `base` or a subclass, has another forward than `base`."""
    return type(module).forward is not base.forward or "forward" in vars(module)


def is_plain(module: torch.nn.Module, base: type[torch.nn.Module]) -> bool:
    """Whether there is nothing around `base.forward`, so that the module need not be called."""
    return not (
        has_own_forward(module, base)
        or module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
        or torch_module._has_any_global_hook()
    )


@torch._disable_dynamo  # compiled code knows nothing of threads
def call(
    module: torch.nn.Module,
    receiver: Receiver,
    caller: str,
    input: Tensor,
    **options: Tensor | None,
) -> Any:
    """`module(input, **options)`, with `receiver` called once in the place of its operator.

    `caller` names in errors who calls: "a stream". Options that are None are left out: a subclass's
    forward need not know them. Returns what the module returns.
    """
    options = {name: value for name, value in options.items() if value is not None}
    calls = 0

    def once(*arguments: Any) -> tuple[Tensor, Tensor | None]:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise RuntimeError(
                f"{_name(module)} calls its recurrent layers more than once in a call, but "
                f"{caller} takes each step once"
            )
        return receiver(*arguments)

    before = _here.module, _here.receiver
    _here.module, _here.receiver = module, once
    try:
        # Not module(...): a module.compile()d one would run compiled.
        result = module._call_impl(input, **options)
    finally:
        _here.module, _here.receiver = before
    if calls == 0:
        raise RuntimeError(
            f"{_name(module)} did not call its recurrent layers (elman.RNN.forward) on the tensors "
            f"of {caller}, which has seen nothing of this call"
        )
    return result


def _name(module: torch.nn.Module) -> str:
    return f"{type(module).__qualname__}.forward"
