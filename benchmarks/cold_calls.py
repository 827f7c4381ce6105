"""What a second thread brings, and what it costs where it has to be woken first.

    PYTHONPATH=build/release/python python benchmarks/cold_calls.py [--against FOLDER]

Calls follow each other (hot), or come 5 or 20 ms apart, when threads that wait for work have gone
to sleep. Prints a Markdown table for each: the time of a call on one thread, and that time divided
by the one that the call takes with all threads, so below 1 the threads make it slower. --against
names the folder of another build's Python package: then also that build's time divided by this
one's, with all threads. Float32, tanh; all sides take turns, each in a process of its own, and the
figures are medians of rounds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

# T, B, I, H
CASES = [
    (20, 1, 64, 64),
    (50, 1, 64, 64),
    (100, 1, 64, 64),
    (100, 4, 32, 32),
    (10, 16, 64, 64),
    (100, 1, 128, 128),
    (100, 4, 64, 64),
    (1, 32, 256, 256),
    (20, 32, 64, 64),
    (1000, 1, 64, 64),
    (100, 16, 64, 64),
    (100, 1, 256, 256),
]
GAPS = (0, 5, 20)  # ms


class Workload:
    """One case, forward or forward and backward."""

    def __init__(self, steps, batch, inputs, hidden, *, train):
        import torch  # in a worker only

        torch.manual_seed(0)
        self.torch, self.train = torch, train
        self.input = torch.randn(steps, batch, inputs)
        weights = torch.nn.RNN(inputs, hidden).parameters()
        self.params = [weight.detach().requires_grad_(train) for weight in weights]
        self.grad_output = torch.randn(steps, batch, hidden)

    def __call__(self):
        arguments = (self.input, None, self.params, True, 1, 0.0, True, False, False)
        output = self.torch.ops.elman.rnn(*arguments)[0]
        if self.train:
            self.torch.autograd.grad(output, self.params, self.grad_output)


def seconds_of_calls(run, gap, seconds):
    """The time of a call in seconds: the median of calls `gap` ms apart, or the mean of a block."""
    if gap:
        times = []
        for _ in range(max(5, int(seconds / (gap / 1000)))):
            time.sleep(gap / 1000)
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return statistics.median(times)
    run()  # wakes the threads
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(5):
            run()
        calls += 5
    return (time.perf_counter() - start) / calls


def work():
    """Answers `T B I H train threads gap seconds` on stdin with the time of a call."""
    import elman  # noqa: F401
    import torch

    workloads = {}
    for line in sys.stdin:
        *numbers, seconds = line.split()
        *case, train, threads, gap = map(int, numbers)
        key = (*case, train)
        if key not in workloads:
            workloads[key] = Workload(*case, train=bool(train))
            workloads[key]()
        torch.set_num_threads(threads)
        time.sleep(0.005)  # threads of the last measurement have stopped waiting
        print(seconds_of_calls(workloads[key], gap, float(seconds)), flush=True)


class Side:
    """A build with a number of threads, in a process of its own."""

    def __init__(self, threads, folder=None):
        environment = dict(os.environ)
        if folder is not None:
            environment["PYTHONPATH"] = str(folder)
        self.threads = threads
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).resolve(), "--worker"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def seconds(self, case, train, gap, seconds):
        """The time of a call."""
        words = [*case, int(train), self.threads, gap, seconds]
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def measure(sides, case, train, gap, options):
    """For each side its times, round by round, in turns that begin with each side by turns."""
    times = {name: [] for name in sides}
    names = list(sides)
    for turn in range(options.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(sides[name].seconds(case, train, gap, options.seconds))
    return times


def ratio(times, name, to):
    """The median of the rounds' ratios."""
    pairs = zip(times[name], times[to], strict=True)
    return f"{statistics.median(a / b for a, b in pairs):.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="folder of another build's Python package")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.03, help="length of a measurement")
    parser.add_argument("--gaps", type=int, nargs="*", default=GAPS, help="ms between calls")
    parser.add_argument("--only", default="", help="cases that are written so, as 100·1·64·64")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work()
    sides = {"one": Side(1), "all": Side(options.threads)}
    if options.against:
        sides["other"] = Side(options.threads, options.against.resolve())
    head = ["T · B · I · H"]
    for mode in ("forward", "train"):
        head += [f"{mode}, 1 thread, µs", f"1 / {options.threads} threads"]
        if options.against:
            head.append("other build / this")
    for gap in options.gaps:
        print(f"\n{gap} ms apart" if gap else "\nhot", flush=True)
        print("| " + " | ".join(head) + " |\n|---|" + "---:|" * (len(head) - 1), flush=True)
        for case in CASES:
            row = [" · ".join(map(str, case))]
            if options.only and options.only != row[0].replace(" ", ""):
                continue
            for train in (False, True):
                times = measure(sides, case, train, gap, options)
                row.append(f"{1e6 * statistics.median(times['one']):.0f}")
                row.append(ratio(times, "one", "all"))
                if options.against:
                    row.append(ratio(times, "other", "all"))
            print("| " + " | ".join(row) + " |", flush=True)
    for side in sides.values():
        side.close()


if __name__ == "__main__":
    main()
