"""Reads scikit-learn's handwritten digits row by row and says which digit it was.

    python examples/training/digits.py

An image is a sequence of eight rows of eight pixels; `elman.Network` with the mapping many_to_one
gives one answer after the last of them.
"""

import argparse
import itertools

import elman
import torch
from common import BLUE, ORANGE, package, parse, plt, progress, save

datasets, model_selection = map(package, ("sklearn.datasets", "sklearn.model_selection"))


def load(test_share):
    """Images [N, 8, 8] with pixels in 0 … 1, and digits [N]: to train on, and to test with."""
    images, digits = datasets.load_digits().images / 16, datasets.load_digits().target
    parts = model_selection.train_test_split(
        images, digits, test_size=test_share, stratify=digits, random_state=0
    )
    train_images, test_images = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    train_digits, test_digits = (torch.tensor(part) for part in parts[2:])
    return (train_images, train_digits), (test_images, test_digits)


def answers(network, images):
    network.eval()
    with torch.no_grad():
        logits, _ = network(images)
    network.train()
    return logits.argmax(dim=-1)


def train(network, images, digits, test, arguments):
    """Losses of the epochs, and the accuracy on the test images after each."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=arguments.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.epochs)
    losses, accuracies = [], []
    epochs = progress(range(arguments.epochs), unit="epoch")
    for _ in epochs:
        total = 0.0
        for rows in torch.randperm(len(images)).split(arguments.batch):
            logits, _ = network(images[rows])
            loss = torch.nn.functional.cross_entropy(logits, digits[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total += loss.item() * len(rows)
        schedule.step()
        losses.append(total / len(images))
        accuracies.append((answers(network, test[0]) == test[1]).double().mean().item())
        epochs.set_postfix(loss=f"{losses[-1]:.4f}", test=f"{accuracies[-1]:.1%}")
    return losses, accuracies


def draw(network, losses, accuracies, test, arguments):
    images, digits = test
    read = answers(network, images)
    confusion = torch.zeros(10, 10, dtype=torch.long)
    confusion.index_put_((digits, read), torch.tensor(1), accumulate=True)
    wrong = (read != digits).nonzero().flatten()[:10]

    figure = plt.figure(figsize=(9, 3.6))
    curves, table, misread = figure.subfigures(1, 3, width_ratios=(1.1, 1.2, 0.9))
    axes = curves.subplots(2, 1, sharex=True)
    axes[0].semilogy(losses, color=BLUE)
    axes[0].set(title="training loss (logarithmic)")
    errors = [100 * (1 - share) for share in accuracies]
    axes[1].plot(errors, color=ORANGE)
    axes[1].set(title="errors on the test images, %", xlabel="epoch", ylim=(0, 20))
    axes[1].annotate(
        f"{errors[-1]:.1f}",
        (len(errors) - 1, errors[-1]),
        (0, 8),
        textcoords="offset points",
        ha="center",
    )

    ax = table.subplots()
    ax.imshow(confusion.double().sqrt().numpy(), cmap="Blues")
    for row, column in confusion.nonzero().tolist():
        colour = "white" if row == column else "black"
        ax.text(
            column,
            row,
            confusion[row, column].item(),
            ha="center",
            va="center",
            size=7,
            color=colour,
        )
    ax.set(
        title=f"{len(digits)} test images",
        xlabel="read as",
        ylabel="digit",
        xticks=range(10),
        yticks=range(10),
    )
    ax.grid(False)

    for ax, index in itertools.zip_longest(misread.subplots(5, 2).flat, wrong.tolist()):
        ax.set_axis_off()
        if index is not None:
            ax.imshow(images[index].numpy(), cmap="gray_r")
            ax.set_title(f"{digits[index]} read as {read[index]}", size=8, loc="center")
    save(figure, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hidden", type=int, default=128, help="hidden size")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--test-share", type=float, default=0.25)
    arguments = parse(parser, quick=dict(epochs=10, hidden=64, batch=48))

    training, test = load(arguments.test_share)
    network = elman.Network(
        8, arguments.hidden, 10, mapping="many_to_one", num_layers=2, dropout=0.2, batch_first=True
    )
    losses, accuracies = train(network, *training, test, arguments)
    print(f"test accuracy: {accuracies[-1]:.1%} of {len(test[0])} images")
    draw(network, losses, accuracies, test, arguments)


if __name__ == "__main__":
    main()
