"""Warnings: what is allowed, and mostly not meant. One function a lint; importing this registers them all."""

from cnnspec.network.lint import learning, names, order, sight, whole, windows
from cnnspec.network.lint.allow import silenced
from cnnspec.network.lint.registry import Subject, codes, warnings

__all__ = [
    "Subject",
    "codes",
    "learning",
    "names",
    "order",
    "sight",
    "silenced",
    "warnings",
    "whole",
    "windows",
]
