"""Wrong calls of the operators: the kind of error, and that its message names the argument."""

import pytest
import torch
from calls import (
    WAYS,
    B,
    H,
    I,
    T,
    arguments,
    expect_refusal,
    operators_run_by,
    params,
    prepare,
    with_param,
    words_of_torchs_cell,
)

TWO_WAYS = {"bidirectional": True, "hx": None, "params": params(directions=2)}
RNN_DEFECTS = [
    ({"input": torch.zeros(I)}, ValueError, "input to be 2D or 3D, got 1D"),
    ({"input": torch.zeros(1, T, B, I)}, ValueError, "input to be 2D or 3D, got 4D"),
    ({"input": torch.zeros(T, B, I + 1)}, RuntimeError, r"input.size\(-1\) .* Expected 4, got 5"),
    ({"input": torch.zeros(0, B, I)}, RuntimeError, "sequence length to be larger than 0"),
    (
        {"input": torch.zeros(B, 0, I), "batch_first": True},
        RuntimeError,
        "sequence length to be larger than 0",
    ),
    ({"input": torch.zeros(0, I), "hx": None}, RuntimeError, "sequence length to be larger than 0"),
    ({"input": torch.zeros(T, B, I, dtype=torch.int64)}, RuntimeError, "input must be a float64"),
    (
        {"input": torch.zeros(T, B, I, dtype=torch.float64)},
        ValueError,
        "input dtype .* weight_ih_l0",
    ),
    ({"input": torch.zeros(T, B, I, device="meta")}, RuntimeError, "same device"),
    ({"input": torch.zeros(T, B, I).to_sparse()}, RuntimeError, "input must be a dense"),
    (
        {"hx": torch.zeros(B, H)},
        RuntimeError,
        "batched 3-D input, hx should also be 3-D but got 2-D",
    ),
    (
        {"input": torch.zeros(T, I)},
        RuntimeError,
        "unbatched 2-D input, hx should also be 2-D but got 3-D",
    ),
    (
        {"hx": torch.zeros(2, B, H)},
        RuntimeError,
        r"Expected hidden size \(1, 3, 6\), got \[2, 3, 6\]",
    ),
    ({"hx": torch.zeros(1, B + 1, H)}, RuntimeError, "Expected hidden size"),
    ({"hx": torch.zeros(1, B, H + 1)}, RuntimeError, "Expected hidden size"),
    ({"hx": torch.zeros(1, T, H), "batch_first": False}, RuntimeError, "Expected hidden size"),
    (
        {"hx": torch.zeros(1, B, H, dtype=torch.float64)},
        RuntimeError,
        r"same dtype, but got Double and Float\nhx must have the input's dtype Float",
    ),
    (
        {"hx": torch.zeros(1, B, H, device="meta")},
        RuntimeError,
        r"Input and hidden .* same device, .* hidden tensor at meta\nhx must be on",
    ),
    ({"params": params()[:3]}, RuntimeError, "params must hold 4 tensors .* got 3"),
    ({"params": []}, RuntimeError, "params must hold 4 tensors .* got 0"),
    ({"params": params(biases=False)}, RuntimeError, "params must hold 4 tensors .* got 2"),
    ({"has_biases": False}, RuntimeError, "params must hold 2 tensors .* got 4"),
    ({"bidirectional": True}, RuntimeError, "params must hold 8 tensors"),
    ({"num_layers": 2}, RuntimeError, "params must hold 8 tensors"),
    ({"num_layers": 0, "params": []}, ValueError, "num_layers must be greater than zero, got 0"),
    ({"num_layers": -1}, ValueError, "num_layers must be greater than zero, got -1"),
    (
        {"params": with_param(0, torch.zeros(H + 1, I))},
        RuntimeError,
        "weight_ih_l0 must have shape",
    ),
    ({"params": with_param(0, torch.zeros(H))}, RuntimeError, "weight_ih_l0"),
    (
        {"params": with_param(1, torch.zeros(H, H + 1))},
        RuntimeError,
        "weight_[ih]h_l0 must have shape",
    ),
    ({"params": with_param(2, torch.zeros(H + 1))}, RuntimeError, "bias_ih_l0 must have shape"),
    ({"params": with_param(3, torch.zeros(H, 1))}, RuntimeError, "bias_hh_l0 must have shape"),
    (
        {"params": with_param(3, torch.zeros(H, dtype=torch.float64))},
        RuntimeError,
        "does not match bias_hh_l0 dtype",
    ),
    (
        {"params": with_param(1, torch.zeros(H, H, device="meta"))},
        RuntimeError,
        r"Input and parameter .* same device, .* parameter tensor at meta\nweight_hh_l0 must",
    ),
    (
        {"num_layers": 2, "hx": None, "params": params() + params()},
        RuntimeError,
        "weight_ih_l1 must have shape",
    ),
    (
        {**TWO_WAYS, "params": [*params(directions=2)[:7], torch.zeros(1)]},
        RuntimeError,
        "bias_hh_l0_reverse must have shape",
    ),
    ({"dropout": -0.1}, ValueError, "dropout"),
    ({"dropout": 1.1}, ValueError, "dropout"),
    ({"dropout": float("nan")}, ValueError, "dropout"),
    (
        {"nonlinearity": "elu"},
        ValueError,
        "Unknown nonlinearity 'elu'.*'tanh', 'relu', 'sigmoid', 'softplus' or 'identity'",
    ),
    *[
        (
            {
                "input": torch.zeros(T, B, I, dtype=torch.complex64),
                "hx": None,
                "params": params(dtype=torch.complex64),
                "nonlinearity": name,
            },
            NotImplementedError,
            rf"nonlinearity '{name}' is not defined for complex input \({reason}.*\), got input of "
            "dtype ComplexFloat",
        )
        for name, reason in (("relu", "complex numbers have no order"), ("softplus", "log"))
    ],
    ({"k1": 0, "k2": 3}, ValueError, "k1 must be at least 1"),
    ({"k1": -1, "k2": 3}, ValueError, "k1 must be at least 1"),
    ({"k1": 3, "k2": 0}, ValueError, "k2 must be at least k1"),
    ({"k1": 3, "k2": 2}, ValueError, "k2 must be at least k1"),
    ({"k1": 3, "k2": -1}, ValueError, "k2 must be at least k1"),
    ({**TWO_WAYS, "k1": 2, "k2": 3}, ValueError, "k1 < k2 is not defined for a bidirectional"),
    ({"reset": torch.zeros(T, B)}, RuntimeError, "reset must be a bool tensor"),
    (
        {"reset": torch.zeros(B, T, dtype=torch.bool)},
        RuntimeError,
        "reset must have the input's shape",
    ),
    (
        {"reset": torch.zeros(T, dtype=torch.bool)},
        RuntimeError,
        "reset must have the input's shape",
    ),
    (
        {"reset": torch.zeros(T, B, dtype=torch.bool, device="meta")},
        RuntimeError,
        "reset must be on the input's device",
    ),
    (
        {"carry_scale": torch.zeros(T, B, dtype=torch.int64)},
        RuntimeError,
        "carry_scale must be a float",
    ),
    ({"carry_scale": torch.zeros(B)}, RuntimeError, "carry_scale must have the input's shape"),
    ({"carry_scale": torch.zeros(B, T)}, RuntimeError, "carry_scale must have the input's shape"),
    (
        {"carry_scale": torch.zeros(T, requires_grad=True)},
        RuntimeError,
        "carry_scale is never differentiated",
    ),
    ({"carry_scale": torch.zeros(T, device="meta")}, RuntimeError, "carry_scale must be on"),
    (
        {**TWO_WAYS, "carry_scale": torch.ones(T)},
        RuntimeError,
        "carry_scale is not defined for a bidir",
    ),
]
PACKED_DEFECTS = [
    ({"data": torch.zeros(6, 1, I)}, RuntimeError, "input must have 2 dimensions, got 3"),
    (
        {"data": torch.zeros(6, I + 1)},
        RuntimeError,
        r"input.size\(-1\) must be equal to input_size",
    ),
    ({"data": torch.zeros(7, I)}, RuntimeError, "batch_sizes must sum to input.size"),
    ({"batch_sizes": torch.tensor([1, 2, 3])}, RuntimeError, "batch_sizes must .* not increase"),
    ({"batch_sizes": torch.tensor([3, 3, 0])}, RuntimeError, "batch_sizes must be positive"),
    ({"batch_sizes": torch.tensor([7, -1])}, RuntimeError, "batch_sizes must be positive"),
    (
        {"batch_sizes": torch.tensor([], dtype=torch.int64)},
        RuntimeError,
        "batch_sizes must not be empty",
    ),
    (
        {"batch_sizes": torch.tensor([3.0, 2.0, 1.0])},
        RuntimeError,
        "batch_sizes must be a 1-D int64",
    ),
    ({"batch_sizes": torch.tensor([[3, 2, 1]])}, RuntimeError, "batch_sizes must be a 1-D int64"),
    (
        {"hx": torch.zeros(1, 2, H)},
        RuntimeError,
        r"Expected hidden size \(1, 3, 6\), got \[1, 2, 6\]",
    ),
    ({"hx": torch.zeros(1, H)}, RuntimeError, "hx should also be 3-D"),
    ({"k1": 2, "k2": 1}, ValueError, "k2 must be at least k1"),
    ({"nonlinearity": ""}, ValueError, "Unknown nonlinearity ''"),
]
CELL_DEFECTS = [
    ({"input": torch.zeros(1, B, I)}, ValueError, "input to be 1D or 2D, got 3D"),
    ({"input": torch.zeros(B, I + 1)}, RuntimeError, "input has inconsistent input_size: got 5"),
    ({"input": torch.zeros(B + 1, I)}, RuntimeError, "Input batch size 4 doesn't match hidden"),
    (
        {"input": torch.zeros(B, I, dtype=torch.int32)},
        RuntimeError,
        r"same dtype, but got Int and Float\nw_ih must have the input's dtype Int",
    ),
    ({"hx": torch.zeros(1, B, H)}, ValueError, "hidden to be 1D or 2D, got 3D"),
    (
        {"hx": torch.zeros(H)},
        RuntimeError,
        words_of_torchs_cell(torch.zeros(B, I), torch.zeros(H))
        + "\nhx must have as many dimensions as input, expected 2, got 1",
    ),
    ({"hx": torch.zeros(B, H + 1)}, RuntimeError, "hidden0 has inconsistent hidden_size: got 7"),
    (
        {"hx": torch.zeros(B, H, dtype=torch.float64)},
        RuntimeError,
        r"same dtype, but got Double and Float\nhx must have the input's dtype Float",
    ),
    ({"w_ih": torch.zeros(H + 1, I)}, RuntimeError, "w_ih must have shape"),
    ({"w_hh": torch.zeros(H, H + 1)}, RuntimeError, "w_hh must have shape"),
    (
        {"w_hh": torch.zeros(H, H, device="meta")},
        RuntimeError,
        r"not at the same device, .* parameter tensor at meta\nw_hh must be on",
    ),
    ({"b_ih": torch.zeros(H + 1)}, RuntimeError, "b_ih must have shape"),
    (
        {"b_hh": torch.zeros(H, dtype=torch.float64)},
        RuntimeError,
        r"same dtype, but got Float and Double\nb_hh must have the input's dtype Float",
    ),
    ({"nonlinearity": "Tanh"}, ValueError, "Unknown nonlinearity 'Tanh'"),
]
DEFECTS = [
    *(("rnn", *defect) for defect in RNN_DEFECTS),
    *(("rnn.data", *defect) for defect in PACKED_DEFECTS),
    *(("rnn_cell", *defect) for defect in CELL_DEFECTS),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("operator", ["rnn", "rnn.data", "rnn_cell"])
def test_the_call_without_a_defect_runs_a_kernel(operator, way):
    run = operators_run_by(prepare(operator, way))
    assert "elman::_rnn_forward" in run
    assert "aten::empty" in run


@pytest.mark.parametrize(
    ("operator", "changes", "kind", "message"),
    DEFECTS,
    ids=[f"{name}-{'-'.join(changes)}-{i}" for i, (name, changes, _, _) in enumerate(DEFECTS)],
)
@pytest.mark.parametrize("way", WAYS)
def test_wrong_operator_calls(operator, changes, kind, message, way):
    expect_refusal(operator, way, changes, kind, message)


def test_wrong_operator_calls_on_the_meta_device():
    on_meta = [param.to("meta") for param in params()]
    for input, message in (
        (torch.zeros(T, B, I + 1), "input_size"),
        (torch.zeros(0, B, I), "length"),
    ):
        with pytest.raises(RuntimeError, match=message):
            prepare("rnn", "no_grad", input=input.to("meta"), hx=None, params=on_meta)()


# Values of types that the schemas do not have.
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
}
OF_WRONG_TYPE = [
    (operator, name, value)
    for operator in ("rnn", "rnn.data", "rnn_cell")
    for name in [*arguments(operator), *(("nonlinearity", "k1", "reset", "carry_scale"))]
    if not (operator != "rnn" and name in ("reset", "carry_scale"))
    and not (operator == "rnn_cell" and name == "k1")
    for value in WRONG_TYPES[name]
]


@pytest.mark.parametrize(("operator", "name", "value"), OF_WRONG_TYPE, ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("way", ["no_grad", "script"])
def test_values_of_wrong_types(operator, name, value, way):
    """The dispatcher refuses these, and names the argument."""
    call = prepare(operator, way, **{name: value})
    named = "data|input" if name == "data" else name

    def wrong_call():
        with pytest.raises((RuntimeError, TypeError), match=named):
            call()

    # Tensors may be printed for the message, so what is asked for is elman's kernels alone.
    assert "elman::_rnn_forward" not in operators_run_by(wrong_call)
