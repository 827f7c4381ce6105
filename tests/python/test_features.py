"""docs/features.md: each row names tests that exist, and where it says that torch fails, it does.

If the last one fails with a newer torch, its page has a row to change.
"""

import copy
import re
from pathlib import Path

import elman
import pytest
import torch
import torch._dynamo.testing
from torch.func import functional_call, grad, jvp, linearize, stack_module_state, vmap
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import PackedSequence, pack_sequence

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "features.md"

#: The release of torch whose failures the page tells of.
MEASURED = "2.11"


def rows():
    """(feature, torch.nn.RNN, elman, tests) of every row of the page's tables."""
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 and cells[0] != "feature" and not cells[0].startswith("-"):
            yield cells


def test_every_row_is_backed_by_tests_that_exist():
    definitions = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    cpp = "\n".join(path.read_text() for path in (ROOT / "tests" / "cpp").rglob("*.cpp"))
    count = 0
    for feature, theirs, ours, tests in rows():
        assert ours.startswith("yes"), feature
        assert theirs.startswith(("yes", "**no**")), feature
        names = re.findall(r"`([^`]+)`", tests)
        assert names, feature
        for name in names:
            if "::" in name:
                file, _, function = name.partition("::")
                assert f"def {function}(" in definitions[f"{file}.py"], f"{feature}: {name}"
            else:
                suite, _, case = name.partition(".")
                assert re.search(rf"TEST(_[FP])?\({suite},\s+{case}\)", cpp), f"{feature}: {name}"
        count += 1
    assert count > 60


X = torch.randn(5, 3, 4)
BATCHES = torch.randn(2, 5, 3, 4)
PACKED = pack_sequence([torch.randn(n, 4) for n in (5, 3, 1)])
NESTED = torch.nested.nested_tensor([torch.randn(n, 4) for n in (3, 5)], layout=torch.jagged)
DIMS = ({0: torch.export.Dim("T", max=99), 1: torch.export.Dim("B", max=99)},)


def ensemble(kind):
    weights, _ = stack_module_state([kind(4, 6) for _ in range(3)])
    skeleton = kind(4, 6, device="meta")
    return vmap(lambda weights: functional_call(skeleton, weights, (X,))[0])(weights)


def per_sample_gradients(module):
    def loss(weights, x):
        return functional_call(module, weights, (x.unsqueeze(1),))[0].square().sum()

    return vmap(grad(loss), in_dims=(None, 1))(dict(module.named_parameters()), X)


class OfPacked(torch.nn.Module):
    """Packed input as two tensors, so that it can be exported."""

    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn

    def forward(self, data, batch_sizes, hx):
        return self.rnn(PackedSequence(data, batch_sizes), hx)[0].data


def on_packed_data(module):
    return lambda data: module(PackedSequence(data, PACKED.batch_sizes))[0].data


def loaded_by_swapping(kind):
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        return kind(4, 6).load_state_dict(kind(4, 6).state_dict())
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def copied_after_a_call(module):
    parametrizations.weight_norm(module, "weight_hh_l0")
    module(X)
    return copy.deepcopy(module)


def export_of_packed(module):
    args = (PACKED.data, PACKED.batch_sizes, torch.zeros(1, 3, 6))
    return torch.export.export(OfPacked(module), args)


NO_RULE = "Batching rule not implemented for aten::rnn_tanh"
NO_RNN = "Dynamo does not support RNN, GRU, or LSTM"

#: What is done with a module, and words of the error that torch.nn.RNN raises there.
OF_A_MODULE = {
    "linearize": (
        lambda rnn: linearize(lambda x: rnn(x)[0], X)[1](X),
        "a leaf Variable that requires grad is being used in an in-place operation",
    ),
    "jvp of packed data": (
        lambda rnn: jvp(on_packed_data(rnn), (PACKED.data,), (PACKED.data,)),
        "Cannot access data pointer of Tensor that doesn't have storage",
    ),
    "vmap over input": (lambda rnn: vmap(lambda x: rnn(x)[0])(BATCHES), NO_RULE),
    "vmap over hx": (lambda rnn: vmap(lambda h: rnn(X, h)[0])(torch.randn(2, 1, 3, 6)), NO_RULE),
    "vmap over packed data": (
        lambda rnn: vmap(on_packed_data(rnn))(torch.randn(2, 9, 4)),
        NO_RULE,
    ),
    "per-sample gradients": (per_sample_gradients, "doesn't match the broadcast shape"),
    "compile, fullgraph": (
        lambda rnn: torch.compile(rnn, backend="eager", fullgraph=True)(X),
        NO_RNN,
    ),
    "compile, packed": (
        lambda rnn: torch.compile(rnn, backend="eager", fullgraph=True)(PACKED),
        NO_RNN,
    ),
    "export, dynamic steps": (
        lambda rnn: torch.export.export(rnn, (X,), dynamic_shapes=DIMS),
        "You marked T as dynamic but your code specialized it to be a constant",
    ),
    "export, packed": (export_of_packed, "Could not extract specialized integer"),
    "script, bare": (lambda rnn: torch.jit.script(rnn)(X), "has no attribute 'forward'"),
    "copy of a parametrized module": (
        copied_after_a_call,
        r"Only Tensors created explicitly by the user .* support the deepcopy protocol",
    ),
    "nested tensors": (
        lambda rnn: rnn(NESTED),
        "SymIntArrayRef expected to contain only concrete integers",
    ),
}
#: The same of what is done with a class of modules.
OF_A_CLASS = {
    "ensemble": (ensemble, NO_RULE),
    "skip_init": (
        lambda kind: torch.nn.utils.skip_init(kind, 4, 6),
        "Module must support a 'device' arg to skip initialization",
    ),
    "swap_tensors": (loaded_by_swapping, "Cannot swap t1 because it has weakref"),
    **{
        name: (
            lambda kind, name=name: kind(4, 6, nonlinearity=name),
            f"Unknown nonlinearity '{name}'. Select from 'tanh' or 'relu'",
        )
        for name in ("sigmoid", "softplus", "identity")
    },
}
TORCH_FAILS = OF_A_CLASS | {
    name: (lambda kind, use=use: use(kind(4, 6)), words)
    for name, (use, words) in OF_A_MODULE.items()
}
#: Where it is not a RuntimeError.
KINDS = {
    "script, bare": AttributeError,
    **dict.fromkeys(("sigmoid", "softplus", "identity"), ValueError),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TORCH_FAILS)
def test_what_torch_fails(name):
    use, words = TORCH_FAILS[name]
    use(elman.RNN)
    if torch.__version__.startswith(MEASURED):
        with pytest.raises(KINDS.get(name, RuntimeError), match=words):
            use(torch.nn.RNN)


def graphs_for_each_length(module, **options):
    """How many graphs dynamo makes for four lengths."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    with torch._dynamo.config.patch(**options):
        compiled = torch.compile(module, backend=counter, fullgraph=True)
        for steps in (5, 6, 7, 8):
            compiled(torch.randn(steps, 3, 4))
    return counter.frame_count


def test_allow_rnn_of_dynamo():
    assert graphs_for_each_length(torch.nn.RNN(4, 6), allow_rnn=True) == 4
    assert graphs_for_each_length(elman.RNN(4, 6)) <= 2  # the first is for one length


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # of torch's module
def test_export_with_dim_auto():
    automatic = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},)
    x = torch.randn(9, 2, 4)
    rnn = elman.RNN(4, 6)
    program = torch.export.export(rnn, (X,), dynamic_shapes=automatic).module()
    torch.testing.assert_close(program(x), rnn(x))
    theirs = torch.export.export(torch.nn.RNN(4, 6), (X,), dynamic_shapes=automatic).module()
    with pytest.raises(AssertionError, match="Guard failed"):
        theirs(x)
