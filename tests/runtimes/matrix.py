"""Exports a grid of models to ONNX, runs each in each runtime, and compares every number with
torch's: outputs and h_n, at another T and B. Writes the table between the marks in
docs/deployment.md. Fails where a model comes out wrong without an error in any form but the RNN
node, which is there to be compared with.

    matrix.py [--only PART_OF_A_NAME] [--no-table]
"""

import argparse
import datetime
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path

import elman
import numpy as np
import torch
from models import MODELS, Model
from run_one import RUNTIMES

_PAGE = Path(__file__).parents[2] / "docs" / "deployment.md"
_MARKS = ("<!-- tests/runtimes: begin -->", "<!-- tests/runtimes: end -->")
_HEADINGS = {
    "Scan": "the default",
    "Scan 1": "`steps_per_turn=1`",
    "cell": "a cell",
    "unrolled": '`form="unrolled"`',
    "RNN": '`form="RNN"`',
}
_TITLES = {"onnx": "onnx's ReferenceEvaluator", "mnn": "MNN", "openvino": "OpenVINO"}
RIGHT, REFUSED, ENDED, WRONG, INEXACT = (
    *("right", "refused", "ends the process", "**wrong**", "inexact"),
)


def export(model: Model, path: Path) -> torch.nn.Module:
    module = model.make()
    form = "Scan" if model.form == "cell" else model.form
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = elman.onnx.export(
            module,
            model.arguments(*model.exported_at),
            form=form,
            steps_per_turn=model.steps_per_turn,
            dynamic_shapes=model.dynamic_shapes,
            verbose=False,
        )
    program.save(path)
    return module


def run(runtime: str, path: Path, feeds: list[np.ndarray]) -> list[np.ndarray] | str:
    """The runtime's results, or why there are none."""
    given, results = path.with_name("feeds.npz"), path.with_name("results.npz")
    results.unlink(missing_ok=True)
    np.savez(given, *feeds)
    command = [
        sys.executable,
        Path(__file__).with_name("run_one.py"),
        runtime,
        path,
        given,
        results,
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    if done.returncode == 0 and results.exists():
        with np.load(results) as arrays:
            return [arrays[name] for name in arrays.files]
    print(f"--- {runtime}: exit status {done.returncode}\n{_reason(done.stderr)}", file=sys.stderr)
    return REFUSED if done.returncode > 0 else ENDED


def _reason(stderr: str) -> str:
    """The end of what a runtime said, without the stack backtraces of Rust."""
    lines = [
        line
        for line in stderr.splitlines()
        if not re.match(r" +(\d+: <?[a-z_]+::|\d+: (<unknown>|_|Py)|at )", line)
    ]
    return "\n".join(lines[-14:])


def judge(results: list[np.ndarray] | str, expected: Iterable[np.ndarray], model: Model) -> str:
    """Each number is held against the size of its own state: [..., H], the largest of H."""
    if isinstance(results, str):
        return results
    worst, names = 0.0, []
    for name, actual, wanted in zip(("output", "h_n"), results, expected, strict=False):
        actual = np.asarray(actual, np.float64)
        if actual.size != wanted.size:
            return f"{WRONG}: {name} has {actual.size} numbers, not {wanted.size}"
        difference = np.abs(actual.reshape(wanted.shape) - wanted)
        allowed = np.maximum(
            model.absolute, model.relative * np.abs(wanted).max(axis=-1, keepdims=True)
        )
        if not np.all(difference <= allowed):
            worst = max(worst, difference.max())
            names.append(name)
    if not names:
        return RIGHT
    how = INEXACT if worst < 1e-6 else WRONG
    return f"{how}: {' and '.join(names)} by {worst:.0e}"


def try_model(model: Model, folder: Path) -> list[str]:
    path = folder / "model.onnx"
    torch.manual_seed(1)
    module = export(model, path)
    arguments = model.arguments(*model.run_at)
    # The oracle: the same module in float64.
    expected = module.double()(*(a.double() if a.is_floating_point() else a for a in arguments))
    if isinstance(expected, torch.Tensor):
        expected = (expected,)
    wanted = [tensor.detach().numpy().astype(np.float64) for tensor in expected]
    feeds = [argument.numpy() for argument in arguments]
    return [judge(run(runtime, path, feeds), wanted, model) for runtime in RUNTIMES]


def heading(model: Model) -> str:
    steps = "" if model.steps_per_turn is None else f" {model.steps_per_turn}"
    return _HEADINGS[f"{model.form}{steps}"]


def table(rows: list[tuple[Model, list[str]]]) -> str:
    titles = [f"{_TITLES.get(name, name)} {importlib.metadata.version(name)}" for name in RUNTIMES]
    torch_version = torch.__version__.partition("+")[0]
    lines = [
        f"Seen on {datetime.date.today():%Y-%m-%d} with torch {torch_version}:",
        "",
        f"| form | model | {' | '.join(titles)} |",
        "|---|---|" + "---|" * len(titles),
    ]
    lines += [f"| {heading(model)} | {model.name} | {' | '.join(cells)} |" for model, cells in rows]
    return "\n".join(lines)


def write(text: str) -> None:
    page = _PAGE.read_text()
    before, rest = page.split(_MARKS[0])
    after = rest.split(_MARKS[1])[1]
    _PAGE.write_text(f"{before}{_MARKS[0]}\n{text}\n{_MARKS[1]}{after}")


def acceptable(model: Model, cell: str) -> bool:
    """The default form has to be right or refused. The other forms lean on the runtime's own Tanh,
    which some make with an absolute error of 1e-7, and the RNN node is the runtime's business.
    """
    if model.form == "RNN":
        return True
    return cell in (RIGHT, REFUSED) or (model.form != "Scan" and cell.startswith(INEXACT))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="models whose row in the table contains this")
    parser.add_argument("--no-table", action="store_true", help="leave the page as it is")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for model in MODELS:
            if options.only in f"{heading(model)} {model.name}":
                rows.append((model, try_model(model, Path(folder))))
                cells = dict(zip(RUNTIMES, rows[-1][1], strict=True))
                print(f"{heading(model)}, {model.name}: {cells}", flush=True)
    if not options.only and not options.no_table:
        write(table(rows))
    wrong = [
        f"{heading(model)}, {model.name}, {runtime}: {cell}"
        for model, cells in rows
        for runtime, cell in zip(RUNTIMES, cells, strict=True)
        if not acceptable(model, cell)
    ]
    print(*wrong, sep="\n")
    print(f"{len(rows)} models, {len(wrong)} wrong without an error in a form that should not be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
