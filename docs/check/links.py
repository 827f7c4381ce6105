"""Links inside the repository and inside the pages that are made of it lead somewhere.

    python links.py REPOSITORY HTML

Markdown pages: each relative link's file, and each heading after a `#` in a Markdown file. HTML
pages: each relative link's file. Addresses on the net are left alone: no test depends on a network.
"""

import html.parser
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

_FENCED = re.compile(r"^(```+).*?^\1$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def anchor(heading: str) -> str:
    """The heading's anchor, as GitHub and MyST make it."""
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return text.replace(" ", "-")


def markdown_errors(repository: Path) -> list[str]:
    """What is wrong with links in the repository's Markdown files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    errors = []
    for name in listed.stdout.split():
        page = repository / name
        text = _FENCED.sub("", page.read_text(encoding="utf-8"))
        for target in _LINK.findall(text):
            parts = urlsplit(target)
            if parts.scheme:
                continue
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not file.exists():
                errors.append(f"{name}: {target}: there is no such file")
            elif parts.fragment and file.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
                if parts.fragment not in map(anchor, headings):
                    errors.append(f"{name}: {target}: there is no such heading")
    return errors


class _Links(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def html_errors(folder: Path) -> list[str]:
    """Files that the pages link to and that are not there."""
    errors = []
    for page in sorted(folder.glob("**/*.html")):
        links = _Links()
        links.feed(page.read_text(encoding="utf-8"))
        for target in links.found:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            if not (page.parent / unquote(parts.path)).exists():
                errors.append(f"{page.relative_to(folder)}: {target}: there is no such file")
    return errors


if __name__ == "__main__":
    found = markdown_errors(Path(sys.argv[1])) + html_errors(Path(sys.argv[2]))
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
