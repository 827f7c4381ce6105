"""What `import elman` promises: the version check, the exports, the CMake package's place."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import elman
import pytest
import torch
from elman import _build_info, _library


def test_exports():
    assert set(elman.__all__) <= set(dir(elman))
    assert elman.__version__ == _build_info.version
    assert _build_info.torch_version.partition("+")[0] == torch.__version__.partition("+")[0]
    assert os.path.isabs(elman.cmake_prefix_path)


def test_another_torch_is_refused_and_both_versions_are_named():
    _library.check_torch_version("2.11.0", "2.11.0+cpu", "0.1.0")
    _library.check_torch_version("2.11.0+cu130", "2.11.0", "0.1.0")
    with pytest.raises(ImportError, match=r"built with torch 2\.11\.0, but torch 2\.15\.0 is"):
        _library.check_torch_version("2.11.0", "2.15.0+cu132", "0.1.0")


def test_a_wheel_for_several_versions_takes_the_library_of_the_one_that_is_installed(tmp_path):
    for version in ("2.11.0", "2.15.0"):
        (tmp_path / f"torch-{version}").mkdir()
    assert _library.prefix_for(tmp_path, "2.11.0+cpu") == tmp_path / "torch-2.11.0"
    assert _library.prefix_for(tmp_path, "2.15.0") == tmp_path / "torch-2.15.0"
    _library.check_torch_version("2.11.0 2.15.0", "2.15.0+cu132", "0.1.0")
    with pytest.raises(ImportError, match=r"with torch 2\.11\.0, 2\.15\.0, but torch 2\.12\.1 is"):
        _library.check_torch_version("2.11.0 2.15.0", "2.12.1", "0.1.0")


def import_copy(tmp_path, **changes):
    """Imports a copy of the package in a new process; `changes` are new contents of files, None for
    removal."""
    package = tmp_path / "elman"
    shutil.copytree(Path(elman.__file__).parent, package, ignore=shutil.ignore_patterns("lib"))
    (package / "lib").mkdir()
    for name, text in changes.items():
        path = package / f"{name}.py"
        path.unlink()
        if text is not None:
            path.write_text(text)
    return subprocess.run(
        [sys.executable, "-c", "import elman"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )


def test_the_version_is_checked_before_the_library_is_loaded(tmp_path):
    result = import_copy(tmp_path, _build_info='torch_version = "1.0.0"\nversion = "0.1.0"\n')
    assert result.returncode != 0
    assert "ImportError" in result.stderr
    assert f"torch 1.0.0, but torch {torch.__version__.partition('+')[0]} is" in result.stderr


def test_a_missing_library_or_build_is_explained(tmp_path):
    assert "compiled library is missing" in import_copy(tmp_path / "a").stderr
    assert "elman is not built" in import_copy(tmp_path / "b", _build_info=None).stderr
