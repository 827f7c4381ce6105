"""Draws stream.svg: how far back each call of elman.Stream(rnn, k1, k2) goes, over what."""

import pathlib

from svg import LINE, page

K1, K2, CALLS = 2, 6, 6
CELL, ROW, LEFT, TOP = 34, 30, 150, 34
# One shade for the weights of each call: what a step was computed with stays with it.
SHADES = ["#dbe8f5", "#bdd5ec", "#9cc0e2", "#78a8d6", "#528ec8", "#2b6cb0"]
PASSES, GONE = "#c05621", "#ffffff"


def row(call, y):
    """One call: the steps that exist, the window of its losses as an arrow above them."""
    parts = [f'<text x="8" y="{y + 15}">call {call}, weights θ{call}</text>']
    newest = call * K1
    oldest = max(1, newest - K2 + 1)
    for t in range(1, newest + 1):
        x = LEFT + (t - 1) * CELL
        made_by = (t - 1) // K1
        kept = t >= oldest
        style = f'fill="{SHADES[made_by] if kept else GONE}" stroke="{LINE}"'
        dashes = "" if kept else ' stroke-dasharray="2 3"'
        parts.append(
            f'<rect x="{x}" y="{y + 4}" width="{CELL - 2}" height="14" rx="2" {style}{dashes}/>'
        )
    start, end = LEFT + newest * CELL - 4, LEFT + (oldest - 1) * CELL + 4
    parts.append(
        f'<path d="M{start} {y} H{end}" stroke="{PASSES}" stroke-width="1.6" '
        'marker-end="url(#head)"/>'
    )
    return parts


def draw():
    """Returns the picture as SVG text."""
    parts = [
        f'<defs><marker id="head" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="6" '
        f'markerHeight="6" orient="auto"><path d="M0 0 L6 3 L0 6 z" fill="{PASSES}"/>'
        "</marker></defs>",
        f'<text x="8" y="{TOP - 14}" font-weight="bold">Stream(rnn, k1={K1}, k2={K2})</text>',
    ]
    y = TOP
    for call in range(1, CALLS + 1):
        parts += row(call, y)
        y += ROW
    for t in range(1, CALLS * K1 + 1):
        x = LEFT + (t - 1) * CELL + CELL // 2 - 1
        parts.append(f'<text x="{x}" y="{y + 10}" text-anchor="middle">{t}</text>')
    parts.append(f'<text x="8" y="{y + 10}">step t</text>')
    y += 34
    labels = [
        (
            f'<path d="M{LEFT + 16} {y - 4} H{LEFT}" stroke="{PASSES}" stroke-width="1.6" '
            'marker-end="url(#head)"/>',
            "errors go back",
        ),
        (
            "".join(
                f'<rect x="{LEFT + 150 + 6 * i}" y="{y - 10}" width="6" height="12" '
                f'fill="{shade}"/>'
                for i, shade in enumerate(SHADES)
            ),
            "made by θ1 to θ6",
        ),
        (
            f'<rect x="{LEFT + 330}" y="{y - 10}" width="16" height="12" rx="2" fill="{GONE}" '
            f'stroke="{LINE}" stroke-dasharray="2 3"/>',
            "forgotten",
        ),
    ]
    for (shape, label), x in zip(labels, (LEFT, LEFT + 170, LEFT + 330), strict=True):
        parts.append(f'{shape}<text x="{x + 22}" y="{y}">{label}</text>')
    width = LEFT + CALLS * K1 * CELL + 10
    return page(parts, width, y + 14)


if __name__ == "__main__":
    pathlib.Path(__file__).with_suffix(".svg").write_text(draw())
