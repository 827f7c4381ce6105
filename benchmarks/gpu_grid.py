"""Measures elman beside cuDNN (torch.nn.RNN), FlashRNN and FlagGems on one GPU.

    python gpu_grid.py RESULTS.json [--part I/N] [--seconds S] [--paths]

Cases are dealt to N parts; each part's file can be given to gpu_report.py together with the others.
The sides of a case are measured by turns, so that a change of the clock meets all of them. With
`--device cpu` tiny cases run on the CPU: a test that this file still works, and no measurement.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import elman
import torch
from gpu_cases import PRECISIONS, Case, Workload, full_grid, tiny_grid


class Clock:
    """Times calls in seconds: by events on a GPU, else by the wall clock."""

    def __init__(self, device: str) -> None:
        self.cuda = device == "cuda"

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def time(self, call: Callable[[], object]) -> float:
        if not self.cuda:
            start = time.perf_counter()
            call()
            return time.perf_counter() - start
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3


def measure(sides: dict[str, Callable[[], object]], clock: Clock, budget: float) -> dict[str, dict]:
    """Median and quartiles of each side, in seconds; a side that cannot run says why instead."""
    results: dict[str, dict] = {}
    running = dict(sides)
    for name, call in sides.items():
        try:
            call()
            clock.synchronize()
        except Exception as error:
            if name in ("elman", "torch"):
                raise
            results[name] = {"error": f"{type(error).__name__}: {error}"[:300]}
            del running[name]
    times: dict[str, list[float]] = {name: [] for name in running}
    end = time.perf_counter() + budget
    while len(times["elman"]) < 3 or (time.perf_counter() < end and len(times["elman"]) < 200):
        for name, call in running.items():
            times[name].append(clock.time(call))
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        results[name] = {"median": middle, "quartiles": [low, high], "count": len(values)}
    return results


def set_precision(precision: str) -> torch.dtype:
    dtype, tf32 = PRECISIONS[precision]
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    return dtype


def ceilings(device: str, clock: Clock) -> dict[str, float]:
    """What this device reaches at its best: FLOP/s of a large product in each precision, and bytes
    a second of a large copy, read and written."""
    n = 8192 if device == "cuda" else 64
    result = {}
    for precision in PRECISIONS:
        a = torch.randn(n, n, device=device).to(set_precision(precision))
        seconds = min(clock.time(lambda a=a: a @ a) for _ in range(5))
        result[precision] = 2.0 * n**3 / seconds
    source = torch.randn(8 * n * n, device=device)
    target = torch.empty_like(source)
    seconds = min(clock.time(lambda: target.copy_(source)) for _ in range(5))
    return result | {"copy": 2 * source.nbytes / seconds}


def describe(device: str) -> dict:
    context = {"torch": torch.__version__, "elman": elman.__version__, "device": device}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        context |= {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return context


def run_case(case: Case, device: str, clock: Clock, budget: float, paths: bool) -> dict:
    set_precision(case.precision)
    workload = Workload(case, device)
    sides = measure(workload.sides(paths), clock, budget)
    return {"case": case.fields(), "kernel": workload.kernel(), "sides": sides}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--part", default="1/1", help="I/N: every N-th case from the I-th on")
    parser.add_argument("--seconds", type=float, default=420, help="aim for this time in all")
    parser.add_argument("--paths", action="store_true", help="measure both of elman's paths, too")
    options = parser.parse_args()

    part, parts = map(int, options.part.split("/"))
    grid = tiny_grid() if options.device == "cpu" else full_grid()
    random.Random(0).shuffle(grid)  # where the time ends early a fair sample is left
    cases = grid[part - 1 :: parts]
    clock = Clock(options.device)
    torch.manual_seed(0)
    results = {"context": describe(options.device), "ceilings": ceilings(options.device, clock)}
    results["cases"] = []
    start = time.perf_counter()
    for i, case in enumerate(cases):
        left = options.seconds - (time.perf_counter() - start)
        if left <= 0:
            print(f"out of time: {len(cases) - i} cases are missing")
            break
        budget = min(0.5, 0.5 * left / (len(cases) - i))
        results["cases"].append(run_case(case, options.device, clock, budget, options.paths))
        options.results.write_text(json.dumps(results, indent=1))
    print(f"{len(results['cases'])} of {len(cases)} cases in {options.results}")


if __name__ == "__main__":
    main()
