"""Draws speedup.svg: how many times as fast as torch.nn.RNN elman is, from speedup.csv.

The numbers are those of one run of the bench preset, on a Zen 5 EPYC; docs/performance.md has the
conditions. The axis is logarithmic and starts at 1, as fast as torch.
"""

import csv
import math
import pathlib

from svg import LINE, page

HERE = pathlib.Path(__file__).parent
SHOWN = [(100, 1, 64, 64), (1000, 8, 32, 32), (100, 32, 128, 128), (120, 64, 512, 1024)]
BARS = {
    "torch_forward": ("forward", "#9cc0e2"),
    "torch_train": ("forward + backward", "#528ec8"),
    "torch_tbptt5": ("TBPTT(5)", "#1f4e86"),
}
LEFT, TOP, BAR, GAP, DECADE = 150, 62, 16, 16, 230
TICKS = [1, 2, 5, 10, 20, 50, 100]


def x_of(ratio):
    """Where a ratio lies on the logarithmic axis."""
    return LEFT + DECADE * math.log10(ratio)


def read():
    """(T, B, I, H) -> {column: ratio}."""
    with open(HERE / "speedup.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        tuple(int(row[name]) for name in "TBIH"): {name: float(row[name]) for name in BARS}
        for row in rows
    }


def draw():
    """Returns the picture as SVG text."""
    measured = read()
    height = len(SHOWN) * (len(BARS) * BAR + GAP)
    parts = ['<text x="8" y="20" font-weight="bold">Times as fast as torch.nn.RNN</text>']
    for i, (label, fill) in enumerate(BARS.values()):
        x = LEFT + i * 175
        parts.append(f'<rect x="{x}" y="32" width="14" height="12" fill="{fill}"/>')
        parts.append(f'<text x="{x + 20}" y="43">{label}</text>')
    for tick in TICKS:
        x = x_of(tick)
        parts.append(f'<path d="M{x:.1f} {TOP - 6} V{TOP + height}" stroke="{LINE}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{TOP + height + 16}" text-anchor="middle">{tick}</text>'
        )
    y = TOP
    for size in SHOWN:
        middle = y + len(BARS) * BAR / 2 + 5
        parts.append(f'<text x="8" y="{middle}">{" · ".join(map(str, size))}</text>')
        for name, (_, fill) in BARS.items():
            ratio = measured[size][name]
            end = x_of(ratio)
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 2}" '
                f'fill="{fill}"/>'
            )
            parts.append(f'<text x="{end + 5:.1f}" y="{y + 12}" font-size="11">{ratio:g}</text>')
            y += BAR
        y += GAP
    parts.append(f'<text x="8" y="{y + 16}">T · B · I · H</text>')
    parts.append(
        f'<text x="{LEFT}" y="{y + 38}">logarithmic axis; float32, two threads of an AMD EPYC '
        "(Zen 5), torch 2.11.0</text>"
    )
    return page(parts, LEFT + round(2 * DECADE) + 60, y + 50)


if __name__ == "__main__":
    (HERE / "speedup.svg").write_text(draw())
