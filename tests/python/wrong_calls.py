"""Reads tests/wrong_calls.txt, and makes the calls that it describes."""

import builtins
import re
from pathlib import Path
from typing import NamedTuple

import torch
from calls import B, H, T, arguments, params

PARAMS = [
    f"{kind}_l{layer}{suffix}"
    for layer in (0, 1)
    for suffix in ("", "_reverse")
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
]

#: The right calls of rnn beside the plain one: the parameters' layers, directions and dtype.
OTHER_RNNS = {
    "rnn of two layers": {"layers": 2},
    "rnn of two directions": {"directions": 2},
    "rnn of two layers and directions": {"layers": 2, "directions": 2},
    "complex rnn": {"dtype": torch.complex64},
}


class WrongCall(NamedTuple):
    """A line of the list."""

    base: str
    change: str
    kind: type
    words: list[str]


def read():
    """The list, line by line."""
    for line in (Path(__file__).parents[1] / "wrong_calls.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            base, change, kind, words = (column.strip() for column in line.split(" | "))
            words = words.replace(r"\n", "\n").split(" ... ")
            yield WrongCall(base, change, getattr(builtins, kind), words)


def right_call(base):
    """(operator, its arguments but params, its parameters by their names)."""
    operator = base if base in ("rnn.data", "rnn_cell") else "rnn"
    call = arguments(operator)
    if operator == "rnn_cell":
        return operator, call, {}
    options = OTHER_RNNS.get(base, {})
    directions = options.get("directions", 1)
    names = [name for name in PARAMS if directions == 2 or not name.endswith("_reverse")]
    named = dict(zip(names, params(**options), strict=False))
    del call["params"]
    if options:
        call |= {"num_layers": options.get("layers", 1), "bidirectional": directions == 2}
        call |= {"input": call["input"].to(options.get("dtype", torch.float32)), "hx": None}
    if base == "rnn on the meta device":
        call |= {name: call[name].to("meta") for name in ("input", "hx")}
        named = {name: tensor.to("meta") for name, tensor in named.items()}
    return operator, call, named


def larger(tensor, dim):
    """Zeros that are one larger in the dimension `dim`."""
    shape = list(tensor.shape)
    shape[dim] += 1
    return torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)


SPOIL = {
    "": lambda tensor: tensor,
    "float64": lambda tensor: tensor.double(),
    "float32": lambda tensor: tensor.float(),
    "int32": lambda tensor: tensor.int(),
    "int64": lambda tensor: tensor.long(),
    "sparse": lambda tensor: tensor.to_sparse(),
    "meta": lambda tensor: tensor.to("meta"),
    "unsqueezed": lambda tensor: tensor.unsqueeze(0),
    "selected": lambda tensor: tensor[0],
    "longer": lambda tensor: larger(tensor, 0),
    "wider": lambda tensor: larger(tensor, -1),
    "differentiated": lambda tensor: tensor.detach().requires_grad_(),
}
READ_OPTION = {bool: lambda text: text == "true", int: int, float: float, str: str}
OPTIONS = {"nonlinearity": "tanh", "k1": 0, "k2": 0, "leak_form": "rate"}


def optional(operator, call, name):
    """What is changed where the right call has none."""
    if name == "leak":
        return torch.full((H,) if operator == "rnn_cell" else (1, H), 0.5)
    if name == "preactivation":
        return torch.zeros(*call.get("data", call.get("input")).shape[:-1], H)
    return torch.zeros(T, B, dtype=torch.bool) if name == "reset" else torch.ones(T, B)


def changed_tensor(tensor, text):
    """`tensor` as the list's `text` wants it."""
    if text == "absent":
        return None
    if text.startswith("{"):
        return torch.tensor([int(number) for number in text[1:-1].split(",")])
    word, shape = re.fullmatch(r"(\w*)(\[.*\])?", text).groups()
    if shape:
        sizes = [int(size) for size in shape[1:-1].split(",")]
        tensor = torch.zeros(sizes, dtype=tensor.dtype, device=tensor.device)
    return SPOIL[word](tensor)


def make(wrong):
    """(operator, all arguments of the wrong call by their names in its schema)."""
    operator, call, named = right_call(wrong.base)
    for change in wrong.change.split():
        name, _, text = change.partition("=")
        option = (OPTIONS | call).get(name)
        if name == "params":
            named = {}
        elif name in named:
            named[name] = changed_tensor(named[name], text)
        elif isinstance(option, (bool, int, float, str)):
            call[name] = READ_OPTION[type(option)](text)
        else:
            right = call[name] if name in call else optional(operator, call, name)
            call[name] = changed_tensor(right, text)
    if operator != "rnn_cell":
        call["params"] = [tensor for tensor in named.values() if tensor is not None]
    return operator, call
