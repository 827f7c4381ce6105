"""tools/merge_wheels.py: one wheel of several, each built against another torch."""

import base64
import hashlib
import importlib.util
import zipfile
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "merge_wheels.py"
NAME = "elman-0.1.0-py3-none-linux_x86_64.whl"
METADATA = "elman-0.1.0.dist-info/METADATA"


@pytest.fixture
def merge():
    spec = importlib.util.spec_from_file_location("merge_wheels", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.merge


def make_wheel(folder, version, source="import torch\n"):
    """A wheel as pip makes it, with a text in the place of the library."""
    path = folder / version / NAME
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("elman/__init__.py", source)
        wheel.writestr("elman/_build_info.py", f'version = "0.1.0"\ntorch_version = "{version}"\n')
        wheel.writestr("elman/lib/libelman.so", f"the library for {version}")
        wheel.writestr("elman/include/elman/elman.h", "#pragma once\n")
        wheel.writestr(METADATA, f"Name: elman\nRequires-Dist: torch=={version}\n")
        wheel.writestr("elman-0.1.0.dist-info/WHEEL", "Tag: py3-none-linux_x86_64\n")
        wheel.writestr("elman-0.1.0.dist-info/RECORD", "")
    return path


def test_each_torch_keeps_its_library_and_all_are_named(merge, tmp_path):
    wheels = [make_wheel(tmp_path, version) for version in ("2.15.0", "2.9.0", "2.11.0")]
    merged = merge(wheels, tmp_path / "merged")
    assert merged.name == NAME
    with zipfile.ZipFile(merged) as wheel:
        for version in ("2.9.0", "2.11.0", "2.15.0"):
            library = wheel.read(f"elman/torch-{version}/lib/libelman.so").decode()
            assert library == f"the library for {version}"
            assert f"elman/torch-{version}/include/elman/elman.h" in wheel.namelist()
        assert "elman/lib/libelman.so" not in wheel.namelist()
        assert (
            'torch_version = "2.9.0 2.11.0 2.15.0"' in wheel.read("elman/_build_info.py").decode()
        )
        assert "Requires-Dist: torch>=2.9.0,<=2.15.0\n" in wheel.read(METADATA).decode()


def test_the_record_has_every_file_once(merge, tmp_path):
    merged = merge([make_wheel(tmp_path, v) for v in ("2.11.0", "2.15.0")], tmp_path / "merged")
    with zipfile.ZipFile(merged) as wheel:
        record = wheel.read("elman-0.1.0.dist-info/RECORD").decode()
        rows = dict(line.split(",", 1) for line in record.splitlines())
        assert sorted(rows) == sorted(wheel.namelist())
        size = len(wheel.read(METADATA))
        digest = hashlib.sha256(wheel.read(METADATA)).digest()
    assert (
        rows[METADATA] == f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')},{size}"
    )


def test_other_python_files_are_refused(merge, tmp_path):
    wheels = [make_wheel(tmp_path, "2.11.0"), make_wheel(tmp_path, "2.15.0", "import sys\n")]
    with pytest.raises(SystemExit, match=r"elman/__init__\.py is not the same"):
        merge(wheels, tmp_path / "merged")


def test_the_same_torch_twice_is_refused(merge, tmp_path):
    (tmp_path / "again").mkdir()
    wheels = [make_wheel(tmp_path, "2.11.0"), make_wheel(tmp_path / "again", "2.11.0")]
    with pytest.raises(SystemExit, match="expected a wheel for each version"):
        merge(wheels, tmp_path / "merged")
