"""torch.library.opcheck, all of its checks, on every public operator."""

import pytest
import torch
from samples import REPRESENTATIVE, make


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_rnn(case):
    sample = make(case)
    torch.library.opcheck(sample.op, sample.args(), sample.kwargs())


@pytest.mark.parametrize("batch", [(), (3,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("has_hx", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "sigmoid"])
def test_rnn_cell(batch, has_hx, bias, nonlinearity):
    shapes = [(*batch, 4), (*batch, 6) if has_hx else None, (6, 4), (6, 6), *([(6,), (6,)] * bias)]
    args = [
        None if shape is None else torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]
    torch.library.opcheck(torch.ops.elman.rnn_cell.default, args, {"nonlinearity": nonlinearity})
