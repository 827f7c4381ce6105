"""A call of every path, precision and kind on the GPU against float64 on the CPU, in a minute.

    python gpu_smoke.py [--jobs N] [--device cuda] [--load LIBRARY]

Each path and precision runs in a process of its own, several side by side: a kernel that faults
takes only its own process down, and one that hangs is stopped. A line for each says how many calls
were right, or names the first ones that were not. `--device cpu --load LIBRARY`, with the library
of tests/cpp/cuda/on_cpu, is the rehearsal on a machine without a GPU: smaller sizes, the kernels in
the emulator.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

PATHS = ("general", "persistent", "async")
#: dtype, whether products may be rounded to TF32, and the largest error relative to the largest
#: value: of results, and of gradients
PRECISIONS = {
    "fp64": ("float64", False, 1e-11, 1e-10),
    "fp32": ("float32", False, 1e-5, 3e-5),
    "tf32": ("float32", True, 5e-3, 2e-2),
    "bf16": ("bfloat16", False, 5e-2, 1e-1),
    "fp16": ("float16", False, 5e-3, 2e-2),
}
SECONDS = 60  # after which a process counts as hanging


@dataclass(frozen=True)
class Kind:
    """What is called: arguments of elman.RNN, or with alpha of elman.LeakyRNN, and of its call."""

    name: str
    options: dict
    reset: bool = False
    carry_scale: bool = False
    packed: bool = False
    smooth: bool = True


KINDS = (
    Kind("plain", {}),
    # Rounding may take a unit over the kink of relu, whose gradient then is another one.
    Kind("relu, no bias", {"nonlinearity": "relu", "bias": False}, smooth=False),
    Kind(
        "two layers, two directions, truncation 3",
        {"num_layers": 2, "bidirectional": True, "truncation": 3},
    ),
    Kind("two layers, truncation (2, 5)", {"num_layers": 2, "truncation": (2, 5)}),
    Kind("softplus", {"nonlinearity": "softplus"}),
    Kind("identity", {"nonlinearity": "identity"}),
    Kind("sigmoid, truncation (1, 4)", {"truncation": (1, 4), "nonlinearity": "sigmoid"}),
    Kind("reset and carry_scale", {"truncation": (2, 4)}, reset=True, carry_scale=True),
    Kind("reset, two directions", {"bidirectional": True}, reset=True),
    Kind("packed, two directions", {"bidirectional": True, "num_layers": 2}, packed=True),
    Kind("packed, truncation (2, 3)", {"truncation": (2, 3)}, packed=True),
    Kind("leaky, rate, two layers", {"alpha": 0.3, "num_layers": 2}),
    Kind(
        "leaky, current, truncation (2, 4), reset and carry_scale",
        {"alpha": 0.3, "form": "current", "truncation": (2, 4), "nonlinearity": "sigmoid"},
        reset=True,
        carry_scale=True,
    ),
    Kind("leaky, packed, two directions", {"alpha": 0.3, "bidirectional": True}, packed=True),
)


def results(rnn, given, hx, extra):
    """Output, h_n, and the gradients of a loss that is the same wherever it is computed."""
    import torch

    output, h_n = rnn(given, hx, **extra)
    data = output.data if isinstance(output, torch.nn.utils.rnn.PackedSequence) else output
    weights = torch.linspace(-1, 1, data.numel(), dtype=torch.float64).to(data)
    loss = (data.flatten() * weights).sum() + h_n.sum()
    x = given.data if isinstance(given, torch.nn.utils.rnn.PackedSequence) else given
    gradients = torch.autograd.grad(loss, [x, hx, *rnn.parameters()])
    return [data, h_n], list(gradients)


def largest_error(actual, expected):
    """Relative to the largest value; infinite where something is not finite."""
    error = 0.0
    for a, e in zip(actual, expected, strict=True):
        off = (a.detach().double().cpu() - e.detach()).abs().max().item()
        off /= max(e.abs().max().item(), 1e-3)
        error = max(error, off if off == off else float("inf"))
    return error


def check(kind, dtype, device, T, B, H):
    """The largest errors of results and gradients of one call."""
    import elman
    import torch

    torch.manual_seed(H + B)
    module = elman.LeakyRNN if "alpha" in kind.options else elman.RNN
    ours = module(9, H, **kind.options).to(device, dtype)
    reference = module(9, H, **kind.options).double()
    reference.load_state_dict({k: v.double().cpu() for k, v in ours.state_dict().items()})
    cells = ours.num_layers * (2 if ours.bidirectional else 1)

    def leaf(*shape):
        drawn = torch.randn(*shape).to(dtype)
        return drawn.double().requires_grad_(), drawn.to(device).requires_grad_()

    (x_ref, x), (hx_ref, hx) = leaf(T, B, 9), leaf(cells, B, H)
    extra_ref, extra = {}, {}
    if kind.reset:
        extra_ref["reset"] = torch.rand(T, B) < 0.3
    if kind.carry_scale:
        extra_ref["carry_scale"] = (torch.rand(T, B) < 0.7) * 1.25
    for name, value in extra_ref.items():
        extra[name] = value.to(device)
    if kind.packed:
        pack = torch.nn.utils.rnn.pack_padded_sequence
        lengths = torch.linspace(T, 1, B).round().long()
        x_ref, x = pack(x_ref, lengths), pack(x, lengths)
    expected = results(reference, x_ref, hx_ref, extra_ref)
    actual = results(ours, x, hx, extra)
    info = elman.kernel_info(ours, x, hx)
    return *map(largest_error, actual, expected), info


def run_group(path, precision, device, library):
    """All calls of one path and precision; returns how many failed."""
    import torch

    if library:
        import elman  # noqa: F401 - registers the operators first

        torch.ops.load_library(library)
    os.environ["ELMAN_CUDA_PATH"] = path
    dtype_name, tf32, allowed, allowed_gradient = PRECISIONS[precision]
    dtype = getattr(torch, dtype_name)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    sizes = ((12, 5, 5), (12, 3, 72), (9, 70, 264), (12, 1, 520), (7, 20, 1100))
    if device == "cpu":  # a rehearsal
        sizes = ((4, 2, 5), (3, 2, 40))
    calls = persistent = failed = 0
    worst = 0.0
    for kind, (T, B, H) in itertools.product(KINDS, sizes):
        error, gradient_error, info = check(kind, dtype, device, T, B, H)
        calls += 1
        persistent += "forward: persistent path" in info
        if not kind.smooth and precision not in ("fp64", "fp32"):
            gradient_error = 0.0
        worst = max(worst, error / allowed, gradient_error / allowed_gradient)
        if error > allowed or gradient_error > allowed_gradient:
            failed += 1
            if failed <= 3:
                print(
                    f"  {kind.name}, T={T} B={B} H={H}: off by {error:.1e}, "
                    f"gradients {gradient_error:.1e}; {info}"
                )
    print(
        f"{path} {precision}: {calls - failed} of {calls} right, "
        f"{persistent} forward passes persistent, "
        f"largest error {worst:.2g} of what is allowed"
    )
    return failed


def start_group(path, precision, options):
    command = [sys.executable, __file__, "--group", path, precision, "--device", options.device]
    command += ["--load", options.load] if options.load else []
    start = time.perf_counter()
    try:
        # Few threads each: the references run on the CPU, of all groups at the same time.
        environment = os.environ | {"OMP_NUM_THREADS": "2"}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, env=environment
        )
        text, code = done.stdout, done.returncode
        if code not in (0, 1) or not text:
            text += done.stderr[-1500:]
    except subprocess.TimeoutExpired:
        text, code = "", 124
    if code not in (0, 1):
        text += f"{path} {precision}: stopped with {code}"
    print(f"{text.rstrip()} ({time.perf_counter() - start:.0f} s)", flush=True)
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--load", help="a library with kernels that take the place of elman's own")
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--group", nargs=2, help="PATH PRECISION: this one only, in this process")
    options = parser.parse_args()
    if options.group:
        return int(run_group(*options.group, options.device, options.load) > 0)
    with ThreadPoolExecutor(options.jobs) as pool:
        groups = list(itertools.product(PATHS, PRECISIONS))
        done = list(pool.map(lambda group: start_group(*group, options), groups))
    failed = sum(code != 0 for code in done)
    print(f"{len(done) - failed} passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
