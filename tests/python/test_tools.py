"""The tools that CI trusts find what they look for."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(f"tools_{name}", ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


includes = load("includes")


@pytest.fixture
def csrc(tmp_path):
    """Two folders and a file beside them, every include in one direction."""
    for name, text in {
        "plain.h": "",
        "low/a.h": '#include "plain.h"\n#include <vector>\n',
        "low/b.h": '#include "a.h"\n',
        "high/c.cpp": '#include "low/b.h"\n  #  include "plain.h"\n#include "elman/rnn.h"\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def plant(csrc, file, text):
    path = csrc / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def test_one_direction_passes(csrc):
    assert includes.edges(csrc) == {
        "low": {".": ["low/a.h includes plain.h"]},
        "high": {"low": ["high/c.cpp includes low/b.h"], ".": ["high/c.cpp includes plain.h"]},
    }
    assert includes.faults(csrc, frozenset()) == []


def test_a_mutual_include_is_found(csrc):
    plant(csrc, "high/d.h", "")
    plant(csrc, "low/e.cpp", '#include "high/d.h"\n')
    assert includes.faults(csrc, frozenset()) == [
        "These folders of csrc include each other: high, low",
        "  high -> low: high/c.cpp includes low/b.h",
        "  low -> high: low/e.cpp includes high/d.h",
    ]
    assert includes.faults(csrc, frozenset({"low/e.cpp includes high/d.h"})) == []


def test_a_longer_circle_is_found(csrc):
    plant(csrc, "middle/d.h", '#include "high/f.h"\n')
    plant(csrc, "high/f.h", "")
    plant(csrc, "low/e.cpp", '#include "middle/d.h"\n')
    first = includes.faults(csrc, frozenset())[0]
    assert first == "These folders of csrc include each other: high, low, middle"


def test_a_file_beside_the_folders_counts(csrc):
    plant(csrc, "plain.h", '#include "low/a.h"\n')
    assert (
        includes.faults(csrc, frozenset())[0] == "These folders of csrc include each other: ., low"
    )


def test_an_exception_that_is_gone_is_a_fault(csrc):
    assert includes.faults(csrc, frozenset({"low/a.h includes high/c.h"})) == [
        "Not there any more, take it out of EXCEPTIONS: low/a.h includes high/c.h"
    ]


def test_the_command_fails_on_a_circle(tmp_path):
    for file, text in {"a/a.h": '#include "b/b.h"\n', "b/b.h": '#include "a/a.h"\n'}.items():
        path = tmp_path / "csrc" / file
        path.parent.mkdir(parents=True)
        path.write_text(text)
    command = [sys.executable, str(ROOT / "tools" / "includes.py"), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "include each other: a, b" in result.stdout
