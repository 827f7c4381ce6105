"""Tables, a summary and a plot of what elman_bench measured.

    python report.py RESULTS.json [--peers PEERS.json] [--truncation TRUNCATION.json]
                     [--output DIRECTORY]

Cases where elman loses come first. Every figure is the median of its measurements.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from cases import Case, read_cases

MODES = {
    "forward": "forward",
    "backward": "forward + backward",
    "k5": "TBPTT(5), torch: detach loop",
    "k20": "TBPTT(20), torch: detach loop",
}


BFLOAT16_SIDES = ("elman_bfloat16", "torch_bfloat16")


@dataclass
class Row:
    """One mode of one case, both sides."""

    case: Case
    mode: str
    elman: float  # seconds
    torch: float
    spread: float  # of elman's measurements: half their middle half, relative to the median
    peak: float  # operations a second of the machine
    elman_bfloat16: float | None = None  # seconds, if measured
    torch_bfloat16: float | None = None

    @property
    def ratio(self) -> float:
        """How many times faster elman is."""
        return self.torch / self.elman

    def share(self, seconds: float) -> float:
        """Part of the machine's peak that a call of this length reaches."""
        return self.case.forward_flops * (1 if self.mode == "forward" else 3) / seconds / self.peak


def geometric_mean(values: list[float]) -> float:
    """Of positive values, at least one."""
    return math.exp(statistics.fmean(map(math.log, values)))


def read_results(path: Path) -> tuple[list[Row], float, dict]:
    """The rows in the order of cases.def, the peak in FLOP/s and the machine's description."""
    results = json.loads(path.read_text())
    times = defaultdict(list)  # (case, mode, side) -> seconds
    peaks = []
    for run in results["benchmarks"]:
        if run["run_type"] != "iteration":
            continue
        if run["name"].startswith("peak/"):
            peaks.append(run["FLOP/s"])
        else:
            case, mode, side = run["name"].split("/")[:3]
            times[case, mode, side].append(run["real_time"] / 1e3)
            assert run["time_unit"] == "ms"
    peak = max(peaks)
    rows = []
    for case in read_cases():
        for mode in MODES:
            elman = times.get((case.name, mode, "elman"))
            torch = times.get((case.name, mode, "torch"))
            if elman and torch:
                median = statistics.median(elman)
                quarters = statistics.quantiles(elman) if len(elman) > 1 else [median] * 3
                spread = (quarters[2] - quarters[0]) / 2 / median
                narrow = [times.get((case.name, mode, s)) for s in BFLOAT16_SIDES]
                seconds = [statistics.median(side) if side else None for side in narrow]
                rows.append(
                    Row(case, mode, median, statistics.median(torch), spread, peak, *seconds)
                )
    return rows, peak, results["context"]


def milliseconds(seconds: float) -> str:
    """Three significant digits."""
    return f"{seconds * 1e3:#.3g}".rstrip(".")


def percent(share: float) -> str:
    """With a decimal where there is little."""
    return f"{share:.0%}" if share >= 0.095 else f"{share:.1%}"


def table(rows: list[Row]) -> list[str]:
    """Markdown, one line a row."""
    lines = [
        "| case | mode | elman, ms | torch, ms | torch / elman | elman, of peak | torch, of peak |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row.case.name} | {row.mode} | {milliseconds(row.elman)} ± {row.spread:.0%} "
            f"| {milliseconds(row.torch)} | {row.ratio:.2f} "
            f"| {percent(row.share(row.elman))} | {percent(row.share(row.torch))} |"
        )
    return lines


def bfloat16_table(rows: list[Row]) -> list[str]:
    """Markdown: what bfloat16 brings elman, and elman in it against torch in it."""
    lines = [
        "| case | mode | elman in bfloat16, ms | float32 / bfloat16 | torch in bfloat16 / elman |",
        "|---|---|---:|---:|---:|",
    ]
    for row in rows:
        torch = f"{row.torch_bfloat16 / row.elman_bfloat16:.2f}" if row.torch_bfloat16 else ""
        lines.append(
            f"| {row.case.name} | {row.mode} | {milliseconds(row.elman_bfloat16)} "
            f"| {row.elman / row.elman_bfloat16:.2f} | {torch} |"
        )
    return lines


def means(rows: list[Row]) -> list[str]:
    """Markdown: geometric means of the ratio by group and mode."""
    groups = list(dict.fromkeys(row.case.group for row in rows))
    lines = ["| torch / elman, geometric mean | " + " | ".join(groups) + " | all |"]
    lines.append("|---|" + "---:|" * (len(groups) + 1))
    for mode, title in MODES.items():
        cells = []
        for group in [*groups, None]:
            ratios = [r.ratio for r in rows if r.mode == mode and group in (None, r.case.group)]
            cells.append(f"{geometric_mean(ratios):.2f}" if ratios else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def read_truncation(path: Path) -> list[dict]:
    """What elman_truncation_bench measured, pair by pair: seconds of both sides."""
    times = defaultdict(lambda: defaultdict(list))  # pair -> side -> seconds
    for run in json.loads(path.read_text())["benchmarks"]:
        if run["run_type"] == "iteration":
            case, loop, side = run["name"].split("/")[:3]
            times[case, loop][side].append(run["real_time"] / 1e3)
            assert run["time_unit"] == "ms"
    rows = []
    for (case, loop), sides in times.items():
        elman, other = (statistics.median(sides[side]) for side in ("elman", "loop"))
        rows.append(
            {
                "case": case,
                "loop": loop,
                "elman_seconds": elman,
                "loop_seconds": other,
                "ratio": other / elman,
            }
        )
    return rows


def truncation_table(rows: list[dict]) -> list[str]:
    """Markdown, one line a pair."""
    lines = [
        "| case | against | elman, ms | other, ms | other / elman |",
        "|---|---|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['case']} | {row['loop']} | {milliseconds(row['elman_seconds'])} "
            f"| {milliseconds(row['loop_seconds'])} | {row['ratio']:.2f} |"
        )
    return lines


def peer_table(peers: dict) -> list[str]:
    """Markdown of compare.py's results: how many times faster elman is than each."""
    names = [name for name in peers["peers"] if name != "elman"]
    lines = ["| case | mode | elman, ms | " + " | ".join(f"{n} / elman" for n in names) + " |"]
    lines.append("|---|---|---:|" + "---:|" * len(names))
    for row in peers["rows"]:
        cells = [f"{row['ratios'][n]:.2f}" if n in row["ratios"] else "" for n in names]
        elman = milliseconds(row["seconds"]["elman"])
        lines.append(f"| {row['case']} | {row['mode']} | {elman} | " + " | ".join(cells) + " |")
    for mode in dict.fromkeys(row["mode"] for row in peers["rows"]):
        ratios = [row["ratios"] for row in peers["rows"] if row["mode"] == mode]
        columns = [[r[n] for r in ratios if n in r] for n in names]
        cells = [f"{geometric_mean(column):.2f}" if column else "" for column in columns]
        lines.append(f"| geometric mean | {mode} | | " + " | ".join(cells) + " |")
    return lines


def report(
    rows: list[Row], peak: float, context: dict, peers: dict | None, truncation: list[dict]
) -> str:
    """The whole report as Markdown."""
    losing = sorted((row for row in rows if row.ratio < 1), key=lambda row: row.ratio)
    lines = ["# elman::RNN against torch::nn::RNN", ""]
    if losing:
        lines += [f"elman loses {len(losing)} of {len(rows)} comparisons:", "", *table(losing), ""]
    else:
        lines += [f"elman loses none of {len(rows)} comparisons.", ""]
    if peers is not None:
        lost = [
            f"- {row['case']}, {row['mode']}: {name} needs {ratio:.2f} of elman's time"
            for row in peers["rows"]
            for name, ratio in row["ratios"].items()
            if ratio < 1
        ]
        lines += [f"elman loses {len(lost)} comparisons with peers:", "", *lost, ""] if lost else []
    narrow = [row for row in rows if row.elman_bfloat16]
    slower = sorted(
        (row for row in narrow if row.elman < row.elman_bfloat16),
        key=lambda row: row.elman / row.elman_bfloat16,
    )
    if slower:
        lines += [
            f"bfloat16 is slower than float32 in {len(slower)} of {len(narrow)} comparisons:",
            "",
            *bfloat16_table(slower),
            "",
        ]
    lines += [
        f"float32, {context['threads']} threads, torch {context['torch']}, {context['date']}; "
        f"multiply-add peak {peak / 1e9:.0f} GFLOP/s, {context['vectors']}, measured in the same "
        "run. Medians, ± half of the middle half.",
        "",
        *means(rows),
        "",
        *table(rows),
    ]
    if narrow:
        lines += ["", "## bfloat16", "", *bfloat16_table(narrow)]
    if peers is not None:
        lines += ["", "## Peers, each a process of its own, in turn", "", *peer_table(peers)]
    if truncation:
        lines += [
            "",
            "## The truncation engine against the loops that it replaces",
            "",
            *truncation_table(truncation),
        ]
    return "\n".join(lines) + "\n"


def plot(rows: list[Row], path: Path) -> None:
    """Bars of the ratio for every case and mode, to `path` with the suffixes .svg and .png."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    names = list(dict.fromkeys(row.case.name for row in rows))
    modes = [mode for mode in MODES if any(row.mode == mode for row in rows)]
    ratio = {(row.case.name, row.mode): row.ratio for row in rows}
    colours = ["#0072b2", "#56b4e9", "#d55e00", "#e69f00"]
    height = 0.8 / len(modes)
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.52 * len(names)), layout="constrained")
    for i, mode in enumerate(modes):
        points = [(y, ratio[name, mode]) for y, name in enumerate(names) if (name, mode) in ratio]
        axes.barh(
            [y + (i - (len(modes) - 1) / 2) * height for y, _ in points],
            [value - 1 for _, value in points],
            height,
            left=1,  # losses grow to the left
            color=colours[i],
            label=MODES[mode],
        )
    axes.axvline(1, color="#333", linewidth=1)
    axes.set_xscale("log")
    ticks = [factor * 10**power for power in range(-2, 4) for factor in (1, 2, 3, 5)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="x", color="#e5e5e5")
    axes.set_axisbelow(True)
    axes.set_xlabel(
        "times as fast as torch::nn::RNN (logarithmic axis; left of 1 elman is slower)\n"
        "no bar: not measured, since a loop that detaches needs several steps and one direction"
    )
    axes.set_ylabel("T · B · I · H")
    axes.legend(loc="best")
    for suffix in (".svg", ".png"):
        figure.savefig(path.with_suffix(suffix), dpi=150)
    plt.close(figure)


def summary(
    rows: list[Row], peak: float, context: dict, peers: dict | None, truncation: list[dict]
) -> dict:
    """The figures behind the report, for programs."""
    return {
        "peak_flops": peak,
        "context": context,
        "rows": [
            {
                "case": row.case.name,
                "group": row.case.group,
                "mode": row.mode,
                "elman_seconds": row.elman,
                "torch_seconds": row.torch,
                "ratio": row.ratio,
                "elman_share_of_peak": row.share(row.elman),
                "torch_share_of_peak": row.share(row.torch),
                "elman_bfloat16_seconds": row.elman_bfloat16,
                "torch_bfloat16_seconds": row.torch_bfloat16,
            }
            for row in rows
        ],
        "peers": peers,
        "truncation": truncation,
    }


def main() -> None:
    """Reads the measurements, prints the report and writes it with summary and plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="what --benchmark_out wrote, as JSON")
    parser.add_argument("--peers", type=Path, help="what peers/compare.py wrote")
    parser.add_argument("--truncation", type=Path, help="what elman_truncation_bench wrote")
    parser.add_argument("--output", type=Path, default=Path("."), help="directory for the files")
    arguments = parser.parse_args()
    rows, peak, context = read_results(arguments.results)
    peers = json.loads(arguments.peers.read_text()) if arguments.peers else None
    truncation = read_truncation(arguments.truncation) if arguments.truncation else []
    text = report(rows, peak, context, peers, truncation)
    print(text)

    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "report.md").write_text(text)
    (arguments.output / "summary.json").write_text(
        json.dumps(summary(rows, peak, context, peers, truncation), indent=1) + "\n"
    )
    plot(rows, arguments.output / "report")
    for name in ("report.md", "report.svg", "report.png", "summary.json"):
        print((arguments.output / name).resolve())


if __name__ == "__main__":
    main()
