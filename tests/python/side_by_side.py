"""elman.RNN and torch.nn.RNN with the same parameters, and what they compute."""

import elman
import torch

KINDS = (elman.RNN, torch.nn.RNN)


def example(dtype=torch.float64):
    """[5, 3, 4], the same numbers each time."""
    return torch.randn(5, 3, 4, dtype=dtype, generator=torch.Generator().manual_seed(2))


def outcome(module):
    """Output, h_n and every parameter's gradient."""
    output, h_n = module(example())
    loss = output.square().sum() + h_n.sum()
    return output, h_n, *torch.autograd.grad(loss, list(module.parameters()))


def modules(*args, **kwargs):
    """Ours, then theirs: of 4 inputs and 6 hidden units, in float64."""
    for kind in KINDS:
        torch.manual_seed(1)
        yield kind(4, 6, *args, dtype=torch.float64, **kwargs)
