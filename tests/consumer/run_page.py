"""Runs the Python blocks of a Markdown page, in order, in this module and in the working folder.

Usage: run_page.py PAGE FOLDER. A block under `<!-- path -->` has to be that file of FOLDER's
repository, word for word.
"""

import re
import sys
from pathlib import Path

page, repository = Path(sys.argv[1]), Path(sys.argv[2])
text = page.read_text()

for path, block in re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", text, re.DOTALL):
    if (repository / path).read_text() != block:
        sys.exit(f"{page}: the block under {path} is not what the file says")

for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
    # Blank lines before it, so that tracebacks show the page's line numbers.
    line = text.count("\n", 0, block.start(1))
    exec(compile("\n" * line + block.group(1), str(page), "exec"), globals())
