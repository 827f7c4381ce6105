"""`load_from`: Elman networks trained in other libraries, from their plain arrays."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.rnn import RNN

__all__ = ["load_from"]


class _Library(NamedTuple):
    """How a library keeps and calls its Elman network."""

    # weights -> a list of layers, each a list of a _Cell for each direction
    read: "_Reader"
    nonlinearity: str  # its default
    batch_first: bool  # its default


class _Cell(NamedTuple):
    """One direction of one layer, as torch.nn.RNN has it."""

    w_ih: Tensor  # [H, I]
    w_hh: Tensor  # [H, H]
    b_ih: Tensor | None  # [H]
    b_hh: Tensor | None  # [H]


_Reader = Callable[[Any], list[list[_Cell]]]


def load_from(
    library: str,
    weights: Any,
    *,
    nonlinearity: str | None = None,
    batch_first: bool | None = None,
) -> RNN:
    """An :class:`elman.RNN` that computes what an Elman network of another library computes.

    The other library is not imported: the weights are whatever NumPy takes for arrays. The sizes,
    directions, biases and the dtype follow from them.

    Args:
        library: where the weights come from, and with that their layout

            * ``'keras'``: ``SimpleRNN.get_weights()``, or that of ``Bidirectional``
            * ``'flax'``: the parameters of ``SimpleCell``, ``{'i': {'kernel', 'bias'}, 'h':
              {'kernel'}}`` (linen) or ``{'dense_i': ..., 'dense_h': ...}`` (nnx)
            * ``'haiku'``: the parameters of ``VanillaRNN``,
              ``{'.../linear': {'w', 'b'}, '.../linear_1': {'w', 'b'}}``
            * ``'paddle'``: ``SimpleRNN.state_dict()``, all layers and directions
            * ``'mxnet'``: the parameters of ``gluon.rnn.RNN`` by name, all layers and directions
            * ``'mlx'``: the parameters of ``nn.RNN``, ``{'Wxh', 'Whh', 'bias'}``
            * ``'onnx'``: an RNN node's inputs ``{'W', 'R', 'B'}``, both directions
        weights: what the library has for one layer; a list of that for a stack of layers; and in
            place of a layer a pair ``(forward, backward)`` for two directions, where the library
            does not keep both in one
        nonlinearity: as of :class:`elman.RNN`; what Keras calls ``'linear'`` is ``'identity'``.
            Default: the library's own, which is relu in Haiku and MXNet and tanh in the others
        batch_first: as of :class:`elman.RNN`. Default: as the library's own sequences are: True for
            Keras, Flax, Paddle and MLX, False for the others

    Returns:
        a new RNN, trainable and in training mode as any other, of the arrays' dtype, on the CPU

    Raises:
        ValueError: the library is not known, weights are missing, or do not fit each other
        TypeError: the weights are not of the library's kind, such as no dict

    Example::

        >>> rnn = elman.load_from("keras", keras_model.layers[1].get_weights())
    """
    if not isinstance(library, str) or library not in _LIBRARIES:
        raise ValueError(f"library should be one of {', '.join(_LIBRARIES)}, got: {library!r}")
    source = _LIBRARIES[library]
    layers = source.read(weights)
    hidden_size, input_size = _check(library, layers)
    first = layers[0][0]
    rnn = RNN(
        input_size,
        hidden_size,
        len(layers),
        source.nonlinearity if nonlinearity is None else nonlinearity,
        bias=first.b_ih is not None,
        batch_first=source.batch_first if batch_first is None else batch_first,
        bidirectional=len(layers[0]) == 2,
        dtype=first.w_ih.dtype,
    )
    values = [value for layer in layers for cell in layer for value in cell if value is not None]
    with torch.no_grad():
        for parameter, value in zip(rnn.parameters(), values, strict=True):
            parameter.copy_(value)
    return rnn


def _check(library: str, layers: list[list[_Cell]]) -> tuple[int, int]:
    """(hidden_size, input_size); raises ValueError unless all cells fit each other."""
    first = layers[0][0]
    hidden_size, input_size = first.w_hh.size(0), first.w_ih.size(-1)
    directions = len(layers[0])
    for i, layer in enumerate(layers):
        if len(layer) != directions:
            raise ValueError(f"{library}: layer {i} has {len(layer)} directions, not {directions}")
        inputs = input_size if i == 0 else hidden_size * directions
        for cell in layer:
            wanted = ((hidden_size, inputs), (hidden_size, hidden_size), (hidden_size,))
            shapes = dict(zip(_Cell._fields, (*wanted, wanted[2]), strict=True))
            for name, value in cell._asdict().items():
                if value is not None and tuple(value.shape) != shapes[name]:
                    raise ValueError(
                        f"{library}: expected {name} of layer {i}, as torch.nn.RNN has it, to be "
                        f"{list(shapes[name])}, got {list(value.shape)} (weights of another kind "
                        "of network, such as an LSTM or a GRU, are several times as large)"
                    )
            if (cell.b_ih is None) != (first.b_ih is None):
                raise ValueError(f"{library}: expected biases in all cells or in none")
    return hidden_size, input_size


def _tensor(array: Any) -> Tensor:
    if isinstance(array, Tensor):
        return array.detach()
    import numpy as np

    if hasattr(array, "asnumpy"):  # MXNet
        array = array.asnumpy()
    array = np.ascontiguousarray(array)
    if array.dtype.name == "bfloat16":  # of ml_dtypes, as JAX has it
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def _cell(
    w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, *, transposed: bool = False
) -> _Cell:
    """A cell from arrays; `transposed`: [I, H] and [H, H]ᵀ; a single bias is the input's."""
    w_ih, w_hh = _tensor(w_ih), _tensor(w_hh)
    if transposed:
        w_ih, w_hh = w_ih.t(), w_hh.t()
    if b_ih is None and b_hh is None:
        return _Cell(w_ih, w_hh, None, None)
    biases = [None if b is None else _tensor(b) for b in (b_ih, b_hh)]
    zeros = torch.zeros_like(next(b for b in biases if b is not None))
    return _Cell(w_ih, w_hh, *(zeros if b is None else b for b in biases))


def _entry(library: str, weights: Any, *names: str) -> Any:
    """The one entry whose name is, or ends with a slash and, one of `names`."""
    found = _matches(library, weights, lambda key: key.rpartition("/")[2] in names)
    if not found:
        present = sorted(map(str, weights))
        raise ValueError(f"{library}: expected weights named {names[0]!r}, got {present}")
    return found[0]


def _matches(library: str, weights: Any, is_wanted: Callable[[str], bool]) -> list[Any]:
    """The entry whose name is wanted, as a list of one; an empty list if there is none."""
    if not isinstance(weights, Mapping):
        raise TypeError(f"{library}: expected a dict of weights, got {type(weights).__name__}")
    keys = [key for key in weights if is_wanted(str(key))]
    if len(keys) > 1:
        raise ValueError(f"{library}: expected the weights of one network, got {keys}")
    return [weights[key] for key in keys]


def _of_layers(read_cells: Callable[[Any], list[_Cell]]) -> _Reader:
    """A reader of one layer, a list of layers, or pairs of directions in the place of a layer."""

    def read(weights: Any) -> list[list[_Cell]]:
        is_stack = isinstance(weights, list) and not any(map(_is_array, weights[:1]))
        layers = weights if is_stack else [weights]
        if not layers:
            raise ValueError("weights should be those of at least one layer, got an empty list")
        return [
            [cell for half in layer for cell in read_cells(half)]
            if isinstance(layer, tuple) and len(layer) == 2 and not _is_array(layer[0])
            else read_cells(layer)
            for layer in layers
        ]

    return read


def _is_array(value: object) -> bool:
    return hasattr(value, "ndim") or value is None


def _keras(weights: Any) -> list[_Cell]:
    if not isinstance(weights, Sequence) or len(weights) not in (2, 3, 4, 6):
        raise ValueError(
            "keras: expected the arrays of SimpleRNN.get_weights(): kernel, recurrent_kernel and, "
            "if there is one, bias; twice as many for Bidirectional; "
            f"got {len(weights) if isinstance(weights, Sequence) else type(weights).__name__}"
        )
    count = len(weights) if len(weights) < 4 else len(weights) // 2
    return [_cell(*weights[i : i + count], transposed=True) for i in range(0, len(weights), count)]


def _flax(weights: Any) -> list[_Cell]:
    i, h = (_entry("flax", weights, name, f"dense_{name}") for name in "ih")
    w_ih, w_hh = (_entry("flax", part, "kernel") for part in (i, h))
    return [_cell(w_ih, w_hh, i.get("bias"), h.get("bias"), transposed=True)]


def _haiku(weights: Any) -> list[_Cell]:
    i = _entry("haiku", weights, "linear")
    h = _entry("haiku", weights, "linear_1")
    w_ih, w_hh = (_entry("haiku", part, "w") for part in (i, h))
    return [_cell(w_ih, w_hh, i.get("b"), h.get("b"), transposed=True)]


def _mlx(weights: Any) -> list[_Cell]:
    w_ih, w_hh = (_entry("mlx", weights, name) for name in ("Wxh", "Whh"))
    return [_cell(w_ih, w_hh, weights.get("bias"))]


def _onnx(weights: Any) -> list[_Cell]:
    w, r = (_tensor(_entry("onnx", weights, name)) for name in "WR")
    b = weights.get("B")
    if w.dim() != 3 or r.dim() != 3:
        raise ValueError(
            f"onnx: expected W [D, H, I] and R [D, H, H], got {list(w.shape)} and {list(r.shape)}"
        )
    if b is None:
        return [_cell(w[d], r[d]) for d in range(w.size(0))]
    b = _tensor(b)
    return [_cell(w[d], r[d], *b[d].chunk(2)) for d in range(w.size(0))]


def _named(
    library: str, layer_name: Callable[[str, int, int], str], names: tuple[str, str, str, str]
) -> _Reader:
    """A reader of one dict for all layers and directions, whose names layer_name(i, d) makes."""

    def value(weights: Any, key: str) -> Any:
        found = _matches(library, weights, lambda name: name.endswith(key))
        return found[0] if found else None

    def read(weights: Any) -> list[list[_Cell]]:
        layers: list[list[_Cell]] = []
        while True:
            cells = []
            for direction in range(2):
                arrays = [
                    value(weights, layer_name(name, len(layers), direction)) for name in names
                ]
                if arrays[0] is not None and arrays[1] is not None:
                    cells.append(_cell(*arrays))
            if not cells:
                break
            layers.append(cells)
        if not layers:
            name, present = layer_name(names[0], 0, 0), sorted(map(str, weights))
            raise ValueError(f"{library}: expected weights named {name!r}, got {present}")
        return layers

    return read


_paddle = _named(
    "paddle",
    lambda name, layer, direction: f"{name}_l{layer}{'_reverse' if direction else ''}",
    ("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
)
_mxnet = _named(
    "mxnet",
    lambda name, layer, direction: f"{'r' if direction else 'l'}{layer}_{name}",
    ("i2h_weight", "h2h_weight", "i2h_bias", "h2h_bias"),
)

_LIBRARIES = {
    "keras": _Library(_of_layers(_keras), "tanh", True),
    "flax": _Library(_of_layers(_flax), "tanh", True),
    "haiku": _Library(_of_layers(_haiku), "relu", False),
    "paddle": _Library(_paddle, "tanh", True),
    "mxnet": _Library(_mxnet, "relu", False),
    "mlx": _Library(_of_layers(_mlx), "tanh", True),
    "onnx": _Library(_of_layers(_onnx), "tanh", False),
}
