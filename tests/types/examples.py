"""Calls as users write them, for the type checker alone: nothing here is run.

`assert_type` fails where a type that the package promises has become another one.
"""

import elman
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from typing_extensions import assert_type

x = torch.randn(20, 3, 8)

rnn = elman.RNN(8, 16, num_layers=2, truncation=(5, 20), device="cpu", dtype=torch.float32)
rnn.truncation = 20
rnn.truncation = None
output, h_n = rnn.forward(x, None, reset=torch.zeros(20, 3, dtype=torch.bool))
assert_type(output, Tensor | PackedSequence)
assert_type(h_n, Tensor)

cell = elman.RNNCell(8, 16, nonlinearity="sigmoid", device=torch.device("cpu"))
assert_type(cell.forward(x[0]), Tensor)

network = elman.Network(8, 16, 4, mapping="many_to_one", num_layers=2, truncation=5)
assert_type(network.forward(x)[1], Tensor)
network_of_wrong_arguments = elman.Network(8, 16, 4, layers=2)  # type: ignore[call-arg]

stream = elman.Stream(rnn, k1=5, k2=20)
assert_type(stream(x[:5]), Tensor)
assert_type(stream.state, Tensor | None)
assert_type(stream.state_dict(), dict[str, Tensor])
stream.k1 = 3  # type: ignore[misc]

norms = elman.gradient_by_lag(rnn, x, max_lag=10)
assert_type(norms, Tensor)
adaptive = elman.AdaptiveTruncation(tolerance=0.1, max_length=10)
rnn.truncation = 1, adaptive.update(norms)

assert_type(elman.random_truncation(20, 3, length=5, device="cpu"), Tensor)
assert_type(elman.convert(torch.nn.Sequential(torch.nn.RNN(8, 16)), report=print), torch.nn.Module)
reports: list[elman.Conversion] = []
elman.to_torch(network, report=reports)
assert_type(elman.kernel_info(rnn, x), str)
assert_type(elman.load_from("keras", [1, 2]), elman.RNN)
assert_type(elman.reset_from_flags(torch.zeros(20, 3), "rsl_rl"), Tensor)
assert_type(elman.pack_padded_sequence(x, [20, 3, 1]), PackedSequence)
assert_type(
    elman.pad_packed_sequence(elman.pack_padded_sequence(x, [20, 3, 1])), tuple[Tensor, Tensor]
)
assert_type(elman.cmake_prefix_path, str)
leaky = elman.LeakyRNN(8, 16, alpha=0.2, device="cpu", dtype=torch.float32)
assert_type(leaky.output(h_n), Tensor)
leaky_of_wrong_dtype = elman.LeakyRNN(8, 16, alpha=0.2, dtype="float32")  # type: ignore[arg-type]
assert_type(elman.LeakyRNNCell(8, 16, tau=100.0, dt=20.0, device="cpu").forward(x[0]), Tensor)
assert_type(elman.Stepper(rnn).step(x[0, 0]), Tensor)
assert_type(elman.forgetting_length(rnn, x), int | None)
