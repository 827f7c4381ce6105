"""What `torch.jit.script` compiles in place of an `RNN`."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.rnn import RNN

__all__ = ["ScriptableRNN"]


class ScriptableRNN(RNN):
    """The twin of an `RNN` that torch.jit.script compiles, with the same parameters and keys.

    TorchScript refuses keyword-only arguments with defaults, so here they are positional. Scripting
    a module that contains an `RNN` leaves this twin in its place, so it is an `RNN` in every
    respect.
    """

    __jit_unused_properties__: ClassVar = ["all_weights", "truncation"]

    def forward(
        self,
        input: Tensor,
        hx: Tensor | None = None,
        reset: Tensor | None = None,
        carry_scale: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        if not torch.jit.is_scripting():
            return super().forward(input, hx, reset=reset, carry_scale=carry_scale)
        return torch.ops.elman.rnn(
            input,
            hx,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
            nonlinearity=self.nonlinearity,
            k1=self._k1,
            k2=self._k2,
            reset=reset,
            carry_scale=carry_scale,
        )

    @torch.jit.export
    def forward_with_packed_input(
        self, input: PackedSequence, hx: Tensor | None = None
    ) -> tuple[PackedSequence, Tensor]:
        if not torch.jit.is_scripting():
            return super().forward_with_packed_input(input, hx)
        data, batch_sizes, sorted_indices, unsorted_indices = input
        if hx is not None:
            hx = self.permute_hidden(hx, sorted_indices)
        output, h_n = torch.ops.elman.rnn(
            data,
            batch_sizes,
            hx,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            nonlinearity=self.nonlinearity,
            k1=self._k1,
            k2=self._k2,
        )
        packed = PackedSequence(output, batch_sizes, sorted_indices, unsorted_indices)
        return packed, self.permute_hidden(h_n, unsorted_indices)

    def __prepare_scriptable__(self) -> torch.nn.Module:
        return self

    def _get_name(self) -> str:
        return "RNN"
