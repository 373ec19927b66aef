"""cnnspec from Python: load a spec, look at it, compile it, train it.

network = cnnspec.load("specs/lenet.cnn")
print(network)                                # the table of layers
model = network.compile(batch=64, seed=0)
loss = model.train_step(images, labels)       # images N x C x H x W, labels N
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnspec.language.record import record, replace
from cnnspec.language.source import Source
from cnnspec.network.check import Checked, check_file, check_source
from cnnspec.network.table import COLUMNS, layer_rows, plain, total_lines

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from cnnspec.layers import Layer, Shape, Weight
    from cnnspec.layers.options import Value
    from cnnspec.network.graph import Facts, Graph, ReceptiveField, Totals
    from cnnspec.recipe import Recipe
    from cnnspec.training import DataSet, TrainableModel, TrainingResult
    from cnnspec.training.loop import OnStep
    from cnnspec.training.train import OnEpoch


@record
class LayerSummary:
    """One layer of a checked network. Shapes are channel first, without the batch.

    `macs` counts the multiply-accumulates of one input.
    """

    name: str
    layer: Layer
    input_shapes: tuple[Shape, ...]
    output_shape: Shape
    weights: tuple[Weight, ...]
    params: int
    macs: int
    receptive_field: ReceptiveField


@record
class Network:
    """A checked network; `print(network)` shows its table."""

    graph: Graph
    facts: Facts
    recipe: Recipe
    source: Source

    @property
    def name(self) -> str:
        """The name that the file gives it."""
        return self.graph.name

    @property
    def layers(self) -> tuple[LayerSummary, ...]:
        """Every layer in order, the input first."""
        return tuple(
            LayerSummary(
                name=node.name,
                layer=node.layer,
                input_shapes=facts.input_shapes,
                output_shape=self.facts.shape(index),
                weights=facts.weights,
                params=facts.params,
                macs=facts.macs,
                receptive_field=facts.receptive_field or (),
            )
            for index, (node, facts) in enumerate(zip(self.graph.nodes, self.facts.layers, strict=True))
        )

    @property
    def totals(self) -> Totals:
        """Parameters, MACs and bytes of the whole network."""
        return self.facts.totals()

    def compile(self, batch: int | None = None, seed: int | None = None) -> TrainableModel:
        """An executable model in NumPy, with the initial weights that the recipe and the seed give.

        Args:
            batch: the largest number of inputs in a step; the recipe's unless given.
            seed: what initial weights and dropout follow from; the recipe's unless given.
        """
        from cnnspec.training import build_model

        recipe = self.recipe if seed is None else replace(self.recipe, seed=seed)
        return build_model(self.graph, self.facts, recipe, batch=batch)

    def __str__(self) -> str:
        table = plain(COLUMNS, layer_rows(self.graph, self.facts))
        return "\n".join([f"network {self.name}", table, "", *total_lines(self.graph, self.facts)])

    def __repr__(self) -> str:
        return f"<Network {self.name}: {self.totals.params:,} parameters>"


def load(path: str | os.PathLike[str], **parameters: Value) -> Network:
    """Check a `.cnn` file and give its network, with values for its parameters.

    Raises:
        SpecError: the file cannot be read, or has errors; its `diagnostics` say which.
    """
    return _network(check_file(path, parameters))


def loads(text: str, name: str = "<string>", **parameters: Value) -> Network:
    """Check the text of a spec and give its network; `name` is what messages call it.

    Raises:
        SpecError: the text has errors; its `diagnostics` say which.
    """
    return _network(check_source(Source(name, text), parameters))


def _network(checked: Checked) -> Network:
    graph, facts = checked.network()
    return Network(graph, facts, checked.recipe, checked.source)


def train(
    network: Network,
    data: DataSet | None = None,
    *,
    data_dir: Path | None = None,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
) -> TrainingResult:
    """Train a network as its recipe says.

    Args:
        network: a checked network.
        data: what it learns from; the recipe's data set unless given.
        data_dir: the folder with the data set's files.
        on_epoch: called with the figures of each epoch and the model.
        on_step: called after each batch.
        epochs: passes over the training samples, in place of the recipe's.
        batch: samples in a step, in place of the recipe's.
        seed: what initial weights, order and dropout follow from, in place of the recipe's.

    Raises:
        DataError: the data set cannot be read.
        Diverged: a loss is not finite.
    """
    from cnnspec import training
    from cnnspec.training.loop import ignore_step
    from cnnspec.training.train import ignore_epoch

    given = {"epochs": epochs, "batch": batch, "seed": seed}
    recipe = network.recipe
    for setting, value in given.items():
        recipe = recipe if value is None else recipe.changed(setting, value)
    samples = training.load_data(recipe.data, data_dir) if data is None else data
    return training.train(
        network.graph,
        network.facts,
        recipe,
        samples,
        on_epoch=on_epoch or ignore_epoch,
        on_step=on_step or ignore_step,
    )
