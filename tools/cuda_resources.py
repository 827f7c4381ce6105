"""What the persistent CUDA kernels take of a multiprocessor, read from object files.

    python tools/cuda_resources.py OBJECT... [--write PAGE]

Prints a table: registers of a thread, and bytes of stack, per kernel and architecture. Exits with 1
where a kernel spills (its stack is not empty), or takes more registers than the planner counts on
(csrc/cuda/persistent/launch_layout.h: a block of 256 threads has the multiprocessor to itself, with
255 registers a thread). `--write` puts the table into a page, between the lines that name this
program.

cuobjdump is taken from the environment's CUOBJDUMP, the PATH, the CUDA toolkit, or triton, which
comes with torch.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REGISTERS = 255
NAMES = {
    "FmaProduct<double>": "float64",
    "FmaProduct<float>": "float32",
    "MmaProduct<float>": "TF32",
    "MmaProduct<__nv_bfloat16>": "bfloat16",
    "MmaProduct<__half>": "float16",
}


def find_cuobjdump() -> str:
    """The program's path; exits where there is none."""
    candidates = [os.environ.get("CUOBJDUMP"), shutil.which("cuobjdump")]
    if nvcc := shutil.which("nvcc"):
        candidates.append(str(Path(nvcc).resolve().parent / "cuobjdump"))
    if triton := importlib.util.find_spec("triton"):
        candidates.append(str(Path(triton.origin).parent / "backends/nvidia/bin/cuobjdump"))
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    sys.exit("There is no cuobjdump: set CUOBJDUMP, or install the CUDA toolkit's or triton.")


def demangle(names: list[str]) -> list[str]:
    """The names as they are written in C++, without their namespace."""
    text = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout
    return [re.sub(r"elman::cuda::persistent::", "", line) for line in text.splitlines()]


def usage(cuobjdump: str, path: str) -> list[tuple[str, str, int, int]]:
    """(kernel, architecture, registers, stack) of each kernel in an object file."""
    text = subprocess.run(
        [cuobjdump, "--dump-resource-usage", path], capture_output=True, text=True, check=True
    ).stdout
    found, architecture = [], ""
    for line in text.splitlines():
        if match := re.search(r"arch = (\S+)", line):
            architecture = match[1]
        elif match := re.search(r"Function (\S+):", line):
            name = match[1]
        elif match := re.search(r"REG:(\d+) STACK:(\d+)", line):
            found.append((name, architecture, int(match[1]), int(match[2])))
    names = demangle([entry[0] for entry in found])
    return [(short_name(n), *entry[1:]) for n, entry in zip(names, found, strict=True)]


def short_name(kernel: str) -> str:
    """What the documentation calls a kernel."""
    match = re.search(r"(\w+)<(.*?)\s*>\(", kernel)
    if match and match[2] in NAMES:
        return f"{NAMES[match[2]]}, {match[1]}"
    return kernel


def table(entries: list[tuple[str, str, int, int]]) -> str:
    """The entries in Markdown, a column for each architecture."""
    architectures = sorted({e[1] for e in entries}, key=lambda a: int(re.sub(r"\D", "", a)))
    cells = {(kernel, arch): (registers, stack) for kernel, arch, registers, stack in entries}
    lines = [["kernel", *architectures], ["---"] * (1 + len(architectures))]
    for kernel in dict.fromkeys(entry[0] for entry in entries):
        row = [kernel]
        for architecture in architectures:
            registers, stack = cells.get((kernel, architecture), ("", 0))
            row.append(f"{registers}" + (f" ({stack} bytes of stack)" if stack else ""))
        lines.append(row)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(page: Path, text: str) -> None:
    """Puts `text` into its place in the page."""
    begin, end = "<!-- tools/cuda_resources.py -->\n", "<!-- end -->\n"
    old = page.read_text()
    if begin not in old or end not in old:
        sys.exit(f"{page} has no place for the table")
    before, rest = old.split(begin, 1)
    after = rest.split(end, 1)[1]
    page.write_text(f"{before}{begin}{text}\n{end}{after}")


def main() -> int:
    """Prints the table; the exit status is 1 where a kernel takes too much."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("objects", nargs="+")
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    cuobjdump = find_cuobjdump()
    entries = [entry for path in options.objects for entry in usage(cuobjdump, path)]
    if not entries:
        sys.exit("There are no kernels in these files.")
    text = table(entries)
    print(text)
    if options.write:
        write(options.write, text)
    faults = [e for e in entries if e[3] > 0 or e[2] > REGISTERS]
    for kernel, architecture, registers, stack in faults:
        print(f"{kernel}, {architecture}: {registers} registers, {stack} bytes of stack")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
