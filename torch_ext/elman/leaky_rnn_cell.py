"""`LeakyRNNCell`: one step of `LeakyRNN`."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.types import Device

from elman._checks import check_optional_tensors
from elman._leak import Leaky
from elman._tracing import as_leaf, first_proxy
from elman.rnn_cell import RNNCell

__all__ = ["LeakyRNNCell"]


class LeakyRNNCell(Leaky, RNNCell):
    r"""One step of :class:`elman.LeakyRNN`.

    With :math:`a = W_{ih} x + b_{ih} + W_{hh} r + b_{hh} + p`, the two forms are

    .. math::
        \text{rate: } & h' = (1 - \alpha) h + \alpha f(a), \quad r = h \\
        \text{current: } & v' = (1 - \alpha) v + \alpha a, \quad r = f(v)

    What is given and returned is the state that is carried, h or v; `output` makes r of it.

    Args:
        input_size, hidden_size, bias, nonlinearity, device, dtype: as for :class:`elman.RNNCell`
        alpha: in (0, 1], a number, or a tensor `(H)`
        tau, dt, learn_alpha, form, noise, noise_in_eval, generator: as for :class:`elman.LeakyRNN`

    Inputs: input, hx, preactivation
        * **input**: `(B, H_in)` or `(H_in)`
        * **hx**: `(B, H_out)` or `(H_out)`. Default: zeros
        * **preactivation**: `(B, H_out)` or `(H_out)`, added to a. Default: none

    Outputs: h'
        * **h'**: `(B, H_out)` or `(H_out)`, the next state: h, or v in the current form

    Raises:
        ValueError, TypeError, RuntimeError: as :class:`elman.LeakyRNN`, and :class:`elman.RNNCell`

    Example::

        >>> cell = elman.LeakyRNNCell(10, 20, alpha=0.2, form="current")
        >>> v = torch.zeros(3, 20)
        >>> for x in torch.randn(6, 3, 10):
        ...     v = cell(x, v)
        >>> r = cell.output(v)
    """

    __constants__: ClassVar = [*RNNCell.__constants__, "form", "learn_alpha"]  # type: ignore[misc]
    __jit_unused_properties__: ClassVar = ["alpha", "learn_alpha"]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        alpha: float | Tensor | None = None,
        tau: float | Tensor | None = None,
        dt: float | None = None,
        learn_alpha: bool = False,
        form: str = "rate",
        noise: float = 0.0,
        noise_in_eval: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, nonlinearity, device, dtype)
        shapes = [(hidden_size,), (1, hidden_size)]
        self._init_leak(alpha, tau, dt, learn_alpha, form, noise, noise_in_eval, generator, shapes)

    def forward(
        self, input: Tensor, hx: Tensor | None = None, preactivation: Tensor | None = None
    ) -> Tensor:
        """One step; see the class for shapes."""
        if not torch.jit.is_scripting():  # which knows no Proxy
            proxy = first_proxy(input, hx, preactivation)
            if proxy is not None:
                return self._traced(proxy, input, hx, preactivation)
            if not isinstance(input, Tensor):
                raise TypeError(f"input should be a Tensor, got: {type(input).__name__}")
            check_optional_tensors(hx=hx, preactivation=preactivation)
        self._check(input, hx)
        if input.is_sparse:  # as torch's cell has it, by accident or not
            input = input.to_dense()
        return self._run(input, hx, preactivation)

    def _run(self, input: Tensor, hx: Tensor | None, preactivation: Tensor | None) -> Tensor:
        leak, p = self._leak_and_noise(input, preactivation, 1, 1)
        return torch.ops.elman.rnn_cell(
            input,
            hx,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            nonlinearity=self.nonlinearity,
            leak=None if leak is None else leak[0],
            leak_form=self.form,
            preactivation=p,
        )

    @torch.jit.unused
    def _traced(self, proxy: Proxy, input: Any, hx: Any, preactivation: Any) -> Any:  # type: ignore[override]
        """What torch.fx.symbolic_trace records."""
        leaf = as_leaf(self, LeakyRNNCell, proxy, (input, hx), {"preactivation": preactivation})
        if leaf is not None:
            return leaf
        return self._run(input, hx, preactivation)
