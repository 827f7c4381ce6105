"""Draws windows.svg: the steps that windows of TBPTT(k1, k2) cover, the losses they own."""

import pathlib

from svg import LINE, page

STEPS = 12
CELL, GAP, LEFT, TOP = 34, 6, 150, 34
CASES = [(4, 4), (2, 6), (1, 5)]
COVERED, OWNED = "#a9c7e8", "#2b6cb0"


def draw():
    """Returns the picture as SVG text."""
    parts, y = [], TOP
    for k1, k2 in CASES:
        windows = -(-STEPS // k1)
        name = "detach loop" if k1 == k2 else "sliding window" if k1 == 1 else "overlapping windows"
        parts.append(f'<text x="8" y="{y - 10}" font-weight="bold">TBPTT({k1}, {k2})</text>')
        parts.append(f'<text x="{LEFT}" y="{y - 10}">{name}</text>')
        height = CELL // 2 if windows <= 6 else CELL // 4
        for m in range(1, windows + 1):
            if windows <= 6:
                parts.append(f'<text x="8" y="{y + height - 4}">window {m}</text>')
            for t in range(1, STEPS + 1):
                x = LEFT + (t - 1) * CELL
                covered = max(1, m * k1 - k2 + 1) <= t <= min(m * k1, STEPS)
                owned = (m - 1) * k1 < t <= m * k1
                fill = OWNED if owned else COVERED if covered else "none"
                parts.append(
                    f'<rect x="{x}" y="{y}" width="{CELL - 2}" height="{height}" rx="2" '
                    f'fill="{fill}" stroke="{LINE}" stroke-width="0.5"/>'
                )
            y += height + 3
        y += CELL + GAP
    for t in range(1, STEPS + 1):
        parts.append(
            f'<text x="{LEFT + (t - 1) * CELL + CELL // 2 - 2}" y="{y - CELL + 12}" '
            f'text-anchor="middle">{t}</text>'
        )
    parts.append(f'<text x="8" y="{y - CELL + 12}">step t</text>')
    for x, fill, label in ((LEFT, OWNED, "loss owned"), (LEFT + 130, COVERED, "gradient passes")):
        parts.append(f'<rect x="{x}" y="{y - 10}" width="16" height="12" rx="2" fill="{fill}"/>')
        parts.append(f'<text x="{x + 22}" y="{y}">{label}</text>')
    width = LEFT + STEPS * CELL + 10
    return page(parts, width, y + 14)


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".svg").write_text(draw())
