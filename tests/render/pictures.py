"""Reading a drawn SVG back."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

from cnnspec.render import draw

SVG = "{http://www.w3.org/2000/svg}"


def parse(dot: str) -> ElementTree.Element:
    return ElementTree.fromstring(draw(dot, "svg"))


def boxes(svg: ElementTree.Element) -> dict[str, list[str]]:
    """The lines of text of each node, by the identifier of the node."""
    return {title(group): texts(group) for group in groups(svg, "node")}


def arrows(svg: ElementTree.Element) -> set[str]:
    return {title(group) for group in groups(svg, "edge")}


def groups(svg: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [group for group in svg.iter(f"{SVG}g") if group.get("class") == kind]


def title(group: ElementTree.Element) -> str:
    return group.findtext(f"{SVG}title") or ""


def texts(element: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in element.iter(f"{SVG}text")]


def count(svg: ElementTree.Element) -> Counter[str]:
    """How many elements of each kind there are, but for the lines of text."""
    return Counter(element.tag for element in svg.iter() if element.tag != f"{SVG}text")


def widths(svg: ElementTree.Element) -> list[float]:
    """The width of each node, in points."""
    result = []
    for group in groups(svg, "node"):
        points = [p.get("points", "").split() for p in group.iter(f"{SVG}polygon")]
        xs = [float(point.split(",")[0]) for polygon in points for point in polygon]
        result.append(round(max(xs) - min(xs), 1))
    return result
