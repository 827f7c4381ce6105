"""fvcore, ptflops and thop: what they count for elman.RNN with the recipes of docs/tools.md."""

import copy

import elman
import fvcore.nn
import fvcore.nn.jit_handles
import ptflops
import ptflops.pytorch_ops
import pytest
import thop
import torch

T, B, I, H = 7, 3, 4, 6
OPTIONS = [{}, {"num_layers": 2, "bias": False}, {"num_layers": 2, "bidirectional": True}]


def models(options):
    """The same model with elman's module and with torch's."""
    rnn = elman.RNN(I, H, **options)
    model = torch.nn.Sequential(torch.nn.Linear(I, I), rnn)
    return model, elman.to_torch(copy.deepcopy(model))


def products(rnn):
    """The multiplications of all products of one step and row."""
    return sum(p.numel() for p in rnn.parameters() if p.dim() == 2)


def multiplications_of_rnn(inputs, outputs):
    """For fvcore: the multiplications of `elman::rnn`. inputs: the arguments' values in a trace."""
    shape_of = fvcore.nn.jit_handles.get_shape
    rows = shape_of(inputs[0])[:-1]  # [T, B] or, unbatched, [T]
    weights = [shape_of(value) for value in inputs[2].node().inputs()]
    per_row = sum(shape[0] * shape[1] for shape in weights if len(shape) == 2)
    for size in rows:
        per_row *= size
    return per_row


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fvcore(options):
    model, _ = models(options)
    x = torch.randn(T, B, I)
    linear = T * B * I * I
    analysis = fvcore.nn.FlopCountAnalysis(model, x)
    assert analysis.total() == linear
    assert analysis.unsupported_ops() == {"elman::rnn": 1}
    analysis = fvcore.nn.FlopCountAnalysis(model, x)
    analysis.set_op_handle("elman::rnn", multiplications_of_rnn)
    assert analysis.total() == linear + T * B * products(model[1])
    assert not analysis.unsupported_ops()


def test_fvcore_counts_nothing_for_torch_either():
    _, model = models({})
    analysis = fvcore.nn.FlopCountAnalysis(model, torch.randn(T, B, I))
    assert analysis.total() == T * B * I * I
    assert analysis.unsupported_ops() == {"aten::rnn_tanh": 1}


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_thop(options):
    ours, theirs = models(options)
    x = torch.randn(T, B, I)
    macs, parameters = thop.profile(copy.deepcopy(ours), (x,), verbose=False)
    linear = ours[0].weight.numel() + ours[0].bias.numel()
    assert parameters == linear  # without the recipe the RNN's are missing from the total
    recipe = {elman.RNN: thop.rnn_hooks.count_rnn}
    counted = thop.profile(ours, (x,), custom_ops=recipe, verbose=False)
    assert counted == thop.profile(theirs, (x,), verbose=False)
    assert counted[0] > macs
    assert counted[1] == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ptflops(options):
    def count(model, **recipe):
        return ptflops.get_model_complexity_info(
            model, (T, I), as_strings=False, print_per_layer_stat=False, backend="pytorch", **recipe
        )

    ours, theirs = models(options)
    expected = count(theirs)
    without = count(ours)
    recipe = {elman.RNN: ptflops.pytorch_ops.rnn_flops_counter_hook}
    counted = count(ours, custom_modules_hooks=recipe)
    assert without[0] < counted[0]
    assert counted[1] == expected[1]
    # ptflops knows torch.nn.RNN by name where it counts the additions of the two products.
    rnn = ours[1]
    cells = rnn.num_layers * (2 if rnn.bidirectional else 1)
    assert counted[0] + T * cells * H == expected[0]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_ptflops_of_a_copy_with_torchs_modules(options):
    ours, _ = models(options)
    copied = elman.to_torch(copy.deepcopy(ours))
    counted, parameters = ptflops.get_model_complexity_info(
        copied, (T, I), as_strings=False, print_per_layer_stat=False, backend="aten"
    )
    assert counted >= T * products(ours[1])
    assert parameters == sum(p.numel() for p in ours.parameters())
    assert type(ours[1]) is elman.RNN
