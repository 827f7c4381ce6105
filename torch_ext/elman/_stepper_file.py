"""The file of a stepper: safetensors, with the options in its metadata. See csrc/stepper/file.h.

Written here byte by byte: the format is short, and elman needs no further package for it.
"""

import ctypes
import json
import struct
from typing import Any, cast

import torch
from torch import Tensor

from elman._received import has_own_forward
from elman.leaky_rnn import LeakyRNN
from elman.leaky_rnn_cell import LeakyRNNCell
from elman.network import Network
from elman.rnn import RNN
from elman.rnn_cell import RNNCell

__all__ = ["data_of", "to_bytes"]

# Subclasses first.
_CELLS = (LeakyRNNCell, RNNCell, torch.nn.RNNCell)
_CLASSES = (LeakyRNN, RNN, torch.nn.RNN, *_CELLS)


def data_of(name: str, tensor: Tensor) -> int:
    """Where the elements are. Those of compilers and transforms have none, nor have freed ones."""
    at = tensor.data_ptr()
    if at == 0 and tensor.numel():
        raise ValueError(f"{name}: expected a tensor with memory of its own, got one without data")
    return at


def to_bytes(module: torch.nn.Module) -> tuple[bytes, torch.dtype]:
    """The contents of the module's file, and the dtype in it: float64, or else float32."""
    tensors, metadata = _read(module)
    dtype = next(iter(tensors.values())).dtype
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise TypeError(
                f"{name} must be of a real floating point dtype for a stepper, got {tensor.dtype}"
            )
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    header: dict[str, Any] = {"__metadata__": metadata}
    blobs, at = [], 0
    for name, tensor in tensors.items():
        # Without NumPy, which torch does not need either.
        kept = tensor.detach().to("cpu", dtype).resolve_neg().contiguous()
        blob = ctypes.string_at(data_of(name, kept), kept.numel() * kept.element_size())
        header[name] = {
            "dtype": "F64" if dtype == torch.float64 else "F32",
            "shape": list(tensor.shape),
            "data_offsets": [at, at + len(blob)],
        }
        at += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin on a border
    return struct.pack("<Q", len(text)) + text + b"".join(blobs), dtype


def _read(module: torch.nn.Module) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A module's tensors and options, under the names that the file has."""
    if isinstance(module, Network):
        _check_plain("module", module, Network)
        _check_plain("module.out", module.out, torch.nn.Linear)
        tensors, metadata = _read(module.rnn)
        tensors["out.weight"] = module.out.weight
        if module.out.bias is not None:
            tensors["out.bias"] = module.out.bias
        return tensors, metadata | {"output": module.output}
    base = next((one for one in _CLASSES if isinstance(module, one)), None)
    if base is None:
        raise TypeError(
            "module must be an elman.RNN, RNNCell, LeakyRNN, LeakyRNNCell or Network, or a "
            f"torch.nn.RNN or RNNCell, got {type(module).__name__}"
        )
    _check_plain("module", module, base)
    is_cell = base in _CELLS
    if getattr(module, "bidirectional", False):
        raise ValueError(
            "module: a stepper goes forward in time, so the network must have one direction; got "
            "bidirectional = True"
        )
    layers = 1 if is_cell else cast(int, module.num_layers)
    tensors = {}
    for layer in range(layers):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            tensor = getattr(module, name if is_cell else f"{name}_l{layer}", None)
            if tensor is not None:
                tensors[f"{name}_l{layer}"] = tensor
    metadata = {"elman_stepper": "1", "nonlinearity": str(module.nonlinearity)}
    if base in (LeakyRNN, LeakyRNNCell):
        _read_leak(module, layers, tensors, metadata)
    return tensors, metadata


def _check_plain(name: str, module: torch.nn.Module, base: type[torch.nn.Module]) -> None:
    """Refuses what a stepper would leave out: a forward of a subclass's own, and hooks, but for
    those that make a weight (pruning, weight norm).
    """
    if has_own_forward(module, base):
        raise TypeError(
            f"{name}: a stepper does what {base.__module__.split('.')[0]}'s {base.__name__} does, "
            f"but {type(module).__name__} has a forward of its own"
        )
    before = [
        hook
        for hook in module._forward_pre_hooks.values()
        if not type(hook).__module__.startswith("torch.nn.utils.")
    ]
    for kind, hooks in (("forward hooks", module._forward_hooks), ("forward pre-hooks", before)):
        if hooks:
            raise ValueError(f"{name}: a stepper calls no {kind}, but {name} has {len(hooks)}")


def _read_leak(
    module: torch.nn.Module, layers: int, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    if getattr(module, "noise", 0.0) and getattr(module, "noise_in_eval", True):
        raise ValueError(
            f"module: a stepper adds no noise, but the module has noise = {module.noise}, in "
            "evaluation too; set it to 0 first"
        )
    if module.alpha is None:  # which is 1, of the rate form: the plain cell
        return
    weight = tensors["weight_hh_l0"]
    alpha = torch.as_tensor(module.alpha, dtype=weight.dtype, device=weight.device)
    # A number, [H], or [L, H].
    alpha = alpha.expand(layers, weight.size(0))
    for layer in range(layers):
        tensors[f"alpha_l{layer}"] = alpha[layer]
    metadata["leak_form"] = str(module.form)
