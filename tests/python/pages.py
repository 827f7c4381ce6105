"""The code blocks of Markdown pages, and how they are run.

| block | what becomes of it |
|---|---|
| ```python | run, all of a page in order in one namespace, as a reader would paste them |
| under `<!-- PATH -->` | has to be that file of the repository, which a test builds |
| under `<!-- not run: REASON -->` | left alone |
| ```sh | has to be a script that bash can read |
| ```text | a formula |
| any other language | has to have one of the two comments above it |

Indented blocks are refused: no test would see what is in them.

`<!-- setup` … `-->` holds Python that runs at its place in the page and that a reader does not see.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- (?P<comment>(?!setup)[^\n]*) -->\n)?^(?P<fence>```+)(?P<language>[^\n]*)\n"
    r"(?P<code>.*?)^(?P=fence)$|^<!-- setup\n(?P<setup>.*?)^-->$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """A block of code, and the line of the page on which it begins."""

    language: str
    code: str
    line: int
    comment: str  # what stands above it in <!-- -->


def blocks_of(page: Path) -> list[Block]:
    """The page's blocks in order; a hidden setup is one of Python."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        group = "code" if match["setup"] is None else "setup"
        line = text.count("\n", 0, match.start(group)) + 1
        language = "python" if group == "setup" else match["language"].strip()
        found.append(Block(language, match[group], line, match["comment"] or ""))
    return found


def indented_code_of(page: Path) -> list[int]:
    """The lines on which indented blocks of code begin, fenced ones aside."""
    lines = _BLOCK.sub(lambda match: "\n" * match[0].count("\n"), page.read_text("utf-8")).split(
        "\n"
    )
    return [
        number
        for number, (before, line) in enumerate(zip(["", *lines], lines, strict=False), 1)
        if line.startswith("    ") and line.strip() and not before.strip()
    ]


def is_run(block: Block) -> bool:
    """Whether the block is Python that its page's test runs."""
    return block.language == "python" and not block.comment
