"""Diagrams: a checked network to DOT text, and DOT text to a picture."""

from cnnspec.render.dot import to_dot
from cnnspec.render.engine import FORMATS, EngineError, NoEngineError, draw
from cnnspec.render.labels import DIRECTIONS
from cnnspec.render.theme import THEMES

__all__ = ["DIRECTIONS", "FORMATS", "THEMES", "EngineError", "NoEngineError", "draw", "to_dot"]
