"""elman.load_from against the libraries themselves: the same outputs and states, and what the table
in docs/deployment.md says of their masks, padding and empty rows."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import elman
import haiku
import jax
import keras
import mlx.core
import mlx.nn
import numpy as np
import onnx.helper
import paddle
import pytest
import torch
from flax import linen, nnx
from onnx.reference import ReferenceEvaluator

B, T, I, H = 3, 5, 4, 6
LENGTHS = [3, 0, 5]
MASK = np.arange(T) < np.array(LENGTHS)[:, None]


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((B, T, I)).astype(np.float32)


def assert_same(rnn, x, output, h_n=None):
    actual, actual_h_n = rnn(torch.from_numpy(x))
    np.testing.assert_allclose(actual.detach().numpy(), np.asarray(output), rtol=1e-5, atol=1e-5)
    if h_n is not None:
        states = actual_h_n.detach().numpy().reshape(np.shape(h_n))
        np.testing.assert_allclose(states, np.asarray(h_n), rtol=1e-5, atol=1e-5)


def test_keras(x):
    layer = keras.layers.SimpleRNN(
        H, return_sequences=True, return_state=True, bias_initializer="normal"
    )
    output, state = layer(x)
    assert_same(elman.load_from("keras", layer.get_weights()), x, output, state)


def test_keras_stack_of_both_directions(x):
    layers = [
        keras.layers.Bidirectional(
            keras.layers.SimpleRNN(
                H, return_sequences=True, activation="relu", bias_initializer="normal"
            )
        )
        for _ in range(2)
    ]
    output = keras.Sequential(layers)(x)
    weights = [layer.get_weights() for layer in layers]
    assert_same(elman.load_from("keras", weights, nonlinearity="relu"), x, output)


def test_keras_masks(x):
    """A masked step repeats the output and the state; a row of none keeps the initial state."""
    layer = keras.layers.SimpleRNN(H, return_sequences=True, return_state=True)
    start = np.ones((B, H), np.float32)
    output, state = map(np.asarray, layer(x, initial_state=start, mask=MASK))
    np.testing.assert_array_equal(output[0, 3:], output[0, [2, 2]])
    np.testing.assert_array_equal(state[:2], [output[0, 2], start[1]])
    gap = MASK[::-1].copy()
    gap[0, 2] = False  # in the midst of a row
    output, _ = map(np.asarray, layer(x, initial_state=start, mask=gap))
    np.testing.assert_array_equal(output[0, 2], output[0, 1])
    assert np.abs(output[0, 3] - output[0, 2]).max() > 1e-3


def test_flax(x):
    rnn = linen.RNN(linen.SimpleCell(H), return_carry=True)
    params = rnn.init(jax.random.key(0), x)
    carry, output = rnn.apply(params, x)
    assert_same(elman.load_from("flax", params["params"]["cell"]), x, output, carry)


def test_flax_nnx(x):
    cell = nnx.SimpleCell(I, H, rngs=nnx.Rngs(0))
    params = nnx.to_pure_dict(nnx.state(cell, nnx.Param))
    assert_same(elman.load_from("flax", params), x, nnx.RNN(cell)(x))


def test_flax_lengths(x):
    """Outputs go on over the padding; an empty row's carry is that of the last padded step."""
    rnn = linen.RNN(linen.SimpleCell(H), return_carry=True)
    params = rnn.init(jax.random.key(0), x)
    carry, output = rnn.apply(params, x, seq_lengths=jax.numpy.array(LENGTHS))
    whole = rnn.apply(params, x)[1]
    np.testing.assert_allclose(output, whole, atol=1e-6)
    np.testing.assert_allclose(carry, [output[0, 2], output[1, -1], output[2, 4]], atol=1e-6)


def test_haiku(x):
    def run(x):
        core = haiku.VanillaRNN(H)
        return haiku.dynamic_unroll(core, x, core.initial_state(B))

    network = haiku.without_apply_rng(haiku.transform(run))
    params = network.init(jax.random.key(0), x.transpose(1, 0, 2))
    params = jax.tree.map(lambda p: p + 0.1, params)
    output, state = network.apply(params, x.transpose(1, 0, 2))
    assert_same(elman.load_from("haiku", params), x.transpose(1, 0, 2), output, state)


def test_mlx(x):
    rnn = mlx.nn.RNN(I, H)
    output = rnn(mlx.core.array(x))
    assert_same(elman.load_from("mlx", rnn.parameters()), x, output)


@pytest.mark.parametrize("direction", ["forward", "bidirect"])
def test_paddle(x, direction):
    rnn = paddle.nn.SimpleRNN(I, H, 2, direction=direction)
    output, states = rnn(paddle.to_tensor(x))
    assert_same(elman.load_from("paddle", rnn.state_dict()), x, output, states)


def test_paddle_lengths(x):
    """Zeros after a sequence's end; an empty row's final state is the initial one."""
    rnn = paddle.nn.SimpleRNN(I, H)
    start = paddle.ones([1, B, H])
    output, state = rnn(paddle.to_tensor(x), start, paddle.to_tensor(LENGTHS))
    output, state = output.numpy(), state.numpy()[0]
    assert not output[0, 3:].any() and not output[1].any()
    np.testing.assert_array_equal(state, [output[0, 2], np.ones(H), output[2, 4]])


@pytest.mark.parametrize("directions", [1, 2])
def test_onnx(x, directions):
    rng = np.random.default_rng(1)
    weights = {
        "W": rng.standard_normal((directions, H, I)).astype(np.float32),
        "R": rng.standard_normal((directions, H, H)).astype(np.float32),
        "B": rng.standard_normal((directions, 2 * H)).astype(np.float32),
    }
    # One node and graph for each direction: onnx's evaluator has no bidirectional RNN.
    outputs = []
    for d in range(directions):
        node = onnx.helper.make_node(
            "RNN", ["X", "W", "R", "B"], ["Y", "Y_h"], hidden_size=H, direction="forward"
        )
        names = ["X", "W", "R", "B", "Y", "Y_h"]
        value = {n: onnx.helper.make_tensor_value_info(n, 1, None) for n in names}
        graph = onnx.helper.make_graph(
            [node], "rnn", [value[n] for n in names[:4]], [value[n] for n in names[4:]]
        )
        model = onnx.helper.make_model(
            graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10
        )
        steps = x.transpose(1, 0, 2)
        feeds = {"X": steps[::-1].copy() if d else steps}
        feeds.update({name: w[d : d + 1] for name, w in weights.items()})
        output = ReferenceEvaluator(model).run(None, feeds)[0][:, 0]
        outputs.append(output[::-1] if d else output)
    rnn = elman.load_from("onnx", weights)
    assert_same(rnn, x.transpose(1, 0, 2), np.concatenate(outputs, 2))
