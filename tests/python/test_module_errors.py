"""Wrong constructions and calls of the modules: where torch raises, its error in its words."""

import elman
import pytest
import torch
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
]


@pytest.mark.parametrize(("args", "kwargs"), BAD_CONSTRUCTIONS, ids=str)
def test_construction_is_refused_as_torch_does(args, kwargs):
    with pytest.raises((ValueError, TypeError)) as theirs:
        torch.nn.RNN(*args, **kwargs)
    with pytest.raises((ValueError, TypeError)) as ours:
        elman.RNN(*args, **kwargs)
    assert ours.type is theirs.type
    expected = str(theirs.value).replace("'tanh' or 'relu'", "'tanh', 'relu' or 'sigmoid'")
    assert str(ours.value) == expected


def test_unknown_arguments_of_the_constructor():
    with pytest.raises(TypeError, match="unexpected keyword argument 'hidden'"):
        elman.RNN(4, 6, hidden=3)
    with pytest.raises(ValueError, match="Unknown nonlinearity 'elu'"):
        elman.RNNCell(4, 6, nonlinearity="elu")


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


BAD_CALLS = {
    "1-D input": (torch.zeros(4),),
    "4-D input": (torch.zeros(1, 5, 3, 4),),
    "input size": (torch.zeros(5, 3, 7),),
    "input size, unbatched": (torch.zeros(5, 7),),
    "no steps": (torch.zeros(0, 3, 4),),
    "input dtype": (torch.zeros(5, 3, 4, dtype=torch.float64),),
    "integer input": (torch.zeros(5, 3, 4, dtype=torch.int64),),
    "2-D hx for 3-D input": (torch.zeros(5, 3, 4), torch.zeros(2, 6)),
    "3-D hx for 2-D input": (torch.zeros(5, 4), torch.zeros(2, 3, 6)),
    "layers of hx": (torch.zeros(5, 3, 4), torch.zeros(1, 3, 6)),
    "batch of hx": (torch.zeros(5, 3, 4), torch.zeros(2, 4, 6)),
    "hidden size of hx": (torch.zeros(5, 3, 4), torch.zeros(2, 3, 7)),
    "hidden size of hx, unbatched": (torch.zeros(5, 4), torch.zeros(2, 7)),
    "packed input size": (pack_sequence([torch.zeros(3, 7), torch.zeros(2, 7)]),),
    "packed input dtype": (pack_sequence([torch.zeros(3, 4, dtype=torch.float64)]),),
    "batch of hx for packed input": (pack_sequence([torch.zeros(3, 4)]), torch.zeros(2, 4, 6)),
    "3-D packed data": (PackedSequence(torch.zeros(3, 1, 4), torch.tensor([1, 1, 1])),),
}


@pytest.mark.parametrize("args", BAD_CALLS.values(), ids=BAD_CALLS)
def test_forward_is_refused_in_the_words_of_torch(args):
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        torch.nn.RNN(4, 6, 2)(*args)
    with pytest.raises((ValueError, RuntimeError)) as ours:
        elman.RNN(4, 6, 2)(*args)
    assert ours.type is theirs.type
    assert str(ours.value).splitlines()[0] == str(theirs.value).splitlines()[0]


def test_packed_input_refuses_reset_and_carry_scale():
    packed = pack_sequence([torch.zeros(3, 4), torch.zeros(2, 4)])
    with pytest.raises(ValueError, match="reset is not supported with packed input"):
        elman.RNN(4, 6)(packed, reset=torch.zeros(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="carry_scale is not supported with packed input"):
        elman.RNN(4, 6)(packed, carry_scale=torch.ones(3))
