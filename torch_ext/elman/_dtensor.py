"""What elman's operators do with DTensors: each process runs its own rows of the batch.

The input is replicated, or sharded over the batch; the parameters are replicated, and their
gradients are partial sums over the shards of the batch. Nothing is sent but gradients that arrive
in another layout. What would need more than that is refused, by the argument's name.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from elman._on_import import on_import

__all__: list[str] = []

_CELL_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class _Layout:
    """How one call's tensors are spread: over the batch in the mesh's dimensions `sharded`."""

    def __init__(self, func, input, params, has_biases, bidirectional, batch_first) -> None:
        from torch.distributed import tensor

        self.dtensor, self.shard, self.replicate = tensor.DTensor, tensor.Shard, tensor.Replicate
        self.partial, self.func = tensor.Partial, func
        self._check_distributed("input", input)
        self.mesh = input.device_mesh
        self.batch_dim = None if input.dim() == 2 else (0 if batch_first else 1)
        self.sharded = [self._is_sharded(placement) for placement in input.placements]
        for index, param in enumerate(params):
            self._check_parameter(param, _parameter_name(index, has_biases, bidirectional))

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

    def whole(self, local: Tensor, placements: list[Any], dim: int | None, rows: int) -> Tensor:
        """The DTensor of which `local` is this process's part. rows: of the whole batch."""
        shape = list(local.shape)
        if dim is not None:
            shape[dim] = rows
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


def _rnn(func, input, hx, params, has_biases, num_layers, dropout, train, *args, **kwargs):
    """elman::rnn, without a gradient to record."""
    forward = torch.ops.elman._rnn_forward.default
    options = {"k1": 0, "k2": 0, "nonlinearity": "tanh", "reset": None, "carry_scale": None}
    options |= {"batch_sizes": None, "masks": None, "save_states": False} | kwargs
    arguments = (input, hx, params, has_biases, num_layers, dropout, train, *args)
    return _rnn_forward(forward, *arguments, **options)[:2]


def _rnn_data(func, data, batch_sizes, *args, **kwargs):
    _refuse_packed(batch_sizes)


def _rnn_forward(
    func,
    input,
    hx,
    params,
    has_biases,
    num_layers,
    dropout,
    train,
    bidirectional,
    batch_first,
    *,
    batch_sizes,
    masks,
    **options,
):
    _refuse_packed(batch_sizes)
    layout = _Layout(func, input, params, has_biases, bidirectional, batch_first)
    batch = layout.batch_dim
    state_dim = None if batch is None else 1
    results = func(
        input.to_local(),
        layout.local("hx", hx, state_dim),
        [param.to_local() for param in params],
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        batch_sizes=None,
        masks=layout.local("masks", masks, _saved_dim(layout, masks)),
        **_local_options(layout, input, options),
    )
    rows = 1 if batch is None else input.size(batch)
    output, h_n, *saved = results
    dims = [batch, state_dim, *(_saved_dim(layout, one) for one in saved)]
    return tuple(
        layout.whole(local, layout.over(dim), dim, rows)
        for local, dim in zip((output, h_n, *saved), dims, strict=True)
    )


def _rnn_backward(
    func,
    grad_output,
    grad_h_n,
    output,
    states,
    saved_masks,
    drives,
    input,
    hx,
    params,
    has_biases,
    num_layers,
    dropout,
    train,
    bidirectional,
    batch_first,
    *,
    batch_sizes,
    output_mask,
    masks=None,
    **options,
):
    _refuse_packed(batch_sizes)
    layout = _Layout(func, input, params, has_biases, bidirectional, batch_first)
    batch = layout.batch_dim
    state_dim = None if batch is None else 1
    gradients = func(
        layout.local("grad_output", grad_output, batch),
        layout.local("grad_h_n", grad_h_n, state_dim),
        layout.local("output", output, batch),
        layout.local("states", states, _saved_dim(layout, states)),
        layout.local("saved_masks", saved_masks, _saved_dim(layout, saved_masks)),
        layout.local("drives", drives, _saved_dim(layout, drives)),
        input.to_local(),
        layout.local("hx", hx, state_dim),
        [param.to_local() for param in params],
        has_biases,
        num_layers,
        dropout,
        train,
        bidirectional,
        batch_first,
        batch_sizes=None,
        output_mask=output_mask,
        **_local_options(layout, input, options),
    )
    rows = 1 if batch is None else input.size(batch)
    sums = [
        layout.partial() if sharded else layout.replicate() for sharded in layout.sharded
    ]  # of the parameters' gradients: each process has its own rows' part
    spread = [(layout.over(batch), batch), (layout.over(state_dim), state_dim)]
    # What follows the parameters holds a value for each unit, as leak does; preactivation is last.
    spread += [(sums, None)] * (len(output_mask) - 3)
    by_layer = _preactivation_dim(layout, input, options.get("preactivation"))
    spread.append((layout.over(by_layer), by_layer))
    wanted = [where for where, asked in zip(spread, output_mask, strict=True) if asked]
    return [
        layout.whole(local, placements, dim, rows)
        for local, (placements, dim) in zip(gradients, wanted, strict=True)
    ]


def _saved_dim(layout: _Layout, saved: Tensor | None) -> int | None:
    """Where the batch lies in what is saved, [layers, T, B, D*H], or empty: [0]."""
    return 2 if saved is not None and saved.dim() == 4 and layout.batch_dim is not None else None


def _preactivation_dim(layout: _Layout, input: Tensor, preactivation) -> int | None:
    """Where the batch lies in `preactivation`, which may have a dimension of layers first."""
    if preactivation is None or layout.batch_dim is None:
        return None
    return layout.batch_dim + preactivation.dim() - input.dim()


def _local_options(layout: _Layout, input: Tensor, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a call, of its tensors the local parts. carry_scale may be [T]."""
    carry_scale = options.get("carry_scale")
    dims = {
        "reset": layout.batch_dim,
        "carry_scale": None if carry_scale is None or carry_scale.dim() == 1 else layout.batch_dim,
        "preactivation": _preactivation_dim(layout, input, options.get("preactivation")),
    }
    return {
        name: layout.local(name, option, dims.get(name)) if isinstance(option, Tensor) else option
        for name, option in options.items()
    }


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
                return rule(func, *args, **(kwargs or {}))

        torch.library.register_torch_dispatch(op, tensor.DTensor, dispatch)
