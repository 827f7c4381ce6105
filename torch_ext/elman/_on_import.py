"""What is done to a module of torch's when a program imports it, so that importing elman need not.

Several parts of torch have to be told of elman's operators in tables of their own. They take
long to import, and few programs need them.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["on_import"]


_Told = Callable[[ModuleType], None]


def on_import(name: str) -> Callable[[_Told], _Told]:
    """Makes a function of a module run once, as soon as the module called `name` is imported."""

    def register(function: _Told) -> _Told:
        if name in sys.modules:
            function(sys.modules[name])
        else:
            sys.meta_path.insert(0, _Finder(name, function))
        return function

    return register


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, function: _Told) -> None:
        self.name, self.function = name, function

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_tell(module: ModuleType) -> None:
                execute(module)
                self.function(module)

            spec.loader.exec_module = execute_and_tell  # type: ignore[method-assign]
        return spec
