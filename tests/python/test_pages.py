"""What README.md and the pages of docs/ print runs as printed; see pages.py for the rules."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, blocks_of, indented_code_of, is_run

# Runs pages.py's Python blocks of one page; tracebacks have the page's line numbers.
RUN_PAGE = """
import sys
from pathlib import Path
from pages import blocks_of, is_run
page = Path(sys.argv[1])
for block in filter(is_run, blocks_of(page)):
    exec(compile("\\n" * (block.line - 1) + block.code, str(page), "exec"), globals())
"""

# That page's blocks make the files that its C++ program reads, so the consumer test runs it.
RUN_BY_CONSUMER = ROOT / "docs" / "deployment.md"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if p != RUN_BY_CONSUMER and any(map(is_run, blocks_of(p)))],
    ids=name_of,
)
def test_python_runs_as_printed(page, tmp_path):
    environment = dict(os.environ)
    # The page runs in a folder of its own, so relative paths would lead elsewhere.
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    # With CI set, Inductor of torch 2.11 asserts something of its own (docs/deployment.md).
    environment.pop("CI", None)
    environment |= {"MPLBACKEND": "Agg", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
    done = subprocess.run(
        [sys.executable, "-c", RUN_PAGE, str(page)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_accounted_for(page):
    for block in blocks_of(page):
        where = f"{name_of(page)}:{block.line}"
        if block.comment.startswith("not run: ") or block.language.startswith("{"):
            continue  # a directive of the site's, in braces, is no code
        if block.language == "text":
            continue
        if block.comment:
            file = ROOT / block.comment
            assert file.is_file(), f"{where}: there is no {block.comment}"
            assert file.read_text(encoding="utf-8") == block.code, f"{where}: not {block.comment}"
        elif block.language == "sh":
            done = subprocess.run(["bash", "-n"], input=block.code, text=True, capture_output=True)
            assert done.returncode == 0, f"{where}: {done.stderr}"
        else:
            assert block.language == "python", f"{where}: a block that no test runs"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_code_is_indented(page):
    lines = indented_code_of(page)
    assert not lines, f"{name_of(page)}: indented code, which no test runs, in the lines {lines}"


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
