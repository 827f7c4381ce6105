"""torch.library.opcheck, all of its checks, on every operator, internal ones included."""

import oracle
import pytest
import torch
from samples import REPRESENTATIVE, Case, make
from torch.testing._internal.optests import generate_tests

#: Schema, autograd registration, fake tensors, AOT dispatch with static and with dynamic shapes.
CHECKS = (*generate_tests.DEFAULT_TEST_UTILS, "test_aot_dispatch_static")

#: What the internal operators are run on: fewer, since each check compiles the call.
CASES = [
    Case(steps=7, num_layers=2, k1=2, k2=5, dropout=1.0),
    Case(num_layers=2, bidirectional=True, batch_first=True, bias=False),
    Case(carry_scale="rows", reset=True, k1=1, k2=4, batched=False, hx=False),
    Case(lengths=(6, 4, 4, 2), num_layers=2, k1=2, k2=4, nonlinearity="sigmoid"),
]


def opcheck(op, args, kwargs):
    torch.library.opcheck(op, args, kwargs, test_utils=CHECKS)


@pytest.mark.parametrize("case", REPRESENTATIVE, ids=str)
def test_rnn(case):
    sample = make(case)
    torch.library.opcheck(sample.op, sample.args(), sample.kwargs())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rnn_with_static_shapes_too(case):
    sample = make(case)
    opcheck(sample.op, sample.args(), sample.kwargs())


def internal(sample):
    """The arguments that both internal operators share: positional ones and keywords."""
    case = sample.case
    kwargs = {"nonlinearity": case.nonlinearity, "k1": case.k1, "k2": case.k2}
    kwargs |= {name: getattr(sample, name) for name in ("batch_sizes", "reset", "carry_scale")}
    tensors = (sample.input, sample.hx, sample.params, case.bias, case.num_layers)
    return tensors, (case.bidirectional, case.batch_first), kwargs


def forward_args(sample, masks=None, save_states=True, save_drives=True):
    tensors, layout, kwargs = internal(sample)
    dropout = sample.case.dropout
    return (*tensors, dropout, dropout > 0, *layout), {
        **kwargs,
        "masks": masks,
        "save_states": save_states,
        "save_drives": save_drives,
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_rnn_forward(case):
    for save_states in (True, False) if case.num_layers == 1 else (True,):
        args = forward_args(make(case), save_states=save_states)
        opcheck(torch.ops.elman._rnn_forward.default, *args)


def test_rnn_forward_with_masks():
    sample = make(Case(num_layers=3, lengths=(5, 3, 1), k1=1, k2=3))
    masks = torch.randint(0, 3, (2, 9, 6)).double()
    opcheck(torch.ops.elman._rnn_forward.default, *forward_args(sample, masks))


@pytest.mark.parametrize(
    ("case", "wanted"),
    [*((case, "all") for case in CASES), (CASES[0], "input"), (CASES[1], "params")],
    ids=str,
)
def test_rnn_backward(case, wanted):
    sample = make(case)
    args, kwargs = forward_args(sample)
    results = [result.detach() for result in torch.ops.elman._rnn_forward.default(*args, **kwargs)]
    tensors, layout, kwargs = internal(sample)
    count = 2 + len(sample.params)
    mask = {
        "all": [True, sample.hx is not None, *[True] * (count - 2)],
        "input": [True, *[False] * (count - 1)],
        "params": [False, False, *[True] * (count - 2)],
    }[wanted] + [False, False]
    output, _, *saved = results
    grads = (sample.grad_output.requires_grad_(), sample.grad_h_n)
    opcheck(
        torch.ops.elman._rnn_backward.default,
        (*grads, output, *saved, *tensors, 0.0, False, *layout),
        {**kwargs, "output_mask": mask},
    )


@pytest.mark.parametrize("batch", [(), (3,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("has_hx", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", oracle.ACTIVATIONS)
def test_rnn_cell(batch, has_hx, bias, nonlinearity):
    shapes = [(*batch, 4), (*batch, 6) if has_hx else None, (6, 4), (6, 6), *([(6,), (6,)] * bias)]
    args = [
        None if shape is None else torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in shapes
    ]
    opcheck(torch.ops.elman.rnn_cell.default, args, {"nonlinearity": nonlinearity})
