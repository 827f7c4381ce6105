"""Shapes of packed calls for compilers, where the tensors lie on another device than batch_sizes.

batch_sizes is a CPU tensor wherever the data are, as torch's packed sequences have it. But a
FakeTensorMode wants all arguments on one device before it runs an operator's Meta kernel. (torch's
own operators are composites and never come there.) Here batch_sizes takes the data's device for as
long as shapes are computed, which do not depend on its values.
"""

from __future__ import annotations

import torch
from torch._subclasses.fake_impls import register_op_impl

from elman._schema import by_name, call

_PACKED = [
    torch.ops.elman.rnn.data,
    torch.ops.elman._rnn_forward.default,
    torch.ops.elman._rnn_backward.default,
]


@register_op_impl(_PACKED)
def _with_one_device(fake_mode, operator, *args, **kwargs):
    given = by_name(operator, args, kwargs)
    batch_sizes = given["batch_sizes"]
    data = given["data"] if "data" in given else given["input"]
    if batch_sizes is None or batch_sizes.device == data.device:
        return NotImplemented
    with fake_mode:
        given["batch_sizes"] = torch.empty_like(batch_sizes, device=data.device)
        return call(operator, given)
