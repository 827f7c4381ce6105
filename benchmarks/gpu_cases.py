"""The cases of the GPU grid, and who runs them: one name, one closure that computes it once."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass

import elman
import torch

#: dtype of the tensors, and whether products of float32 may be rounded to TF32
PRECISIONS = {
    "fp32": (torch.float32, False),
    "tf32": (torch.float32, True),
    "bf16": (torch.bfloat16, False),
    "fp16": (torch.float16, False),
}
CHUNK = 20  # steps of a chunk, in the detach loop and in TBPTT(20, 20)


@dataclass(frozen=True)
class Case:
    """kind: grid (full BPTT), packed, or tbptt; mode: forward, or backward (with the forward)."""

    kind: str
    T: int
    B: int
    H: int
    precision: str
    mode: str

    @property
    def rows(self) -> int:
        """Steps of all sequences, for which something has to be computed."""
        return int(self.lengths().sum())

    @property
    def flops(self) -> float:
        """Operations of the matrix products, with an input as wide as the state."""
        return self.rows * 4.0 * self.H**2 * (1 if self.mode == "forward" else 3)

    def lengths(self) -> torch.Tensor:
        """The sequences' lengths: from T down to T / 4 if packed."""
        if self.kind != "packed" or self.B == 1:
            return torch.full((self.B,), self.T)
        return torch.linspace(self.T, self.T / 4, self.B).round().long().clamp_min(1)

    def fields(self) -> dict:
        return asdict(self)


def full_grid() -> list[Case]:
    sizes = itertools.product((128, 1024), (1, 16, 64, 256), (64, 128, 256, 512, 1024, 2048))
    cases = [
        Case("grid", *size, precision, mode)
        for precision, size, mode in itertools.product(PRECISIONS, sizes, ("forward", "backward"))
        if size[0] * size[1] * size[2] ** 2 < 1 << 37  # what is left out says what T = 128 does
    ]
    few = itertools.product((1, 16, 64), (64, 256, 512, 1024), ("fp32", "bf16"))
    for B, H, precision in few:
        cases.append(Case("tbptt", 1024, B, H, precision, "backward"))
    for B, H, precision in itertools.product((16, 64), (128, 512, 1024), ("fp32", "bf16")):
        cases += [Case("packed", 512, B, H, precision, mode) for mode in ("forward", "backward")]
    return cases


def tiny_grid() -> list[Case]:
    """For a dry run on a machine without a GPU."""
    return [
        Case("grid", 7, 2, 8, "fp32", "forward"),
        Case("grid", 7, 2, 8, "bf16", "backward"),
        Case("tbptt", 50, 1, 8, "fp32", "backward"),
        Case("packed", 9, 3, 8, "fp32", "backward"),
    ]


class Workload:
    """A case's tensors and modules; `sides` are the calls that are measured against each other."""

    def __init__(self, case: Case, device: str) -> None:
        self.case = case
        self.device = device
        self.dtype = PRECISIONS[case.precision][0]
        options = {"device": device, "dtype": self.dtype}
        self.reference = torch.nn.RNN(case.H, case.H, **options)
        self.ours = elman.RNN(case.H, case.H, **options)
        self.ours.load_state_dict(self.reference.state_dict())
        self.x = torch.randn(case.T, case.B, case.H, **options)
        self.hx = torch.zeros(1, case.B, case.H, **options)
        self.grad = torch.randn(case.T, case.B, case.H, **options)
        self.input = self.x
        if case.kind == "packed":
            pack = torch.nn.utils.rnn.pack_padded_sequence
            self.input = pack(self.x, case.lengths())
            self.grad = pack(self.grad, case.lengths()).data
        if case.kind == "tbptt":
            self.ours.truncation = CHUNK

    def sides(self, paths: bool = False) -> dict[str, Callable[[], object]]:
        """Name to call. `torch` is cuDNN on a GPU; the first is the one that others are held to.
        With `paths` elman is measured on each of its two paths, too."""
        result = {"elman": lambda: self._run(self.ours), "torch": lambda: self._run(self.reference)}
        if self.case.kind == "tbptt":
            result["torch full BPTT"] = result["torch"]
            result["torch"] = self._detach_loop
        if paths:
            for path in ("general", "persistent"):
                result[f"elman, {path} path"] = lambda path=path: self._run_on_path(path)
        if self.case.kind == "grid" and self.device == "cuda":
            if self.case.precision != "tf32" and importlib.util.find_spec("flashrnn"):
                result["FlashRNN"] = self._flashrnn
            if importlib.util.find_spec("flag_gems"):
                import flag_gems

                if hasattr(flag_gems, "rnn_tanh"):
                    result["FlagGems"] = lambda: self._flag_gems(flag_gems.rnn_tanh)
        return result

    def kernel(self) -> str:
        """What elman says about its own choice."""
        return elman.kernel_info(self.ours, self.input, self.hx)

    def _finish(self, output: torch.Tensor, parameters) -> None:
        if self.case.mode == "backward":
            torch.autograd.grad(output, list(parameters), self.grad)

    def _run(self, rnn: torch.nn.Module) -> None:
        with torch.set_grad_enabled(self.case.mode == "backward"):
            output, _ = rnn(self.input, self.hx)
            self._finish(output.data if self.case.kind == "packed" else output, rnn.parameters())

    def _run_on_path(self, path: str) -> None:
        os.environ["ELMAN_CUDA_PATH"] = path
        try:
            self._run(self.ours)
        finally:
            del os.environ["ELMAN_CUDA_PATH"]

    def _detach_loop(self) -> None:
        """What is written today: chunk by chunk, with the state detached between them."""
        h = self.hx
        self.reference.zero_grad()
        for chunk, grad in zip(self.x.split(CHUNK), self.grad.split(CHUNK), strict=True):
            output, h = self.reference(chunk, h.detach())
            output.backward(grad)

    def _flashrnn(self) -> None:
        """Batch first, bias and recurrence in its kernel, the input's product outside of it."""
        from flashrnn import flashrnn

        weight_ih, weight_hh, bias_ih, bias_hh = self.reference.parameters()
        B, T, H = self.case.B, self.case.T, self.case.H
        name = str(self.dtype).removeprefix("torch.")
        with torch.set_grad_enabled(self.case.mode == "backward"):
            projected = torch.nn.functional.linear(self.x.transpose(0, 1), weight_ih)
            weights = (weight_hh.view(1, 1, H, H), (bias_ih + bias_hh).view(1, 1, H))
            states, _ = flashrnn(
                projected.reshape(B, T, 1, 1, H), *weights, function="elman", dtype=name
            )
            output = states[0].reshape(B, T, H).transpose(0, 1)
            self._finish(output, (weight_ih, weight_hh, bias_ih, bias_hh))

    def _flag_gems(self, rnn_tanh) -> None:
        weights = list(self.reference.parameters())
        backward = self.case.mode == "backward"
        with torch.set_grad_enabled(backward):
            output, _ = rnn_tanh(self.x, self.hx, weights, True, 1, 0.0, backward, False, False)
            self._finish(output, weights)
