"""`forgetting_length`: after how many steps a network no longer depends on where it started."""

import torch
from torch import Tensor

from elman._checks import check_tensor
from elman._rnn_checks import check_padded
from elman.rnn import RNN
from elman.stream import check_module

__all__ = ["forgetting_length"]


@torch.no_grad()
def forgetting_length(
    rnn: RNN,
    input: Tensor,
    *,
    tolerance: float | None = None,
    generator: torch.Generator | None = None,
) -> int | None:
    """The steps until runs from different states have become the same.

    The network is run over `input` from zeros and from a state drawn at random, and the states of
    all layers are compared after every step. The result is the first step count after which no
    state differs by more than `tolerance * max(1, |h|)`, there and at every later step. It is how
    long a :meth:`Stream.burn_in` has to be, and how far back a truncated gradient can matter at
    all. It holds for this input: a strong one makes a network forget sooner.

    Runs do not become equal bit by bit: rounding keeps them a few units in the last place apart for
    ever, so the tolerance cannot be 0.

    Args:
        rnn: an :class:`elman.RNN` or :class:`elman.LeakyRNN` with one direction. Dropout and noise
            have no part in it.
        input: `(T, B, H_in)`, `(B, T, H_in)` if `rnn` is ``batch_first``, or `(T, H_in)`. All
            sequences have to forget.
        tolerance: relative to the larger of 1 and the state. Default: four units in the last place
            of the input's dtype, 4.8e-7 in float32
        generator: what draws the other state. Default: torch's own for the device

    Returns:
        The number of steps, from 0 to T; None if the runs differ still after the last step, as they
        do for ever in networks that integrate or are chaotic.

    Raises:
        TypeError: `rnn` is no elman.RNN, `input` no Tensor, `tolerance` no number.
        ValueError: `rnn` has two directions, or `tolerance` is not positive.

    Example::

        >>> elman.forgetting_length(elman.RNN(64, 64), torch.randn(200, 1, 64))  # 19 to 21
        20
    """
    check_module(rnn)
    check_tensor("input", input)
    if rnn.bidirectional:
        raise ValueError(
            "rnn: where a bidirectional network starts reaches all of its outputs; expected one "
            "direction"
        )
    if tolerance is None:
        tolerance = 4 * torch.finfo(input.dtype).eps
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)):
        raise TypeError(f"tolerance should be a number, got: {type(tolerance).__name__}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be greater than zero, got {tolerance}")
    check_padded(rnn, input, None, rnn._current_weights()[0])
    if rnn.batch_first and input.dim() == 3:
        input = input.transpose(0, 1)
    if input.dim() == 2:
        input = input.unsqueeze(1)
    distances = _distances(rnn, input, generator)  # [T + 1]
    apart = (~(distances <= tolerance)).nonzero()
    length = int(apart[-1]) + 1 if len(apart) else 0
    return None if length == len(distances) else length


def _distances(rnn: RNN, input: Tensor, generator: torch.Generator | None) -> Tensor:
    """The largest difference of two runs after 0 ... T steps. input: [T, B, I]; returns [T + 1]."""
    below = (input, input)
    alpha = getattr(rnn, "alpha", None)  # of a LeakyRNN, whose noise has no part in it
    if alpha is not None:
        alpha = alpha.expand(rnn.num_layers, rnn.hidden_size)
    worst = input.new_zeros(input.size(0) + 1)
    size = (1, input.size(1), rnn.hidden_size)
    for layer in range(rnn.num_layers):
        other = torch.empty(size, dtype=input.dtype, device=input.device)
        starts = (torch.zeros_like(other), other.uniform_(-1, 1, generator=generator))
        runs = []
        for x, start in zip(below, starts, strict=True):
            states, _ = torch.ops.elman.rnn(
                x,
                start,
                rnn.all_weights[layer],
                rnn.bias,
                1,
                0.0,
                False,
                False,
                False,
                nonlinearity=rnn.nonlinearity,
                leak=None if alpha is None else alpha[layer : layer + 1],
                leak_form=getattr(rnn, "form", "rate"),
            )
            runs.append(torch.cat((start, states)))  # states: the outputs, in the current form
        scale = torch.maximum(runs[0].abs(), runs[1].abs()).clamp_min(1)
        difference = ((runs[0] - runs[1]).abs() / scale).flatten(1).amax(1)
        worst = torch.maximum(worst, difference)
        below = (runs[0][1:], runs[1][1:])
    return worst
