"""`Stream`: TBPTT(k1, k2) over an endless sequence, with an optimizer step every k1 steps."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from elman import _received
from elman._checks import as_index, check_optional_tensors, check_tensor
from elman._rnn_checks import check_padded
from elman.leaky_rnn import LeakyRNN
from elman.rnn import RNN

__all__ = ["Stream"]


def check_module(rnn: object) -> None:
    """Raises TypeError unless `rnn` is an elman.RNN."""
    if not isinstance(rnn, RNN):
        raise TypeError(f"rnn should be an elman.RNN, got: {type(rnn).__name__}")


def check_preactivation(rnn: RNN, preactivation: object) -> None:
    """Raises TypeError for one that `rnn` does not take."""
    if preactivation is not None and not isinstance(rnn, LeakyRNN):
        raise TypeError(
            f"preactivation is for an elman.LeakyRNN only, but rnn is of type {type(rnn).__name__}"
        )


class Stream:
    """TBPTT(k1, k2) over an endless sequence, with an optimizer step after every k1 steps.

    The losses of each chunk of k1 outputs go back through at most k2 steps (Williams & Peng 1990,
    Sutskever 2013), into chunks that were run before the weights changed. The stream keeps the
    last k2 - k1 inputs and states, O(k2 B (I + L H)) memory however long the sequence, and
    recomputes nothing: old states stay as older weights made them, as in
    `V(t+1) = V(t) + eta sum_z ...`, and the Jacobians use the weights as they are at the backward
    pass. A chunk's backward pass costs that of one call over k2 steps. Any optimizer will do; plain
    autograd stops here with "modified by an inplace operation".

    A stream owns no parameters and is no Module: parameters, device, dtype, `train()` and `eval()`
    are those of `rnn`, whose own truncation plays no part here. Each chunk is a call of `rnn`: its
    hooks run (pruning, spectral norm, sharding, offloading), and a subclass's own forward, in which
    `super().forward` is given one chunk and no `hx`, and returns the states after it.

    A chunk is taken once, so a call during a backward pass is refused, as activation checkpointing
    (:mod:`torch.utils.checkpoint`) would make it.

    Args:
        rnn: an :class:`elman.RNN` or :class:`elman.LeakyRNN` with one direction
        k1: the length of a chunk, at least 1
        k2: how many steps a loss goes back through, at least k1

    Raises:
        TypeError: `rnn` is no elman.RNN, k1 or k2 no int
        ValueError: `rnn` has two directions, or k1 and k2 are not 1 <= k1 <= k2

    Inputs of a call: input, reset, carry_scale, preactivation
        * **input**: the next chunk, c <= k1 steps: `(c, B, H_in)`, `(B, c, H_in)` if `rnn` is
          ``batch_first``, `(c, H_in)` unbatched. Only the stream's last chunk may have less than k1
          steps. The batch size is fixed by the first chunk. A gradient of the input is that of this
          chunk's losses; later ones do not reach it.
        * **reset**: bool, the input's shape without its last dimension. Where it is true, the state
          before the step counts as zero, and no gradient crosses (a new document begins).
        * **carry_scale**: floating point, as ``reset`` or `(c)`; multiplies the gradient that flows
          from a step to the state before it, from chunk to chunk too.
        * **preactivation**: as for :class:`elman.LeakyRNN`, and only for one. Its gradient, as the
          input's, is that of this chunk's losses.

    Output of a call: the last layer's states, in the input's layout.

    Errors of a call: TypeError for what is no Tensor, ValueError for more than k1 steps,
    RuntimeError for another batch size, and those of :class:`elman.RNN`.

    Chunks run without a backward pass belong to the past of those after them. A second chunk may be
    run before the first one's backward pass. Double backward is an error.

    Example::

        >>> stream = elman.Stream(rnn, k1=5, k2=50)
        >>> for x, target in chunks:  # x: [5, B, I]
        ...     optimizer.zero_grad()
        ...     loss(stream(x), target).backward()
        ...     optimizer.step()
    """

    def __init__(self, rnn: RNN, k1: int, k2: int) -> None:
        check_module(rnn)
        self.rnn = rnn
        self._k1, self._k2 = as_index("k1", k1), as_index("k2", k2)
        if rnn.bidirectional:
            raise ValueError(
                "rnn: a stream is not defined for a bidirectional network, which has no online "
                "order; expected one direction"
            )
        self._engine = torch.classes.elman.Stream(self.k1, self.k2)

    def __call__(
        self,
        input: Tensor,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
        preactivation: Tensor | None = None,
    ) -> Tensor:
        """Takes the next chunk; see the class for shapes."""
        check_tensor("input", input)
        check_preactivation(self.rnn, preactivation)
        check_optional_tensors(reset=reset, carry_scale=carry_scale, preactivation=preactivation)
        options = {"reset": reset, "carry_scale": carry_scale, "preactivation": preactivation}
        if _received.is_plain(self.rnn, self.rnn._elman_class):
            return self._forward(input, **options)
        result = _received.call(self.rnn, self._receive, "a stream", input, **options)
        return result[0] if isinstance(result, tuple) else result

    def _receive(
        self,
        input: Tensor,
        hx: Tensor | None,
        reset: Tensor | None,
        carry_scale: Tensor | None,
        preactivation: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """What RNN.forward does in a stream: the next chunk's output, and the states after it."""
        check_tensor("input", input)
        if hx is not None:
            raise ValueError(
                "hx: a stream carries the states itself; expected None, got a tensor of shape "
                f"{list(hx.shape)} (set_state begins a new sequence)"
            )
        output = self._forward(input, reset, carry_scale, preactivation)
        return output, self._engine.state()

    def _forward(
        self,
        input: Tensor,
        reset: Tensor | None,
        carry_scale: Tensor | None,
        preactivation: Tensor | None,
    ) -> Tensor:
        rnn = self.rnn
        weights = rnn._current_weights()
        check_padded(rnn, input, None, weights[0])
        leak = rnn._leak_options(input, preactivation)
        return self._engine.forward(
            input,
            weights,
            rnn.bias,
            rnn.num_layers,
            float(rnn.dropout),
            rnn.training,
            rnn.batch_first,
            rnn.nonlinearity,
            reset,
            carry_scale,
            leak.get("leak"),
            leak.get("leak_form", "rate"),
            leak.get("preactivation"),
        )

    @property
    def k1(self) -> int:
        """The length of a chunk; read-only, as the steps that are kept depend on it."""
        return self._k1

    @property
    def k2(self) -> int:
        """How many steps a loss goes back through; read-only, as k1 is.

        For another one make another stream and give it this one's `state`.
        """
        return self._k2

    @torch.no_grad()
    def burn_in(
        self,
        input: Tensor,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
        preactivation: Tensor | None = None,
    ) -> None:
        """Takes steps whose outputs carry no loss: they warm the states up.

        A piece that begins in the middle of something is not rightly predicted before the states
        have seen some of it, and losses on its first steps teach the network something else. See
        :func:`elman.forgetting_length` for how many steps it takes. The steps belong to the
        stream's past: losses of the chunks after them go back into them.

        Args:
            input: as for a call, but a multiple of k1 steps
            reset: as for a call
            carry_scale: as for a call
            preactivation: as for a call

        Raises:
            ValueError: another number of steps.
            TypeError, RuntimeError: as a call does, and RuntimeError where the arguments have
                different numbers of steps.
        """
        check_tensor("input", input)
        dim = 1 if self.rnn.batch_first and input.dim() == 3 else 0
        steps = input.size(dim) if input.dim() > 0 else 0
        if steps % self.k1 != 0:
            raise ValueError(
                f"input: burn_in takes a multiple of k1 = {self.k1} steps, got {steps}"
            )

        def chunks(name: str, tensor: Tensor | None, along: int) -> list[Tensor | None]:
            if tensor is None:
                return [None] * (steps // self.k1)
            check_tensor(name, tensor)
            if tensor.dim() <= along or tensor.size(along) != steps:
                raise RuntimeError(
                    f"{name} must have {steps} steps as input has, got a tensor of shape "
                    f"{list(tensor.shape)}"
                )
            return list(tensor.split(self.k1, along))

        # A carry_scale of one dimension is a number for each step, whatever the input's layout.
        scale_dim = 0 if isinstance(carry_scale, Tensor) and carry_scale.dim() == 1 else dim
        # That of a stack has the layers first.
        preactivation_dim = dim
        if isinstance(preactivation, Tensor):
            preactivation_dim += max(0, preactivation.dim() - input.dim())
        for arguments in zip(
            input.split(self.k1, dim) if steps else [],
            chunks("reset", reset, dim),
            chunks("carry_scale", carry_scale, scale_dim),
            chunks("preactivation", preactivation, preactivation_dim),
            strict=True,
        ):
            self(*arguments)

    def reset(self) -> None:
        """Back to the beginning: zero states, no past; the batch size may change."""
        self._engine.reset()

    def detach(self) -> None:
        """Keeps the states and forgets the rest: no gradient crosses this point."""
        self._engine.detach()

    @property
    def state(self) -> Tensor | None:
        """A copy of the states after the last chunk, `(L, B, H)`, unbatched `(L, H)`; None before
        the first.

        Assigning to it is `set_state`: a new sequence begins in the rows whose state changes.
        """
        return self._engine.state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self.set_state(state)

    def set_state(self, state: Tensor, rows: Tensor | None = None) -> None:
        """Begins a new sequence from the given states in some rows; no gradient crosses there.

        Args:
            state: `(L, B, H)`, unbatched `(L, H)`
            rows: `(B)` bool, which rows. Default: those whose state is not what it was

        Before the first chunk it gives the states to begin with.

        Raises:
            TypeError: what is given is no Tensor
            RuntimeError, ValueError: a shape, a device or a dtype is wrong
        """
        check_tensor("state", state)
        check_optional_tensors(rows=rows)
        self._engine.set_state(state, rows)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything but the module; a stream that loads it goes on to the bit."""
        return dict(self._engine.state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Takes over what `state_dict` of a stream with the same k1 and k2 returned, moved to the
        module's device.

        Raises:
            TypeError: it is no dict of tensors
            RuntimeError: it is of another stream; nothing was changed
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        for name, tensor in state_dict.items():
            check_tensor(f"state_dict: {name}", tensor)
        device = self.rnn._current_weights()[0].device
        on_device = {name: tensor.to(device) for name, tensor in state_dict.items()}
        self._engine.load_state_dict(on_device)

    def __repr__(self) -> str:
        return f"Stream({self.rnn!r}, k1={self.k1}, k2={self.k2})"

    def __getstate__(self) -> dict[str, Any]:
        return {
            "rnn": self.rnn,
            "k1": self.k1,
            "k2": self.k2,
            "state_dict": self.state_dict(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["rnn"], state["k1"], state["k2"])  # type: ignore[misc]
        self.load_state_dict(state["state_dict"])
