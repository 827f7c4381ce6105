"""torch.library.opcheck of the operators with a leak."""

import leaky_samples
import pytest
import torch


@pytest.mark.parametrize("case", leaky_samples.REPRESENTATIVE, ids=str)
def test_rnn(case):
    sample = leaky_samples.make(case)
    torch.library.opcheck(sample.op, sample.args(), sample.kwargs())


@pytest.mark.parametrize("form", ["rate", "current"])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_cell(form, batch):
    def leaf(*shape):
        return torch.randn(shape, dtype=torch.float64, requires_grad=True)

    arguments = (leaf(*batch, 3), leaf(*batch, 4), leaf(4, 3), leaf(4, 4), leaf(4), leaf(4))
    leak = (torch.rand(4, dtype=torch.float64) * 0.9 + 0.05).requires_grad_()
    options = {"leak": leak, "leak_form": form, "preactivation": leaf(*batch, 4)}
    torch.library.opcheck(torch.ops.elman.rnn_cell.default, arguments, options)
