"""`convert`: elman's modules in the places of torch.nn.RNN and torch.nn.RNNCell, in any model, and
`to_torch`: the way back.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn.utils import parametrize

from elman._activations import OF_TORCH
from elman.rnn import RNN
from elman.rnn_cell import RNNCell

__all__ = ["Conversion", "convert", "to_torch"]

_Classes = dict[type[torch.nn.Module], type[torch.nn.Module]]

_TO_ELMAN: _Classes = {torch.nn.RNN: RNN, torch.nn.RNNCell: RNNCell}
_TO_TORCH: _Classes = {ours: theirs for theirs, ours in _TO_ELMAN.items()}
# What "an RNN" is in many a library; another network, which elman does not compute.
_GATED = (torch.nn.LSTM, torch.nn.GRU, torch.nn.LSTMCell, torch.nn.GRUCell)


class Conversion(str):
    """What :func:`convert` and :func:`to_torch` report of one module: a line of text, with what it
    says as attributes.

    Attributes:
        names: the module's names in the model, as ``named_modules`` gives them; several for a
            module that is shared, ``('',)`` for the model itself
        module: the module
        replaced: whether it is one of the other library's now
        reason: why it was left alone; empty if it was replaced
        truncation: what :func:`to_torch` took from it, as torch's modules have none; else None
    """

    names: tuple[str, ...]
    module: torch.nn.Module
    replaced: bool
    reason: str
    truncation: tuple[int, int] | None

    def __new__(  # noqa: D102
        cls,
        names: list[str],
        module: torch.nn.Module,
        old: type,
        new: type | None,
        reason: str = "",
        truncation: tuple[int, int] | None = None,
    ) -> "Conversion":
        what = f"left alone: {reason}" if new is None else f"replaced by {_full_name(new)}"
        if truncation:
            what += f", its truncation {truncation} is lost: full BPTT"
        line = super().__new__(cls, f"{_where(names)}: {_full_name(old)} {what}")
        line.names, line.module = tuple(names), module
        line.replaced, line.reason, line.truncation = new is not None, reason, truncation
        return line


def convert(
    module: torch.nn.Module, report: Callable[[Conversion], object] | list[Any] | None = None
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
            derives from one; where there is none, for each LSTM and GRU, which is what some
            libraries mean by RNN. A callable is called with it; a list, or whatever has an
            ``append``, has it appended. Default: ``None``

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
    _check_module(module)
    receive = _receiver(report)
    candidates = list(_candidates(module, _TO_ELMAN))
    for child, names, old in candidates:
        reason = _reason_to_leave(child, old, _TO_ELMAN)
        if not reason and old is torch.nn.RNNCell and child.nonlinearity not in OF_TORCH:
            reason = (
                f"its nonlinearity is {child.nonlinearity!r}, which torch refuses too when it is "
                "called"
            )
        if not reason:
            _become_ours(child, _TO_ELMAN[old])
        receive(Conversion(names, child, old, None if reason else _TO_ELMAN[old], reason))
    if not candidates and not _names_of(module, (RNN, RNNCell)):
        for child, names in _names_of(module, _GATED).items():
            reason = "another network than torch.nn.RNN, of which there is none"
            receive(Conversion(names, child, type(child), None, reason))
    return module


def to_torch(
    module: torch.nn.Module, report: Callable[[Conversion], object] | list[Any] | None = None
) -> torch.nn.Module:
    """Makes every :class:`elman.RNN` and :class:`elman.RNNCell` in `module` one of torch's: the way
    back of :func:`convert`, for tools that know nothing else.

    The modules are changed where they stand, and Parameters, hooks and the rest stay, as
    :func:`convert` says. Outputs stay too. The gradient of a truncated module changes, since
    torch.nn.RNN has full BPTT only: that is warned of, and reported. An :class:`elman.Network` goes
    on with a torch.nn.RNN in it.

    Left alone are subclasses of elman's classes and modules whose own ``forward`` was replaced.

    Args:
        module: a model, or an RNN or RNNCell by itself
        report: receives a :class:`Conversion` for each module, as :func:`convert` does it

    Returns:
        `module` itself

    Raises:
        ValueError: a module's nonlinearity is none that torch.nn.RNN has ('tanh' and 'relu');
            nothing was changed
        TypeError: as :func:`convert`

    Example::

        >>> model = torch.nn.Sequential(elman.RNN(4, 6))
        >>> model = elman.to_torch(model, report=print)
        0: elman.RNN replaced by torch.nn.RNN
    """
    _check_module(module)
    receive = _receiver(report)
    candidates = [
        (child, names, old, _reason_to_leave(child, old, _TO_TORCH))
        for child, names, old in _candidates(module, _TO_TORCH)
    ]
    for child, names, old, reason in candidates:
        if not reason and child.nonlinearity not in OF_TORCH:
            raise ValueError(
                f"{_where(names)}: {_full_name(old)} has the nonlinearity {child.nonlinearity!r}; "
                f"expected 'tanh' or 'relu', the only ones of {_full_name(_TO_TORCH[old])}"
            )
    for child, names, old, reason in candidates:
        new = None if reason else _TO_TORCH[old]
        truncation = child.truncation if isinstance(child, RNN) and not reason else None
        line = Conversion(names, child, old, new, reason, truncation)
        if new is not None:
            _become_torchs(child, new)
        if truncation:
            warnings.warn(f"elman.to_torch: {line}", stacklevel=2)
        receive(line)
    return module


def _check_module(module: torch.nn.Module) -> None:
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module should be a torch.nn.Module, got: {type(module).__name__}")


def _candidates(
    model: torch.nn.Module, replacements: _Classes
) -> Iterator[tuple[torch.nn.Module, list[str], type]]:
    """Each module that is of one of the classes or derives from one, its names, and its class."""
    for child, its_names in _names_of(model, tuple(replacements)).items():
        old = type(child)
        if parametrize.is_parametrized(child):
            # The class that was made for this one object; its base is what the user wrote.
            old = old.__bases__[0]
        yield child, its_names, old


def _names_of(
    model: torch.nn.Module, kinds: tuple[type[torch.nn.Module], ...]
) -> dict[torch.nn.Module, list[str]]:
    """The modules of these kinds, with all names that they have."""
    names: dict[torch.nn.Module, list[str]] = {}
    for name, child in model.named_modules(remove_duplicate=False):
        if isinstance(child, kinds):
            names.setdefault(child, []).append(name)
    return names


def _receiver(
    report: Callable[[Conversion], object] | list[Any] | None,
) -> Callable[[Conversion], object]:
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


def _reason_to_leave(module: torch.nn.Module, old: type, replacements: _Classes) -> str:
    """Why `module`, of class `old`, cannot be replaced; empty if it can."""
    if old not in replacements:
        base = next(base for base in replacements if issubclass(old, base))
        return f"a subclass of {_full_name(base)} may do something else"
    if "forward" in vars(module):
        return "its forward was replaced"
    return ""


def _become_ours(module: torch.nn.Module, new: type) -> None:
    """Turns an instance of torch.nn.RNN or RNNCell into one of `new`, elman's counterpart."""
    if isinstance(module, torch.nn.RNN):
        # torch's forward goes by the mode, whatever became of the nonlinearity.
        vars(module)["nonlinearity"] = module.mode.removeprefix("RNN_").lower()
        vars(module).update(_k1=0, _k2=0)
    _set_class(module, new)
    if isinstance(module, RNN):
        module._untie_flat_weights()


def _become_torchs(module: torch.nn.Module, new: type) -> None:
    """Turns an instance of elman.RNN or RNNCell into one of `new`, torch's counterpart."""
    for name in ("_k1", "_k2"):
        vars(module).pop(name, None)
    _set_class(module, new)
    if isinstance(module, torch.nn.RNN):
        module._init_flat_weights()


def _set_class(module: torch.nn.Module, new: type) -> None:
    # What torch.jit.script found out about the class that it was.
    vars(module).pop("__overloads__", None)
    if parametrize.is_parametrized(module):
        injected = {
            name: value
            for name, value in vars(type(module)).items()
            if name not in ("__dict__", "__doc__", "__module__", "__weakref__")
        }
        new = type(f"Parametrized{new.__name__}", (new,), injected)
    module.__class__ = new


def _where(names: list[str]) -> str:
    return ", ".join(name or "(the model itself)" for name in names)


def _full_name(cls: type) -> str:
    module = cls.__module__
    if module.startswith("torch.nn.modules."):
        module = "torch.nn"
    elif module.startswith("elman."):
        module = "elman"
    return f"{module}.{cls.__qualname__}"
