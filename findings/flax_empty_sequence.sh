#!/bin/bash
# flax 0.12.8: flax.linen.RNN with seq_lengths gives each row the carry after its last valid step. For a
# row of length 0 that is the carry after all steps of padding, not the initial carry: the index -1
# counts from the end. Paddle and Keras give the initial state.
# Seen: the carry of the empty row equals the output of the last padded step.
#
# Exits with an error once the behaviour has changed. PYTHON=... names an interpreter that has the
# packages; without it they are installed into a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python=${PYTHON:-}
unset PYTHON  # some packages have a use of their own for it
if [ -z "$python" ]; then
  python3 -m venv "$folder/venv"
  python=$folder/venv/bin/python3
  "$python" -m pip install --quiet numpy==2.4.6 flax==0.12.8
fi
cd "$folder"
"$python" - <<'EOF'
import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen

rnn = linen.RNN(linen.SimpleCell(4), return_carry=True)
x = jax.random.normal(jax.random.key(0), (2, 5, 3))
params = rnn.init(jax.random.key(1), x)
start = jnp.ones((2, 4))
carry, output = rnn.apply(params, x, seq_lengths=jnp.array([3, 0]), initial_carry=start)
print("flax", flax.__version__)
print("row of length 3: carry from its third output", float(jnp.abs(carry[0] - output[0, 2]).max()))
print("row of length 0: carry from the initial one  ", float(jnp.abs(carry[1] - start[1]).max()))
print("                 carry from the last padding ", float(jnp.abs(carry[1] - output[1, -1]).max()))
assert np.allclose(carry[0], output[0, 2], atol=1e-6)
assert np.allclose(carry[1], output[1, -1], atol=1e-6)
assert not np.allclose(carry[1], start[1], atol=0.1)
EOF
