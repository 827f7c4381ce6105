#!/bin/sh
# torch 2.11.0: a module that takes a PackedSequence and pads it, torch's own pad_packed_sequence and
# nothing else, runs in eager mode and stops with TorchRuntimeError under torch.compile with default
# settings: dynamo traces into _pad_packed_sequence with tensors that have no values, instead of
# breaking the graph as at pack_padded_sequence. With a torch.nn.RNN and the padding in one forward it
# goes well, because dynamo gives up that whole frame at the RNN; with the padding in a submodule it
# does not. torch 2.15.0 breaks the graph and is right.
#
# Exits non-zero if that changes. PYTHON=... takes an interpreter that has torch already.
#
# Output seen (2026-11-28, torch 2.11.0+cu130, Python 3.11, Linux):
#   torch 2.11.0+cu130
#   eager: (5, 3, 2)
#   RNN and padding in one forward, compiled: (5, 3, 2), equal: True
#   padding in a submodule, compiled: TorchRuntimeError: RuntimeError when making fake tensor call
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ -z "${PYTHON:-}" ]; then
  python3 -m venv "$folder/venv"
  PYTHON="$folder/venv/bin/python"
  "$PYTHON" -m pip install --quiet torch==2.11.0 numpy
fi
cat > "$folder/pad.py" <<'EOF'
import sys

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(6, 2)

    def forward(self, packed):
        return self.out(pad_packed_sequence(packed)[0])


class Model(torch.nn.Module):
    def __init__(self, apart):
        super().__init__()
        self.rnn, self.decoder, self.apart = torch.nn.RNN(4, 6), Decoder(), apart

    def forward(self, x, lengths):
        states, _ = self.rnn(pack_padded_sequence(x, lengths))
        if self.apart:
            return self.decoder(states)
        return self.decoder.out(pad_packed_sequence(states)[0])


x, lengths = torch.randn(5, 3, 4), torch.tensor([5, 3, 2])
print("torch", torch.__version__)
model = Model(apart=False)
expected = model(x, lengths)
print("eager:", tuple(expected.shape))
actual = torch.compile(model, backend="eager")(x, lengths)
print(
    "RNN and padding in one forward, compiled:",
    f"{tuple(actual.shape)}, equal: {torch.equal(actual, expected)}",
)
torch._dynamo.reset()
try:
    torch.compile(Model(apart=True), backend="eager")(x, lengths)
except torch._dynamo.exc.TorchRuntimeError as error:
    print("padding in a submodule, compiled: TorchRuntimeError:", str(error).splitlines()[0])
else:
    sys.exit("the behaviour has changed: padding in a submodule was compiled")
EOF
"$PYTHON" -W ignore "$folder/pad.py"
