"""What the Python peers have in common; see peer.h."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

SEEDS = {"input": 1, "weight_ih": 2, "weight_hh": 3, "bias": 4, "grad_output": 5}
LAYER_SEED = 10
CHECKED_STEPS = 16


class Size(NamedTuple):
    """Steps, batch, inputs, hidden units, layers."""

    T: int
    B: int
    I: int
    H: int
    L: int


class Prepared(NamedTuple):
    """A case of a peer: a call, what it last computed, and a new start for steps."""

    call: Callable[[], object]
    results: Callable[[], Sequence[np.ndarray]]
    restart: Callable[[], object] = lambda: None


def pattern(shape: tuple[int, ...], name: str, scale: float, layer: int = 0) -> np.ndarray:
    """Numbers that every peer makes alike, as `Pattern` in peer.h."""
    index = np.arange(math.prod(shape), dtype=np.int64)
    remainder = (index * 7919 + (SEEDS[name] + LAYER_SEED * layer) * 104729) % 2003
    return ((remainder / 2003 - 0.5) * 2 * scale).astype(np.float32).reshape(shape)


def parameters(size: Size) -> dict[str, np.ndarray]:
    """Those of torch's modules, by name; the second bias is zeros."""
    values = {}
    scale = 1 / math.sqrt(size.H)
    for layer in range(size.L):
        inputs = size.I if layer == 0 else size.H
        values[f"weight_ih_l{layer}"] = pattern((size.H, inputs), "weight_ih", scale, layer)
        values[f"weight_hh_l{layer}"] = pattern((size.H, size.H), "weight_hh", scale, layer)
        values[f"bias_ih_l{layer}"] = pattern((size.H,), "bias", scale, layer)
        values[f"bias_hh_l{layer}"] = np.zeros(size.H, np.float32)
    return values


def serve(prepare: Callable[[Size, str], Prepared]) -> None:
    """Answers until the standard input ends."""
    prepared: Prepared

    def seconds(calls: int) -> float:
        call = prepared.call
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    for line in sys.stdin:
        command, *words = line.split()
        if command == "prepare":
            mode = words[5]
            prepared = prepare(Size(*map(int, words[:5])), mode)
            calls = 100 if mode == "step" else 1
            seconds(calls)  # compiles, where something is to be compiled
            once = seconds(calls) / calls
            if mode == "step":
                prepared.restart()
                seconds(CHECKED_STEPS)
            sums = (np.abs(np.asarray(r, dtype=np.float64)).mean() for r in prepared.results())
            print("ready", once, *sums, flush=True)
        else:
            seconds(1)
            print("done", seconds(int(words[0])), flush=True)
