"""A table and a summary, in Markdown, of what gpu_grid.py measured.

    python gpu_report.py RESULTS.json... > REPORT.md

Ratios are times of the other side over elman's: above 1 elman is faster. `reached` is the larger of
two shares: of the rate of a large product of this precision, and of the time that the steps would
take if each took no more than STEP_FLOOR, about what blocks need to hand a vector to each other.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path

from gpu_cases import Case

STEP_FLOOR = 1e-6  # seconds


def geometric_mean(values: list[float]) -> float:
    """Of positive values; NaN of none."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


class Row:
    """One case with its ratios."""

    def __init__(self, entry: dict, ceilings: dict[str, float]) -> None:
        self.case = Case(**entry["case"])
        self.kernel = entry["kernel"]
        self.times = {name: s["median"] for name, s in entry["sides"].items() if "median" in s}
        self.errors = {name: s["error"] for name, s in entry["sides"].items() if "error" in s}
        self.elman = self.times["elman"]
        self.ratios = {n: t / self.elman for n, t in self.times.items() if n != "elman"}
        passes = 1 if self.case.mode == "forward" else 2
        products = self.case.flops / ceilings[self.case.precision]
        self.reached = max(products, passes * self.case.T * STEP_FLOOR) / self.elman

    def cells(self, sides: list[str]) -> list[str]:
        case = self.case
        ratios = [f"{self.ratios[side]:.2f}" if side in self.ratios else "" for side in sides]
        numbers = [f"{self.elman * 1e3:.3f}", f"{self.elman * 1e6 / case.T:.2f}"]
        names = [case.kind, case.mode, case.precision, str(case.T), str(case.B), str(case.H)]
        return [*names, *numbers, *ratios, f"{self.reached:.0%}", self.kernel.replace("\n", "; ")]


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(rows: list[Row]) -> str:
    """What the project promises, and what was measured."""

    def against_torch(choose) -> list[float]:
        return [row.ratios["torch"] for row in rows if choose(row.case)]

    wanted = [
        ("grid, all", against_torch(lambda c: c.kind == "grid"), "no case under 0.95"),
        ("grid, H > 384", against_torch(lambda c: c.kind == "grid" and c.H > 384), "mean 2"),
        ("packed", against_torch(lambda c: c.kind == "packed"), "3"),
        ("TBPTT(20, 20) / detach loop", against_torch(lambda c: c.kind == "tbptt"), "3"),
    ]
    others = sorted({name for row in rows for name in row.ratios} - {"torch"})
    for name in others:
        wanted.append((name, [r.ratios[name] for r in rows if name in r.ratios], "1"))
    lines = [
        [name, str(len(ratios)), f"{geometric_mean(ratios):.2f}", f"{min(ratios):.2f}", goal]
        for name, ratios, goal in wanted
        if ratios
    ]
    return table(["elman against", "cases", "geometric mean", "worst", "wanted"], lines)


def report(files: list[dict]) -> str:
    rows = [Row(entry, file["ceilings"]) for file in files for entry in file["cases"]]
    rows.sort(key=lambda row: row.ratios["torch"])
    sides = sorted({name for row in rows for name in row.ratios}, key=lambda n: (n != "torch", n))
    header = ["kind", "mode", "precision", "T", "B", "H", "elman ms", "us a step"]
    header += [f"{side} / elman" for side in sides] + ["reached", "kernel"]
    context = ", ".join(f"{key} {value}" for key, value in files[0]["context"].items())
    rates = [f"{key} {value:.3g}" for key, value in files[0]["ceilings"].items()]
    parts = [
        context,
        "Ceilings (FLOP/s of a large product; bytes/s of a copy): " + ", ".join(rates),
        summary(rows),
        table(header, [row.cells(sides) for row in rows]),
    ]
    errors = sorted({f"{name}: {text}" for row in rows for name, text in row.errors.items()})
    if errors:
        parts.append("Could not run:\n\n" + "\n".join(f"- {error}" for error in errors))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    options = parser.parse_args()
    print(report([json.loads(path.read_text()) for path in options.results]))


if __name__ == "__main__":
    main()
