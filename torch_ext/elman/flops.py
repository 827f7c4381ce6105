"""What torch.utils.flop_counter counts for elman's operators.

As for torch's own: the multiplications and additions of the matrix products, two for each pair of
elements, and nothing else. Importing elman enters the formulas.
"""

import math
from types import SimpleNamespace

import torch
from torch.utils.flop_counter import register_flop_formula

from elman._schema import by_name

__all__: list[str] = []


def _layer_products(
    input, params, has_biases: bool, num_layers: int, bidirectional: bool
) -> tuple[list[int], int]:
    """The flops of all steps' products with each layer's weight_ih, and of those with one layer's
    weight_hh, both directions together.
    """
    directions = 2 if bidirectional else 1
    rows = math.prod(input[:-1])
    stride = directions * (4 if has_biases else 2)
    ih = [2 * rows * directions * math.prod(params[i * stride]) for i in range(num_layers)]
    return ih, 2 * rows * directions * math.prod(params[1])


@register_flop_formula([torch.ops.elman._rnn_forward])
def _rnn_forward_flop(
    input, hx, params, has_biases, num_layers, dropout, train, bidirectional, *args, **kwargs
) -> int:
    ih, hh = _layer_products(input, params, has_biases, num_layers, bidirectional)
    return sum(ih) + num_layers * hh


@register_flop_formula([torch.ops.elman.rnn])
def _rnn_flop(input, second, *args, **kwargs) -> int:
    # rnn.data has batch_sizes, of one dimension, before hx.
    packed = second is not None and len(second) == 1
    return _rnn_forward_flop(input, *(args if packed else (second, *args)))


def _steps_back(steps: int, k1: int, k2: int) -> tuple[int, int]:
    """(the steps that all windows cover together, the windows that reach step 1)."""
    if k1 == 0:
        return steps, 1
    ends = range(k1, steps + k1, k1)  # nominal
    return (
        sum(min(end, steps) - max(0, end - k2) for end in ends),
        sum(end <= k2 for end in ends),
    )


@register_flop_formula([torch.ops.elman._rnn_backward])
def _rnn_backward_flop(*args, out_shape=None, **kwargs) -> int:
    call = SimpleNamespace(**by_name(torch.ops.elman._rnn_backward.default, args, kwargs))
    params, k1, k2, num_layers = call.params, call.k1, call.k2, call.num_layers
    ih, hh = _layer_products(call.input, params, call.has_biases, num_layers, call.bidirectional)
    if call.batch_sizes is not None:
        steps = call.batch_sizes[0]
    else:
        steps = call.input[1 if call.batch_first and len(call.input) == 3 else 0]
    needs_input, needs_hx, *needs_params = call.output_mask
    windows = 1 if k1 == 0 else len(range(0, steps, k1))
    covered, from_start = _steps_back(steps, k1, k2)
    if k1 < k2 and from_start == windows:
        covered, from_start, windows = steps, 1, 1  # every window starts at step 1: run as one

    # The error through time: no product at a window's first step, unless it goes on into hx.
    back = covered - windows + (from_start if needs_hx else 0)
    flops = num_layers * hh * back // steps
    # The error down the stack: for each window by itself where they overlap.
    flops += sum(ih[1:]) * max(covered, steps) // steps
    flops += ih[0] if needs_input else 0
    stride = len(params) // num_layers
    for layer in range(num_layers):
        flops += ih[layer] if needs_params[layer * stride] else 0
        flops += hh if needs_params[layer * stride + 1] else 0
    return flops
