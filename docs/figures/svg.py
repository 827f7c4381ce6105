"""What the drawings of this folder that are written out as SVG share."""

TEXT, LINE = "#333333", "#bbbbbb"


def page(parts, width, height):
    """The picture of `parts`, elements as text, as SVG text."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'font-family="sans-serif" font-size="13" fill="{TEXT}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )
