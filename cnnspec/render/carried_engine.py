"""Draws with the Graphviz engine that pygraphviz carries: `carried_engine.py FORMAT [DPI] < text > picture`.

Run by `engine.py` as a program of its own; nothing of cnnspec is imported here.
"""

from __future__ import annotations

import sys


def main(format: str, dpi: str = "") -> int:
    """Draw the DOT text on the standard input to the standard output."""
    import pygraphviz  # type: ignore[import-untyped]

    graph = pygraphviz.AGraph(string=sys.stdin.buffer.read().decode())
    if dpi:
        graph.graph_attr["dpi"] = dpi
    sys.stdout.buffer.write(graph.draw(None, format=format, prog="dot"))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
