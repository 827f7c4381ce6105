"""`decompose`: exported programs in ATen's operators only, for tools that know no others."""

import torch

from elman import _plain
from elman._decompositions import decompositions

__all__ = ["decompose"]


def decompose(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """An exported program in which elman's operators are written in ATen's, step by step.

    For ExecuTorch, LiteRT, Core ML and other tools that compile for devices. The number of steps is
    that of the program, and has to be fixed; the batch may be dynamic, where the tool takes that.
    What only gradients know (truncation, `carry_scale`) leaves no trace. Everything else in the
    program stays as it is; ``program.run_decompositions()`` by itself keeps elman's operators.

    Args:
        program: what :func:`torch.export.export` returned, for a model in evaluation mode

    Returns:
        a new program

    Raises:
        RuntimeError: the number of steps is dynamic, there is dropout in training mode, or the
            numbers are complex
        TypeError: `program` is no ExportedProgram

    Example::

        >>> program = elman.decompose(torch.export.export(model.eval(), (x,)))
    """
    if not isinstance(program, torch.export.ExportedProgram):
        raise TypeError(
            "program should be a torch.export.ExportedProgram, as torch.export.export returns it, "
            f"got: {type(program).__name__}"
        )
    return program.run_decompositions(decompositions(_plain.unrolled))
