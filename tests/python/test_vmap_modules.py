"""torch.func.vmap over the modules: ensembles, gradients for each sample, cells, autocast."""

import elman
import pytest
import torch
from samples import assert_close, inner_product
from torch.func import functional_call, grad, stack_module_state, vmap


@pytest.mark.parametrize("truncation", [None, (1, 3)])
def test_an_ensemble_by_stack_module_state(truncation):
    options = {"num_layers": 2, "truncation": truncation, "dtype": torch.float64}
    models = [elman.RNN(3, 4, **options) for _ in range(3)]
    params, buffers = stack_module_state(models)
    skeleton = elman.RNN(3, 4, **options).to("meta")
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def loss(params, buffers, x):
        return inner_product(functional_call(skeleton, (params, buffers), (x,)), (1.0, 2.0))

    losses = vmap(loss, in_dims=(0, 0, None))(params, buffers, x)
    losses.sum().backward()
    for i, model in enumerate(models):
        expected = inner_product(model(x), (1.0, 2.0))
        assert_close(losses[i], expected)
        names, weights = zip(*model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(expected, weights)
        assert_close([params[name].grad[i] for name in names], gradients)


@pytest.mark.parametrize("truncation", [None, 2, (1, 3)])
def test_per_sample_gradients_of_a_module(truncation):
    model = elman.RNN(3, 4, 2, batch_first=True, truncation=truncation, dtype=torch.float64)
    params = dict(model.named_parameters())
    x = torch.randn(6, 5, 3, dtype=torch.float64)

    def loss(params, row):
        output, h_n = functional_call(model, params, (row.unsqueeze(0),))
        return output.square().sum() + h_n.sum()

    actual = vmap(grad(loss), in_dims=(None, 0))(params, x)
    for i in range(len(x)):
        expected = torch.autograd.grad(loss(params, x[i]), list(params.values()))
        assert_close([actual[name][i] for name in params], expected)


@pytest.mark.parametrize("has_hx", [True, False])
@pytest.mark.parametrize("batch", [(), (2,)], ids=["unbatched", "batched"])
@pytest.mark.parametrize("weights", [None, 0], ids=["shared", "ensemble"])
def test_cell(weights, batch, has_hx):
    f64 = {"dtype": torch.float64}
    x, hx = torch.randn(3, *batch, 4, **f64), torch.randn(3, *batch, 5, **f64)
    stack = () if weights is None else (3,)
    params = [torch.randn(*stack, *shape, **f64) for shape in ((5, 4), (5, 5), (5,), (5,))]

    def step(x, hx, *params):
        return torch.ops.elman.rnn_cell(x, hx if has_hx else None, *params)

    actual = vmap(step, (0, 0, *[weights] * 4))(x, hx, *params)
    h = hx if has_hx else torch.zeros_like(hx)

    def own(i):
        return [p[i] for p in params] if stack else params

    expected = [
        torch.tanh(x[i] @ own(i)[0].T + h[i] @ own(i)[1].T + own(i)[2] + own(i)[3])
        for i in range(3)
    ]
    assert_close(actual, torch.stack(expected))


def test_in_dims_and_out_dims_and_chunks():
    model = elman.RNN(3, 4, dtype=torch.float64)
    x = torch.randn(5, 6, 2, 3, dtype=torch.float64)  # [T, S, B, I]
    expected = torch.stack([model(x[:, i])[0] for i in range(6)], dim=1)
    run = vmap(lambda x: model(x)[0], in_dims=1, out_dims=1, chunk_size=4)
    assert_close(run(x), expected)


@pytest.mark.parametrize("packed", [False, True])
def test_autocast(packed):
    model = elman.RNN(3, 4, 2)
    x = torch.randn(3, 7, 2, 3, dtype=torch.bfloat16)
    if packed:
        x = x.flatten(1, 2)
    sizes = torch.full((7,), 2)

    def run(x):
        if packed:
            return model(torch.nn.utils.rnn.PackedSequence(x, sizes))[0].data
        return model(x)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = vmap(run)(x)
        expected = torch.stack([run(row) for row in x])
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual, expected)


def test_cell_under_autocast():
    cell = elman.RNNCell(3, 4)
    x = torch.randn(5, 2, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual, expected = vmap(cell)(x), torch.stack([cell(row) for row in x])
    assert actual.dtype == torch.bfloat16
    torch.testing.assert_close(actual, expected)


def test_a_wrong_shape_is_named_as_the_slice_has_it():
    weights = list(elman.RNN(3, 4).parameters())
    with pytest.raises(RuntimeError, match="Expected 3, got 2"):
        vmap(lambda x: torch.ops.elman.rnn(x, None, weights, True, 1, 0.0, False, False, False))(
            torch.randn(6, 5, 1, 2)
        )
