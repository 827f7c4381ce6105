"""The cases of cases.def, for Python."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A size of network and input, as `Case` in cases.h."""

    group: str
    T: int
    B: int
    I: int
    H: int
    layers: int
    directions: int

    @property
    def name(self) -> str:
        """The name under which results are stored."""
        name = f"T{self.T}_B{self.B}_I{self.I}_H{self.H}"
        if self.layers > 1:
            name += f"_L{self.layers}"
        if self.directions > 1:
            name += f"_D{self.directions}"
        return name

    @property
    def forward_flops(self) -> float:
        """Operations of the forward pass's products; the backward pass has twice as many."""
        inputs = [self.I] + [self.directions * self.H] * (self.layers - 1)
        return sum(2.0 * self.T * self.B * self.directions * self.H * (n + self.H) for n in inputs)


def read_cases() -> list[Case]:
    """All cases, in the file's order."""
    text = Path(__file__).with_name("cases.def").read_text()
    pattern = re.compile(r"^ELMAN_CASE\((\w+), " + ", ".join([r"(\d+)"] * 6) + r"\)$", re.MULTILINE)
    return [Case(m[1], *map(int, m.groups()[1:])) for m in pattern.finditer(text)]
