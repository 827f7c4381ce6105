"""Times elman and its peers, each in a process of its own, in turn.

Idle threads that still spin would spoil the next one's time, so a gap lies between any two
measurements. In every round each peer is measured once, in random order; a peer's ratio is the
median over the rounds of its time to elman's in the same round.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cases import read_cases

HERE = Path(__file__).resolve().parent

GAP = 0.004  # seconds between two measurements: few, so that sleeping threads are no part of it
TOLERANCE = 1e-3  # of the checksums, float32 sums in different orders


class Peer:
    """A process that answers as peer.h says."""

    def __init__(
        self,
        name: str,
        command: list[str],
        modes: tuple[str, ...],
        threads: int,
        environment: dict[str, str] | None = None,
    ) -> None:
        """Starts the process."""
        self.name = name
        self.modes = modes
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(threads),
                "JAX_PLATFORMS": "cpu",
                **(environment or {}),
            },
        )

    def runs(self) -> bool:
        """Whether it computes a small case; says why it is left out if it does not."""
        try:
            self.ask(f"prepare 20 1 8 8 1 {self.modes[0]}")
        except RuntimeError as wrong:
            print(f"{self.name} is left out: {wrong}", flush=True)
            return False
        return True

    def ask(self, line: str) -> list[float]:
        """Sends a line and returns the numbers of the answer."""
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        except BrokenPipeError:
            answer = []
        if not answer:
            raise RuntimeError(f"it ended with code {self.process.wait()} at '{line}'")
        time.sleep(GAP)
        return [float(word) for word in answer[1:]]

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def measure(peers: list[Peer], size: str, mode: str, rounds: int, seconds: float) -> dict:
    """One case in one mode: for each peer its median time and its median ratio to the first's."""
    ours = peers[0].name
    calls, sums = {}, {}
    for peer in peers:
        once, *sums[peer.name] = peer.ask(f"prepare {size} {mode}")
        calls[peer.name] = min(max(1, math.ceil(seconds / once)), 100000)
    for peer in peers:
        for expected, theirs in zip(sums[ours], sums[peer.name], strict=True):
            if not abs(expected - theirs) <= TOLERANCE * abs(expected):
                sys.exit(f"{peer.name} computes something else than {ours}: {size} {mode} {sums}")
    times = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer in random.sample(peers, len(peers)):
            count = calls[peer.name]
            times[peer.name].append(peer.ask(f"run {count}")[0] / count)
    return {
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "ratios": {
            name: statistics.median(a / b for a, b in zip(values, times[ours], strict=True))
            for name, values in times.items()
            if name != ours
        },
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the comparisons of sequences and of steps have in common."""
    parser.add_argument("--elman", required=True, help="program elman_peer")
    parser.add_argument("--onednn", help="program onednn_peer")
    parser.add_argument("--onednn-sycl", help="the same with the newer oneDNN, which needs SYCL")
    parser.add_argument("--opencl", default="", help="SYCL's driver for the CPU")
    parser.add_argument("--python", help="Python that has elman, torch and onnxruntime")
    parser.add_argument("--python-path", default="", help="folder of the package elman")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.05, help="length of a measurement")
    parser.add_argument("--output", type=Path, required=True)


def start(commands: list[tuple], arguments: argparse.Namespace, threads: int) -> list[Peer]:
    """The peers that run, of (name, command, modes); the first one has to."""
    environment = {"OCL_ICD_FILENAMES": arguments.opencl, "PYTHONPATH": arguments.python_path}
    peers = [Peer(*command, threads, environment) for command in commands]
    running = [peer for peer in peers if peer.runs()]
    if peers[0] not in running:
        sys.exit(1)
    return running


def main() -> None:
    """Measures every case that the peers have in common, and writes the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    parser.add_argument("--jax", help="Python that has JAX")
    parser.add_argument("--only", default=[""], nargs="+", help="cases whose name contains one")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    # JAX and SYCL take as many threads as they have processors.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])

    both, forward = ("forward", "backward"), ("forward",)
    commands = [("elman", [arguments.elman], both)]
    if arguments.onednn:
        commands.append(("oneDNN 3.2", [arguments.onednn], both))
        commands.append(("oneDNN 3.2 inference", [arguments.onednn, "--inference"], forward))
    if arguments.onednn_sycl:
        commands.append(("oneDNN 3.13", [arguments.onednn_sycl], both))
        commands.append(("oneDNN 3.13 inference", [arguments.onednn_sycl, "--inference"], forward))
    if arguments.jax:
        commands.append(("JAX", [arguments.jax, str(HERE / "jax_peer.py")], both))
    if arguments.python:
        script = [arguments.python, str(HERE / "onnxruntime_peer.py")]
        for form in ("Scan", "RNN"):
            options = ["--form", form, "--threads", str(arguments.threads)]
            commands.append((f"onnxruntime {form}", script + options, forward))
    peers = start(commands, arguments, arguments.threads)

    rows = []
    for case in read_cases():
        if (
            case.layers > 1
            or case.directions > 1
            or not any(part in case.name for part in arguments.only)
        ):
            continue
        size = f"{case.T} {case.B} {case.I} {case.H} 1"
        for mode in both:
            able = [peer for peer in peers if mode in peer.modes]
            result = measure(able, size, mode, arguments.rounds, arguments.seconds)
            rows.append({"case": case.name, "mode": mode, **result})
            ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result["ratios"].items())
            print(f"{case.name} {mode}: times of elman's: {ratios}", flush=True)
    for peer in peers:
        peer.close()
    names = [peer.name for peer in peers]
    arguments.output.write_text(json.dumps({"peers": names, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
