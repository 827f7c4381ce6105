"""How much faster the fit loops of skorch and Lightning are with elman's modules in them, in pairs.

PYTHONPATH=build/release/python build/clients-venv/bin/python3 tests/elsewhere/fit_speed.py
"""

import logging
import time
import warnings
from collections.abc import Callable

import elman
import lightning
import numpy as np
import skorch
import torch

I, H, CLASSES, N, BATCH = 8, 64, 5, 512, 32
STEPS, PAIRS = (100, 500), 7
LOADER = {"batch_size": BATCH, "shuffle": False}


class Classifier(torch.nn.Module):
    """Written for torch: a class for each sequence. x: [N, T, I]."""

    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.RNN(I, H, batch_first=True)
        self.out = torch.nn.Linear(H, CLASSES)

    def forward(self, x):
        return self.out(self.rnn(x)[1][-1])


class ElmanClassifier(Classifier):
    """The same, converted, for libraries that build a module by its class."""

    def __init__(self):
        super().__init__()
        elman.convert(self)


class Lit(lightning.LightningModule):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def training_step(self, batch, _):
        x, y = batch
        return torch.nn.functional.cross_entropy(self.model(x), y)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def skorch_epoch(kind: type, x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    options = {"max_epochs": 1, "lr": 0.1, "verbose": 0, "train_split": None}
    net = skorch.NeuralNetClassifier(
        kind, criterion=torch.nn.CrossEntropyLoss, batch_size=BATCH, **options
    )
    net.initialize()
    return lambda: net.partial_fit(x, y)


def lightning_epoch(kind: type, x: np.ndarray, y: np.ndarray) -> Callable[[], object]:
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    loader = torch.utils.data.DataLoader(data, **LOADER)
    module = Lit(kind())
    quiet = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "logger": False,
    }

    def epoch():
        lightning.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(module, loader)

    return epoch


def main() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    print("| library | T | torch's, s an epoch | elman's, s | times as fast (lowest to highest) |")
    print("|---|---|---|---|---|")
    for name, make in (("skorch", skorch_epoch), ("Lightning", lightning_epoch)):
        for steps in STEPS:
            x = rng.standard_normal((N, steps, I)).astype(np.float32)
            y = rng.integers(0, CLASSES, N)
            epochs, times = [make(kind, x, y) for kind in (Classifier, ElmanClassifier)], []
            for _ in range(1 + PAIRS):
                pair = []
                for epoch in epochs:
                    start = time.perf_counter()
                    epoch()
                    pair.append(time.perf_counter() - start)
                times.append(pair)
            torchs, ours = np.array(times[1:]).T  # the first one warms up
            ratio = torchs / ours
            print(
                f"| {name} | {steps} | {np.median(torchs):.2f} | {np.median(ours):.2f} "
                f"| {np.median(ratio):.1f} ({ratio.min():.1f} to {ratio.max():.1f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
