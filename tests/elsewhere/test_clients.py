"""What docs/clients.md shows, in the libraries themselves: skorch, Lightning and Ignite."""

import elman
import lightning
import numpy as np
import pytest
import skorch
import torch
from ignite.engine import Engine

I, H, T, N = 3, 8, 6, 40


class Classifier(torch.nn.Module):
    """Written for torch; says whether a sequence's sum is above zero. x: [N, T, I]."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.RNN(I, H, batch_first=True)
        self.out = torch.nn.Linear(H, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[1][-1])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, T, I)).astype(np.float32)
    return x, (x.sum((1, 2)) > 0).astype(np.int64)


class ElmanClassifier(skorch.NeuralNetClassifier):
    """skorch builds the module anew in `initialize`, and so in `load_params` and `clone`."""

    def initialize_module(self):
        super().initialize_module()
        elman.convert(self.module_)
        return self


def net(kind):
    torch.manual_seed(0)
    options = {"max_epochs": 3, "lr": 0.1, "verbose": 0, "train_split": None}
    return kind(Classifier, criterion=torch.nn.CrossEntropyLoss, **options)


def test_skorch(data, tmp_path):
    ours, torchs = net(ElmanClassifier).fit(*data), net(skorch.NeuralNetClassifier)
    torch.manual_seed(0)
    torchs = torchs.fit(*data)
    assert type(ours.module_.rnn) is elman.RNN and type(torchs.module_.rnn) is torch.nn.RNN
    np.testing.assert_allclose(ours.forward(data[0]), torchs.forward(data[0]), atol=1e-4)
    ours.save_params(f_params=tmp_path / "params.pt")
    loaded = net(ElmanClassifier).initialize()
    loaded.load_params(f_params=tmp_path / "params.pt")
    assert type(loaded.module_.rnn) is elman.RNN
    np.testing.assert_array_equal(loaded.forward(data[0]), ours.forward(data[0]))


def test_skorch_builds_torchs_class_where_only_the_module_was_converted(data):
    fitted = net(skorch.NeuralNetClassifier).fit(*data)
    elman.convert(fitted.module_)
    assert type(fitted.module_.rnn) is elman.RNN
    fitted.initialize()
    assert type(fitted.module_.rnn) is torch.nn.RNN


class Lit(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.model = Classifier()

    def training_step(self, batch, _):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.model(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_lightning(data, tmp_path):
    x, y = map(torch.from_numpy, data)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=10)
    module = elman.convert(Lit())
    quiet = {"enable_progress_bar": False, "logger": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=1, default_root_dir=tmp_path, accelerator="cpu", **quiet)
    before = module.model.rnn.weight_hh_l0.detach().clone()
    trainer.fit(module, loader)
    assert type(module.model.rnn) is elman.RNN
    assert not torch.equal(before, module.model.rnn.weight_hh_l0)
    trainer.save_checkpoint(tmp_path / "model.ckpt")
    loaded = Lit.load_from_checkpoint(tmp_path / "model.ckpt")
    assert type(loaded.model.rnn) is torch.nn.RNN  # as Lit writes it
    elman.convert(loaded)
    assert type(loaded.model.rnn) is elman.RNN
    torch.testing.assert_close(loaded.model(x), module.model(x), rtol=0, atol=0)


def test_ignite(data):
    x, y = map(torch.from_numpy, data)
    model = elman.convert(Classifier())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def update(engine, batch):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.item()

    trainer = Engine(update)
    first = update(trainer, (x, y))
    assert trainer.run([(x, y)] * 30, max_epochs=2).output < first
    assert type(model.rnn) is elman.RNN
