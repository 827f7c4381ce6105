"""torch.export of the modules: dynamic T and B, packed data, and what users do with the result."""

import io

import elman
import pytest
import torch
from samples import assert_close
from torch.export import Dim
from torch.nn.utils.rnn import PackedSequence, pack_sequence

T, B, N = Dim("T"), Dim("B"), Dim("N")
DTYPE = torch.float64


class Tagger(torch.nn.Module):
    """Two kinds of networks and a cell, with everything that `forward` takes."""

    def __init__(self):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, truncation=(2, 3), dtype=DTYPE)
        self.cell = elman.RNNCell(6, 6, dtype=DTYPE)
        self.tags = elman.Network(
            6, 5, 3, output="softmax", bidirectional=True, batch_first=True, dtype=DTYPE
        )

    def forward(self, x, hx, reset, carry_scale):
        states, h_n = self.rnn(x, hx, reset=reset, carry_scale=carry_scale)
        return self.tags(states.transpose(0, 1))[0], self.cell(states[-1], h_n[-1])


def tagger_arguments(steps, batch):
    return (
        torch.randn(steps, batch, 4, dtype=DTYPE),
        torch.randn(2, batch, 6, dtype=DTYPE),
        torch.rand(steps, batch) < 0.2,
        torch.rand(steps, dtype=DTYPE),
    )


class OnPackedData(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.rnn = elman.RNN(4, 6, 2, truncation=2, dtype=DTYPE, **options)

    def forward(self, data, batch_sizes, hx):
        output, h_n = self.rnn(PackedSequence(data, batch_sizes), hx)
        return output.data, h_n


def packed_arguments(*lengths):
    packed = pack_sequence([torch.randn(length, 4, dtype=DTYPE) for length in lengths])
    return packed.data, packed.batch_sizes, torch.randn(4, len(lengths), 6, dtype=DTYPE)


def export_tagger(strict=False):
    module = Tagger()
    dynamic = ({0: T, 1: B}, {1: B}, {0: T, 1: B}, {0: T})
    program = torch.export.export(
        module, tagger_arguments(7, 3), dynamic_shapes=dynamic, strict=strict
    )
    return module, program


def gradients(results, module):
    loss = sum(result.square().sum() for result in results)
    names, parameters = zip(*sorted(module.named_parameters()), strict=True)
    return names, torch.autograd.grad(loss, parameters)


def assert_equal_with_gradients(exported, module, args):
    actual, expected = exported(*args), module(*args)
    assert_close(actual, expected)
    (names, actual), (expected_names, expected) = (
        gradients(actual, exported),
        gradients(expected, module),
    )
    assert names == expected_names
    assert_close(actual, expected)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
def test_dynamic_steps_and_batch(strict):
    module, program = export_tagger(strict)
    # One node for each call, however many steps there are.
    targets = [str(node.target) for node in program.graph.nodes]
    assert targets.count("elman.rnn.default") == 2
    for steps, batch in ((7, 3), (12, 5)):
        assert_equal_with_gradients(program.module(), module, tagger_arguments(steps, batch))


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non-strict"])
def test_packed_data(strict):
    module = OnPackedData(bidirectional=True)
    program = torch.export.export(
        module,
        packed_arguments(5, 3, 2),
        dynamic_shapes=({0: N}, {0: T}, {1: B}),
        strict=strict,
    )
    for lengths in ((5, 3, 2), (9, 4, 4, 1)):
        assert_equal_with_gradients(program.module(), module, packed_arguments(*lengths))


def test_decomposed_saved_and_loaded():
    module, program = export_tagger()
    program = program.run_decompositions()
    targets = [str(node.target) for node in program.graph.nodes]
    # The cell is an RNN of one step; the operator itself is whole.
    assert targets.count("elman.rnn.default") == 3
    assert "elman.rnn_cell.default" not in targets

    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    assert_equal_with_gradients(loaded, module, tagger_arguments(12, 5))


def test_unflattened():
    module, program = export_tagger()
    unflattened = torch.export.unflatten(program)
    assert set(dict(unflattened.named_children())) == {"rnn", "cell", "tags"}
    args = tagger_arguments(12, 5)
    assert_close(unflattened(*args), module(*args))


def test_training_with_dropout_is_exported():
    rnn = elman.RNN(4, 6, 2, dropout=0.5, dtype=DTYPE)
    x = torch.randn(7, 3, 4, dtype=DTYPE)
    program = torch.export.export(rnn, (x,), dynamic_shapes=({0: T, 1: B},))
    x = torch.randn(9, 2, 4, dtype=DTYPE)
    torch.manual_seed(1)
    actual = program.module()(x)
    torch.manual_seed(1)
    assert_close(actual, rnn(x))
    assert not torch.equal(program.module()(x)[0], actual[0])


@pytest.mark.slow
def test_packed_data_in_an_aoti_package(tmp_path):
    # (docs/deployment.md has the padded call, and the C++ program that runs it.)
    module = OnPackedData(bidirectional=True)
    program = torch.export.export(
        module, packed_arguments(5, 3, 2), dynamic_shapes=({0: N}, {0: T}, {1: B})
    )
    path = torch._inductor.aoti_compile_and_package(
        program, package_path=str(tmp_path / "packed.pt2")
    )
    loaded = torch._inductor.aoti_load_package(path)
    for lengths in ((5, 3, 2), (9, 4, 4, 1)):
        args = packed_arguments(*lengths)
        assert_close(loaded(*args), module(*args))
