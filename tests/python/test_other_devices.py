"""A device that elman knows nothing of: the operators run there, and say once what is missing.

The device is PyTorch's PrivateUse1 with a fallback that runs every operator on the CPU. There is no
way to undo that, so it lives in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import torch
from samples import Case, assert_close, make
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class OnToy(torch.Tensor):
    # A tensor of the device; its values are those of a CPU tensor.
    @staticmethod
    def __new__(cls, on_cpu):
        tensor = torch._C._acc.create_empty_tensor(on_cpu.shape, on_cpu.dtype)
        tensor.__class__ = cls
        tensor.on_cpu = on_cpu
        return tensor


def run_on_cpu(operator, *args, **kwargs):
    def lower(x):
        return torch.device("cpu") if isinstance(x, torch.device) else getattr(x, "on_cpu", x)

    def lift(x):
        return OnToy(x) if isinstance(x, torch.Tensor) else x

    return tree_map(lift, operator(*tree_map(lower, args), **tree_map(lower, kwargs)))


_setup_privateuseone_for_python_backend("toy")
fallback = torch.library.Library("_", "IMPL")
fallback.fallback(run_on_cpu, "PrivateUse1")

sample = make(Case(num_layers=2, bidirectional=True))
leaves = [OnToy(leaf.detach()) for leaf in sample.leaves()]
for call in range(2):
    results = sample.run(leaves)
    assert all(result.device.type == "toy" for result in results)
    assert_close([result.on_cpu for result in results], sample.run())
print(torch.ops.elman.kernel_info(*sample.args(leaves), **sample.kwargs()))
"""


def test_the_operators_run_and_warn_once():
    tests = str(Path(__file__).parent)
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert result.returncode == 0, result.stderr
    missing = "elman has no kernels for tensors on 'toy'"
    assert result.stderr.count(missing) == 1, result.stderr
    assert result.stdout.startswith("composite: PyTorch operators; " + missing)
