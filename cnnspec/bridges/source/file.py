"""A generated file, and what is told at its head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.language.source import Source

MOST_LINES: Final = 12
"""Lines of the spec's first comment that go along."""

Arrays = Mapping[str, "NDArray[np.float32]"]


def _as_it_is(array: NDArray[np.float32]) -> NDArray[np.float32]:
    return array


@dataclass(frozen=True)
class WeightName:
    """What a weight is called in the other system, and how its array is laid out there."""

    name: str
    laid_out: Callable[[NDArray[np.float32]], NDArray[np.float32]] = _as_it_is


@dataclass(frozen=True)
class SourceFile:
    """A generated file.

    Attributes:
        text: its text.
        main: the name of the class or function that is the network.
        weights: for each weight of the network its name and layout there.
    """

    text: str
    main: str
    weights: Mapping[str, WeightName] = field(default_factory=dict)

    def arrays(self, weights: Arrays) -> dict[str, NDArray[np.float32]]:
        """The network's weights under the names and in the layouts of the file."""
        import numpy as np

        laid_out = {there.name: there.laid_out(weights[own]) for own, there in self.weights.items()}
        return {name: np.ascontiguousarray(array) for name, array in laid_out.items()}


def about(source: Source) -> list[str]:
    """Where a network comes from, and what the comment at the head of its file says of it."""
    lines = [f"From {PurePath(source.name).name}."]
    for line in source.text.splitlines()[:MOST_LINES]:
        if not line.startswith("#"):
            break
        text = line.removeprefix("#").strip()
        if not text.startswith("allow:"):
            lines.append(text)
    return lines
