"""The example programs run, in their quick mode, and arrive at what they are there to show."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAINING = ["adaptive", "digits", "episodes", "forecaster", "language_model"]
NEUROSCIENCE = ["dale", "decision", "low_rank", "speed"]
PROGRAMS = TRAINING + NEUROSCIENCE


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs a program with arguments, as `python` would; returns what it printed."""

    def run_program(name: str, *arguments: str) -> str:
        (path,) = EXAMPLES.glob(f"*/{name}.py")
        monkeypatch.syspath_prepend(path.parent)
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        with matplotlib.rc_context():
            runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_program


@pytest.fixture
def run_quick(run, tmp_path):
    """Runs a training program's quick mode, and sees that it draws its picture."""

    def run_program(name: str) -> str:
        picture = tmp_path / "picture.png"
        output = run(name, "--quick", "--picture", str(picture))
        assert picture.read_bytes().startswith(b"\x89PNG")
        return output

    return run_program


def number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found is not None, f"{pattern!r} is not in {text!r}"
    return float(found[1])


def test_digits_are_read(run_quick):
    assert number(r"test accuracy: ([\d.]+)%", run_quick("digits")) > 95


def test_the_amplifier_is_learnt(run_quick, tmp_path):
    output = run_quick("amplifier")
    assert number(r"error of the riff: ([\d.]+) %", output) < 25
    assert number(r"real-time factor: (\d+)", output) > 0
    for name in ("amplifier.safetensors", "riff_dry.wav", "riff_amplifier.wav", "riff_network.wav"):
        assert (tmp_path / name).is_file()


def test_the_pole_is_balanced(run_quick, tmp_path):
    output = run_quick("balance")
    assert number(r"kept the pole up for 10 s in (\d+) of 20 runs", output) >= 15
    assert (tmp_path / "balance.safetensors").is_file()


def test_memory_finds_the_way(run_quick):
    output = run_quick("episodes")
    assert number(r"with memory: ([\d.]+)%", output) > 90
    assert number(r"without: ([\d.]+)%", output) < 60
    # One call with `reset` against a loop that clears the states, in float32.
    assert number(r"gradients differ by (\S+)", output) < 1e-4


def test_sunspots_are_forecast(run_quick):
    output = run_quick("forecaster")
    error = number(r"elman: .* error +([\d.]+)", output)
    assert error < 0.9 * number(r"last year: .* error +([\d.]+)", output)


def test_text_is_learnt_in_streams(run_quick):
    output = run_quick("language_model")
    # The entropy of its letters alone is 4.5 bits.
    assert number(r"Stream\(5, 40\): ([\d.]+) bits", output) < 3.6
    assert number(r"detached every 5: ([\d.]+) bits", output) < 3.6


def test_truncation_adapts_to_the_task(run_quick):
    output = run_quick("adaptive")
    text = number(r"text: .* (\d+) at the end", output)
    for task in ("adding problem", "copying"):
        first = number(rf"{task}: k2 = (\d+) at first", output)
        last = number(rf"{task}: .* (\d+) at the end", output)
        assert last > first
        assert last > text


def test_a_leaky_network_decides(run_quick):
    output = run_quick("decision")
    assert number(r"coherence 0.512: ([\d.]+)%", output) > 95
    # Short training leaves a bias to either side.
    assert -0.2 < number(r"75% left at a coherence of (\S+)", output) < 0.4


def test_signs_and_connections_are_kept(run_quick):
    output = run_quick("dale")
    assert number(r"wrong sign, at most in \d+ steps: (\d+)", output) == 0
    assert number(r"where no connection is: (\d+)", output) == 0
    assert number(r"weights changed by ([\d.]+)", output) > 0.05
    assert number(r"coherence 0.512: ([\d.]+)%", output) > 95


def test_the_rank_is_kept(run_quick):
    output = run_quick("low_rank")
    assert number(r"rank of W_h after training: (\d+)", output) == 2
    assert number(r"coherence 0.512: ([\d.]+)%", output) > 95


def test_the_loop_computes_the_same(run_quick):
    output = run_quick("speed")
    assert number(r"20 steps: .* ratio (\S+);", output) > 0
    assert number(r"40 steps: .*outputs differ by (\S+)", output) < 1e-5


@pytest.mark.parametrize("name", PROGRAMS)
def test_help(run, name, capsys):
    with pytest.raises(SystemExit) as end:
        run(name, "--help")
    assert end.value.code == 0
    assert "--quick" in capsys.readouterr().out


def run_without_packages(name: str, argument: str) -> subprocess.CompletedProcess:
    """Runs a program where nothing is installed but torch and elman."""
    packages = ["numpy", "scipy", "matplotlib", "tqdm", "sklearn", "statsmodels"]
    (path,) = EXAMPLES.glob(f"*/{name}.py")
    script = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({packages}))
sys.argv = [{name!r}, {argument!r}]
sys.path.insert(0, {str(path.parent)!r})
runpy.run_path({str(path)!r}, run_name="__main__")
"""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.parametrize("name", [*PROGRAMS, "amplifier", "balance", "train"])
def test_help_needs_no_packages(name):
    done = run_without_packages(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


@pytest.mark.parametrize(
    ("name", "missing"), [("digits", "sklearn.datasets"), ("amplifier", "numpy")]
)
def test_missing_packages_stop_a_run_with_their_name(name, missing):
    done = run_without_packages(name, "--quick")
    assert done.returncode != 0
    assert f"{missing} is missing: pip install -r examples/requirements.txt" in done.stderr


def test_the_distributed_program_says_how_it_is_started():
    done = run_without_packages("train", "--steps=1")
    assert done.returncode == 1
    assert "torchrun --standalone --nproc_per_node 2" in done.stderr


def test_processes_together_learn_what_one_does_alone():
    command = "-m torch.distributed.run --standalone --nproc_per_node 2".split()
    program = str(EXAMPLES / "distributed" / "train.py")
    small = "--hidden 24 --embedding 8 --batch 4 --chunk 20 --truncation 3 7 --bucket-kb 1".split()
    # The loopback device: a test needs no network.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *command, program, "--verify", *small],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for engine in ("ddp", "fsdp"):
        for process in (0, 1):
            line = rf"{engine}, process {process} of 2: after 3 steps, .*"
            assert number(line + r"weights by up to (\S+),", done.stdout) > 1e-3
            assert number(line + r"differ by at most (\S+) ", done.stdout) < 1e-10
    assert number(r"went out in (\d+) buckets", done.stdout) > 3
    assert number(r"buckets, (\d+) of them early", done.stdout) > 1
