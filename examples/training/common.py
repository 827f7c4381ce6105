"""What the training programs share: their command line, the style of their pictures, a text."""

import argparse
import importlib
from pathlib import Path
from pydoc_data.topics import topics

import torch


class Missing:
    """Stands for a package that is not installed until somebody uses it; --help does not."""

    def __init__(self, name):
        self._name = name

    def __getattr__(self, attribute):
        raise SystemExit(f"{self._name} is missing: pip install -r examples/requirements.txt")


def package(name):
    """A module of a package that only the examples need."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return Missing(name)


matplotlib, plt, tqdm = map(package, ("matplotlib", "matplotlib.pyplot", "tqdm"))

BLUE, ORANGE, GREEN, PINK, GREY = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a8a8a"

STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 110,
    "svg.hashsalt": "elman",  # the same picture gives the same file
}
if not isinstance(plt, Missing):
    matplotlib.use("Agg")
    plt.rcParams.update(STYLE)


def parse(parser: argparse.ArgumentParser, quick: dict) -> argparse.Namespace:
    """The arguments, `quick` in place of the defaults where --quick is given; seeds torch."""
    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    name = Path(parser.prog).stem
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as torch takes")
    parser.add_argument(
        "--picture", type=Path, default=Path(f"{name}.png"), help="the file to draw into"
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see it run")
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**quick)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    return arguments


def progress(iterable=None, **options):
    """tqdm, on one line of its own, once in a while."""
    return tqdm.tqdm(iterable, dynamic_ncols=True, mininterval=0.5, **options)


def save(figure, arguments) -> None:
    figure.savefig(arguments.picture)
    print(f"picture: {arguments.picture.resolve()}")


def text_of_python_help() -> tuple[torch.Tensor, list[str]]:
    """Half a megabyte of English that comes with Python, as codes [N] and their characters."""
    text = "\n\n".join(topics[name] for name in sorted(topics))
    vocabulary = sorted(set(text))
    code_of = {character: code for code, character in enumerate(vocabulary)}
    return torch.tensor([code_of[character] for character in text]), vocabulary
