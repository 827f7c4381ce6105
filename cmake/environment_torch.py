"""Finds the torch of a Python environment by its files, without importing it.

Importing torch takes seconds, and under pip's build isolation it is not possible at all, although
the torch of the environment that the wheel is built for lies a path away. Two users:

- CMake runs this file as a program: it prints `key=value` lines.
- scikit-build-core loads it as the metadata provider that adds `torch==<version built against>`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

_FIND_SPEC = """
import importlib.util, json
spec = importlib.util.find_spec("torch")
print(json.dumps(list(spec.submodule_search_locations or []) if spec else []))
"""


def _is_torch(directory: Path) -> bool:
    return (directory / "version.py").is_file() and (directory / "lib" / "libtorch.so").exists()


def _visible_here() -> list[str]:
    spec = importlib.util.find_spec("torch")
    return list(spec.submodule_search_locations or []) if spec else []


def _visible_without_isolation() -> list[str]:
    """What the same interpreter sees without pip's overlay.

    pip isolates a build by environment variables alone (PYTHONPATH with a sitecustomize.py that
    drops site-packages, PYTHONNOUSERSITE). A child process without them sees the target
    environment as it is: virtual environment, user site and .pth files included.
    """
    isolation = ("PYTHONPATH", "PYTHONNOUSERSITE")
    environment = {k: v for k, v in os.environ.items() if k not in isolation}
    child = subprocess.run(
        [sys.executable, "-c", _FIND_SPEC],
        env=environment,
        cwd=Path(sys.executable).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(child.stdout) if child.returncode == 0 else []


def find_torch() -> Path | None:
    """The directory of the torch package that this environment imports, or None."""
    for locations in (_visible_here, _visible_without_isolation):
        for location in map(Path, locations()):
            if _is_torch(location):
                return location
    return None


def public_version(torch_directory: Path) -> str:
    """The version without its local part, e.g. 2.11.0 of 2.11.0+cu130."""
    text = (torch_directory / "version.py").read_text(encoding="utf-8")
    match = re.search(r"^__version__\s*=\s*['\"]([^'\"+]+)", text, re.MULTILINE)
    if match is None:
        raise RuntimeError(f"{torch_directory / 'version.py'} names no version")
    return match.group(1)


class Requirement:
    """The metadata provider: `dependencies` gets the torch that the wheel is built against."""

    def build_state(self, state: str) -> None:
        """Remembers what is being built: a source archive does not depend on a version of torch."""
        self._state = state

    def dynamic_wheel(self, settings: dict) -> dict[str, bool]:
        """Marks the field as one that a source archive leaves open."""
        return {"dependencies": True}

    def dynamic_metadata(self, settings: dict, project: dict) -> dict[str, list[str]]:
        """Returns the requirement, or stops the build where there is no torch."""
        if self._state == "sdist":
            return {"dependencies": []}
        directory = find_torch()
        if directory is None:
            raise SystemExit(
                "elman is built against the torch of the environment that it is installed into, "
                f"and there is none in {sys.prefix}. Install torch first (2.11 to 2.15), e.g. "
                "`pip install torch==2.11.0`, then run this again. Front ends that build in an "
                "environment of their own (uv, python -m build) need --no-build-isolation."
            )
        return {"dependencies": [f"torch=={public_version(directory)}"]}


def _main() -> None:
    directory = find_torch()
    print(f"executable={sys.executable}")
    print(f"version={sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}")
    print(f"base={sys.base_prefix}")
    print(f"torch={directory or ''}")


if __name__ == "__main__":
    _main()
