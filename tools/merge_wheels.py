"""Makes one wheel of several that differ in the torch that they were built against.

    python merge_wheels.py OUTPUT_FOLDER WHEEL...

The Python files have to be the same in all. Each wheel's `elman/lib` and `elman/include` become
`elman/torch-VERSION/lib` and `.../include`, of which elman takes the one that fits at import;
`_build_info.py` names all versions, and the metadata require torch between the first and the last.
"""

import base64
import hashlib
import re
import sys
import zipfile
from pathlib import Path

PER_TORCH = ("elman/lib/", "elman/include/")


def read(path: Path) -> tuple[str, dict[str, bytes], set[str]]:
    """(version of torch, contents by name, the names that are executable)."""
    with zipfile.ZipFile(path) as wheel:
        entries = [entry for entry in wheel.infolist() if not entry.is_dir()]
        files = {entry.filename: wheel.read(entry) for entry in entries}
    programs = {entry.filename for entry in entries if entry.external_attr >> 16 & 0o111}
    info = files["elman/_build_info.py"].decode()
    found = re.search(r'^torch_version = "([^"]+)"$', info, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{path}: _build_info.py names no version of torch")
    return found[1], files, programs


def merge(wheels: list[Path], folder: Path) -> Path:
    """Writes the wheel, with the name that all of `wheels` have, and returns its path."""
    contents = sorted((read(path) for path in wheels), key=lambda item: as_numbers(item[0]))
    versions = [version for version, _, _ in contents]
    if len(set(versions)) != len(versions):
        raise SystemExit(f"expected a wheel for each version of torch, got {versions}")
    merged: dict[str, bytes] = {}
    executable: set[str] = set()
    for version, files, programs in contents:
        for name, data in files.items():
            new = name
            if name.startswith(PER_TORCH):
                new = name.replace("elman/", f"elman/torch-{version}/", 1)
            elif name.endswith(("/METADATA", "/_build_info.py")):
                data = for_all(data.decode(), version, versions).encode()
            elif name.endswith("/RECORD"):
                continue
            if merged.setdefault(new, data) != data:
                raise SystemExit(f"{name} is not the same in the wheels for torch {versions}")
            if name in programs:
                executable.add(new)
    return write(folder / wheels[0].name, merged, executable)


def as_numbers(version: str) -> list[int]:
    """2.9.0 comes before 2.11.0."""
    return [int(part) for part in version.split(".")]


def for_all(text: str, version: str, versions: list[str]) -> str:
    """The text of a file that names one version of torch, for all of them."""
    first, last = versions[0], versions[-1]
    text = text.replace(
        f"Requires-Dist: torch=={version}\n", f"Requires-Dist: torch>={first},<={last}\n"
    )
    return text.replace(f'torch_version = "{version}"', f'torch_version = "{" ".join(versions)}"')


def write(path: Path, files: dict[str, bytes], executable: set[str]) -> Path:
    """A wheel of these files, with the RECORD that it has to have."""
    metadata = next(name for name in files if name.endswith(".dist-info/WHEEL"))
    record = metadata.replace("/WHEEL", "/RECORD")
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as wheel:
        for name, data in [*files.items(), (record, "".join([*lines, f"{record},,\n"]).encode())]:
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the same files, the same wheel
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, data)
    return path


if __name__ == "__main__":
    print(merge([Path(name) for name in sys.argv[2:]], Path(sys.argv[1])))
