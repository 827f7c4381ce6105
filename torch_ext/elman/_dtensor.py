"""What elman's operators do with DTensors: each process runs its own rows of the batch.

The input is replicated, or sharded over the batch; the parameters are replicated, and their
gradients are partial sums over the shards of the batch. Nothing is sent but gradients that arrive
in another layout. What would need more than that is refused, by the argument's name.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from elman import _schema
from elman._on_import import on_import

__all__: list[str] = []

_CELL_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Layout:
    """How one call's tensors are spread: over the batch in the mesh's dimensions `sharded`."""

    def __init__(self, func, call: dict[str, Any]) -> None:
        from torch.distributed import tensor

        input = call["input"]

        self.dtensor, self.shard, self.replicate = tensor.DTensor, tensor.Shard, tensor.Replicate
        self.partial, self.func = tensor.Partial, func
        self._check_distributed("input", input)
        self.mesh = input.device_mesh
        self.batch_dim = None if input.dim() == 2 else (0 if call["batch_first"] else 1)
        self.state_dim = None if self.batch_dim is None else 1
        self.rows = 1 if self.batch_dim is None else input.size(self.batch_dim)
        self.sharded = [self._is_sharded(placement) for placement in input.placements]
        for index, param in enumerate(call["params"]):
            self._check_parameter(
                param, _parameter_name(index, call["has_biases"], call["bidirectional"])
            )

    def _check_distributed(self, name: str, value) -> None:
        if not isinstance(value, self.dtensor):
            raise RuntimeError(
                f"{self.func} got mixed torch.Tensor and DTensor, need to convert all torch.Tensor "
                f"to DTensor before calling distributed operators! {name} is a torch.Tensor"
            )

    def _is_sharded(self, placement) -> bool:
        if placement == self.replicate():
            return False
        if self.batch_dim is not None and placement == self.shard(self.batch_dim):
            return True
        batch = "" if self.batch_dim is None else f" or {self.shard(self.batch_dim)}, the batch"
        raise RuntimeError(
            f"input: elman's operators take a DTensor that is {self.replicate()}{batch}, got "
            f"{placement}; redistribute it first"
        )

    def _check_parameter(self, param: Any, name: str) -> None:
        self._check_distributed(name, param)
        for placement in param.placements:
            if placement != self.replicate():
                raise RuntimeError(
                    f"{name}: elman's operators need replicated parameters, got {placement}; a "
                    "tensor-parallel RNN is not supported"
                )

    def over(self, dim: int | None) -> list[Any]:
        """The placements of a tensor whose rows of the batch lie in `dim`; None has no batch."""
        return [
            self.shard(dim) if sharded and dim is not None else self.replicate()
            for sharded in self.sharded
        ]

    def local(self, name: str, value: Any, dim: int | None) -> Tensor | None:
        """This process's part of an argument whose batch lies in `dim`."""
        if value is None:
            return None
        self._check_distributed(name, value)
        placements = self.over(dim)
        if list(value.placements) != placements:
            value = value.detach().redistribute(self.mesh, placements)
        return value.to_local()

    def whole(self, local: Tensor, placements: list[Any], dim: int | None) -> Tensor:
        """The DTensor of which `local` is this process's part."""
        shape = list(local.shape)
        if dim is not None:
            shape[dim] = self.rows
        stride, step = [0] * local.dim(), 1
        for axis in sorted(range(local.dim()), key=local.stride):
            stride[axis], step = step, step * max(shape[axis], 1)
        return self.dtensor.from_local(
            local,
            self.mesh,
            placements,
            run_check=False,
            shape=torch.Size(shape),
            stride=tuple(stride),
        )


def _parameter_name(index: int, has_biases: bool, bidirectional: bool) -> str:
    """The name that torch.nn.RNN gives the operator's parameter `index`."""
    cell, which = divmod(index, 4 if has_biases else 2)
    layer, reverse = divmod(cell, 2) if bidirectional else (cell, 0)
    return f"{_CELL_PARAMETERS[which]}_l{layer}{'_reverse' * reverse}"


def _refuse_packed(batch_sizes) -> None:
    if batch_sizes is not None:
        raise RuntimeError(
            "batch_sizes: packed input is not supported with DTensor, since the rows of its data "
            "are ordered by steps, not by sequences; pad the sequences"
        )


def _rnn(func, call: dict[str, Any]):
    """elman::rnn, without a gradient to record."""
    internal = {"batch_sizes": None, "masks": None, "save_states": False, "save_drives": False}
    return _rnn_forward(torch.ops.elman._rnn_forward.default, call | internal)[:2]


def _rnn_data(func, call: dict[str, Any]):
    _refuse_packed(call["batch_sizes"])


def _rnn_forward(func, call: dict[str, Any]):
    _refuse_packed(call["batch_sizes"])
    layout = _Layout(func, call)
    output, h_n, *saved = _schema.call(func, _local(layout, call))
    dims = [layout.batch_dim, layout.state_dim, *(_saved_dim(layout, one) for one in saved)]
    return tuple(
        layout.whole(local, layout.over(dim), dim)
        for local, dim in zip((output, h_n, *saved), dims, strict=True)
    )


def _rnn_backward(func, call: dict[str, Any]):
    _refuse_packed(call["batch_sizes"])
    layout = _Layout(func, call)
    gradients = _schema.call(func, _local(layout, call))
    output_mask = call["output_mask"]
    sums = [
        layout.partial() if sharded else layout.replicate() for sharded in layout.sharded
    ]  # of the parameters' gradients: each process has its own rows' part
    spread = [(layout.over(dim), dim) for dim in (layout.batch_dim, layout.state_dim)]
    # What follows the parameters holds a value for each unit, as leak does; preactivation is last.
    spread += [(sums, None)] * (len(output_mask) - 3)
    by_layer = _preactivation_dim(layout, call)
    spread.append((layout.over(by_layer), by_layer))
    wanted = [where for where, asked in zip(spread, output_mask, strict=True) if asked]
    return [
        layout.whole(local, placements, dim)
        for local, (placements, dim) in zip(gradients, wanted, strict=True)
    ]


def _saved_dim(layout: _Layout, saved: Tensor | None) -> int | None:
    """Where the batch lies in what is saved, [layers, T, B, D*H], or empty: [0]."""
    return 2 if saved is not None and saved.dim() == 4 and layout.batch_dim is not None else None


def _preactivation_dim(layout: _Layout, call: dict[str, Any]) -> int | None:
    """Where the batch lies in `preactivation`, which may have a dimension of layers first."""
    preactivation = call["preactivation"]
    if preactivation is None or layout.batch_dim is None:
        return None
    return layout.batch_dim + preactivation.dim() - call["input"].dim()


def _local(layout: _Layout, call: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call, of its tensors the local parts."""
    batch, state, carry_scale = layout.batch_dim, layout.state_dim, call["carry_scale"]
    dims = {
        **dict.fromkeys(("input", "grad_output", "output", "reset"), batch),
        **dict.fromkeys(("hx", "grad_h_n"), state),
        "carry_scale": None if carry_scale is None or carry_scale.dim() == 1 else batch,  # or [T]
        "preactivation": _preactivation_dim(layout, call),
    }
    for name in ("states", "saved_masks", "drives", "masks"):
        dims[name] = _saved_dim(layout, call.get(name))
    local = {
        name: layout.local(name, value, dims.get(name)) if isinstance(value, Tensor) else value
        for name, value in call.items()
    }
    return local | {"params": [param.to_local() for param in call["params"]]}


@on_import("torch.distributed.tensor")
def _register(tensor: ModuleType) -> None:
    ops = torch.ops.elman
    for op, rule in (
        (ops.rnn.default, _rnn),
        (ops.rnn.data, _rnn_data),
        (ops._rnn_forward.default, _rnn_forward),
        (ops._rnn_backward.default, _rnn_backward),
    ):

        def dispatch(mode, func, types, args, kwargs, rule=rule):
            # to_local and from_local are differentiable, and here is below autograd.
            with torch.no_grad():
                return rule(func, _schema.by_name(func, args, kwargs or {}))

        torch.library.register_torch_dispatch(op, tensor.DTensor, dispatch)
