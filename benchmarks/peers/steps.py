"""Single steps: elman.Stepper beside its peers, each in a process of its own, in turn; one thread.

Prints a table of each peer's time divided by the stepper's, and writes it as JSON. "sequence" is
the stepper's `process` of 1,000 steps.
"""

from __future__ import annotations

import argparse
import json
import os

from compare import HERE, add_options, measure, start

SIZES = (8, 16, 32, 64, 128, 256)
STEPS = 1000
OURS, PYTHON = "Stepper", "Stepper in Python"


def table(rows: list[dict], mode: str, names: list[str]) -> list[str]:
    """Markdown: one line a case, one column a peer."""
    present = [n for n in names if any(n in r["ratios"] for r in rows if r["mode"] == mode)]
    lines = ["| H = I | layers | rows | " + " | ".join(present) + " |"]
    lines.append("|---|---|---|" + "---:|" * len(present))
    for row in rows:
        if row["mode"] == mode:
            cells = [f"{row['ratios'][n]:.3g}" if n in row["ratios"] else "" for n in present]
            lines.append(
                f"| {row['H']} | {row['layers']} | {row['rows']} | " + " | ".join(cells) + " |"
            )
    return lines


def main() -> None:
    """Measures every size that fits --only."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="H = I")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])

    both, step = ("forward", "step"), ("step",)
    commands = [
        (OURS, [arguments.elman, "--stepper"], both),
        ("elman::rnn", [arguments.elman], ("forward",)),
        ("torch::nn::RNN", [arguments.elman, "--torch"], step),
    ]
    if arguments.onednn:
        commands.append(("oneDNN 3.2", [arguments.onednn, "--inference"], both))
    if arguments.onednn_sycl:
        commands.append(("oneDNN 3.13", [arguments.onednn_sycl, "--inference"], both))
    if arguments.python:
        for form in ("Scan", "RNN"):
            script = [arguments.python, str(HERE / "onnxruntime_peer.py"), "--form", form]
            commands.append((f"onnxruntime {form}", script, step))
        script = [arguments.python, str(HERE / "python_peer.py")]
        commands.append((PYTHON, script, step))
        commands.append(("torch.nn.RNN in Python", [*script, "--torch"], step))
    peers = start(commands, arguments, threads=1)

    rows = []
    for layers in arguments.layers:
        for batch in arguments.rows:
            for H in arguments.sizes:
                for mode in both:
                    able = [peer for peer in peers if mode in peer.modes]
                    size = f"{STEPS} {batch} {H} {H} {layers}"
                    result = measure(able, size, mode, arguments.rounds, arguments.seconds)
                    rows.append({"H": H, "layers": layers, "rows": batch, "mode": mode, **result})
    for peer in peers:
        peer.close()
    arguments.output.write_text(json.dumps(rows, indent=1) + "\n")
    names = [peer.name for peer in peers]
    for mode, title in (("step", "A step"), ("forward", f"A sequence of {STEPS} steps")):
        print(f"\n{title}: time divided by {OURS}'s\n", *table(rows, mode, names), sep="\n")
    print(f"\nIn Python, torch.nn.RNN / {PYTHON}:", end=" ")
    for row in rows:
        if row["mode"] == "step" and PYTHON in row["seconds"]:
            ratio = row["seconds"]["torch.nn.RNN in Python"] / row["seconds"][PYTHON]
            print(f"{row['H']}·{row['layers']}·{row['rows']} {ratio:.1f}", end="; ")
    print()


if __name__ == "__main__":
    main()
