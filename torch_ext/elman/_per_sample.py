"""Per-sample gradients by torch's expanded weights (torch.nn.utils._per_sample_grad).

Each sequence of a batch is run with weights of its own, all of them the same, by `torch.func.vmap`;
what arrives at a sequence's weights is its gradient.
"""

from types import ModuleType

import torch
from torch import Tensor

from elman._on_import import on_import

__all__: list[str] = []


class _Rule:
    """What expanded weights look up for an operator: they call `apply`."""

    def __init__(self, rule) -> None:
        self.rule = rule

    def apply(self, kwarg_names, func, *values):
        count = len(values) - len(kwarg_names)
        kwargs = dict(zip(kwarg_names, values[count:], strict=True))
        return self.rule(func, *values[:count], **kwargs)


def _for_each(sample_count: int, params: list[Tensor]) -> tuple[list[Tensor], list[int | None]]:
    """The parameters with one copy for each sample, and the dimension of the copies: 0, or None
    where a parameter is an ordinary tensor.
    """
    from torch.nn.utils._expanded_weights.expanded_weights_impl import ExpandedWeight
    from torch.nn.utils._expanded_weights.expanded_weights_utils import set_grad_sample_if_exists

    copies: list[Tensor] = []
    dims: list[int | None] = []
    for param in params:
        if not isinstance(param, ExpandedWeight):
            copies.append(param)
            dims.append(None)
            continue
        if param.batch_size != sample_count:
            raise RuntimeError(
                "Expected ExpandedWeights to have batch size matching input but got input batch "
                f"size of {sample_count} with ExpandedWeight of batch size {param.batch_size}"
            )
        weight = param.orig_weight.detach()
        copy = weight.expand(sample_count, *weight.shape).requires_grad_()
        copy.register_hook(
            lambda gradient, param=param: set_grad_sample_if_exists(param, lambda _: gradient)
        )
        copies.append(copy)
        dims.append(0)
    return copies, dims


def _check_batched(name: str, input: Tensor, dim: int) -> None:
    if input.dim() != dim:
        raise RuntimeError(
            f"{name}: per-sample gradients need a batch, expected a {dim}-D tensor, got "
            f"{input.dim()}-D"
        )


def _rnn(
    func, input, hx, params, *options, reset=None, carry_scale=None, preactivation=None, **kwargs
):
    """elman::rnn. options: has_biases, ..., batch_first; one sample is unbatched."""
    _check_batched("input", input, 3)
    batch = 0 if options[-1] else 1
    copies, dims = _for_each(input.size(batch), params)

    def run(x, h, params, reset, scale, added):
        each = {"reset": reset, "carry_scale": scale, "preactivation": added}
        return func(x, h, params, *options, **each, **kwargs)

    def rows_of(value):
        return None if value is None or value.dim() == 1 else batch

    layers = 0 if preactivation is None else preactivation.dim() - input.dim()
    in_dims = (
        *(batch, None if hx is None else 1, dims, rows_of(reset), rows_of(carry_scale)),
        None if preactivation is None else batch + layers,
    )
    run = torch.func.vmap(run, in_dims=in_dims, out_dims=(batch, 1), randomness="different")
    return run(input, hx, copies, reset, carry_scale, preactivation)


def _rnn_data(func, data, batch_sizes, hx, params, *options, preactivation=None, **kwargs):
    """elman::rnn.data: sequence by sequence, since they are of different lengths."""
    sequences = int(batch_sizes[0])
    copies, dims = _for_each(sequences, params)
    first_rows = batch_sizes.cumsum(0) - batch_sizes
    rows = [first_rows[batch_sizes > b] + b for b in range(sequences)]
    outputs, states = [], []
    for b, mine in enumerate(rows):
        own = [copy if dim is None else copy[b] for copy, dim in zip(copies, dims, strict=True)]
        one = torch.ones_like(mine, device="cpu")
        h = None if hx is None else hx[:, b : b + 1]
        mine = mine.to(data.device)
        added = None if preactivation is None else preactivation.index_select(-2, mine)
        output, h_n = func(data[mine], one, h, own, *options, preactivation=added, **kwargs)
        outputs.append(output)
        states.append(h_n)
    order = torch.cat(rows).argsort().to(data.device)
    return torch.cat(outputs)[order], torch.cat(states, 1)


def _rnn_cell(func, input, hx, *params, preactivation=None, **kwargs):
    """elman::rnn_cell."""
    _check_batched("input", input, 2)
    copies, dims = _for_each(input.size(0), list(params))

    def run(x, h, params, added):
        return func(x, h, *params, preactivation=added, **kwargs)

    in_dims = (0, None if hx is None else 0, dims, None if preactivation is None else 0)
    return torch.func.vmap(run, in_dims=in_dims)(input, hx, copies, preactivation)


@on_import("torch.nn.utils._expanded_weights.expanded_weights_impl")
def _register(impl: ModuleType) -> None:
    handled = getattr(impl, "HANDLED_FUNCTIONS", {})
    handled[torch.ops.elman.rnn.default] = _Rule(_rnn)
    handled[torch.ops.elman.rnn.data] = _Rule(_rnn_data)
    handled[torch.ops.elman.rnn_cell.default] = _Rule(_rnn_cell)
    handled[torch.ops.elman.rnn_cell] = _Rule(_rnn_cell)  # RNNCell's call, which TorchScript takes
