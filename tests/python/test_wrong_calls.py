"""Wrong calls as argument x defect: every tensor that an operator takes, spoilt in every way."""

import pytest
import torch
from calls import WAYS, B, H, I, T, arguments, expect_refusal, params, words_of_torchs_cell


def longer(dim):
    """One more in the dimension `dim`."""

    def spoil(tensor):
        shape = list(tensor.shape)
        shape[dim] += 1
        return torch.zeros(shape, dtype=tensor.dtype)

    return spoil


SPOIL = {
    "float64": lambda tensor: tensor.double(),
    "integer": lambda tensor: tensor.to(torch.int32),
    "sparse": lambda tensor: tensor.to_sparse(),
    "meta": lambda tensor: tensor.to("meta"),
    "unsqueezed": lambda tensor: tensor.unsqueeze(0),
    "selected": lambda tensor: tensor[0],
    "longer": longer(0),
    "wider": longer(-1),
}
DENSE = r"{name} must be a dense \(strided\) tensor, got layout Sparse"


def defects_of_a_parameter(name, shape):
    """What is expected of elman::rnn and rnn.data where a parameter is spoilt."""
    mismatch = rf"RNN input dtype \(Float\) does not match {name} dtype \(%s\)"
    kind = ValueError if name == "weight_ih_l0" else RuntimeError
    expected = {
        "float64": (kind, mismatch % "Double"),
        "integer": (kind, mismatch % "Int"),
        "sparse": (RuntimeError, DENSE.format(name=name)),
        "meta": (RuntimeError, rf"parameter tensor at meta\n{name} must be on the input's device"),
    }
    square = r"weight_hh_l0 must have shape \[hidden_size, hidden_size\], got \[%s\]"
    if len(shape) == 2:
        wrong = "weight_ih_l0 and weight_hh_l0 must have 2 dimensions, got"
        sizes = {
            "weight_ih_l0": (
                r"weight_ih_l0 must have shape \[6, 4\], got \[7, 4\]",
                r"input.size\(-1\) must be equal to input_size. Expected 5, got 4",
            ),
            "weight_hh_l0": (square % "7, 6", square % "6, 7"),
        }[name]
    else:
        wrong = rf"{name} must have shape \[6\], got \["
        sizes = (wrong + r"7\]",) * 2
    return expected | {
        "unsqueezed": (RuntimeError, wrong),
        "selected": (RuntimeError, wrong),
        "longer": (RuntimeError, sizes[0]),
        "wider": (RuntimeError, sizes[1]),
    }


def defects_of_a_cells_parameter(name, shape):
    """The same for elman::rnn_cell."""
    mismatch = r"same dtype, but got Float and %s\n{0} must have the input's dtype Float"
    wrong = r"w_ih and w_hh must have 2 dimensions" if len(shape) == 2 else rf"{name} must have sha"
    longer = {"w_hh": r"w_hh must have shape \[6, 6\]", "w_ih": r"w_ih must have shape \[6, 4\]"}
    wider = {"w_hh": r"w_h[hi] must have shape", "w_ih": "input has inconsistent input_size: got 4"}
    return {
        "float64": (RuntimeError, mismatch.format(name) % "Double"),
        "integer": (RuntimeError, mismatch.format(name) % "Int"),
        "sparse": (RuntimeError, DENSE.format(name=name)),
        "meta": (RuntimeError, rf"parameter tensor at meta\n{name} must be on the input's device"),
        "unsqueezed": (RuntimeError, wrong),
        "selected": (RuntimeError, wrong),
        "longer": (RuntimeError, longer.get(name, wrong)),
        "wider": (RuntimeError, wider.get(name, wrong)),
    }


DIFFERENT_DEVICES = "not at the same device, found input tensor at cpu and hidden tensor at meta"
HX = {
    "float64": (RuntimeError, r"same dtype, but got Double and Float\nhx must have the input's"),
    "integer": (RuntimeError, r"same dtype, but got Int and Float\nhx must have the input's"),
    "sparse": (RuntimeError, DENSE.format(name="hx")),
    "meta": (RuntimeError, DIFFERENT_DEVICES),
    "unsqueezed": (RuntimeError, "batched 3-D input, hx should also be 3-D but got 4-D tensor"),
    "selected": (RuntimeError, "batched 3-D input, hx should also be 3-D but got 2-D tensor"),
    "longer": (RuntimeError, r"Expected hidden size \(1, 3, 6\), got \[2, 3, 6\]"),
    "wider": (RuntimeError, r"Expected hidden size \(1, 3, 6\), got \[1, 3, 7\]"),
}
ON_META = "Input and parameter .* same device, found input tensor at meta and parameter tensor at"
WRONG_INPUT_SIZE = r"input.size\(-1\) must be equal to input_size. Expected 4, got 5"
BATCH_SIZES = "batch_sizes must be a 1-D int64 tensor on the CPU, got shape"
STEP_SHAPE = r"{} must have the input's shape \[5, 3, 4\] without its last dimension.*, got \[{}\]"

EXPECTED = {
    "rnn": {
        "input": {
            "float64": (
                ValueError,
                r"RNN input dtype \(Double\) does not match weight_ih_l0 dtype",
            ),
            "integer": (RuntimeError, "input must be a float64, float32, .* got Int"),
            "sparse": (RuntimeError, DENSE.format(name="input")),
            "meta": (RuntimeError, ON_META),
            "unsqueezed": (ValueError, "RNN: Expected input to be 2D or 3D, got 4D tensor instead"),
            "selected": (RuntimeError, "unbatched 2-D input, hx should also be 2-D but got 3-D"),
            "wider": (RuntimeError, WRONG_INPUT_SIZE),
        },
        "hx": HX,
        "reset": {
            "float64": (RuntimeError, "reset must be a bool tensor, got Double"),
            "integer": (RuntimeError, "reset must be a bool tensor, got Int"),
            "sparse": (RuntimeError, DENSE.format(name="reset")),
            "meta": (RuntimeError, "reset must be on the input's device cpu, got meta"),
            "unsqueezed": (RuntimeError, STEP_SHAPE.format("reset", "1, 5, 3")),
            "selected": (RuntimeError, STEP_SHAPE.format("reset", "3")),
            "longer": (RuntimeError, STEP_SHAPE.format("reset", "6, 3")),
            "wider": (RuntimeError, STEP_SHAPE.format("reset", "5, 4")),
        },
        "carry_scale": {
            "integer": (RuntimeError, "carry_scale must be a floating point tensor, got Int"),
            "sparse": (RuntimeError, DENSE.format(name="carry_scale")),
            "meta": (RuntimeError, "carry_scale must be on the input's device cpu, got meta"),
            "unsqueezed": (RuntimeError, STEP_SHAPE.format("carry_scale", "1, 5, 3")),
            "selected": (RuntimeError, STEP_SHAPE.format("carry_scale", "3")),
            "longer": (RuntimeError, STEP_SHAPE.format("carry_scale", "6, 3")),
            "wider": (RuntimeError, STEP_SHAPE.format("carry_scale", "5, 4")),
        },
    },
    "rnn.data": {
        "data": {
            "float64": (
                ValueError,
                r"RNN input dtype \(Double\) does not match weight_ih_l0 dtype",
            ),
            "integer": (RuntimeError, "input must be a float64, float32, .* got Int"),
            "sparse": (RuntimeError, DENSE.format(name="input")),
            "meta": (RuntimeError, ON_META),
            "unsqueezed": (RuntimeError, "input must have 2 dimensions, got 3"),
            "selected": (RuntimeError, "input must have 2 dimensions, got 1"),
            "longer": (RuntimeError, r"batch_sizes must sum to input.size\(0\), expected 7, got 6"),
            "wider": (RuntimeError, WRONG_INPUT_SIZE),
        },
        "batch_sizes": {
            "float64": (RuntimeError, BATCH_SIZES),
            "integer": (RuntimeError, BATCH_SIZES),
            "sparse": (RuntimeError, DENSE.format(name="batch_sizes")),
            "meta": (RuntimeError, BATCH_SIZES),
            "unsqueezed": (RuntimeError, BATCH_SIZES),
            "selected": (RuntimeError, BATCH_SIZES),
            "longer": (RuntimeError, "batch_sizes must be positive and must not increase"),
        },
        "hx": HX | {"wider": HX["wider"]},
    },
    "rnn_cell": {
        "input": {
            "float64": (RuntimeError, "same dtype, but got Double and Float"),
            "integer": (RuntimeError, "same dtype, but got Int and Float"),
            "sparse": (RuntimeError, DENSE.format(name="input")),
            "meta": (RuntimeError, ON_META),
            "unsqueezed": (ValueError, "RNNCell: Expected input to be 1D or 2D, got 3D instead"),
            "selected": (
                RuntimeError,
                words_of_torchs_cell(torch.zeros(I), torch.zeros(B, H)),
            ),
            "longer": (RuntimeError, "Input batch size 4 doesn't match hidden0 batch size 3"),
            "wider": (RuntimeError, "input has inconsistent input_size: got 5 expected 4"),
        },
        "hx": {
            **{name: HX[name] for name in ("float64", "integer", "sparse", "meta")},
            "unsqueezed": (ValueError, "RNNCell: Expected hidden to be 1D or 2D, got 3D instead"),
            "selected": (
                RuntimeError,
                words_of_torchs_cell(torch.zeros(B, I), torch.zeros(H)),
            ),
            "longer": (RuntimeError, "Input batch size 3 doesn't match hidden0 batch size 4"),
            "wider": (RuntimeError, "hidden0 has inconsistent hidden_size: got 7, expected 6"),
        },
    },
}
VALUES = {
    "reset": torch.zeros(T, B, dtype=torch.bool),
    "carry_scale": torch.ones(T, B),
}


def wrong_calls():
    """(operator, argument, defect, the arguments that differ from a right call's, kind, text)."""
    for operator, expected in EXPECTED.items():
        right = arguments(operator) | (VALUES if operator == "rnn" else {})
        for name, defects in expected.items():
            for defect, (kind, message) in defects.items():
                changes = {name: SPOIL[defect](right[name])}
                yield operator, name, defect, changes, kind, message
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        for i, parameter in enumerate(params()):
            name, describe = names[i], defects_of_a_parameter
            if operator == "rnn_cell":
                name, describe = ("w_ih", "w_hh", "b_ih", "b_hh")[i], defects_of_a_cells_parameter
            for defect, (kind, message) in describe(name, parameter.shape).items():
                spoilt = SPOIL[defect](parameter)
                changes = {name: spoilt}
                if operator != "rnn_cell":
                    changes = {"params": [*params()[:i], spoilt, *params()[i + 1 :]]}
                yield operator, name, defect, changes, kind, message


WRONG_CALLS = list(wrong_calls())


def test_there_are_enough_of_them():
    assert len({call[:3] for call in WRONG_CALLS}) == len(WRONG_CALLS) > 120


@pytest.mark.parametrize(
    ("operator", "changes", "kind", "message"),
    [(call[0], *call[3:]) for call in WRONG_CALLS],
    ids=["-".join(call[:3]) for call in WRONG_CALLS],
)
@pytest.mark.parametrize("way", WAYS)
def test_wrong_calls(operator, changes, kind, message, way):
    expect_refusal(operator, way, changes, kind, message)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("kind", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
def test_every_parameter_of_a_stack_is_checked_and_named(layer, direction, kind):
    kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    spoilt = params(layers=2, directions=2)
    index = (2 * layer + direction) * 4 + kinds.index(kind)
    spoilt[index] = spoilt[index].double()
    name = f"{kind}_l{layer}" + ("_reverse" if direction else "")
    changes = {"params": spoilt, "num_layers": 2, "bidirectional": True, "hx": None}
    expected = ValueError if index == 0 else RuntimeError
    expect_refusal("rnn", "autograd", changes, expected, rf"does not match {name} dtype \(Double\)")
    spoilt[index] = torch.zeros(H + 1, I + H)
    wrong = f"({name} must have shape|weight_ih_l0 and weight_hh_l0|input.size)"
    expect_refusal("rnn", "autograd", changes, RuntimeError, wrong)
