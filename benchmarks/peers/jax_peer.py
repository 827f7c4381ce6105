"""JAX as a peer: one product for all inputs, `lax.scan` over the steps, compiled. See peer.h."""

from __future__ import annotations

import math
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

SEEDS = {"input": 1, "weight_ih": 2, "weight_hh": 3, "bias": 4, "grad_output": 5}


def pattern(shape: tuple[int, ...], name: str, scale: float) -> jax.Array:
    """Numbers that every peer makes alike, as `Pattern` in peer.h."""
    index = np.arange(math.prod(shape), dtype=np.int64)
    remainder = (index * 7919 + SEEDS[name] * 104729) % 2003
    return jnp.asarray(((remainder / 2003 - 0.5) * 2 * scale).astype(np.float32).reshape(shape))


def network(x: jax.Array, w_ih: jax.Array, w_hh: jax.Array, bias: jax.Array) -> jax.Array:
    """x: [T, B, I], w_ih: [H, I], w_hh: [H, H], bias: [H]; returns the states [T, B, H]."""

    def step(h: jax.Array, projected: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(projected + h @ w_hh.T)
        return h, h

    first = jnp.zeros((x.shape[1], w_hh.shape[0]), x.dtype)
    return jax.lax.scan(step, first, x @ w_ih.T + bias)[1]


@jax.jit
def forward(x, w_ih, w_hh, bias, _):
    """The states alone."""
    return (network(x, w_ih, w_hh, bias),)


@jax.jit
def backward(x, w_ih, w_hh, bias, grad_output):
    """The states and the gradients of all four arguments."""
    output, pull = jax.vjp(network, x, w_ih, w_hh, bias)
    return output, *pull(grad_output)


def main() -> None:
    """Answers until the standard input ends."""
    arguments, call = (), None

    def seconds(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            jax.block_until_ready(call(*arguments))
        return time.perf_counter() - start

    for line in sys.stdin:
        command, *words = line.split()
        if command == "prepare":
            T, B, I, H = map(int, words[:4])
            scale = 1 / math.sqrt(H)
            arguments = (
                pattern((T, B, I), "input", 1),
                pattern((H, I), "weight_ih", scale),
                pattern((H, H), "weight_hh", scale),
                pattern((H,), "bias", scale),
                pattern((T, B, H), "grad_output", 1),
            )
            call = backward if words[4] == "backward" else forward
            seconds(1)  # compiles
            once = seconds(1)
            results = [np.asarray(result, dtype=np.float64) for result in call(*arguments)]
            print("ready", once, *(np.abs(result).mean() for result in results), flush=True)
        else:
            seconds(1)
            print("done", seconds(int(words[0])), flush=True)


if __name__ == "__main__":
    main()
