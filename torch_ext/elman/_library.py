"""Finds and loads the compiled library, after making sure that it fits the installed torch."""

from pathlib import Path

import torch

_PACKAGE = Path(__file__).resolve().parent


def prefix_for(package: Path, torch_version: str) -> Path:
    """The folder with `lib` and `include` for this torch.

    It is the package itself, or `torch-VERSION` in it where a wheel carries a library for each of
    several versions (tools/wheels.sh).
    """
    own = package / f"torch-{torch_version.partition('+')[0]}"
    return own if own.is_dir() else package


#: Where `find_package(Elman)` finds the C++ library of this installation:
#: `cmake -DCMAKE_PREFIX_PATH=$(python -c 'import elman; print(elman.cmake_prefix_path)')`.
cmake_prefix_path = str(prefix_for(_PACKAGE, torch.__version__))


def check_torch_version(built_with: str, installed: str, elman_version: str) -> None:
    """Raises ImportError unless both versions of torch are the same, local parts (`+cpu`) aside.

    `built_with` has several, with spaces between, in a wheel that serves several versions.

    LibTorch has no stable C++ interface, so a library built with one release does not load, or
    crashes, in another: the versions are compared before anything of the library is loaded.
    """
    built_for = [version.partition("+")[0] for version in built_with.split()]
    installed = installed.partition("+")[0]
    if installed not in built_for:
        raise ImportError(
            f"elman {elman_version} was built with torch {', '.join(built_for)}, but torch "
            f"{installed} is installed. Install torch=={built_for[-1]}, or build elman again with "
            f"torch {installed}."
        )


def library_path() -> Path:
    """Where libelman.so is."""
    return Path(cmake_prefix_path) / "lib" / "libelman.so"


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
