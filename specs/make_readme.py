"""Writes README.md beside it: the figures of every network of this folder. `python specs/make_readme.py`."""

from __future__ import annotations

import re
from pathlib import Path

import cnnspec
from cnnspec.api import LayerSummary, Network

HERE = Path(__file__).parent
HEAD = """# The networks in this folder

Each file can be checked, drawn and trained: `cnnspec check specs/lenet.cnn`. The receptive field is that of
the last map before it is pooled, flattened or connected as a whole, in pixels, samples or frames of the
input; the jump is the distance between the fields of neighbours. The tests compare the figures with published
ones and with PyTorch. This page is written by `make_readme.py`.

| network | input | parameters | MACs | receptive field | jump | what it is |
|---|---|---:|---:|---:|---:|---|
"""
FOOT = """
`residual.cnn` holds the blocks that the residual networks share.
"""


def page() -> str:
    """The text of the page."""
    files = [file for file in sorted(HERE.glob("*.cnn")) if "\nnetwork " in file.read_text(encoding="utf-8")]
    return HEAD + "".join(map(row, files)) + FOOT


def row(file: Path) -> str:
    """A line of the table."""
    network = cnnspec.load(file)
    size, jump = sight(last_map(network))
    shape = "x".join(map(str, network.layers[0].output_shape))
    figures = [shape, f"{network.totals.params:,}", f"{network.totals.macs:,}", size, jump]
    return " | ".join([f"| [{file.stem}]({file.name})", *figures, f"{subject(file)} |\n"])


def subject(file: Path) -> str:
    """The first sentence of the file's first comment, up to a colon."""
    comment = re.match(r"(?:#.*\n)+", file.read_text(encoding="utf-8"))
    assert comment is not None
    text = re.sub(r"\s*\n?#\s*", " ", comment[0]).strip()
    return re.split(r"[.:](?: |$)(?!,)", text)[0]


def last_map(network: Network) -> LayerSummary:
    """The layer before the first that sees all of its input; the last layer where there is none."""
    layers = network.layers
    for number, (node, layer) in enumerate(zip(network.graph.nodes, layers, strict=True)):
        if number and layer.layer.window(*layer.input_shapes) == "everything":
            return layers[node.inputs[0]]
    return layers[-1]


def sight(layer: LayerSummary) -> tuple[str, str]:
    """Size and jump of the receptive field, once where the axes are alike."""
    sizes = [str(axis.size) for axis in layer.receptive_field]
    jumps = [str(axis.jump) for axis in layer.receptive_field]
    return _once(sizes), _once(jumps)


def _once(parts: list[str]) -> str:
    return "x".join(parts if len(set(parts)) > 1 else parts[:1])


if __name__ == "__main__":
    (HERE / "README.md").write_text(page(), encoding="utf-8")
