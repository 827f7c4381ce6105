"""`kernel_info`: which kernel a call takes."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman._checks import check_optional_tensors, check_tensor
from elman._jagged import to_packed
from elman._leak import Leaky
from elman.network import Network
from elman.rnn import RNN
from elman.rnn_cell import RNNCell

__all__ = ["kernel_info"]


def kernel_info(
    module: RNN | RNNCell | Network,
    input: Tensor | PackedSequence,
    hx: Tensor | None = None,
    *,
    reset: Tensor | None = None,
    carry_scale: Tensor | None = None,
    preactivation: Tensor | None = None,
) -> str:
    """Which kernel `module(input, hx, ...)` takes, forward and backward, and why; on the CPU also
    how its threads divide the work, and in bfloat16 what multiplies the forward pass's factors.

    Nothing is computed, and no noise is drawn. Threads are those that a call made here and now
    would find, so ``torch.set_num_threads`` shows; and so does ``torch.no_grad``, under which deep
    stacks keep fewer states. Backward is the pass for the gradients of all parameters.

    ``preactivation`` is for an :class:`elman.LeakyRNN` or :class:`elman.LeakyRNNCell`, or a network
    of that cell, only. The text is meant for people; it begins with ``cpu``, ``cuda`` or
    ``composite`` (PyTorch operators). For a :class:`Network` it is about its recurrent part, with
    `input` as that is given it. For a call without a module there is
    ``torch.ops.elman.kernel_info``, with the arguments of ``torch.ops.elman.rnn``.

    Args:
        module: whose call it is
        input: and ``hx``, ``reset``, ``carry_scale``, ``preactivation``: as for a call of the
            module. Default: none

    Raises:
        TypeError: `module` is none of elman's, or an argument is of a wrong type
        ValueError, RuntimeError: as the call itself

    Example::

        >>> print(elman.kernel_info(elman.RNN(128, 128), torch.randn(100, 32, 128)))
        cpu: fused kernels compiled for AVX512; forward: each of 2 threads takes 16 rows through all
        steps; backward: each of 2 threads takes 16 rows through all steps
    """
    if isinstance(module, Network):
        module = module.rnn
    if preactivation is not None and not isinstance(module, Leaky):
        raise TypeError(
            "preactivation is for leaky modules only, but module is of type "
            f"{type(module).__name__}"
        )
    if not isinstance(module, (RNN, RNNCell)):
        raise TypeError(f"module should be an elman.RNN, RNNCell or Network, got: {type(module)}")
    if isinstance(module, RNNCell):
        check_tensor("input", input)
    elif not isinstance(input, (Tensor, PackedSequence)):
        raise TypeError(
            f"input should be a Tensor or a PackedSequence, got: {type(input).__name__}"
        )
    check_optional_tensors(hx=hx, reset=reset, carry_scale=carry_scale, preactivation=preactivation)
    layers = directions = 1
    if isinstance(module, RNNCell):
        assert isinstance(input, Tensor)
        preactivation = None if preactivation is None else preactivation.unsqueeze(0)
        names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
        weights = [getattr(module, name) for name in names]
        input, hx = input.unsqueeze(0), None if hx is None else hx.unsqueeze(0)
        stack = (weights, module.bias, 1, 0.0, module.training, False)
        batch_first, truncation = False, (0, 0)
    else:
        weights = [getattr(module, name) for name in module._flat_weights_names]
        stack = (weights, *module._sizes())
        batch_first, truncation = module.batch_first, module.truncation or (0, 0)
        layers, directions = module.num_layers, 2 if module.bidirectional else 1
    if isinstance(input, Tensor) and input.is_nested:
        input = to_packed(input)[0]
    options = {"nonlinearity": module.nonlinearity, "k1": truncation[0], "k2": truncation[1]}
    if isinstance(module, Leaky):
        rows = input.data if isinstance(input, PackedSequence) else input
        options |= module._leak_to_describe(rows, preactivation, layers, directions)
    if isinstance(input, PackedSequence):
        data, batch_sizes = input.data, input.batch_sizes
        return torch.ops.elman.kernel_info.data(data, batch_sizes, hx, *stack, **options)
    options |= {"reset": reset, "carry_scale": carry_scale}
    return torch.ops.elman.kernel_info.default(input, hx, *stack, batch_first, **options)
