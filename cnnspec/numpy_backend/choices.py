"""Choices of a plan that can be written down, and made again elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

FORMAT: Final = 1


class BadChoices(ValueError):  # noqa: N818 - it reads as what it is
    """A text that should hold choices does not."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What is settled about a plan; everything else is left to it.

    Attributes:
        algorithms: the name of an algorithm for some layers, such as `winograd-4x4`.
        workers: how many share a batch.
        micro_batch: images of a piece.
    """

    algorithms: Mapping[str, str] = field(default_factory=dict)
    workers: int | None = None
    micro_batch: int | None = None

    def as_json(self) -> str:
        """As one JSON document."""
        content = {
            "format": FORMAT,
            "algorithms": dict(self.algorithms),
            "workers": self.workers,
            "micro_batch": self.micro_batch,
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Choices:
        """Read what `as_json` wrote.

        Raises:
            BadChoices: it is something else.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise BadChoices("this is no JSON") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise BadChoices(f"these are no choices of format {FORMAT}")
        algorithms, numbers = content.get("algorithms"), [content.get("workers"), content.get("micro_batch")]
        counted = all(n is None or (type(n) is int and n >= 1) for n in numbers)
        if not isinstance(algorithms, dict) or not all(isinstance(a, str) for a in algorithms.values()):
            raise BadChoices("`algorithms` must name one for each layer")
        if not counted:
            raise BadChoices("`workers` and `micro_batch` must be 1 or more")
        return cls(algorithms, *numbers)


NO_CHOICES: Final = Choices()
