"""The list of wrong calls (tests/wrong_calls.txt), and what only Python can get wrong: each is
refused, by an error of the right kind that names the argument, before anything is computed."""

import pytest
import torch
import wrong_calls
from calls import (
    WAYS,
    B,
    H,
    I,
    T,
    arguments,
    expect_refusal,
    operators_run_by,
    prepare,
    words_of_torchs_cell,
)

WRONG_CALLS = list(wrong_calls.read())


def test_the_list_has_no_call_twice():
    assert len({(wrong.base, wrong.change) for wrong in WRONG_CALLS}) == len(WRONG_CALLS) > 290


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("base", sorted({wrong.base for wrong in WRONG_CALLS}))
def test_the_call_without_a_defect_runs_a_kernel(base, way):
    nothing = wrong_calls.WrongCall(base, "", Exception, [])
    operator, right = wrong_calls.make(nothing)
    run = operators_run_by(prepare(operator, way, **right))
    assert ("elman::_rnn_forward" if base == "rnn on the meta device" else "aten::empty") in run


@pytest.mark.parametrize(
    "wrong", WRONG_CALLS, ids=[f"{wrong.base}: {wrong.change}" for wrong in WRONG_CALLS]
)
@pytest.mark.parametrize("way", WAYS)
def test_wrong_calls(wrong, way):
    operator, call = wrong_calls.make(wrong)
    expect_refusal(operator, way, call, wrong.kind, wrong.words)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "input", "hx"),
    [
        ("hx", torch.zeros(B, I), torch.zeros(H)),
        ("input", torch.zeros(I), torch.zeros(B, H)),
    ],
)
def test_a_cells_dimensions_are_refused_in_the_words_of_this_torch(name, input, hx, way):
    """torch.nn.RNNCell's words, which Python alone can ask for."""
    changes = {"input": input, "hx": hx}
    expect_refusal("rnn_cell", way, changes, RuntimeError, [words_of_torchs_cell(input, hx)])


# Values of types that the schemas do not have: in C++ they do not compile.
WRONG_TYPES = {
    "input": (None, 1.0, [torch.zeros(T, I)]),
    "data": (None, "data"),
    "batch_sizes": (None, [3, 2, 1]),
    "hx": ([torch.zeros(1, B, H)], 0),
    "params": (None, torch.zeros(4, H), [None] * 4, ["w"] * 4),
    "w_ih": (None, 1),
    "w_hh": (None, [torch.zeros(H, H)]),
    "b_ih": ("b", [torch.zeros(H)]),
    "b_hh": ("b", 1.0),
    "has_biases": ("yes",),
    "num_layers": (None, "1", 1.5),
    "dropout": (None, "0.5"),
    "train": ("yes",),
    "bidirectional": ("yes",),
    "batch_first": ("yes",),
    "nonlinearity": (None, 1),
    "k1": (None, "1", 1.5),
    "k2": (None, [1]),
    "reset": (True, [True] * T),
    "carry_scale": (0.5, [0.5] * T),
    "leak": (0.5, [0.5] * H),
    "leak_form": (None, 1),
    "preactivation": (0.5, [0.5] * T),
}
LEAKY = ("leak", "leak_form", "preactivation")
OF_WRONG_TYPE = [
    (operator, name, value)
    for operator in ("rnn", "rnn.data", "rnn_cell")
    for name in [*arguments(operator), "nonlinearity", "k1", "reset", "carry_scale", *LEAKY]
    if not (operator != "rnn" and name in ("reset", "carry_scale"))
    and not (operator == "rnn_cell" and name == "k1")
    for value in WRONG_TYPES[name]
]


@pytest.mark.parametrize(("operator", "name", "value"), OF_WRONG_TYPE, ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("way", ["no_grad", "script"])
def test_values_of_wrong_types(operator, name, value, way):
    """The dispatcher refuses these, and names the argument; None for a tensor it hands on as an
    undefined one, which elman refuses.
    """
    call = prepare(operator, way, **{name: value})
    named = "data|input" if name == "data" else name

    def wrong_call():
        with pytest.raises((RuntimeError, TypeError), match=named):
            call()

    # The dispatcher may print tensors for its message, with operators of aten's.
    libraries = {name.partition("::")[0] for name in operators_run_by(wrong_call)}
    assert "elman" not in libraries or libraries == {"elman"}
