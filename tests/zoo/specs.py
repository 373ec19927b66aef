"""The specs, and the lines in them that speak of their published sizes."""

import re
from pathlib import Path

SPECS = Path(__file__).parents[2] / "specs"
FIGURE_LINES = re.compile(r"^ *expect .*\n| +: [0-9x]+$", re.MULTILINE)
