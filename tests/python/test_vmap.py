"""torch.func.vmap over the operators, against brute force slice by slice: the values, the gradient
within each slice (vmap of grad) and the gradient of all slices together (grad of vmap)."""

import dataclasses

import elman
import oracle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Case, assert_close, inner_product, make
from torch.func import grad, vmap

SLICES = 3


@dataclasses.dataclass
class Batch:
    """S samples that share the tensors that are not batched."""

    samples: list
    batched: frozenset

    @classmethod
    def of(cls, case, batched, slices=SLICES):
        first, *others = (make(dataclasses.replace(case, seed=s)) for s in range(slices))
        samples = [first]
        for other in others:
            own = {
                name: getattr(other if name in batched else first, name)
                for name in ("input", "hx", "params", "reset", "carry_scale")
            }
            samples.append(dataclasses.replace(other, **own))
        return cls(samples, frozenset(batched))

    def leaf_is_batched(self):
        names = ["input", *([] if self.samples[0].hx is None else ["hx"])]
        names += ["params"] * len(self.samples[0].params)
        return [name in self.batched for name in names]

    def stacked(self, dims):
        """(leaves, reset, carry_scale, grads) for vmap, and their in_dims."""
        first = self.samples[0]

        def stack(values, dim):
            return torch.stack([v.detach() for v in values], dim)

        leaves, leaf_dims = [], []
        columns = zip(*(sample.leaves() for sample in self.samples), strict=True)
        for i, (column, batched) in enumerate(zip(columns, self.leaf_is_batched(), strict=True)):
            dim = dims[i % len(dims)] if batched else None
            leaves.append(stack(column, dim).clone() if batched else column[0].detach())
            leaf_dims.append(dim)
        values, in_dims = [leaves], [leaf_dims]
        for name in ("reset", "carry_scale"):
            present = getattr(first, name) is not None
            own = present and name in self.batched
            column = [getattr(sample, name) for sample in self.samples]
            values.append(stack(column, dims[-1] % 2) if own else column[0])
            in_dims.append(dims[-1] % 2 if own else None)
        columns = [(sample.grad_output, sample.grad_h_n) for sample in self.samples]
        values.append(tuple(stack(column, 0) for column in zip(*columns, strict=True)))
        in_dims.append(0)
        return values, tuple(in_dims)

    def call(self, leaves, reset, carry_scale):
        sample = dataclasses.replace(self.samples[0], reset=reset, carry_scale=carry_scale)
        return sample.run(leaves)

    def expected_gradients(self, masks):
        """By leaf, [S, ...]: the gradient within each slice."""
        found = [oracle.gradients(s, m) for s, m in zip(self.samples, masks, strict=True)]
        return [torch.stack(column) for column in zip(*found, strict=True)]


def check(batch, dims, masks=None, **vmap_options):
    """Values and gradients, both ways round, against brute force."""
    (leaves, reset, scale, grads), in_dims = batch.stacked(dims)
    masks = [None] * len(batch.samples) if masks is None else masks
    seed = batch.samples[0].case.seed
    expected = batch.expected_gradients(masks)

    def loss(leaves, reset, scale, grads):
        return inner_product(batch.call(leaves, reset, scale), grads)

    torch.manual_seed(seed)
    values = vmap(batch.call, in_dims[:3], **vmap_options)(leaves, reset, scale)
    slices = [oracle.forward(s, m) for s, m in zip(batch.samples, masks, strict=True)]
    for actual, column in zip(values, zip(*slices, strict=True), strict=True):
        assert_close(actual, torch.stack(column))

    torch.manual_seed(seed)
    per_slice = vmap(grad(loss), in_dims, **vmap_options)(leaves, reset, scale, grads)
    assert_close(per_slice, expected)

    def total(leaves):
        return vmap(loss, in_dims, **vmap_options)(leaves, reset, scale, grads).sum()

    torch.manual_seed(seed)
    together = grad(total)(leaves)
    for actual, by_slice, batched, dim in zip(
        together, expected, batch.leaf_is_batched(), in_dims[0], strict=True
    ):
        assert_close(actual, by_slice.movedim(0, dim) if batched else by_slice.sum(0))


LAYOUTS = [
    {},
    {"batch_first": True},
    {"batched": False},
    {"lengths": (5, 3, 3, 1)},
]

TRUNCATIONS = [(0, 0), (2, 2), (1, 3), (2, 3)]


@st.composite
def batches(draw):
    options = dict(draw(st.sampled_from(LAYOUTS)))
    k1, k2 = draw(st.sampled_from(TRUNCATIONS))
    bidirectional = k1 == k2 and draw(st.booleans())
    packed = "lengths" in options
    scales = [None] if packed or bidirectional else [None, "rows", "steps"]
    case = Case(
        **options,
        k1=k1,
        k2=k2,
        bidirectional=bidirectional,
        num_layers=draw(st.integers(1, 2)),
        bias=draw(st.booleans()),
        hx=draw(st.booleans()),
        nonlinearity=draw(st.sampled_from(list(oracle.ACTIVATIONS))),
        reset=not packed and draw(st.booleans()),
        carry_scale=draw(st.sampled_from(scales)),
        hidden_size=3,
        input_size=2,
        batch=2,
    )
    names = ["input", "params"]
    names += [name for name in ("hx", "reset", "carry_scale") if getattr(case, name)]
    batched = draw(st.sets(st.sampled_from(names), min_size=1))
    dims = draw(st.lists(st.sampled_from([0, 1]), min_size=3, max_size=3))
    return Batch.of(case, batched), dims


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(batches())
def test_any_subset_of_batched_arguments(drawn):
    check(*drawn)


@pytest.mark.parametrize("batched", ["input", "hx", "params", "reset", "carry_scale"])
def test_each_argument_alone(batched):
    case = Case(num_layers=2, reset=True, carry_scale="rows", k1=1, k2=3, hidden_size=3)
    check(Batch.of(case, {batched}), [1, 0])


def test_a_single_slice():
    check(Batch.of(Case(k1=1, k2=2), {"input"}, slices=1), [0])


def drop(case, generator_seed, *sizes):
    """Masks as they are drawn after torch.manual_seed, [*sizes, L-1, T, B, D*H]."""
    torch.manual_seed(generator_seed)
    shape = (case.steps, case.batch, case.directions * case.hidden_size)
    layers = [
        torch.empty(*sizes, *shape, dtype=case.dtype).bernoulli_(1 - case.dropout)
        for _ in range(case.num_layers - 1)
    ]
    return torch.stack(layers, len(sizes)) / (1 - case.dropout)


@pytest.mark.parametrize(
    "batched",
    [{"input"}, {"params"}, {"input", "hx", "params"}],
    ids=lambda names: "-".join(sorted(names)),
)
@pytest.mark.parametrize(("k1", "k2"), [(0, 0), (1, 3)])
class TestDropout:
    def batch(self, batched, k1, k2):
        return Batch.of(Case(num_layers=2, dropout=0.4, k1=k1, k2=k2, hidden_size=3), batched)

    def test_different_randomness_gives_each_slice_its_masks(self, batched, k1, k2):
        batch = self.batch(batched, k1, k2)
        masks = drop(batch.samples[0].case, 0, SLICES)
        check(batch, [0], masks, randomness="different")

    def test_same_randomness_gives_all_slices_the_masks_of_a_plain_call(self, batched, k1, k2):
        batch = self.batch(batched, k1, k2)
        masks = drop(batch.samples[0].case, 0)
        check(batch, [0], [masks] * SLICES, randomness="same")

    def test_error_is_the_default(self, batched, k1, k2):
        (leaves, *rest), in_dims = (batch := self.batch(batched, k1, k2)).stacked([0])
        with pytest.raises(RuntimeError, match="called random operation while in randomness error"):
            vmap(batch.call, in_dims[:3])(leaves, *rest[:2])


@pytest.mark.parametrize("randomness", ["error", "same", "different"])
def test_dropout_of_a_call_without_batched_arguments(randomness):
    """As torch.nn.functional.dropout has it: different slices differ all the same."""
    model = elman.RNN(2, 3, 2, dropout=0.5, dtype=torch.float64)
    x = torch.randn(4, 1, 2, dtype=torch.float64)
    run = vmap(lambda y: model(x)[0] + y, randomness=randomness)
    if randomness == "error":
        with pytest.raises(RuntimeError, match="called random operation"):
            run(torch.zeros(6))
    else:
        distinct = run(torch.zeros(6)).unique(dim=0)
        assert len(distinct) == 1 if randomness == "same" else len(distinct) > 1


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(("outer", "inner"), [("input", "params"), ("params", "input")])
def test_nested(outer, inner, dropout):
    case = Case(num_layers=2, k1=1, k2=3, hidden_size=3, dropout=dropout)
    sample = make(case)
    columns = {
        name: [getattr(make(dataclasses.replace(case, seed=s)), name) for s in range(n)]
        for name, n in ((outer, 2), (inner, 3))
    }
    stacked = {
        "input": lambda c: torch.stack([x.detach() for x in c]),
        "params": lambda c: [torch.stack(p).detach() for p in zip(*c, strict=True)],
    }

    def loss(input, params):
        results = sample.run([input, sample.hx.detach(), *params])
        return inner_product(results, (sample.grad_output, sample.grad_h_n))

    def gradients(function):
        for level in (inner, outer):
            in_dims = tuple(0 if level == name else None for name in ("input", "params"))
            function = vmap(function, in_dims, randomness="different")
        torch.manual_seed(case.seed)
        return function(*(stacked[name](columns[name]) for name in ("input", "params")))

    actual = gradients(grad(loss, argnums=(0, 1)))
    # Masks are batched at both levels, the outer one in front.
    masks = drop(case, case.seed, 2, 3) if dropout else [[None] * 3] * 2
    for i in range(2):
        for j in range(3):
            own = {outer: columns[outer][i], inner: columns[inner][j]}
            found = oracle.gradients(dataclasses.replace(sample, **own), masks[i][j])
            assert_close(actual[0][i, j], found[0])
            assert_close([p[i, j] for p in actual[1]], found[2:])
