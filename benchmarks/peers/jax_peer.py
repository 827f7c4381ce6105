"""JAX as a peer: one product for all inputs, `lax.scan` over the steps, compiled. See peer.h."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from peer import Prepared, Size, parameters, pattern, serve


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


def prepare(size: Size, mode: str) -> Prepared:
    """A case of one layer, forward or backward."""
    if size.L != 1 or mode == "step":
        raise ValueError("one layer, and no single steps")
    T, B, I, H, _ = size
    named = parameters(size)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
    arguments = [
        jnp.asarray(values)
        for values in (
            pattern((T, B, I), "input", 1),
            *(named[name] for name in names),
            pattern((T, B, H), "grad_output", 1),
        )
    ]
    call = backward if mode == "backward" else forward
    return Prepared(lambda: jax.block_until_ready(call(*arguments)), lambda: list(call(*arguments)))


serve(prepare)
