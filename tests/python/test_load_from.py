"""Weights of other libraries, from arrays laid out as those have them, against the textbook loop.
Against the libraries themselves: tests/elsewhere."""

import elman
import numpy as np
import pytest
import torch

I, H, T, B = 3, 5, 7, 2
ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.logaddexp(a, 0),
    "identity": lambda a: a,
}
BATCH_FIRST = {"keras", "flax", "paddle", "mlx"}
RELU = {"haiku", "mxnet"}


class Cells:
    """The weights of a stack, in the layout of the formulas: x @ w + h @ u + b."""

    def __init__(self, layers=1, directions=1, seed=0):
        rng = np.random.default_rng(seed)
        self.layers = [
            [
                {
                    "w": rng.standard_normal((I if i == 0 else H * directions, H)),
                    "u": rng.standard_normal((H, H)) / 3,
                    "b": rng.standard_normal(H),
                    "c": rng.standard_normal(H),
                }
                for _ in range(directions)
            ]
            for i in range(layers)
        ]

    def __call__(self, x, activation, second_bias):
        """x: [T, B, I]; returns the top layer's states [T, B, D*H]."""
        for layer in self.layers:
            outputs = []
            for direction, cell in enumerate(layer):
                h, states = np.zeros((B, H)), []
                for step in x[::-1] if direction else x:
                    a = step @ cell["w"] + cell["b"] + h @ cell["u"]
                    h = activation(a + cell["c"] if second_bias else a)
                    states.append(h)
                outputs.append(np.stack(states[::-1] if direction else states))
            x = np.concatenate(outputs, 2)
        return x


def keras(cell):
    return [cell["w"], cell["u"], cell["b"]]


def flax(cell):
    return {"i": {"kernel": cell["w"], "bias": cell["b"]}, "h": {"kernel": cell["u"]}}


def haiku(cell):
    return {
        "vanilla_rnn/linear": {"w": cell["w"], "b": cell["b"]},
        "vanilla_rnn/linear_1": {"w": cell["u"], "b": cell["c"]},
    }


def mlx(cell):
    return {"Wxh": cell["w"].T, "Whh": cell["u"].T, "bias": cell["b"]}


def onnx(layer):
    return {
        "W": np.stack([cell["w"].T for cell in layer]),
        "R": np.stack([cell["u"].T for cell in layer]),
        "B": np.stack([np.concatenate([cell["b"], cell["c"]]) for cell in layer]),
    }


def paddle(cells):
    return {
        f"{name}_l{i}{'_reverse' if d else ''}": value
        for i, layer in enumerate(cells.layers)
        for d, cell in enumerate(layer)
        for name, value in {
            "weight_ih": cell["w"].T,
            "weight_hh": cell["u"].T,
            "bias_ih": cell["b"],
            "bias_hh": cell["c"],
        }.items()
    }


def mxnet(cells):
    return {
        f"rnn0_{'r' if d else 'l'}{i}_{name}": value
        for i, layer in enumerate(cells.layers)
        for d, cell in enumerate(layer)
        for name, value in {
            "i2h_weight": cell["w"].T,
            "h2h_weight": cell["u"].T,
            "i2h_bias": cell["b"],
            "h2h_bias": cell["c"],
        }.items()
    }


def in_layout_of(library, cells):
    if library in ("paddle", "mxnet"):
        return {"paddle": paddle, "mxnet": mxnet}[library](cells)
    if library == "onnx":
        return [onnx(layer) for layer in cells.layers]
    of_cell = {"keras": keras, "flax": flax, "haiku": haiku, "mlx": mlx}[library]
    layers = [tuple(of_cell(cell) for cell in layer) for layer in cells.layers]
    return [layer if len(layer) == 2 else layer[0] for layer in layers]


LIBRARIES = ["keras", "flax", "haiku", "paddle", "mxnet", "mlx", "onnx"]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("layers", "directions"), [(1, 1), (2, 2)])
def test_computes_the_same(library, layers, directions):
    cells = Cells(layers, directions)
    rnn = elman.load_from(library, in_layout_of(library, cells))
    assert rnn.training and all(p.requires_grad for p in rnn.parameters())
    assert rnn.batch_first == (library in BATCH_FIRST)
    x = np.random.default_rng(1).standard_normal((T, B, I))
    activation = ACTIVATIONS["relu" if library in RELU else "tanh"]
    expected = cells(x, activation, second_bias=library not in ("keras", "flax", "mlx"))
    given = torch.from_numpy(x)
    output = rnn(given.transpose(0, 1))[0].transpose(0, 1) if rnn.batch_first else rnn(given)[0]
    np.testing.assert_allclose(output.detach().numpy(), expected, rtol=1e-12, atol=1e-12)


def test_one_layer_needs_no_list():
    cell = Cells().layers[0][0]
    x = torch.randn(B, T, I, dtype=torch.float64)
    for library, weights in (("keras", keras(cell)), ("flax", flax(cell)), ("mlx", mlx(cell))):
        alone, listed = elman.load_from(library, weights), elman.load_from(library, [weights])
        torch.testing.assert_close(alone(x), listed(x), rtol=0, atol=0)


def test_both_directions_of_keras_come_in_one_list():
    forward, backward = (keras(cell) for cell in Cells(1, 2).layers[0])
    together = elman.load_from("keras", forward + backward)
    apart = elman.load_from("keras", [(forward, backward)])
    assert together.bidirectional
    for a, b in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("library", ["keras", "flax", "onnx", "paddle"])
def test_without_biases(library):
    cells = Cells()
    weights = in_layout_of(library, cells)
    if library == "keras":
        weights = [weights[0][:2]]
    elif library == "flax":
        del weights[0]["i"]["bias"]
    elif library == "onnx":
        del weights[0]["B"]
    else:
        weights = {name: value for name, value in weights.items() if "bias" not in name}
    rnn = elman.load_from(library, weights)
    assert not rnn.bias and len(list(rnn.parameters())) == 2


def test_options_and_dtype():
    weights = [array.astype(np.float32) for array in keras(Cells().layers[0][0])]
    rnn = elman.load_from("keras", weights, nonlinearity="sigmoid", batch_first=False)
    assert (rnn.nonlinearity, rnn.batch_first) == ("sigmoid", False)
    assert rnn.weight_ih_l0.dtype == torch.float32
    weights[0][:] = 0  # the module has values of its own
    assert rnn.weight_ih_l0.abs().sum() > 0


def test_tensors_are_arrays_too():
    weights = [torch.randn(I, H), torch.randn(H, H)]
    rnn = elman.load_from("keras", weights)
    torch.testing.assert_close(rnn.weight_ih_l0.detach(), weights[0].t(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("library", "weights", "error", "message"),
    [
        ("theano", [], ValueError, "library should be one of keras, flax, .*got: 'theano'"),
        ("keras", [], ValueError, "at least one layer, got an empty list"),
        ("keras", [np.ones((I, H))], ValueError, "expected the arrays of SimpleRNN.get_weights"),
        (
            "keras",
            [np.ones((I, 4 * H)), np.ones((H, 4 * H)), np.ones(4 * H)],
            ValueError,
            r"expected w_\w\w of layer 0.*an LSTM or a GRU",
        ),
        ("flax", {"i": {"kernel": np.ones((I, H))}}, ValueError, "expected weights named 'h'"),
        ("flax", 3, TypeError, "flax: expected a dict of weights, got int"),
        ("paddle", {"weight": 1}, ValueError, r"named 'weight_ih_l0', got \['weight'\]"),
        (
            "mlx",
            {"a/Wxh": np.ones((H, I)), "b/Wxh": np.ones((H, I))},
            ValueError,
            "expected the weights of one network",
        ),
        (
            "onnx",
            {"W": np.ones((H, I)), "R": np.ones((H, H))},
            ValueError,
            r"expected W \[D, H, I\] and R \[D, H, H\], got \[5, 3\] and \[5, 5\]",
        ),
        (
            "keras",
            [keras(Cells().layers[0][0]), keras(Cells().layers[0][0])],
            ValueError,
            r"expected w_ih of layer 1.*\[5, 5\], got \[5, 3\]",
        ),
    ],
)
def test_wrong_weights(library, weights, error, message):
    with pytest.raises(error, match=message):
        elman.load_from(library, weights)
