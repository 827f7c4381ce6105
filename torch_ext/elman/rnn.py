"""`RNN`: torch.nn.RNN on elman's operators, with truncation."""

from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.nn.utils.rnn import PackedSequence
from torch.types import Device

from elman import _scriptable
from elman._activations import check_nonlinearity
from elman._checks import check_optional_tensors
from elman._jagged import from_packed, to_packed
from elman._options import Truncation, parse_truncation
from elman._received import receiver_of
from elman._rnn_checks import check_dtype, check_padded, check_size
from elman._tracing import as_leaf, first_proxy

__all__ = ["RNN", "Truncation"]

# The overloads, bound once: resolving them at every call would cost more than a small call itself.
_rnn_padded = torch.ops.elman.rnn.default
_rnn_packed = torch.ops.elman.rnn.data


def _refuse(kind: str, **arguments: Tensor | None) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{name} is not supported with {kind} input")


class RNN(torch.nn.RNNBase):
    r"""A multi-layer Elman RNN (Elman 1990) with one of five activations f.

    For each element of the input sequence each layer computes

    .. math::
        h_t = f(x_t W_{ih}^T + b_{ih} + h_{t-1} W_{hh}^T + b_{hh})

    A drop-in for :class:`torch.nn.RNN`: the same arguments, shapes, state-dict keys, defaults,
    initial parameters for the same seed, and errors. It derives from :class:`torch.nn.RNNBase` and
    not from :class:`torch.nn.RNN`, every subclass of which ``torch.compile(fullgraph=True)``
    refuses.

    Args:
        input_size: The number of expected features in the input `x`
        hidden_size: The number of features in the hidden state `h`
        num_layers: Number of recurrent layers. Default: 1
        nonlinearity: ``'tanh'``, ``'relu'``, ``'sigmoid'``, ``'softplus'``, `log(1 + e^a)`, or
            ``'identity'``, a linear network. Default: ``'tanh'``
        bias: If ``False``, then the layer does not use bias weights. Default: ``True``
        batch_first: If ``True``, then the batched input and output tensors are provided as
            `(batch, seq, feature)`. Default: ``False``
        dropout: If non-zero, the probability of the dropout on the outputs of each layer except the
            last. Default: 0
        bidirectional: If ``True``, becomes a bidirectional RNN. Default: ``False``
        truncation: how far gradients go back in time; it never changes the outputs. ``None``: full
            back-propagation through time. ``(k1, k2)``: TBPTT(k1, k2) (Williams & Peng 1990,
            Sutskever 2013): every k1 steps, the losses of the last k1 outputs go back through at
            most k2 steps. ``k``: the same as ``(k, k)``, the gradient of a loop that detaches the
            state every k steps. With two directions k1 = k2. The attribute may be set at any time.
            Default: ``None``
        device: of the parameters. Default: torch's default device
        dtype: of the parameters: float64, float32, bfloat16, float16, complex128 or complex64; the
            input has the same. Default: torch's default dtype

    Inputs: input, hx, \*, reset, carry_scale
        * **input**: `(T, H_in)` unbatched, `(T, B, H_in)` or, with ``batch_first``, `(B, T, H_in)`;
          or a :class:`torch.nn.utils.rnn.PackedSequence`; or a nested tensor of jagged layout
          `(B, j, H_in)`, j steps of each sequence, whatever ``batch_first`` says.
        * **hx**: `(L * D, H_out)` unbatched or `(L * D, B, H_out)`, the initial state. Default:
          zeros
        * **reset**: bool, the input's shape without its last dimension. Where it is true, the state
          before the step counts as zero, and no gradient crosses (a new document begins).
        * **carry_scale**: floating point, as ``reset`` or `(T)`; never differentiated. Multiplies
          the gradient that flows from a step to the state before it; one direction only.

        Packed and nested input take neither ``reset`` nor ``carry_scale``.

    Outputs: output, h_n
        * **output**: `(T, D * H_out)`, `(T, B, D * H_out)` or `(B, T, D * H_out)`, the last layer's
          states; a PackedSequence if the input is one, nested if the input is.
        * **h_n**: `(L * D, H_out)` or `(L * D, B, H_out)`, each layer's final state.

    Raises:
        ValueError: a dtype, a dimension or an option is wrong, in torch's words
        RuntimeError: a size or a device is wrong
        TypeError: an input is no Tensor

    Example::

        >>> rnn = elman.RNN(10, 20, 2, truncation=(5, 20))
        >>> output, h_n = rnn(torch.randn(100, 3, 10), torch.randn(2, 3, 20))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        truncation: Truncation = None,
        **unsupported: Any,
    ) -> None:
        if "proj_size" in unsupported:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        check_nonlinearity(nonlinearity)
        super().__init__(
            # RNNBase knows the modes of torch.nn.RNN only; they all have the same parameters.
            "RNN_TANH",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **unsupported,
        )
        self.mode = f"RNN_{nonlinearity.upper()}"
        self.nonlinearity = nonlinearity
        self.truncation = truncation

    @property
    def truncation(self) -> tuple[int, int] | None:
        """None (full BPTT) or (k1, k2); may be set to k too, which means (k, k)."""
        return (self._k1, self._k2) if self._k1 else None

    @truncation.setter
    def truncation(self, truncation: Truncation) -> None:
        self._k1, self._k2 = parse_truncation(truncation, self.bidirectional)

    __jit_unused_properties__: ClassVar = ["all_weights", "truncation"]  # type: ignore[misc]

    #: The class of elman's that an object's own class is or derives from.
    _elman_class: ClassVar[type["RNN"]]

    @torch.jit.unused
    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the network over a whole sequence; see the class for shapes."""
        return self._forward(input, hx, reset, carry_scale)

    @torch.jit.unused
    def _forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None,
        reset: Tensor | None,
        carry_scale: Tensor | None,
        preactivation: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """`forward` of this class, and of those with a `preactivation`."""
        options = (reset, carry_scale, preactivation)
        if isinstance(self, torch.jit.ScriptModule):  # in a script, called from Python
            return _scriptable.call_overload(self, input, hx, *options)
        # Plain tensors, the common case, need not be looked at one by one.
        if not (
            type(input) is Tensor
            and (hx is None or type(hx) is Tensor)
            and reset is None
            and carry_scale is None
            and preactivation is None
        ):
            proxy = first_proxy(input, hx, *options)
            if proxy is not None:
                return self._traced(proxy, input, hx, *options)
            check_optional_tensors(
                hx=hx, reset=reset, carry_scale=carry_scale, preactivation=preactivation
            )
        if not torch.compiler.is_compiling():
            receiver = receiver_of(self)
            if receiver is not None:
                return cast(Any, receiver(cast(Tensor, input), hx, *options))
        if isinstance(input, PackedSequence):
            _refuse("packed", reset=reset, carry_scale=carry_scale)
            return self._forward_packed(input, hx, preactivation)
        if not isinstance(input, Tensor):
            raise TypeError(
                f"input should be a Tensor or a PackedSequence, got: {type(input).__name__}"
            )
        if input.dim() and input.is_nested:
            _refuse("nested", reset=reset, carry_scale=carry_scale, preactivation=preactivation)
            packed, rows = to_packed(input)
            output, h_n = self._forward_packed(packed, hx)
            return from_packed(output, rows, input), h_n
        weights = self._current_weights()
        check_padded(self, input, hx, weights[0])
        leak = self._leak_options(input, preactivation)
        return self._run_padded(input, hx, weights, reset, carry_scale, leak)

    def forward_with_packed_input(
        self, input: PackedSequence, hx: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]:
        """`self(input, hx)` with packed input, as C++ and scripts need it.

        In a subclass with a forward of its own, which may call it, it is what this class does.
        """
        if torch.jit.is_scripting():
            return self.forward__1(input, hx)
        if type(self).forward is RNN.forward:
            return self(input, hx)
        return self._forward_packed(input, hx)

    # TorchScript names methods as the functions are named.
    _padded_in_script = _scriptable._padded_in_script
    _packed_in_script = _scriptable._packed_in_script
    forward__0 = _scriptable.ScriptMethod(_scriptable.rnn_padded)
    forward__1 = _scriptable.ScriptMethod(_scriptable.rnn_packed)

    def _traced(
        self,
        proxy: Proxy,
        input: Any,
        hx: Any,
        reset: Any,
        carry_scale: Any,
        preactivation: Any,
    ) -> Any:
        """What torch.fx.symbolic_trace records; any of the arguments may be a Proxy."""
        options = {"reset": reset, "carry_scale": carry_scale}
        if self._elman_class is not RNN:
            options["preactivation"] = preactivation
        leaf = as_leaf(self, self._elman_class, proxy, (input, hx), options)
        if leaf is not None:
            return leaf
        weights = self._current_weights()
        leak = self._leak_options(input, preactivation)
        return self._run_padded(input, hx, weights, reset, carry_scale, leak)

    def _run_padded(
        self,
        input: Tensor,
        hx: Tensor | None,
        weights: list[Tensor],
        reset: Tensor | None,
        carry_scale: Tensor | None,
        leak_options: dict[str, Any],
    ) -> tuple[Tensor, Tensor]:
        options = self._options() | leak_options
        if reset is not None:
            options["reset"] = reset
        if carry_scale is not None:
            options["carry_scale"] = carry_scale
        sizes = self._sizes()
        return _rnn_padded(input, hx, weights, *sizes, self.batch_first, **options)

    def _sizes(self) -> tuple[bool, int, float, bool, bool]:
        """The operators' arguments from `has_biases` to `bidirectional`."""
        return self.bias, self.num_layers, self.dropout, self.training, self.bidirectional

    def _options(self) -> dict[str, Any]:
        """The operators' keyword arguments that are not at their defaults: in a small call the time
        that each one takes shows.
        """
        options: dict[str, Any] = {}
        if self.nonlinearity != "tanh":
            options["nonlinearity"] = self.nonlinearity
        if self._k1:
            options["k1"], options["k2"] = self._k1, self._k2
        return options

    def _leak_options(self, input: Tensor, preactivation: Tensor | None) -> dict[str, Any]:
        """The operators' `leak`, `leak_form` and `preactivation` of a call; empty for none.

        input: [..., I], padded, or packed rows
        """
        return {}

    def _forward_packed(
        self, input: PackedSequence, hx: Tensor | None, preactivation: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]:
        """What `forward` does with packed input; `hx`, `h_n` in the order of the sequences."""
        data, batch_sizes, sorted_indices, unsorted_indices = input
        weights = self._current_weights()
        check_dtype(data, weights[0])
        if data.dim() != 2:
            raise RuntimeError(f"input must have 2 dimensions, got {data.dim()}")
        check_size(self, data)
        cells = self.num_layers * (2 if self.bidirectional else 1)
        if hx is None:
            # The operator could take None, but compilers cannot know h_n's batch size then: it is a
            # value in batch_sizes, where everything else has a shape.
            batch: Any = batch_sizes[0] if sorted_indices is None else sorted_indices.size(0)
            hx = torch.zeros(cells, batch, self.hidden_size, dtype=data.dtype, device=data.device)
        elif sorted_indices is not None:
            self.check_hidden_size(hx, (cells, sorted_indices.size(0), self.hidden_size))
            hx = self.permute_hidden(hx, sorted_indices)
        elif hx.dim() != 3:
            self.check_hidden_size(hx, (cells, int(batch_sizes[0]), self.hidden_size))
        options = self._options() | self._leak_options(data, preactivation)
        output, h_n = _rnn_packed(data, batch_sizes, hx, weights, *self._sizes(), **options)
        packed = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return packed, self.permute_hidden(h_n, unsorted_indices)

    def flatten_parameters(self) -> None:
        """Does nothing: the kernels take the parameters wherever they lie."""

    def extra_repr(self) -> str:  # noqa: D102
        text = super().extra_repr()
        if self.nonlinearity != "tanh":
            text += f", nonlinearity={self.nonlinearity}"
        if self.truncation is not None:
            text += f", truncation={self.truncation}"
        return text

    def __getstate__(self) -> dict[str, Any]:
        self._init_flat_weights()
        return super().__getstate__()

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A state of torch.nn.RNN is as good as one of our own: it has no truncation.
        super().__setstate__({"_k1": 0, "_k2": 0, **state})
        self._untie_flat_weights()

    def _init_flat_weights(self) -> None:
        super()._init_flat_weights()
        self._untie_flat_weights()

    def _untie_flat_weights(self) -> None:
        """Makes what torch keeps beside the weights harmless; here it is not needed.

        Torch finds out by weak references whether a weight was replaced, and so forbids
        `torch.utils.swap_tensors`; and it keeps weights that were computed from others with their
        history, and so forbids `copy.deepcopy`. Here weights are looked up by name at each call.
        """
        self._flat_weight_refs = [None] * len(self._flat_weights_names)
        self._flat_weights = [
            weight if weight is None or weight.is_leaf else weight.detach()
            for weight in self._flat_weights
        ]

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles of this module."""
        self._check_weights_for_script()
        return _scriptable.prepare(self, RNN, _scriptable.BareRNN, ["forward__0", "forward__1"])

    def _check_weights_for_script(self) -> None:
        for name in self._flat_weights_names:
            if name not in self._parameters:
                raise RuntimeError(
                    f"torch.jit.script: {name} is not a Parameter of this elman.RNN (parametrized "
                    "or pruned?), and TorchScript cannot call what makes it; remove that first"
                )
        self._init_flat_weights()  # which is what a script computes with

    def _current_weights(self) -> list[Tensor]:
        # Looked up by name at each call, so that whatever replaced a weight since the last one
        # (functional_call, parametrize, pruning, an assignment) counts. In the common case the
        # dictionary has them all, and getattr, which is slow on a Module, is not needed.
        names = self._flat_weights_names
        parameters: dict[str, Tensor] = self._parameters  # type: ignore[assignment]
        for name in names:
            if name not in parameters:
                return [getattr(self, name) for name in names]
        return [parameters[name] for name in names]


RNN._elman_class = RNN
