"""`reset_from_flags`: the `reset` of an RNN from what reinforcement learners call done."""

import torch
from torch import Tensor

__all__ = ["reset_from_flags"]

# Steps from the one with the flag to the first of the new episode.
_LATER = {
    "sb3_contrib": 0,
    "torchrl": 0,
    "rsl_rl": 1,
    "skrl": 1,
    "gymnasium_same_step": 1,
    "gymnasium_next_step": 2,
}


def reset_from_flags(
    flags: Tensor,
    convention: str,
    *,
    previous: Tensor | None = None,
    batch_first: bool = False,
) -> Tensor:
    """What to pass as `reset`: true where an episode's first observation is the input.

    Step t is the one whose input is x_t; its flag is the one that is stored along with x_t. The
    libraries differ in what that flag says: x_t begins an episode (``episode_starts``,
    ``is_init``), or the action that followed x_t ended one.

    Args:
        flags: `(T, B)` or `(T)`, or with ``batch_first`` `(B, T)`, and `(T, B, 1)` or `(B, T, 1)`;
            bool, or 0 and 1
        convention: whose flags these are

            * ``'sb3_contrib'``: ``episode_starts``
            * ``'torchrl'``: ``is_init``
            * ``'rsl_rl'``: ``dones``
            * ``'skrl'``: ``terminated | truncated``
            * ``'gymnasium_same_step'``: ``terminated | truncated`` of a vector environment whose
              ``autoreset_mode`` is ``SAME_STEP``
            * ``'gymnasium_next_step'``: the same in the default mode, ``NEXT_STEP``: the input
              after the flag is the old episode's last observation, whose action is ignored
        previous: the flags of the steps before, at least one for a reset one step after the flag
            and two for two; so that an episode that ended there begins here. Default: none ended
        batch_first: whether the batch comes before the time. Default: ``False``

    Returns:
        bool, `(T, B)`, `(T)` or `(B, T)`

    Raises:
        TypeError: the flags are no Tensor
        ValueError: the convention is not known, a shape is wrong, or the flags are other numbers
            than 0 and 1

    Example::

        >>> reset = elman.reset_from_flags(dones, "rsl_rl")
        >>> output, h_n = rnn(observations, hx, reset=reset)
    """
    if not isinstance(convention, str) or convention not in _LATER:
        raise ValueError(f"convention should be one of {', '.join(_LATER)}, got: {convention!r}")
    later = _LATER[convention]
    reset = _as_bool("flags", flags, batch_first)
    before = reset.new_zeros((later, *reset.shape[1:]))
    if previous is not None:
        given = _as_bool("previous", previous, batch_first)
        if given.shape[1:] != reset.shape[1:] or given.size(0) < later:
            raise ValueError(
                f"previous: expected the flags of {later} steps or more of "
                f"{list(reset.shape[1:])}, got {list(given.shape)}, time first"
            )
        before = given[given.size(0) - later :]
    reset = torch.cat([before, reset])[: reset.size(0)]
    return reset.transpose(0, 1) if batch_first and reset.dim() == 2 else reset


def _as_bool(name: str, flags: Tensor, batch_first: bool) -> Tensor:
    """[T, B] or [T], bool."""
    if not isinstance(flags, Tensor):
        raise TypeError(f"{name} should be a Tensor, got: {type(flags).__name__}")
    if flags.dim() == 3 and flags.size(-1) == 1:
        flags = flags.squeeze(-1)
    if flags.dim() not in (1, 2):
        raise ValueError(
            f"{name}: expected 1-D or 2-D flags, or 3-D ones with a last dimension of 1, "
            f"got {list(flags.shape)}"
        )
    if flags.dtype != torch.bool:
        if not bool(((flags == 0) | (flags == 1)).all()):
            raise ValueError(f"{name}: expected bool, or 0 and 1, got other numbers")
        flags = flags == 1
    return flags.transpose(0, 1) if batch_first and flags.dim() == 2 else flags
