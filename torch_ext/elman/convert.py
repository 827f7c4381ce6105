"""`convert`: elman's modules in the places of torch.nn.RNN and torch.nn.RNNCell, in any model."""

from collections.abc import Callable

import torch
from torch.nn.utils import parametrize

from elman.rnn import RNN
from elman.rnn_cell import RNNCell

__all__ = ["Conversion", "convert"]

_REPLACEMENTS = {torch.nn.RNN: RNN, torch.nn.RNNCell: RNNCell}


class Conversion(str):
    """What :func:`convert` reports of one module: a line of text, with what it says as attributes.

    Attributes:
        names: the module's names in the model, as ``named_modules`` gives them; several for a
            module that is shared, ``('',)`` for the model itself
        module: the module
        replaced: whether it is one of elman's now
        reason: why it was left alone; empty if it was replaced
    """

    names: tuple[str, ...]
    module: torch.nn.Module
    replaced: bool
    reason: str

    def __new__(  # noqa: D102
        cls,
        names: list[str],
        module: torch.nn.Module,
        old: type,
        new: type | None,
        reason: str = "",
    ) -> "Conversion":
        where = ", ".join(name or "(the model itself)" for name in names)
        what = f"left alone: {reason}" if new is None else f"replaced by {_full_name(new)}"
        line = super().__new__(cls, f"{where}: {_full_name(old)} {what}")
        line.names, line.module = tuple(names), module
        line.replaced, line.reason = new is not None, reason
        return line


def convert(
    module: torch.nn.Module, report: Callable[[Conversion], object] | list | None = None
) -> torch.nn.Module:
    """Makes every :class:`torch.nn.RNN` and :class:`torch.nn.RNNCell` in `module` one of elman's.

    The modules are changed where they stand, as :mod:`torch.nn.utils.parametrize` does it: an
    object of torch's class becomes one of elman's, and whatever refers to it (its parents, hooks,
    an optimizer's parameters, variables) goes on doing so. Parameters stay the same objects and
    keep their values, names, ``requires_grad``, sharing, pruning and parametrizations; hooks, their
    handles and the training mode stay, and state dicts fit as before. The one thing that a program
    can notice is that ``isinstance(rnn, torch.nn.RNN)`` is false afterwards;
    ``isinstance(rnn, torch.nn.RNNBase)`` stays true.

    Left alone are subclasses of torch's classes, whose behaviour only their authors know, modules
    whose own ``forward`` was replaced, cells with a nonlinearity that torch refuses when they are
    called, and everything else, :class:`torch.nn.LSTM` and :class:`torch.nn.GRU` included.

    Args:
        module: a model, or an RNN or RNNCell by itself
        report: receives a :class:`Conversion`, which is a ``str``, for each module that was
            replaced, and for each that was left alone though it is an RNN or RNNCell of torch's or
            derives from one. A callable is called with it; a list, or whatever has an ``append``,
            has it appended. Default: ``None``

    Returns:
        `module` itself

    Raises:
        TypeError: `module` is no Module, or `report` is neither callable nor has an ``append``;
            nothing was changed

    Example::

        >>> model = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.RNN(4, 6))
        >>> model = elman.convert(model, report=print)
        1: torch.nn.RNN replaced by elman.RNN
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module should be a torch.nn.Module, got: {type(module).__name__}")
    receive = _receiver(report)
    names: dict[torch.nn.Module, list[str]] = {}
    for name, child in module.named_modules(remove_duplicate=False):
        if isinstance(child, tuple(_REPLACEMENTS)):
            names.setdefault(child, []).append(name)
    for child, its_names in names.items():
        old = type(child)
        if parametrize.is_parametrized(child):
            # The class that was made for this one object; its base is what the user wrote.
            old = old.__bases__[0]
        reason = _reason_to_leave(child, old)
        if not reason:
            _become(child, _REPLACEMENTS[old])
        receive(Conversion(its_names, child, old, None if reason else _REPLACEMENTS[old], reason))
    return module


def _receiver(report) -> Callable[[Conversion], object]:
    if report is None:
        return lambda conversion: None
    if callable(report):
        return report
    if callable(getattr(report, "append", None)):
        return report.append
    raise TypeError(
        "report should be None, callable or a list (have a method append), "
        f"got: {type(report).__name__}"
    )


def _reason_to_leave(module: torch.nn.Module, old: type) -> str:
    """Why `module`, of class `old`, cannot become elman's; empty if it can."""
    if old not in _REPLACEMENTS:
        base = next(base for base in _REPLACEMENTS if issubclass(old, base))
        return f"a subclass of {_full_name(base)} may do something else"
    if "forward" in vars(module):
        return "its forward was replaced"
    nonlinearity = module.nonlinearity
    if old is torch.nn.RNNCell and nonlinearity not in ("tanh", "relu"):
        return f"its nonlinearity is {nonlinearity!r}, which torch refuses too when it is called"
    return ""


def _become(module: torch.nn.Module, new: type) -> None:
    """Turns an instance of torch.nn.RNN or RNNCell into one of `new`, elman's counterpart."""
    if isinstance(module, torch.nn.RNN):
        # torch's forward goes by the mode, whatever became of the nonlinearity.
        vars(module)["nonlinearity"] = module.mode.removeprefix("RNN_").lower()
        vars(module).update(_k1=0, _k2=0)
    if parametrize.is_parametrized(module):
        injected = {
            name: value
            for name, value in vars(type(module)).items()
            if name not in ("__dict__", "__doc__", "__module__", "__weakref__")
        }
        new = type(f"Parametrized{new.__name__}", (new,), injected)
    module.__class__ = new
    if isinstance(module, RNN):
        module._untie_flat_weights()


def _full_name(cls: type) -> str:
    module = cls.__module__
    if module.startswith("torch.nn.modules."):
        module = "torch.nn"
    elif module.startswith("elman."):
        module = "elman"
    return f"{module}.{cls.__qualname__}"
