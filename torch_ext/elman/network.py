"""`Network`: the textbook's recurrent network, Elman layers with an output layer."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence

from elman import _scriptable
from elman._activations import activate
from elman.leaky_rnn import LeakyRNN
from elman.rnn import RNN

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from elman._options import RNNArguments

__all__ = ["Network"]

_MAPPINGS = ("many_to_many", "many_to_one", "one_to_many")
_CELLS = {"elman": RNN, "leaky": LeakyRNN}
_OUTPUTS = ("identity", "softmax", "sigmoid", "tanh")


class Network(torch.nn.Module):
    r"""The textbook's recurrent network: Elman layers, and an output layer at some of the steps.

    .. math::
        y_t = f_y(W_y h_t + b_y)

    where :math:`h_t` is the last layer's state (Elman 1990); with two directions
    :math:`y_t = f_y(W_y^\rightarrow h_t^\rightarrow + W_y^\leftarrow h_t^\leftarrow + b_y)`. The
    parameters are those of :class:`RNN` under ``rnn.``, ``out.weight`` `(O, D * H)` and
    ``out.bias``.

    Args:
        input_size: The number of expected features in the input
        hidden_size: The number of features in the hidden state
        output_size: The number of features in the output
        mapping: which steps have inputs and outputs. ``'many_to_many'``: an output for each input.
            ``'many_to_one'``: one output, from each sequence's last step; with two directions from
            both directions' final states. ``'one_to_many'``: an input for the first step, then each
            output is the next step's input; needs ``output_size == input_size``, one direction and
            full BPTT, since the error goes back through the outputs fed back too. Default:
            ``'many_to_many'``
        output: the output function, ``'identity'``, ``'softmax'`` (over features), ``'sigmoid'`` or
            ``'tanh'``. Default: ``'identity'``
        cell: the class of the layers: ``'elman'``, :class:`RNN`, or ``'leaky'``,
            :class:`LeakyRNN`, whose output r is what :math:`h_t` is above. Default: ``'elman'``
        **rnn_arguments: those of the class, by keyword: ``num_layers`` (1), ``nonlinearity``
            (``'tanh'``), ``bias`` (``True``), ``batch_first`` (``False``), ``dropout`` (0),
            ``bidirectional`` (``False``), ``truncation`` (``None``), ``device`` and ``dtype``
            (torch's defaults; the output layer's too); with ``cell='leaky'`` also ``alpha``, or
            ``tau`` with ``dt``, ``learn_alpha`` (``False``), ``form`` (``'rate'``), ``noise`` (0),
            ``noise_in_eval`` (``True``) and ``generator`` (torch's own)

    Inputs: input, hx, \*, steps
        * **input**: as for :class:`RNN`, packed or not. For one-to-many one step: `(B, I)`,
          `(1, B, I)` or, with ``batch_first``, `(B, 1, I)`; `(I)` unbatched.
        * **hx**: `(L * D, B, H)`, or `(L * D, H)` unbatched. Default: zeros
        * **steps**: for one-to-many, and only there: the number of outputs

    Outputs: y, h_n
        * **y**: `(T, B, O)` laid out as the input, packed or nested if the input is; `(B, O)`
          for many-to-one; `(steps, B, O)`, or `(B, steps, O)` with ``batch_first``, for
          one-to-many. Unbatched without B.
        * **h_n**: as :class:`RNN` gives it.

    Raises:
        ValueError: an option or a mapping is wrong, ``steps`` is given where there are none to
            choose, or missing where there are
        TypeError, RuntimeError: as :class:`RNN`

    Example::

        >>> net = elman.Network(8, 32, 5, mapping="many_to_one", truncation=20)
        >>> logits, h_n = net(torch.randn(100, 4, 8))  # logits: [4, 5], h_n: [1, 4, 32]
        >>> loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 4, 2, 1]))

        :func:`torch.nn.functional.cross_entropy` takes outputs without a softmax.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        mapping: str = "many_to_many",
        output: str = "identity",
        cell: str = "elman",
        **rnn_arguments: "Unpack[RNNArguments]",
    ) -> None:
        super().__init__()
        if mapping not in _MAPPINGS:
            raise ValueError(
                f"Unknown mapping '{mapping}'. Select from 'many_to_many', 'many_to_one' or "
                "'one_to_many'."
            )
        if output not in _OUTPUTS:
            raise ValueError(
                f"Unknown output '{output}'. Select from 'identity', 'softmax', 'sigmoid' or "
                "'tanh'."
            )
        if not isinstance(cell, str) or cell not in _CELLS:
            raise ValueError(f"Unknown cell '{cell}'. Select from 'elman' or 'leaky'.")
        if isinstance(output_size, bool) or not isinstance(output_size, int):
            raise TypeError(f"output_size should be of type int, got: {type(output_size).__name__}")
        if output_size <= 0:
            raise ValueError(f"output_size must be greater than zero, got {output_size}")
        self.mapping = mapping
        self.output = output
        self.rnn = _CELLS[cell](input_size, hidden_size, **rnn_arguments)
        if mapping == "one_to_many":
            if output_size != input_size:
                raise ValueError(
                    "one_to_many feeds each output back as the next input: output_size must be "
                    f"equal to input_size. Expected {input_size}, got {output_size}"
                )
            if self.rnn.bidirectional:
                raise ValueError("one_to_many generates in order: bidirectional must be False")
            self._check_full_bptt()
        self.out = torch.nn.Linear(
            hidden_size * (2 if self.rnn.bidirectional else 1),
            output_size,
            device=rnn_arguments.get("device"),
            dtype=rnn_arguments.get("dtype"),
        )

    @torch.jit.unused
    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None, *, steps: int | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the network; see the class for shapes."""
        if isinstance(self, torch.jit.ScriptModule):  # in a script, called from Python
            if isinstance(input, PackedSequence):
                packed = self.forward__2 if self.mapping == "many_to_one" else self.forward__1
                return packed(input, hx)
            return self.forward__0(input, hx, steps)
        if not isinstance(input, (Tensor, PackedSequence, Proxy)):
            raise TypeError(
                f"input should be a Tensor or a PackedSequence, got: {type(input).__name__}"
            )
        if steps is not None and not isinstance(steps, (int, torch.SymInt, Proxy)):
            raise TypeError(f"steps should be an int, got: {steps!r}")
        if not isinstance(input, PackedSequence):
            return self._forward_padded(input, hx, steps)
        if self.mapping == "one_to_many":
            raise ValueError("input: one_to_many takes one step, not a PackedSequence")
        self._check_no_steps(steps)
        states, h_n = self.rnn(input, hx)
        if self.mapping == "many_to_one":
            return self._output_of(self._last_layer(h_n)), h_n
        return states._replace(data=self._output_of(states.data)), h_n

    def extra_repr(self) -> str:  # noqa: D102
        return f"mapping={self.mapping}, output={self.output}"

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles of this module."""
        overloads = {
            "many_to_many": ["forward__0", "forward__1"],
            "many_to_one": ["forward__0", "forward__2"],
            "one_to_many": ["forward__0"],
        }[self.mapping]
        return _scriptable.prepare(self, Network, _scriptable.BareNetwork, overloads)

    forward__0 = _scriptable.ScriptMethod(_scriptable.network_padded)
    forward__1 = _scriptable.ScriptMethod(_scriptable.network_packed)
    forward__2 = _scriptable.ScriptMethod(_scriptable.network_packed_to_one)

    def _forward_padded(
        self, input: Tensor, hx: Tensor | None, steps: int | None
    ) -> tuple[Tensor, Tensor]:
        if self.mapping == "one_to_many":
            return self._generate(input, hx, steps)
        self._check_no_steps(steps)
        states, h_n = self.rnn(input, hx)
        if self.mapping == "many_to_one":
            return self._output_of(self._last_layer(h_n)), h_n
        return self._output_of(states), h_n

    def _generate(
        self, input: Tensor, hx: Tensor | None, steps: int | None
    ) -> tuple[Tensor, Tensor]:
        """Each output as the next input. input: one step; returns y and h_n as `forward`."""
        self._check_full_bptt()
        if steps is None or steps < 1:
            raise ValueError(f"steps must be at least 1 for one_to_many, got {steps}")
        step_dim = 1 if self.rnn.batch_first and input.dim() > 1 else 0
        if input.dim() in (1, 2):
            input = input.unsqueeze(step_dim)
        elif input.dim() != 3 or input.size(step_dim) != 1:
            raise ValueError(
                "input: one_to_many takes one step of shape [B, I], [1, B, I] ([B, 1, I] with "
                f"batch_first) or, unbatched, [I]; got {list(input.shape)}"
            )
        outputs: list[Tensor] = []
        state = hx
        for _ in range(steps):
            states, state = self.rnn(input, state)
            input = self._output_of(states)
            outputs.append(input)
        assert state is not None  # for TorchScript: steps >= 1
        return torch.cat(outputs, dim=step_dim), state

    def _output_of(self, h: Tensor) -> Tensor:
        """Y = f_y(W_y h + b_y). h: [..., D*H]; returns [..., O]."""
        y = self.out(h)
        if self.output == "softmax":
            return torch.softmax(y, dim=-1)
        if self.output == "sigmoid":
            return torch.sigmoid(y)
        if self.output == "tanh":
            return torch.tanh(y)
        return y

    def _last_layer(self, h_n: Tensor) -> Tensor:
        """The last layer's final outputs. h_n: [L*D, ..., H]; returns [..., D*H]."""
        # A module without a form (elman.to_torch leaves a torch.nn.RNN) has its states as outputs.
        if hasattr(self.rnn, "form"):
            if self.rnn.form == "current":
                h_n = activate(self.rnn.nonlinearity, h_n)
        if self.rnn.bidirectional:
            return torch.cat([h_n[-2], h_n[-1]], dim=-1)
        return h_n[-1]

    def _check_no_steps(self, steps: int | None) -> None:
        if steps is not None:
            raise ValueError(f"steps is for mapping 'one_to_many' only, got steps = {steps}")

    def _check_full_bptt(self) -> None:
        # Its windows would have to cut the path through the outputs fed back too, which the
        # operator, called once for each step, does not see.
        # elman.to_torch leaves a torch.nn.RNN here, which has no other.
        if hasattr(self.rnn, "_k1"):
            if self.rnn._k1 != 0:
                raise ValueError("one_to_many needs full BPTT: truncation must be None")
