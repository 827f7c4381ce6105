"""Packing and padding that compilers and exporters trace."""

import torch
from torch import Tensor
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence

__all__ = ["pack_padded_sequence", "pad_packed_sequence"]


def pack_padded_sequence(
    input: Tensor,
    lengths: Tensor | list[int],
    batch_first: bool = False,
    enforce_sorted: bool = True,
) -> PackedSequence:
    """:func:`torch.nn.utils.rnn.pack_padded_sequence`, traceable.

    Outside of a compiler it is torch's function. Under :func:`torch.export.export`, and under
    :func:`torch.compile` where ``torch._dynamo.config.capture_dynamic_output_shape_ops`` is set, it
    stays in the graph: how many rows are packed depends on the values of ``lengths``. Without that
    setting the graph breaks here, as at torch's function. Wrong lengths raise a RuntimeError when
    the graph runs.

    Args:
        input: `(T, B, *)`, or `(B, T, *)` with ``batch_first``
        lengths: `(B)` the length of each sequence, on the CPU
        batch_first: as for torch's function. Default: ``False``
        enforce_sorted: whether ``lengths`` are in decreasing order. Default: ``True``. In a graph
            the result has ``sorted_indices`` either way, which say how many sequences there are

    Example::

        >>> packed = elman.pack_padded_sequence(x, lengths, enforce_sorted=False)
        >>> output, h_n = rnn(packed)
        >>> padded, lengths = elman.pad_packed_sequence(output)
    """
    if not torch.compiler.is_compiling():
        return rnn.pack_padded_sequence(input, lengths, batch_first, enforce_sorted)
    lengths = torch.as_tensor(lengths, dtype=torch.int64)
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch = input.shape[:2]
    torch._check(
        lengths.size(0) == batch,
        lambda: "Expected `len(lengths)` to be equal to batch_size",  # names no values: see below
    )
    _check_lengths(lengths, steps, enforce_sorted)
    if enforce_sorted:
        order = torch.arange(batch, device=input.device)
    else:
        lengths, order = lengths.sort(descending=True)
        order = order.to(input.device)
        input = input.index_select(1, order)
    alive = torch.arange(steps).unsqueeze(1) < lengths  # [T, B]
    rows = alive.flatten().nonzero().squeeze(1).to(input.device)
    batch_sizes = alive.sum(1)
    batch_sizes = batch_sizes[batch_sizes > 0]
    for size in (rows.size(0), batch_sizes.size(0)):
        torch._check(size >= 1)
    data = input.flatten(0, 1).index_select(0, rows)
    return PackedSequence(data, batch_sizes, order, order.argsort())


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`torch.nn.utils.rnn.pad_packed_sequence`, traceable: see `pack_padded_sequence`.

    Outside of a compiler it is torch's function. In a graph it takes what
    :func:`elman.pack_padded_sequence` and the modules make, or any sequence with
    ``unsorted_indices``; without those the number of sequences is a value, and compilers break the
    graph unless ``torch._dynamo.config.capture_scalar_outputs`` is set.

    Args:
        sequence: the packed sequences
        batch_first: whether the result is `(B, T, *)`, else `(T, B, *)`. Default: ``False``
        padding_value: what fills the steps behind a sequence's end. Default: 0
        total_length: T, at least the longest sequence's length. Default: that length

    Returns the padded tensor and the lengths, `(B)` on the CPU, in the sequences' own order.
    """
    if not torch.compiler.is_compiling():
        return rnn.pad_packed_sequence(sequence, batch_first, padding_value, total_length)
    data, batch_sizes, _, unsorted_indices = sequence
    if total_length is not None:
        longest = batch_sizes.size(0)
        # Dynamo takes no message that refers to variables.
        torch._check(
            total_length >= longest,
            lambda: "Expected total_length to be at least the length of the longest sequence",
        )
        batch_sizes = torch.nn.functional.pad(batch_sizes, (0, total_length - longest))
    if unsorted_indices is None:
        batch = batch_sizes[0].item()
        torch._check(batch >= 1)
    else:
        batch = unsorted_indices.size(0)
    sequences = torch.arange(batch)
    alive = sequences < batch_sizes.unsqueeze(1)  # [T, B]
    first_rows = batch_sizes.cumsum(0) - batch_sizes  # [T] where each step's rows begin in data
    rows = torch.where(alive, first_rows.unsqueeze(1) + sequences, 0).to(data.device)
    padded = data.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    outside = ~alive.to(data.device).reshape(*alive.shape, *[1] * (data.dim() - 1))
    padded = padded.masked_fill(outside, padding_value)
    lengths = alive.sum(0)
    if unsorted_indices is not None:
        padded = padded.index_select(1, unsorted_indices)
        lengths = lengths[unsorted_indices.cpu()]
    return padded.transpose(0, 1) if batch_first else padded, lengths


def _check_lengths(lengths: Tensor, steps: int, sorted_already: bool) -> None:
    """Checks in the graph what the kernels of torch's function check: lengths: [B]."""
    torch._assert_async(
        (lengths > 0).all(),
        "Length of all samples has to be greater than 0, but found an element in 'lengths' that is "
        "<= 0",
    )
    torch._assert_async(
        (lengths <= steps).all(),
        "Expected no sequence to be longer than the input, but found an element in 'lengths' that "
        "is larger than the input's number of steps",
    )
    if sorted_already:
        torch._assert_async(
            (lengths == lengths.sort(descending=True)[0]).all(),
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You "
            "can pass `enforce_sorted=False` to pack_padded_sequence to sidestep this requirement",
        )
