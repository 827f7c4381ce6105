"""Wrong constructions and calls of the modules: where torch raises, its error in its words."""

import elman
import pytest
import torch
from calls import operators_run_by
from torch.nn.utils.rnn import PackedSequence, pack_sequence

BAD_CONSTRUCTIONS = [
    ((4, 6, 1, "elu"), {}),
    ((0, 6), {}),
    ((-4, 6), {}),
    ((4, 0), {}),
    ((4, -6), {}),
    ((4.0, 6), {}),
    ((4, 6.0), {}),
    ((4, 6, 0), {}),
    ((4, 6, -2), {}),
    ((4, 6), {"bias": 1}),
    ((4, 6), {"batch_first": 0}),
    ((4, 6), {"dropout": 1.5}),
    ((4, 6), {"dropout": -1}),
    ((4, 6), {"dropout": True}),
    ((4, 6), {"proj_size": 3}),
    ((4, 6), {"proj_size": 0}),
    ((4, 6), {"hidden": 3}),
    ((4, 6), {"mode": "RNN_TANH"}),
    ((4, 6, 1, None), {}),
    ((4, 6), {"nonlinearity": "TANH"}),
    ((4, 6, 1.0), {}),
    ((4, 6, "1"), {}),
    ((torch.tensor(4), 6), {}),
    ((4, None), {}),
    ((4, 6, 2), {"dropout": "0.5"}),
    ((4, 6, 2), {"dropout": "half"}),
    ((4, 6, 2), {"dropout": None}),
    ((4, 6, 2), {"dropout": torch.tensor(0.5)}),
    ((4, 6), {"bias": None}),
    ((4, 6), {"batch_first": "yes"}),
    ((4, 6), {"dtype": torch.int64}),
    ((4, 6), {"device": "nowhere"}),
]


#: The names that torch's message lists two of.
ALL = "'tanh', 'relu', 'sigmoid', 'softplus' or 'identity'"


@pytest.mark.parametrize(("args", "kwargs"), BAD_CONSTRUCTIONS, ids=str)
def test_construction_is_refused_as_torch_does(args, kwargs):
    with pytest.raises((ValueError, TypeError, RuntimeError)) as theirs:
        torch.nn.RNN(*args, **kwargs)
    with pytest.raises((ValueError, TypeError, RuntimeError)) as ours:
        elman.RNN(*args, **kwargs)
    assert ours.type is theirs.type
    expected = str(theirs.value).replace("'tanh' or 'relu'", ALL)
    assert str(ours.value) == expected


@pytest.mark.parametrize("nonlinearity", ["elu", "TANH", "", None])
def test_the_cell_refuses_a_bad_nonlinearity_at_construction(nonlinearity):
    """torch.nn.RNNCell finds it when it is called."""
    torch.nn.RNNCell(4, 6, nonlinearity=nonlinearity)
    message = f"Unknown nonlinearity '{nonlinearity}'. Select from {ALL}."
    with pytest.raises(ValueError, match=message):
        elman.RNNCell(4, 6, nonlinearity=nonlinearity)


@pytest.mark.parametrize(
    ("truncation", "kind", "message"),
    [
        (0, ValueError, "k1 must be at least 1"),
        (-3, ValueError, "k1 must be at least 1"),
        ((0, 4), ValueError, "k1 must be at least 1"),
        ((5, 4), ValueError, "k2 must be at least k1"),
        ((1, 2, 3), TypeError, "truncation should be None, an int k or a pair"),
        ((), TypeError, "truncation should be None, an int k or a pair"),
        (2.0, TypeError, "truncation should be None, an int k or a pair"),
        (True, TypeError, "truncation should be None, an int k or a pair"),
        ("5", TypeError, "truncation should be None, an int k or a pair"),
    ],
    ids=str,
)
def test_wrong_truncations(truncation, kind, message):
    with pytest.raises(kind, match=message):
        elman.RNN(4, 6, truncation=truncation)
    module = elman.RNN(4, 6, truncation=(2, 3))
    with pytest.raises(kind, match=message):
        module.truncation = truncation
    assert module.truncation == (2, 3)


def test_two_directions_refuse_overlapping_windows():
    with pytest.raises(ValueError, match="k1 < k2 is not defined for a bidirectional"):
        elman.RNN(4, 6, bidirectional=True, truncation=(2, 3))


PACKED = pack_sequence([torch.zeros(3, 4)])
UNSORTED = pack_sequence([torch.zeros(2, 4), torch.zeros(3, 4)], enforce_sorted=False)
BAD_CALLS = {
    "0-D input": (torch.zeros(()),),
    "1-D input": (torch.zeros(4),),
    "4-D input": (torch.zeros(1, 5, 3, 4),),
    "input size": (torch.zeros(5, 3, 7),),
    "input size, unbatched": (torch.zeros(5, 7),),
    "no steps": (torch.zeros(0, 3, 4),),
    "input dtype": (torch.zeros(5, 3, 4, dtype=torch.float64),),
    "integer input": (torch.zeros(5, 3, 4, dtype=torch.int64),),
    "half input": (torch.zeros(5, 3, 4).half(),),
    "complex input": (torch.zeros(5, 3, 4, dtype=torch.complex64),),
    "no steps, unbatched": (torch.zeros(0, 4),),
    "no steps and no rows": (torch.zeros(0, 0, 4),),
    "hx dtype": (torch.zeros(5, 3, 4), torch.zeros(2, 3, 6, dtype=torch.float64)),
    "hx dtype, unbatched": (torch.zeros(5, 4), torch.zeros(2, 6, dtype=torch.float64)),
    "integer hx": (torch.zeros(5, 3, 4), torch.zeros(2, 3, 6, dtype=torch.int64)),
    "hx device": (torch.zeros(5, 3, 4), torch.zeros(2, 3, 6, device="meta")),
    "input device": (torch.zeros(5, 3, 4, device="meta"),),
    "1-D hx for 3-D input": (torch.zeros(5, 3, 4), torch.zeros(6)),
    "4-D hx for 3-D input": (torch.zeros(5, 3, 4), torch.zeros(1, 2, 3, 6)),
    "layers of hx, unbatched": (torch.zeros(5, 4), torch.zeros(3, 6)),
    "2-D hx for packed input": (PACKED, torch.zeros(2, 6)),
    "hx dtype, packed": (PACKED, torch.zeros(2, 1, 6, dtype=torch.float64)),
    "layers of hx for unsorted packed input": (UNSORTED, torch.zeros(3, 2, 6)),
    "2-D hx for 3-D input": (torch.zeros(5, 3, 4), torch.zeros(2, 6)),
    "3-D hx for 2-D input": (torch.zeros(5, 4), torch.zeros(2, 3, 6)),
    "layers of hx": (torch.zeros(5, 3, 4), torch.zeros(1, 3, 6)),
    "batch of hx": (torch.zeros(5, 3, 4), torch.zeros(2, 4, 6)),
    "hidden size of hx": (torch.zeros(5, 3, 4), torch.zeros(2, 3, 7)),
    "hidden size of hx, unbatched": (torch.zeros(5, 4), torch.zeros(2, 7)),
    "packed input size": (pack_sequence([torch.zeros(3, 7), torch.zeros(2, 7)]),),
    "packed input dtype": (pack_sequence([torch.zeros(3, 4, dtype=torch.float64)]),),
    "batch of hx for packed input": (PACKED, torch.zeros(2, 4, 6)),
    "1-D packed data": (PackedSequence(torch.zeros(3), torch.tensor([1, 1, 1])),),
    "1-D packed data of another dtype": (
        PackedSequence(torch.zeros(3).double(), torch.tensor([1, 1, 1])),
    ),
    "3-D packed data": (PackedSequence(torch.zeros(3, 1, 4), torch.tensor([1, 1, 1])),),
}


def expect_the_same_error(ours, theirs):
    """Both calls raise, the same kind with the same first line; elman explains in a second one."""
    errors = []
    for call in (ours, theirs):
        with pytest.raises((ValueError, RuntimeError, TypeError, AttributeError)) as caught:
            call()
        errors.append((caught.type, str(caught.value).splitlines()[0]))
    assert errors[0] == errors[1]


@pytest.mark.parametrize("args", BAD_CALLS.values(), ids=BAD_CALLS)
@pytest.mark.parametrize("options", [{}, {"nonlinearity": "relu"}], ids=str)
def test_forward_is_refused_in_the_words_of_torch(args, options):
    ours, theirs = elman.RNN(4, 6, 2, **options), torch.nn.RNN(4, 6, 2, **options)
    expect_the_same_error(lambda: ours(*args), lambda: theirs(*args))


PADDED = {
    name: args
    for name, args in BAD_CALLS.items()
    if all(isinstance(arg, torch.Tensor) and not isinstance(arg, PackedSequence) for arg in args)
}


@pytest.mark.parametrize("args", PADDED.values(), ids=PADDED)
def test_scripted_modules_refuse_the_same_calls(args):
    """In the operator's words, which name the argument too, and before any kernel."""
    scripted = torch.jit.script(elman.RNN(4, 6, 2))

    def wrong_call():
        with pytest.raises(RuntimeError, match=r"input|hx|hidden|sequence length"):
            scripted(*args)

    assert "aten::empty" not in operators_run_by(wrong_call)


@pytest.mark.parametrize("args", [(), (torch.zeros(5, 3, 4), None, None)], ids=["none", "three"])
def test_number_of_arguments(args):
    expect_the_same_error(lambda: elman.RNN(4, 6)(*args), lambda: torch.nn.RNN(4, 6)(*args))
    expect_the_same_error(lambda: elman.RNNCell(4, 6)(*args), lambda: torch.nn.RNNCell(4, 6)(*args))


X, STATE = torch.zeros(3, 4), torch.zeros(3, 6)
BAD_CELL_CALLS = {
    "0-D input": (torch.zeros(()),),
    "3-D input": (torch.zeros(1, 3, 4),),
    "input size": (torch.zeros(3, 5),),
    "input size, unbatched": (torch.zeros(5),),
    "input dtype": (X.double(),),
    "integer input": (X.long(),),
    "complex input": (X.to(torch.complex64),),
    "input size and dtype": (torch.zeros(3, 5, dtype=torch.float64),),
    "input size and hx": (torch.zeros(3, 5), torch.zeros(4, 7)),
    "0-D hx": (X, torch.zeros(())),
    "1-D hx": (X, torch.zeros(6)),
    "3-D hx": (X, torch.zeros(1, 3, 6)),
    "2-D hx, unbatched": (torch.zeros(4), torch.zeros(1, 6)),
    "hidden size of hx": (X, torch.zeros(3, 7)),
    "hidden size of hx, unbatched": (torch.zeros(4), torch.zeros(7)),
    "batch of hx": (X, torch.zeros(4, 6)),
    "no rows but in hx": (torch.zeros(0, 4), STATE),
    "hx dtype": (X, STATE.double()),
    "integer hx": (X, STATE.long()),
    "input and hx dtype": (X.double(), STATE.double()),
}


@pytest.mark.parametrize("args", BAD_CELL_CALLS.values(), ids=BAD_CELL_CALLS)
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_the_cell_refuses_in_the_words_of_torch(args, nonlinearity):
    ours = elman.RNNCell(4, 6, nonlinearity=nonlinearity)
    theirs = torch.nn.RNNCell(4, 6, nonlinearity=nonlinearity)
    expect_the_same_error(lambda: ours(*args), lambda: theirs(*args))


def test_hx_of_another_batch_is_refused_for_unsorted_packed_input():
    """torch.nn.RNN picks the rows that it needs, without a word if there are too many."""
    torch.nn.RNN(4, 6)(UNSORTED, torch.zeros(1, 3, 6))
    for batch in (1, 3):
        with pytest.raises(RuntimeError, match=r"Expected hidden size \(1, 2, 6\), got \[1,"):
            elman.RNN(4, 6)(UNSORTED, torch.zeros(1, batch, 6))


def test_packed_input_refuses_reset_and_carry_scale():
    packed = pack_sequence([torch.zeros(3, 4), torch.zeros(2, 4)])
    with pytest.raises(ValueError, match="reset is not supported with packed input"):
        elman.RNN(4, 6)(packed, reset=torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="carry_scale is not supported with packed input"):
        elman.RNN(4, 6)(packed, carry_scale=torch.ones(3))


@pytest.mark.parametrize(
    "module",
    [
        elman.RNN(2, 3),
        elman.RNNCell(2, 3),
        elman.Network(2, 3, 4),
        elman.Network(2, 3, 2, mapping="one_to_many"),
    ],
    ids=["RNN", "RNNCell", "Network", "one_to_many"],
)
@pytest.mark.parametrize("value", [[[1.0, 2.0]], None, 3.0], ids=["list", "None", "number"])
def test_what_is_no_tensor_is_named(module, value):
    options = {"steps": 2} if getattr(module, "mapping", "") == "one_to_many" else {}
    with pytest.raises(TypeError, match=f"input should be a Tensor.*, got: {type(value).__name__}"):
        module(value, **options)
    if value is not None:
        x = (
            torch.zeros(1, 2)
            if options or isinstance(module, elman.RNNCell)
            else torch.zeros(4, 1, 2)
        )
        with pytest.raises(
            TypeError, match=f"hx should be a Tensor.*, got: {type(value).__name__}"
        ):
            module(x, value, **options)
