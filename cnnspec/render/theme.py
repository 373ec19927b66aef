"""How a diagram looks: colours of the layer families, fonts and sizes. No layer kind is named here.

The fills differ in hue for people with any kind of colour vision (after Okabe & Ito 2008) and in luminance
for grey print; each has the ink, black or white, that is read on it at a contrast of at least 4.5 to 1
(WCAG 2.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FONT: Final = "Helvetica,Arial,Liberation Sans,DejaVu Sans,sans-serif"
"""The font stack, for Graphviz and for browsers. Helvetica comes first because Graphviz knows its widths even
where no font is installed."""


@dataclass(frozen=True, slots=True)
class Paint:
    """A fill, and the colour of the text on it."""

    fill: str
    ink: str


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours of a diagram.

    Attributes:
        page: the background, and the text on it.
        body: the lower part of each box.
        muted: the colour of less important text, on the page as on a body.
        line: the colour of borders and arrows.
        families: the paint of the header of each layer family.
        other: the paint of a family that is not listed.
    """

    page: Paint
    body: Paint
    muted: str
    line: str
    families: dict[str, Paint]
    other: Paint

    def family(self, name: str) -> Paint:
        """The paint of a layer family."""
        return self.families.get(name, self.other)


_BLACK: Final = "#111111"
_WHITE: Final = "#FFFFFF"

_FAMILIES: Final = {
    "input": Paint("#FFFFFF", _BLACK),
    "convolution": Paint("#0B4F8A", _WHITE),
    "pooling": Paint("#8CCBEF", _BLACK),
    "dense": Paint("#E08A00", _BLACK),
    "activation": Paint("#F0E070", _BLACK),
    "normalization": Paint("#CC79A7", _BLACK),
    "merge": Paint("#241430", _WHITE),
    "shape": Paint("#BDBDBD", _BLACK),
    "regularization": Paint("#DEDEDE", _BLACK),
}

THEMES: Final = {
    "light": Theme(
        page=Paint(_WHITE, _BLACK),
        body=Paint("#FFFFFF", _BLACK),
        muted="#444444",
        line="#333333",
        families=_FAMILIES,
        other=Paint("#009E73", _BLACK),
    ),
    "dark": Theme(
        page=Paint("#14171C", "#F2F2F2"),
        body=Paint("#252A32", "#F2F2F2"),
        muted="#C4C9D1",
        line="#8B95A3",
        families={
            **_FAMILIES,
            "convolution": Paint("#1F6FB5", _WHITE),
            "merge": Paint("#A77BD0", _BLACK),
        },
        other=Paint("#009E73", _BLACK),
    ),
}
"""Every theme by its name: `light` for paper and bright slides, `dark` for dark slides."""
