"""What `torch.jit.script` compiles of an `RNN` or a `Network`.

TorchScript refuses keyword-only arguments with defaults and has one type for each argument, so it
cannot compile their `forward`. As in torch.nn.RNN, a script has overloads in its place, which the
compiler finds by the list `__overloads__`: one for tensors, one for packed sequences. The eager
module stays as it is, in the place where it is.

A module with overloads has no `forward` in TorchScript, which is enough for modules that contain
it, but a bare one could not be called. So in place of a bare module a twin is compiled, which has
one more method.
"""

import functools
import sys
import types
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor
from torch._jit_internal import is_ignored_fn
from torch.nn.utils.rnn import PackedSequence

from elman._received import has_own_forward

__all__ = ["BareLeakyRNN", "BareNetwork", "BareRNN", "ScriptMethod", "call_overload", "prepare"]


class ScriptMethod:
    """A method that torch.jit.script compiles. Nobody else sees it: torch.jit.trace, too, would
    compile a module that exports methods, and its hooks with it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = torch.jit.export(function)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if "__overloads__" not in vars(instance):
            raise AttributeError(f"{type(instance).__name__} has this method in a script only")
        return types.MethodType(self._function, instance)


def prepare(
    module: torch.nn.Module, base: type[torch.nn.Module], bare: type, overloads: list[str]
) -> torch.nn.Module:
    """What torch.jit.script compiles of `module`, of class `base`: the module itself inside of
    others, a twin that derives from `bare` too where it stands alone.

    A forward of a subclass's own is left to the compiler, or refused.
    """
    if has_own_forward(module, base):
        _check_own_forward(module)
        vars(module)["__overloads__"] = {}
        return module
    if not _is_root():
        vars(module)["__overloads__"] = {"forward": overloads}
        return module
    twin_class = _twin_class(cast(Any, type(module)), bare)
    twin = twin_class.__new__(twin_class)
    vars(twin).update(vars(module), __overloads__={})
    return twin


def call_overload(
    script: Any,
    input: Tensor | PackedSequence,
    hx: Tensor | None,
    reset: Tensor | None,
    carry_scale: Tensor | None,
    preactivation: Tensor | None,
) -> tuple[Tensor | PackedSequence, Tensor]:
    """A scripted `RNN` or `LeakyRNN` inside of another module, called from Python."""
    last = () if preactivation is None else (preactivation,)
    if isinstance(input, PackedSequence):
        return script.forward__1(input, hx, *last)
    return script.forward__0(input, hx, reset, carry_scale, *last)


def _check_own_forward(module: torch.nn.Module) -> None:
    """Raises where the compiler's message would not say whose forward it cannot compile."""
    code = getattr(module.forward, "__code__", None)
    if code is None or is_ignored_fn(module.forward):
        return
    why = None
    if "super" in code.co_names:
        why = "calls super()"
    elif getattr(module.forward, "__kwdefaults__", None):
        why = "has keyword-only arguments with defaults"
    if why is not None:
        raise RuntimeError(
            f"torch.jit.script: {type(module).__qualname__}.forward {why}, which TorchScript "
            "cannot compile; put the module into another one that does the rest"
        )


@functools.cache
def _twin_class(cls: Any, bare: type) -> Any:
    return type(cls.__name__, (bare, cls), {"__module__": cls.__module__})


def _is_root() -> bool:
    """Whether the module whose `__prepare_scriptable__` runs is the one that was given to
    torch.jit.script. Torch does not say: it keeps in `memo` what it has prepared before.
    """
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_name != "call_prepare_scriptable_func_impl":
        frame = frame.f_back
    return frame is not None and not frame.f_locals["memo"]


def _padded_in_script(
    self,
    input: Tensor,
    hx: Tensor | None,
    reset: Tensor | None,
    carry_scale: Tensor | None,
    leak: Tensor | None,
    leak_form: str,
    preactivation: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The operator, with padded input."""
    return torch.ops.elman.rnn(
        input,
        hx,
        self._flat_weights,
        self.bias,
        self.num_layers,
        self.dropout,
        self.training,
        self.bidirectional,
        self.batch_first,
        nonlinearity=self.nonlinearity,
        k1=self._k1,
        k2=self._k2,
        reset=reset,
        carry_scale=carry_scale,
        leak=leak,
        leak_form=leak_form,
        preactivation=preactivation,
    )


def _packed_in_script(
    self,
    input: PackedSequence,
    hx: Tensor | None,
    leak: Tensor | None,
    leak_form: str,
    preactivation: Tensor | None,
) -> tuple[PackedSequence, Tensor]:
    """The operator, with packed input. hx: in the order of the sequences."""
    data, batch_sizes, sorted_indices, unsorted_indices = input
    if hx is not None:
        hx = self.permute_hidden(hx, sorted_indices)
    output, h_n = torch.ops.elman.rnn(
        data,
        batch_sizes,
        hx,
        self._flat_weights,
        self.bias,
        self.num_layers,
        self.dropout,
        self.training,
        self.bidirectional,
        nonlinearity=self.nonlinearity,
        k1=self._k1,
        k2=self._k2,
        leak=leak,
        leak_form=leak_form,
        preactivation=preactivation,
    )
    result = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
    return result, self.permute_hidden(h_n, unsorted_indices)


def rnn_padded(
    self,
    input: Tensor,
    hx: Tensor | None = None,
    reset: Tensor | None = None,
    carry_scale: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`RNN.forward` with padded input."""
    return self._padded_in_script(input, hx, reset, carry_scale, None, "rate", None)


def rnn_packed(
    self, input: PackedSequence, hx: Tensor | None = None
) -> tuple[PackedSequence, Tensor]:
    """`RNN.forward` with packed input."""
    return self._packed_in_script(input, hx, None, "rate", None)


def leaky_rnn_padded(
    self,
    input: Tensor,
    hx: Tensor | None = None,
    reset: Tensor | None = None,
    carry_scale: Tensor | None = None,
    preactivation: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`LeakyRNN.forward` with padded input."""
    directions = 2 if self.bidirectional else 1
    leak, p = self._leak_and_noise(input, preactivation, self.num_layers, directions)
    return self._padded_in_script(input, hx, reset, carry_scale, leak, self.form, p)


def leaky_rnn_packed(
    self, input: PackedSequence, hx: Tensor | None = None, preactivation: Tensor | None = None
) -> tuple[PackedSequence, Tensor]:
    """`LeakyRNN.forward` with packed input."""
    directions = 2 if self.bidirectional else 1
    leak, p = self._leak_and_noise(input.data, preactivation, self.num_layers, directions)
    return self._packed_in_script(input, hx, leak, self.form, p)


class BareRNN:
    """What the twin of a bare `RNN` has before the module's own class."""

    def forward(
        self,
        input: Tensor,
        hx: Tensor | None = None,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.forward__0(input, hx, reset, carry_scale)  # type: ignore[attr-defined]

    @torch.jit.export
    def forward_with_packed_input(
        self, input: PackedSequence, hx: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]:
        return self.forward__1(input, hx)  # type: ignore[attr-defined]


class BareLeakyRNN:
    """What the twin of a bare `LeakyRNN` has before the module's own class."""

    def forward(
        self,
        input: Tensor,
        hx: Tensor | None = None,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
        preactivation: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        return self.forward__0(input, hx, reset, carry_scale, preactivation)  # type: ignore[attr-defined]

    @torch.jit.export
    def forward_with_packed_input(
        self,
        input: PackedSequence,
        hx: Tensor | None = None,
        preactivation: Tensor | None = None,
    ) -> tuple[PackedSequence, Tensor]:
        return self.forward__1(input, hx, preactivation)  # type: ignore[attr-defined]


def network_padded(
    self, input: Tensor, hx: Tensor | None = None, steps: int | None = None
) -> tuple[Tensor, Tensor]:
    """`Network.forward` with padded input."""
    return self._forward_padded(input, hx, steps)


def network_packed(
    self, input: PackedSequence, hx: Tensor | None = None
) -> tuple[PackedSequence, Tensor]:
    """`Network.forward` with packed input, many-to-many."""
    states, h_n = self.rnn(input, hx)
    data, batch_sizes, sorted_indices, unsorted_indices = states
    y = self._output_of(data)
    return PackedSequence(y, batch_sizes, sorted_indices, unsorted_indices), h_n


def network_packed_to_one(
    self, input: PackedSequence, hx: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """`Network.forward` with packed input, many-to-one."""
    _, h_n = self.rnn(input, hx)
    return self._output_of(self._last_layer(h_n)), h_n


class BareNetwork:
    """What the twin of a bare `Network` has before the module's own class."""

    def forward(
        self, input: Tensor, hx: Tensor | None = None, steps: int | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.forward__0(input, hx, steps)  # type: ignore[attr-defined]
