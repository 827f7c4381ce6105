"""`RNNCell`: torch.nn.RNNCell on elman's operators."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.fx import Proxy
from torch.types import Device

from elman._activations import check_nonlinearity
from elman._checks import check_optional_tensors
from elman._tracing import as_leaf, first_proxy

__all__ = ["RNNCell"]


class RNNCell(torch.nn.RNNCellBase):
    r"""An Elman RNN cell (Elman 1990): one step of :class:`elman.RNN`.

    .. math::
        h' = f(W_{ih} x + b_{ih} + W_{hh} h + b_{hh})

    A drop-in for :class:`torch.nn.RNNCell`, which however accepts a wrong ``nonlinearity`` until it
    is called.

    Args:
        input_size: The number of expected features in the input `x`
        hidden_size: The number of features in the hidden state `h`
        bias: If ``False``, then the layer does not use bias weights. Default: ``True``
        nonlinearity: f, ``'tanh'``, ``'relu'``, ``'sigmoid'``, ``'softplus'`` or ``'identity'``.
            Default: ``'tanh'``
        device: of the parameters. Default: torch's default device
        dtype: of the parameters: float64, float32, bfloat16, float16, complex128 or complex64; the
            input has the same. Default: torch's default dtype

    Inputs: input, hx
        * **input**: `(B, H_in)` or `(H_in)`
        * **hx**: `(B, H_out)` or `(H_out)`. Default: zeros

    Outputs: h'
        * **h'**: `(B, H_out)` or `(H_out)`, the next state

    Raises:
        ValueError: an unknown nonlinearity, or a wrong number of dimensions, in torch's words
        RuntimeError: a size, a dtype or a device is wrong
        TypeError: an input is no Tensor

    Example::

        >>> cell = elman.RNNCell(10, 20)
        >>> hx = torch.zeros(3, 20)
        >>> for x in torch.randn(6, 3, 10):
        ...     hx = cell(x, hx)
    """

    __constants__: ClassVar = [  # type: ignore[misc]
        "input_size",
        "hidden_size",
        "bias",
        "nonlinearity",
    ]
    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_nonlinearity(nonlinearity)
        super().__init__(input_size, hidden_size, bias, num_chunks=1, device=device, dtype=dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """One step; see the class for shapes."""
        if not torch.jit.is_scripting():  # which knows no Proxy
            proxy = first_proxy(input, hx)
            if proxy is not None:
                return self._traced(proxy, input, hx)
            if not isinstance(input, Tensor):
                raise TypeError(f"input should be a Tensor, got: {type(input).__name__}")
            if type(hx) is not Tensor:
                check_optional_tensors(hx=hx)
        self._check(input, hx)
        if input.is_sparse:  # as torch's cell has it, by accident or not
            input = input.to_dense()
        return torch.ops.elman.rnn_cell(
            input,
            hx,
            self.weight_ih,
            self.weight_hh,
            self.bias_ih,
            self.bias_hh,
            nonlinearity=self.nonlinearity,
        )

    def _check(self, input: Tensor, hx: Tensor | None) -> None:
        # The operator checks this too; here it comes first, as in torch, whatever else is wrong.
        if input.dim() not in (1, 2):
            raise ValueError(f"RNNCell: Expected input to be 1D or 2D, got {input.dim()}D instead")
        if hx is not None and hx.dim() not in (1, 2):
            raise ValueError(f"RNNCell: Expected hidden to be 1D or 2D, got {hx.dim()}D instead")

    def _traced(self, proxy: Proxy, input: Any, hx: Any) -> Any:
        """What torch.fx.symbolic_trace records."""
        leaf = as_leaf(self, RNNCell, proxy, (input, hx), {})
        if leaf is not None:
            return leaf
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        return torch.ops.elman.rnn_cell(input, hx, *weights, nonlinearity=self.nonlinearity)
