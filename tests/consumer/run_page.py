"""Runs the Python blocks of a Markdown page, in order, in this module and in the working folder.

Usage: run_page.py PAGE FOLDER. A block under `<!-- path -->` has to be that file of FOLDER's
repository, word for word.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

# Inductor's cache knows what it compiled by the operators' names, not by their schemas.
inductor_cache = tempfile.TemporaryDirectory(prefix="elman-inductor-")
os.environ["TORCHINDUCTOR_CACHE_DIR"] = inductor_cache.name

page, repository = Path(sys.argv[1]), Path(sys.argv[2])
text = page.read_text()

for path, block in re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```\n", text, re.DOTALL):
    if (repository / path).read_text() != block:
        sys.exit(f"{page}: the block under {path} is not what the file says")

for block in re.finditer(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
    # Blank lines before it, so that tracebacks show the page's line numbers.
    line = text.count("\n", 0, block.start(1))
    exec(compile("\n" * line + block.group(1), str(page), "exec"), globals())
