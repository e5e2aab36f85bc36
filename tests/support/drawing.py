"""Draws terminals as an SVG image, for light and dark pages."""

from collections.abc import Iterator, Sequence
from html import escape

from support.terminal import COLUMNS, Line

FONT_SIZE, CELL, ROW = 14, 8.4, 20
"""In pixels; `CELL` is the width of a character."""

PADDING, BAR, GAP = 18, 30, 14

LIGHT = {
    "window": "#f6f8fa",
    "frame": "#d1d9e0",
    "text": "#1f2328",
    "dim": "#59636e",
    "red": "#cf222e",
    "green": "#1a7f37",
    "yellow": "#7d4e00",
    "blue": "#0969da",
    "magenta": "#8250df",
    "cyan": "#1b7c83",
}
DARK = {
    "window": "#151b23",
    "frame": "#3d444d",
    "text": "#f0f6fc",
    "dim": "#9198a1",
    "red": "#ff7b72",
    "green": "#3fb950",
    "yellow": "#d29922",
    "blue": "#58a6ff",
    "magenta": "#bc8cff",
    "cyan": "#39c5cf",
}

FONTS = "ui-monospace, SFMono-Regular, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace"


def svg(title: str, description: str, windows: Sequence[Sequence[Line]]) -> str:
    """Return an image of terminal windows, one below the other.

    Args:
        title: what the image shows.
        description: the same in more detail.
        windows: the rows in each window.
    """
    width = round(COLUMNS * CELL) + 2 * PADDING
    heights = [BAR + len(rows) * ROW + PADDING for rows in windows]
    tops = [sum(heights[:index]) + index * GAP for index in range(len(heights))]
    height = tops[-1] + heights[-1]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' width="{width}" height="{height}" role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(description)}</desc>',
            f"<style>\n{_style()}</style>",
            *(
                line
                for rows, top, high in zip(windows, tops, heights, strict=True)
                for line in _window(rows, top, width, high)
            ),
            "</svg>\n",
        ]
    )


def _style() -> str:
    dark = "".join(f"  {rule}\n" for rule in _colors(DARK))
    return (
        f"text {{ font: {FONT_SIZE}px {FONTS}; white-space: pre; }}\n"
        ".bold { font-weight: bold; }\n"
        + "".join(f"{rule}\n" for rule in _colors(LIGHT))
        + f"@media (prefers-color-scheme: dark) {{\n{dark}}}\n"
    )


def _colors(palette: dict[str, str]) -> Iterator[str]:
    for name, color in palette.items():
        # A frame is a line around a window, and the buttons in its bar.
        yield f".{name} {{ fill: {color}; }}"
    yield f".window {{ stroke: {palette['frame']}; }}"


def _window(rows: Sequence[Line], top: int, width: int, height: int) -> Iterator[str]:
    yield (
        f'<rect class="window" x="0.5" y="{top + 0.5}" width="{width - 1}"'
        f' height="{height - 1}" rx="8"/>'
    )
    for button in range(3):
        x = PADDING + 5 + 18 * button
        yield f'<circle class="frame" cx="{x}" cy="{top + BAR // 2 + 1}" r="5"/>'
    for number, row in enumerate(rows, 1):
        if row:
            yield _row(row, top + BAR + number * ROW - 6)


def _row(row: Line, y: int) -> str:
    cells = sum(len(text) for _, text in row)
    spans = "".join(_span(styles, text) for styles, text in row)
    # The length keeps columns aligned in fonts of any width.
    return (
        f'<text class="text" x="{PADDING}" y="{y}" textLength="{cells * CELL:.1f}"'
        f' xml:space="preserve">{spans}</text>'
    )


def _span(styles: frozenset[str], text: str) -> str:
    text = escape(text, quote=False)
    return f'<tspan class="{" ".join(sorted(styles))}">{text}</tspan>' if styles else text
