"""Computes one case of the GPU grid three times: what a profiler watches.

python gpu_one_case.py KIND T B H PRECISION MODE [--device cuda]
"""

from __future__ import annotations

import argparse

import torch
from gpu_cases import Case, Workload
from gpu_grid import set_precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    for size in ("T", "B", "H"):
        parser.add_argument(size, type=int)
    parser.add_argument("precision")
    parser.add_argument("mode")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = vars(parser.parse_args())
    device = options.pop("device")
    if device == "cpu":  # a rehearsal
        options |= {"T": 8, "B": 2, "H": 16}
    case = Case(**options)
    set_precision(case.precision)
    torch.manual_seed(0)
    workload = Workload(case, device)
    call = workload.sides()["elman"]
    for _ in range(3):
        call()
    if device == "cuda":
        torch.cuda.synchronize()
    print(workload.kernel())


if __name__ == "__main__":
    main()
