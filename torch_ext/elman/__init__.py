"""elman: the Elman recurrent network as fused PyTorch operators, with explicit truncated BPTT.

>>> import torch, elman
>>> rnn = elman.RNN(10, 20, num_layers=2, truncation=(5, 20))  # otherwise as torch.nn.RNN
>>> output, h_n = rnn(torch.randn(100, 3, 10))
>>> output.sum().backward()  # every 5 steps, errors go back through at most 20

The operators themselves are `torch.ops.elman.rnn`, `torch.ops.elman.rnn.data` (packed sequences)
and `torch.ops.elman.rnn_cell`.
"""

import sys

if sys.version_info < (3, 10):  # noqa: UP036 - pip is not the only way to get here
    raise ImportError(f"elman needs Python 3.10 or later, but this is Python {sys.version}")

from elman._library import cmake_prefix_path, load

load()

# Registered with torch: what its compilers, flop counter and ONNX exporter make of the operators.
from elman import _compile, _dtensor, _fake, _per_sample, flops, onnx  # noqa: E402, F401
from elman._build_info import version as __version__  # noqa: E402
from elman.adaptive_truncation import AdaptiveTruncation  # noqa: E402
from elman.convert import Conversion, convert, to_torch  # noqa: E402
from elman.decompose import decompose  # noqa: E402
from elman.forgetting_length import forgetting_length  # noqa: E402
from elman.gradient_by_lag import gradient_by_lag, plot_gradient_by_lag  # noqa: E402
from elman.kernel_info import kernel_info  # noqa: E402
from elman.leaky_rnn import LeakyRNN  # noqa: E402
from elman.leaky_rnn_cell import LeakyRNNCell  # noqa: E402
from elman.load_from import load_from  # noqa: E402
from elman.network import Network  # noqa: E402
from elman.packing import pack_padded_sequence, pad_packed_sequence  # noqa: E402
from elman.random_truncation import random_truncation  # noqa: E402
from elman.reset_from_flags import reset_from_flags  # noqa: E402
from elman.rnn import RNN  # noqa: E402
from elman.rnn_cell import RNNCell  # noqa: E402
from elman.stepper import Stepper, save_stepper  # noqa: E402
from elman.stream import Stream  # noqa: E402

__all__ = [
    "RNN",
    "AdaptiveTruncation",
    "Conversion",
    "LeakyRNN",
    "LeakyRNNCell",
    "Network",
    "RNNCell",
    "Stepper",
    "Stream",
    "__version__",
    "cmake_prefix_path",
    "convert",
    "decompose",
    "forgetting_length",
    "gradient_by_lag",
    "kernel_info",
    "load_from",
    "pack_padded_sequence",
    "pad_packed_sequence",
    "plot_gradient_by_lag",
    "random_truncation",
    "reset_from_flags",
    "save_stepper",
    "to_torch",
]
