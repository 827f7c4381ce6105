"""Tries an installed elman: python try_wheel.py VERSION_OF_TORCH.

The library has to be that of this torch, lie in the installed package, and compute what
torch.nn.RNN computes, forward and backward; the C++ program of README.md has to build against the
package and run.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import elman
import torch

wanted = sys.argv[1]
assert torch.__version__.partition("+")[0] == wanted, torch.__version__
prefix = Path(elman.cmake_prefix_path)
assert Path(sys.prefix) in prefix.parents, prefix
assert prefix.name in ("elman", f"torch-{wanted}"), prefix
assert (prefix / "lib" / "cmake" / "Elman" / "ElmanConfig.cmake").is_file()

torch.manual_seed(0)
theirs = torch.nn.RNN(5, 7, 2, dtype=torch.float64)
ours = elman.RNN(5, 7, 2, dtype=torch.float64)
ours.load_state_dict(theirs.state_dict())
x = torch.randn(11, 3, 5, dtype=torch.float64)
for rnn in (theirs, ours):
    output, h_n = rnn(x)
    (output.square().sum() + h_n.sum()).backward()
torch.testing.assert_close(ours(x)[0], theirs(x)[0])
for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
    torch.testing.assert_close(a.grad, b.grad)
assert elman.kernel_info(ours, x).startswith("cpu"), elman.kernel_info(ours, x)
program = Path(__file__).parents[1] / "examples" / "first"
with tempfile.TemporaryDirectory() as build:
    options = ["-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_PREFIX_PATH={prefix}"]
    subprocess.run(["cmake", "-S", program, "-B", build, *options], check=True)
    subprocess.run(["cmake", "--build", build], check=True)
    subprocess.run([f"{build}/first"], check=True)
print(f"elman {elman.__version__} with torch {wanted}: {elman.kernel_info(ours, x)}")
