"""Spelling of the pages and the docstrings, by codespell.

    python words.py REPOSITORY

codespell knows frequent mistakes, not all words: names and formulas need no entry. What it takes
for a mistake and is none stands in words.txt, one word a line.
"""

import subprocess
import sys
from pathlib import Path

PATTERNS = ["*.md", "*.py", "*.h", "*.cpp", "*.cmake"]

if __name__ == "__main__":
    repository = Path(sys.argv[1])
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PATTERNS],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [name for name in listed.stdout.splitlines() if (repository / name).is_file()]
    words = Path(__file__).with_name("words.txt")
    command = [sys.executable, "-m", "codespell_lib", "--ignore-words", str(words), *files]
    sys.exit(subprocess.run(command, cwd=repository).returncode)
