"""A few SVG elements as text: all that a line chart needs."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

FONT = "Helvetica Neue, Helvetica, Arial, DejaVu Sans, sans-serif"


def element(tag: str, content: str = "", /, **attributes: str | float) -> str:
    """One element; `stroke_width` becomes `stroke-width`."""
    words = [tag]
    for name, value in attributes.items():
        words.append(f"{name.rstrip('_').replace('_', '-')}={quoteattr(_written(value))}")
    head = " ".join(words)
    return f"<{head}>{content}</{tag}>" if content else f"<{head}/>"


def text(words: str, x: float, y: float, **attributes: str | float) -> str:
    """Words at a place."""
    return element("text", escape(words), x=x, y=y, **attributes)


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **attributes)


def polyline(points: Sequence[Point], **attributes: str | float) -> str:
    """A line through points."""
    places = " ".join(f"{_written(x)},{_written(y)}" for x, y in points)
    return element("polyline", points=places, fill="none", **attributes)


def document(width: float, height: float, title: str, description: str, content: Sequence[str]) -> str:
    """A whole drawing on white paper, with a title and a description for those who cannot see it."""
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}"'
        f' viewBox="0 0 {width:g} {height:g}" role="img" font-family={quoteattr(FONT)} font-size="12">',
        element("title", escape(title)),
        element("desc", escape(description)),
        element("rect", width=width, height=height, fill="#ffffff"),
        *content,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 2):g}"
