"""What the tests of torch.jit share."""

import io

import torch


def save_and_load(scripted):
    """What is read back of a script that was saved."""
    buffer = io.BytesIO()
    torch.jit.save(scripted, buffer)
    buffer.seek(0)
    return torch.jit.load(buffer)


class Parent(torch.nn.Module):
    """A user's module around one of elman's."""

    def __init__(self, child: torch.nn.Module):
        super().__init__()
        self.child = child

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.child(x)[0]
