"""The code of docs/leaky.md runs, in order, and what it says of it is so."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "leaky.md"


def test_code_blocks():
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    weight = names["rnn"].weight_hh_l0
    assert ((weight * names["signs"])[names["mask"]] >= 0).all()
    assert (weight[~names["mask"]] == 0).all()
    assert names["output"].shape == (75, 8, 50)


def test_links():
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE.read_text()):
        assert (PAGE.parent / link).is_file()
