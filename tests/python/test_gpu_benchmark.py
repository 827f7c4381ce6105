"""The GPU grid's programs run from end to end, on tiny cases on the CPU."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(program, *arguments):
    command = [sys.executable, BENCHMARKS / program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_grid_and_its_report(tmp_path):
    files = [tmp_path / "1.json", tmp_path / "2.json"]
    for i, file in enumerate(files):
        part = ["--part", f"{i + 1}/2", "--seconds", "600", "--paths"]
        run("gpu_grid.py", file, "--device", "cpu", *part)
    results = [json.loads(file.read_text()) for file in files]
    cases = [entry["case"] for result in results for entry in result["cases"]]
    assert {case["kind"] for case in cases} == {"grid", "tbptt", "packed"}
    assert len(cases) == 4

    report = run("gpu_report.py", *files)
    for promised in (
        "grid, all",
        "packed",
        "TBPTT(20, 20) / detach loop",
        "torch full BPTT",
        "elman, general path",
    ):
        assert f"| {promised} | " in report
    rows = [line for line in report.splitlines() if line.startswith(("| grid | ", "| tbptt | "))]
    assert len(rows) == 3
    assert all("cpu: fused kernels" in row for row in rows)


def test_the_small_calls_that_a_sanitizer_watches():
    assert run("gpu_small_calls.py", "--device", "cpu") == "144 calls, forward and backward\n"
