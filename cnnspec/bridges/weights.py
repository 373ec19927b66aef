"""Weights for a network, compared with what it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from cnnspec.language.diagnostics import did_you_mean
from cnnspec.layers import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape
    from cnnspec.network.graph import Facts, Graph

COUNTERS: Final = ".num_batches_tracked"
"""What PyTorch keeps beside each batch normalization, and nobody needs."""
MOST_NAMED: Final = 8
"""Faults that a message lists."""


class WeightsError(Exception):
    """Weights are not those of a network; `help` lists what is wrong, a line each."""

    def __init__(self, message: str, *help: str) -> None:
        super().__init__(message)
        self.help = help


def needed_weights(graph: Graph, facts: Facts) -> dict[str, Shape]:
    """The shape of every weight of a network by its name, in the order of the layers."""
    pairs = zip(graph.nodes, facts.layers, strict=True)
    return {f"{node.name}.{weight.name}": weight.shape for node, layer in pairs for weight in layer.weights}


def matched(
    graph: Graph, facts: Facts, arrays: Mapping[str, NDArray[np.generic]], what: str = "the weights"
) -> dict[str, NDArray[np.float32]]:
    """The weights of a network as float32, in the order of its layers.

    Raises:
        WeightsError: some are missing, have another shape, or belong to nothing.
    """
    needed = needed_weights(graph, facts)
    given = {name: array for name, array in arrays.items() if not name.endswith(COUNTERS)}
    faults = list(_faults(needed, given))
    if faults:
        more = len(faults) - MOST_NAMED
        shown = faults if more <= 0 else [*faults[:MOST_NAMED], f"and {more} more"]
        raise WeightsError(f"{what} are not those of `{graph.name}`", *shown)
    return {name: np.asarray(given[name], np.float32) for name in needed}


def _faults(needed: Mapping[str, Shape], given: Mapping[str, NDArray[np.generic]]) -> Iterator[str]:
    spare = [name for name in given if name not in needed]
    for name, shape in needed.items():
        if name not in given:
            likely = "; ".join(did_you_mean(name, spare))
            yield f"`{name}` of {show(shape)} is missing" + (f": {likely}" if likely else "")
        elif tuple(given[name].shape) != shape:
            yield f"`{name}` is {show(tuple(given[name].shape)) or 'one number'}, not {show(shape)}"
    yield from (f"there is no `{name}` in the network" for name in spare)


# --- names from elsewhere -------------------------------------------------------------------------------

KINDS: Final = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "slope": "weight",
}
"""What other systems call the arrays of a layer."""


def assigned(graph: Graph, facts: Facts, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, str]:
    """For each weight of a network the name of the array that it takes.

    The names are the network's own, or those of another system: then layers are taken in the order of their
    names, numbers compared as numbers, and each array goes to the next weight of its kind and shape.

    Raises:
        WeightsError: the arrays of some kind and shape are not as many as the weights.
    """
    needed = needed_weights(graph, facts)
    given = {name: tuple(array.shape) for name, array in arrays.items() if not name.endswith(COUNTERS)}
    if set(needed) == set(given):
        return {name: name for name in needed}
    waiting: dict[tuple[str, Shape], list[str]] = {}
    for name in sorted(given, key=_in_order):
        waiting.setdefault((_kind(name), given[name]), []).append(name)
    wanted: dict[tuple[str, Shape], list[str]] = {}
    for name, shape in needed.items():
        wanted.setdefault((_kind(name), shape), []).append(name)
    faults = [
        f"it has {len(waiting.get(key, []))} arrays `{key[0]}` of {show(key[1])}, and {len(names)} are needed"
        for key, names in wanted.items()
        if len(waiting.get(key, [])) != len(names)
    ]
    spare = [
        f"nothing takes `{names[0]}` of {show(key[1])}" for key, names in waiting.items() if key not in wanted
    ]
    if faults or spare:
        raise WeightsError(f"the weights are not those of `{graph.name}`", *(faults + spare)[:MOST_NAMED])
    pairs = {
        own: name for key, names in wanted.items() for own, name in zip(names, waiting[key], strict=True)
    }
    return {own: pairs[own] for own in needed}


def _kind(name: str) -> str:
    last = name.replace("/", ".").rpartition(".")[2]
    return KINDS.get(last, last)


def _in_order(name: str) -> list[tuple[int, int, str]]:
    """A key by which `layer2.10` comes behind `layer2.9`."""
    parts = re.findall(r"\d+|[^\d.]+", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]
