"""Weights that commands take: from a run folder or a safetensors file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cnnspec.cli.main import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.network.graph import Facts, Graph


def weights_for(graph: Graph, facts: Facts, path: str) -> dict[str, NDArray[np.float32]]:
    """The weights of a network from a run folder or a safetensors file.

    Raises:
        CommandError: there are none, or they are another network's.
    """
    from cnnspec.bridges.weights import WeightsError, matched

    try:
        return matched(graph, facts, read_weights(Path(path)), f"the weights in `{path}`")
    except WeightsError as error:
        raise CommandError(str(error), "\nhelp: ".join(error.help)) from None


def read_weights(path: Path) -> Mapping[str, NDArray[np.generic]]:
    """The arrays of a run folder, after its last epoch, or of a safetensors file.

    Raises:
        CommandError: there are none.
    """
    if path.is_dir():
        return _of_run(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.exists():
        raise CommandError(f"there is no `{path}`", "give a run folder or a .safetensors file")
    try:
        found: dict[str, NDArray[np.generic]] = load_file(path)
    except (SafetensorError, KeyError, ValueError) as error:
        raise CommandError(f"`{path}` holds no weights: {error}") from None
    return found


def _of_run(path: Path) -> Mapping[str, NDArray[np.generic]]:
    from cnnspec.training import TrainingError
    from cnnspec.training.runs import load_run

    try:
        return load_run(path).weights()
    except TrainingError as error:
        raise CommandError(error.message, "\nhelp: ".join(error.help) or None) from None
