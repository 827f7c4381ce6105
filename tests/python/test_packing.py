"""Models that pack, run an RNN and pad again, compiled and exported: the values and gradients of
eager, for lengths other than those that were traced."""

import elman
import pytest
import torch
from samples import assert_close
from torch.nn.utils import rnn as torch_packing

LENGTHS = ((5, 3, 2), (6, 6, 1, 1), (4,))
UNSORTED = ((2, 5, 3), (1, 6, 1, 6), (4,))


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class Tagger(torch.nn.Module):
    """Packs, runs an RNN, pads and goes on, all in one forward, as programs do. `packing` has the
    two functions."""

    def __init__(
        self, packing, batch_first=False, enforce_sorted=True, rnn=torch.nn.RNN, **padding
    ):
        super().__init__()
        self.rnn = rnn(4, 6, 2, batch_first=batch_first, bidirectional=True)
        self.out = torch.nn.Linear(12, 3)
        self.packing, self.batch_first, self.padding = packing, batch_first, padding
        self.enforce_sorted = enforce_sorted
        self.double()

    def forward(self, x, lengths):
        packed = self.packing.pack_padded_sequence(
            x.relu(), lengths, self.batch_first, self.enforce_sorted
        )
        states, h_n = self.rnn(packed)
        padded, lengths = self.packing.pad_packed_sequence(states, self.batch_first, **self.padding)
        return self.out(padded).tanh(), h_n.square(), lengths.double()


class Decoder(torch.nn.Module):
    """A part of a model that is handed a packed sequence."""

    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(6, 3, dtype=torch.float64)

    def forward(self, packed):
        return self.out(torch_packing.pad_packed_sequence(packed)[0])


class WithDecoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.RNN(4, 6, dtype=torch.float64)
        self.decoder = Decoder()

    def forward(self, x, lengths):
        return (self.decoder(self.rnn(torch_packing.pack_padded_sequence(x, lengths))[0]),)


def batch(lengths, batch_first=False, steps=None):
    """x, as long as the longest sequence if `steps` are not given, and the lengths."""
    sizes = (steps or max(lengths), len(lengths), 4)
    x = torch.randn(sizes, dtype=torch.float64)
    x = x.transpose(0, 1).contiguous() if batch_first else x
    return x.requires_grad_(), torch.tensor(lengths)


def results_and_gradients(run, module, x, lengths):
    results = run(x, lengths)
    loss = sum(result.sin().sum() for result in results)
    return [*results, *torch.autograd.grad(loss, [x, *module.parameters()])]


def assert_as_eager(run, module, all_lengths, **options):
    for lengths in all_lengths:
        inputs = batch(lengths, **options)
        assert_close(
            results_and_gradients(run, module, *inputs),
            results_and_gradients(module, module, *inputs),
        )


LAYOUTS = {
    "sorted": (False, True),
    "unsorted": (False, False),
    "batch_first, sorted": (True, True),
    "batch_first, unsorted": (True, False),
}


def over_layouts(*names):
    """Runs a test with each (batch_first, enforce_sorted) of these names."""
    layouts = [LAYOUTS[name] for name in names]
    return pytest.mark.parametrize(("batch_first", "enforce_sorted"), layouts, ids=names)


def check_default_settings(packing, batch_first, enforce_sorted):
    module = Tagger(packing, batch_first, enforce_sorted)
    x, lengths = batch((LENGTHS if enforce_sorted else UNSORTED)[0], batch_first)
    torchs = results_and_gradients(module, module, x, lengths)
    elman.convert(module)
    compiled = torch.compile(module, backend="aot_eager")
    assert_close(results_and_gradients(compiled, module, x, lengths), torchs)
    others = (LENGTHS if enforce_sorted else UNSORTED)[1:]
    assert_as_eager(compiled, module, others, batch_first=batch_first)


@over_layouts(*LAYOUTS)
def test_a_converted_model_compiles(batch_first, enforce_sorted):
    check_default_settings(torch_packing, batch_first, enforce_sorted)


@over_layouts("sorted", "batch_first, unsorted")
def test_traceable_packing_with_default_settings(batch_first, enforce_sorted):
    check_default_settings(elman, batch_first, enforce_sorted)


def test_padding_in_a_part_of_the_model():
    module = elman.convert(WithDecoder())
    compiled = torch.compile(module, backend="aot_eager")
    assert_as_eager(compiled, module, LENGTHS)


@over_layouts("sorted", "batch_first, unsorted")
def test_one_graph(batch_first, enforce_sorted):
    module = Tagger(elman, batch_first, enforce_sorted, elman.RNN)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
        lengths = LENGTHS[:2] if enforce_sorted else UNSORTED[:2]
        assert_as_eager(compiled, module, lengths, batch_first=batch_first)
        # Steps in which no sequence is alive any more are cut off, as torch does.
        assert_as_eager(compiled, module, lengths, batch_first=batch_first, steps=9)


@pytest.mark.slow
def test_one_graph_with_inductor():
    module = Tagger(elman, rnn=elman.RNN, enforce_sorted=False)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(module, fullgraph=True, dynamic=True)
        assert_as_eager(compiled, module, UNSORTED[:2])


def test_padding_value_and_total_length():
    module = Tagger(elman, rnn=elman.RNN, padding_value=-0.5, total_length=8)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        compiled = torch.compile(module, fullgraph=True, dynamic=True, backend="aot_eager")
        assert_as_eager(compiled, module, LENGTHS[:2])
        with pytest.raises(RuntimeError, match=r"total_length|Runtime assertion failed"):
            compiled(*batch((9, 2)))


def test_padding_of_a_sequence_without_indices():
    def pad(data, batch_sizes):
        return elman.pad_packed_sequence(torch_packing.PackedSequence(data, batch_sizes))[0]

    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        compiled = torch.compile(pad, fullgraph=True, dynamic=True, backend="aot_eager")
        for lengths in LENGTHS[:2]:
            packed = torch_packing.pack_padded_sequence(*batch(lengths))
            assert_close(
                compiled(packed.data, packed.batch_sizes), pad(packed.data, packed.batch_sizes)
            )


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "non_strict"])
@over_layouts("sorted", "batch_first, unsorted")
def test_exported(batch_first, enforce_sorted, strict):
    module = Tagger(elman, batch_first, enforce_sorted, elman.RNN)
    lengths = LENGTHS if enforce_sorted else UNSORTED
    steps, sequences = torch.export.Dim("T", max=99), torch.export.Dim("B", max=99)
    axes = (sequences, steps) if batch_first else (steps, sequences)
    program = torch.export.export(
        module,
        batch(lengths[0], batch_first),
        dynamic_shapes=(dict(enumerate(axes)), {0: sequences}),
        strict=strict,
    ).module()
    for others in lengths[:2]:
        x, n = batch(others, batch_first)
        assert_close(program(x, n), module(x, n))


def test_wrong_lengths_in_a_graph():
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):

        @torch.compile(fullgraph=True, dynamic=True, backend="aot_eager")
        def pack(x, lengths):
            return elman.pack_padded_sequence(x, lengths).data

        pack(*batch((5, 3)))
        for lengths, steps, message in (
            ((5, 0), 5, "has to be greater than 0"),
            # torch's own function goes on with fewer rows than batch_sizes tells of.
            ((5, 3), 4, "no sequence to be longer than the input"),
            ((3, 5), 5, "sorted in decreasing order"),
        ):
            with pytest.raises(RuntimeError, match=message):
                pack(*batch(lengths, steps=steps))
        with pytest.raises(RuntimeError, match="equal to batch_size"):
            pack(batch((5, 3))[0], torch.tensor([5, 3, 1]))


def test_outside_of_compilers_they_are_torchs_functions():
    x, lengths = batch((2, 5, 3))
    ours = elman.pack_padded_sequence(x, lengths, enforce_sorted=False)
    theirs = torch_packing.pack_padded_sequence(x, lengths, enforce_sorted=False)
    for actual, expected in zip(ours, theirs, strict=True):
        assert torch.equal(actual, expected)
    ours = elman.pad_packed_sequence(ours, total_length=7, padding_value=2.0)
    theirs = torch_packing.pad_packed_sequence(theirs, total_length=7, padding_value=2.0)
    assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
    assert elman.pack_padded_sequence(x, torch.tensor([5, 5, 2])).sorted_indices is None
