"""Opacus over elman's modules: each sample's gradient is that of the sample by itself.

Not part of the test suite: `pip install -r tests/clients/requirements-opacus.txt`, then
`pytest tests/clients/test_opacus.py`.
"""

import copy

import elman
import pytest
import torch
from opacus import PrivacyEngine
from opacus.grad_sample.utils import wrap_model
from torch.utils.data import DataLoader, TensorDataset

DTYPE = torch.float64
ALL_MODES = pytest.mark.parametrize("mode", ["hooks", "functorch", "ew"])
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


class States(elman.RNN):
    """An RNN for opacus, which differentiates modules with one result: the states of all steps.
    docs/training.md shows it."""

    def forward(self, x):
        output, _ = super().forward(x)
        return output


class Model(torch.nn.Module):
    def __init__(self, rnn):
        super().__init__()
        self.rnn = rnn
        self.out = torch.nn.Linear(6, 2, dtype=DTYPE)

    def forward(self, x):
        states = self.rnn(x)
        return self.out(states if isinstance(states, torch.Tensor) else states[0])


def rnn(kind, **options):
    return kind(4, 6, 2, batch_first=True, dtype=DTYPE, **options)


def assert_per_sample(model, mode):
    x = torch.randn(5, 7, 4, dtype=DTYPE)
    expected = []
    for sample in x:
        loss = model(sample.unsqueeze(0)).square().sum()
        expected.append(torch.autograd.grad(loss, list(model.parameters())))
    wrapped = wrap_model(
        copy.deepcopy(model), grad_sample_mode=mode, batch_first=True, loss_reduction="sum"
    )
    wrapped(x).square().sum().backward()
    for p, samples in zip(wrapped.parameters(), zip(*expected, strict=True), strict=True):
        torch.testing.assert_close(p.grad_sample, torch.stack(samples))


@ALL_MODES
@pytest.mark.parametrize("truncation", [None, (2, 5)], ids=str)
def test_gradients_of_each_sample(mode, truncation):
    assert_per_sample(Model(rnn(States, truncation=truncation)), mode)


def test_the_rnn_itself_with_expanded_weights():
    assert_per_sample(Model(rnn(elman.RNN, truncation=(2, 5))), "ew")


@pytest.mark.parametrize("mode", ["hooks", "functorch"])
def test_two_results_stop_the_other_modes(mode):
    with pytest.raises(TypeError):
        assert_per_sample(Model(rnn(elman.RNN)), mode)


@ALL_MODES
def test_a_private_training_step(mode):
    """Without noise and clipping it is the plain step on the same samples."""
    model = Model(rnn(States))
    plain = copy.deepcopy(model)
    data = TensorDataset(torch.randn(8, 7, 4, dtype=DTYPE), torch.randn(8, 7, 2, dtype=DTYPE))
    private, optimizer, loader = PrivacyEngine().make_private(
        module=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        data_loader=DataLoader(data, batch_size=8),
        noise_multiplier=0.0,
        max_grad_norm=1e9,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    for x, target in loader:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(private(x), target).backward()
        optimizer.step()
    torch.nn.functional.mse_loss(plain(data.tensors[0]), data.tensors[1]).backward()
    with torch.no_grad():
        for p in plain.parameters():
            p -= 0.1 * p.grad
    for actual, expected in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(actual, expected)
