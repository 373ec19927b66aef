"""Tables of connections: which input channels each output channel of a convolution sees."""

from __future__ import annotations

from typing import Final

from cnnspec.language.record import record
from cnnspec.layers.declaration import OptionError
from cnnspec.layers.options import describe, natural

_EXAMPLE: Final = "`[[0, 1], [1, 2]]` for two output channels"


@record
class Connections:
    """For each output channel, the numbers of the input channels that it sees."""

    lists: tuple[tuple[int, ...], ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Every connection as output and input channel, list by list."""
        return tuple((output, seen) for output, inputs in enumerate(self.lists) for seen in inputs)

    @property
    def count(self) -> int:
        """The number of connections, each with a kernel of its own."""
        return sum(map(len, self.lists))

    def __str__(self) -> str:
        """In short: a table fills lines."""
        return f"[{self.count} pairs]"


def connection_table(value: object) -> Connections | None:
    """A list of channel numbers for each output channel, or nothing where all are connected."""
    if value is None or isinstance(value, Connections):
        return value
    if not isinstance(value, tuple) or not value:
        raise OptionError(f"must be a list of lists, not {describe(value)}", f"write {_EXAMPLE}")
    return Connections(tuple(_channels(number, item) for number, item in enumerate(value)))


def _channels(number: int, value: object) -> tuple[int, ...]:
    if value == ():
        raise OptionError(f"must name an input channel for output channel {number}", f"write {_EXAMPLE}")
    if not isinstance(value, tuple):
        raise OptionError(
            f"must have a list for output channel {number}, not {describe(value)}", f"write {_EXAMPLE}"
        )
    channels = tuple(map(natural, value))
    if len(set(channels)) < len(channels):
        twice = next(channel for channel in channels if channels.count(channel) > 1)
        message = f"must name input channel {twice} once for output channel {number}"
        raise OptionError(message, "one kernel joins a pair of channels")
    return channels
