"""The limits of the language. Each diagnostic that enforces one names it and its value."""

from __future__ import annotations

from typing import Final

MAX_FILE_BYTES: Final = 1024 * 1024
MAX_TOKENS: Final = 50_000
"""Words, signs and line ends of a file."""
MAX_NESTING: Final = 64
MAX_INTEGER_DIGITS: Final = 18
MAX_NAME_LENGTH: Final = 64
MAX_AXES: Final = 8
"""Sizes joined by `x`: channels and at most seven spatial axes."""
MAX_VALUES: Final = 256
"""Names that have a value at one place: parameters, `let` and the variables of `repeat`."""
MAX_USE_DEPTH: Final = 16
"""Files that use files."""
MAX_REPEAT: Final = 10_000
MAX_LAYERS: Final = 20_000
"""Layers after all blocks and repeats are expanded."""
MAX_SYNTAX_ERRORS: Final = 20
"""Syntax errors reported for one file."""
MAX_FINDINGS: Final = 100
"""Findings of all kinds shown for one file."""
