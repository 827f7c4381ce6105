"""`LeakyRNN`: the recurrent network of neuroscience, an Elman RNN whose units leak."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence
from torch.types import Device

from elman import _scriptable
from elman._leak import Leaky
from elman._options import Truncation
from elman.rnn import RNN

__all__ = ["LeakyRNN"]


class LeakyRNN(Leaky, RNN):
    r"""A multi-layer Elman RNN whose units leak: the continuous-time RNN (CTRNN) of neuroscience,
    integrated by Euler's method with the step dt, :math:`\alpha = dt / \tau`. The rate form is that
    of Yang, Joglekar, Song, Newsome & Wang (2019), the current form that of Song, Yang & Wang
    (2016).

    With :math:`a_t = W_{ih} x_t + b_{ih} + W_{hh} r_{t-1} + b_{hh} + p_t`, the two forms are

    .. math::
        \text{rate: } & h_t = (1 - \alpha) h_{t-1} + \alpha f(a_t), \quad r_t = h_t \\
        \text{current: } & v_t = (1 - \alpha) v_{t-1} + \alpha a_t, \quad r_t = f(v_t)

    The output is r. The state that is carried, `hx` and `h_n`, is h or v; so in the current form
    `h_n` is not the last output. :math:`p_t` is the noise, and whatever else is added to the
    pre-activation. The rate form with :math:`\alpha = 1` is :class:`elman.RNN`.

    Args:
        input_size, hidden_size: as for :class:`elman.RNN`, and so are ``num_layers``,
            ``nonlinearity``, ``bias``, ``batch_first``, ``dropout``, ``bidirectional``, ``device``,
            ``dtype`` and ``truncation``
        alpha: in (0, 1], a number, or a tensor `(H)` or `(L * D, H)`: one for each unit
        tau, dt: the other way to say it, alpha = dt / tau: the time constant, as alpha a number or
            a tensor, and the length of a step, in the same unit
        learn_alpha: whether alpha is learnt, in the shape in which it was given. It is the sigmoid
            of the parameter ``parametrizations.alpha.original``
            (:mod:`torch.nn.utils.parametrize`), so it stays inside of (0, 1). Default: ``False``
        form: ``'rate'`` or ``'current'``. Default: ``'rate'``
        noise: :math:`\sigma`. Adds :math:`\sqrt{2 / \alpha} \, \sigma \xi` to :math:`a_t`, with
            :math:`\xi` drawn from the standard normal distribution for each unit and step. It is
            drawn once for each call, for its forward and its backward pass. Default: 0
        noise_in_eval: whether there is noise in evaluation mode, too. Default: ``True``
        generator: the :class:`torch.Generator` that the noise is drawn with. Default: torch's own

    Attributes:
        alpha: the tensor, a buffer unless it is learnt; ``None`` where the constructor was given 1,
            in the rate form

    Inputs: input, hx, \*, reset, carry_scale, preactivation
        As for :class:`elman.RNN`, and

        * **preactivation**: added to :math:`a_t`, differentiable: `(T, B, D * H_out)` in the
          input's layout, packed `(rows, D * H_out)`; of several layers `(L, T, B, D * H_out)`.

    Outputs: output, h_n
        As for :class:`elman.RNN`.

    Raises:
        ValueError: alpha is missing, given twice or outside of (0, 1]; an unknown form; a negative
            noise; and as :class:`elman.RNN`
        TypeError, RuntimeError: as :class:`elman.RNN`

    Example::

        >>> rnn = elman.LeakyRNN(3, 50, nonlinearity="relu", tau=100.0, dt=20.0, noise=0.05)
        >>> output, h_n = rnn(torch.randn(75, 8, 3))
    """

    __constants__: ClassVar = [*RNN.__constants__, "form", "learn_alpha"]  # type: ignore[misc]
    __jit_unused_properties__: ClassVar = [  # type: ignore[misc]
        *RNN.__jit_unused_properties__,
        "alpha",
        "learn_alpha",
    ]

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
        alpha: float | Tensor | None = None,
        tau: float | Tensor | None = None,
        dt: float | None = None,
        learn_alpha: bool = False,
        form: str = "rate",
        noise: float = 0.0,
        noise_in_eval: bool = True,
        generator: torch.Generator | None = None,
        **unsupported: Any,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            nonlinearity,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            truncation=truncation,
            **unsupported,
        )
        shapes = [(hidden_size,), (num_layers * (2 if bidirectional else 1), hidden_size)]
        self._init_leak(alpha, tau, dt, learn_alpha, form, noise, noise_in_eval, generator, shapes)

    @torch.jit.unused
    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | None = None,
        *,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
        preactivation: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Runs the network over a whole sequence; see the class for shapes."""
        return self._forward(input, hx, reset, carry_scale, preactivation)

    def forward_with_packed_input(
        self,
        input: PackedSequence,
        hx: Tensor | None = None,
        preactivation: Tensor | None = None,
    ) -> tuple[PackedSequence, Tensor]:
        """`self(input, hx)` with packed input, as C++ and scripts need it."""
        if torch.jit.is_scripting():
            return self.forward__1(input, hx, preactivation)
        if type(self).forward is LeakyRNN.forward:
            return self(input, hx, preactivation=preactivation)
        return self._forward_packed(input, hx, preactivation)

    forward__0 = _scriptable.ScriptMethod(_scriptable.leaky_rnn_padded)
    forward__1 = _scriptable.ScriptMethod(_scriptable.leaky_rnn_packed)

    def _leak_options(self, input: Tensor, preactivation: Tensor | None) -> dict[str, Any]:
        directions = 2 if self.bidirectional else 1
        leak, preactivation = self._leak_and_noise(
            input, preactivation, self.num_layers, directions
        )
        return {"leak": leak, "leak_form": self.form, "preactivation": preactivation}

    def __prepare_scriptable__(self) -> torch.nn.Module:
        """What torch.jit.script compiles of this module."""
        self._check_weights_for_script()
        return _scriptable.prepare(
            self, LeakyRNN, _scriptable.BareLeakyRNN, ["forward__0", "forward__1"]
        )


LeakyRNN._elman_class = LeakyRNN
