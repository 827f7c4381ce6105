"""Finds and loads the compiled library, after making sure that it fits the installed torch."""

from pathlib import Path

import torch

_PACKAGE = Path(__file__).resolve().parent

#: Where `find_package(Elman)` finds the C++ library of this installation:
#: `cmake -DCMAKE_PREFIX_PATH=$(python -c 'import elman; print(elman.cmake_prefix_path)')`.
cmake_prefix_path = str(_PACKAGE)


def check_torch_version(built_with: str, installed: str, elman_version: str) -> None:
    """Raises ImportError unless both versions of torch are the same, local parts (`+cpu`) aside.

    LibTorch has no stable C++ interface, so a library built with one release does not load, or
    crashes, in another: the versions are compared before anything of the library is loaded.
    """
    built_with = built_with.partition("+")[0]
    installed = installed.partition("+")[0]
    if built_with != installed:
        raise ImportError(
            f"elman {elman_version} was built with torch {built_with}, but torch {installed} is "
            f"installed. Install torch=={built_with}, or build elman again with torch {installed}."
        )


def library_path() -> Path:
    """Where libelman.so is."""
    return _PACKAGE / "lib" / "libelman.so"


def load() -> None:
    """Loads libelman.so, which registers the operators with torch."""
    try:
        from elman import _build_info
    except ImportError:
        raise ImportError(
            f"elman is not built: {_PACKAGE} has no _build_info.py. Run `pip install .` "
            "from the project's root."
        ) from None
    check_torch_version(_build_info.torch_version, torch.__version__, _build_info.version)
    library = library_path()
    if not library.is_file():
        raise ImportError(
            f"elman's compiled library is missing: expected {library}. Install elman again."
        )
    torch.ops.load_library(library)
