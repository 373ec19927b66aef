"""`--tuned`: the choices that `cnnspec plan --tune` found and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.cli.main import CommandError

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.numpy_backend.choices import Choices


def tuned_choices(graph: Graph, facts: Facts, batch: int, training: bool) -> Choices:
    """What was found for this network, batch and pass on this machine.

    Raises:
        CommandError: nothing was.
    """
    from cnnspec.numpy_backend.tuning import Subject, kept

    found = kept(Subject(graph, facts, batch, training, loss=None))
    if found is None:
        what = "training" if training else "prediction"
        raise CommandError(
            f"{what} with {graph.name} at batch {batch} was not tuned on this machine",
            f"`cnnspec plan FILE --{'training' if training else 'inference'} --batch {batch} --tune` does it",
        )
    return found
