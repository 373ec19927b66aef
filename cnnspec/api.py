"""cnnspec from Python: load a spec, look at it, compile it, train it.

network = cnnspec.load("specs/lenet.cnn")
print(network)                                # the table of layers
model = network.compile(batch=64, seed=0)
loss = model.train_step(images, labels)       # images N x C x H x W, labels N
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from cnnspec.language.record import record
from cnnspec.language.source import Source
from cnnspec.network.check import Checked, check_file, check_source
from cnnspec.network.evaluate import Unknown
from cnnspec.network.table import COLUMNS, layer_rows, plain, total_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto
    from torch import nn

    from cnnspec.layers import Layer, Shape, Weight
    from cnnspec.layers.options import Value
    from cnnspec.network.graph import Facts, Graph, ReceptiveField, Totals
    from cnnspec.numpy_backend.model import Model
    from cnnspec.recipe import Recipe
    from cnnspec.training import DataSet, TrainableModel, TrainingResult
    from cnnspec.training.backend import Backend, Choice
    from cnnspec.training.checkpoint import PlanFacts
    from cnnspec.training.evaluation import Evaluation
    from cnnspec.training.loop import OnStep
    from cnnspec.training.predictions import Prediction
    from cnnspec.training.runs import SavedRun, Which
    from cnnspec.training.train import OnEpoch

    Weights: TypeAlias = "Mapping[str, NDArray[np.generic]] | Run | str | os.PathLike[str]"

Part = Literal["test", "train"]


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

    def compile(
        self, batch: int | None = None, seed: int | None = None, *, tuned: bool = False
    ) -> TrainableModel:
        """An executable model in NumPy, with the initial weights that the recipe and the seed give.

        Args:
            batch: the largest number of inputs in a step; the recipe's unless given.
            seed: what initial weights and dropout follow from; the recipe's unless given.
            tuned: compute as `cnnspec plan FILE --tune` found fastest on this machine.

        Raises:
            ValueError: less than one input, a negative seed, or training at this batch was not tuned here.
        """
        from cnnspec.numpy_backend.choices import NO_CHOICES
        from cnnspec.numpy_backend.tuning import Subject, kept
        from cnnspec.training import build_model

        recipe = _with_numbers(self.recipe, batch=batch, seed=seed)
        subject = Subject(self.graph, self.facts, recipe.batch, training=True, loss=None)
        choices = kept(subject) if tuned else NO_CHOICES
        if choices is None:
            raise ValueError(
                f"training with {self.name} at batch {recipe.batch} was not tuned on this machine"
            )
        return build_model(self.graph, self.facts, recipe, batch=batch, choices=choices)

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
    callback: OnEpoch | None = None,
    on_step: OnStep | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    data_dir: Path | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    backend: str | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> TrainingResult:
    """Train a network as its recipe says.

    Args:
        network: a checked network.
        data: what it learns from; the recipe's data set unless given.
        callback: called with the figures of each epoch and the model; what it gives back, if it is true, ends
            the training there.
        on_step: called after each batch.
        out: a new or empty folder to keep the run in, as `cnnspec run` does; none unless given.
        resume: go on with the run in that folder if there is one, bit for bit as if it had never stopped.
        data_dir: the folder with the data set's files.
        epochs: passes over the training samples, in place of the recipe's.
        batch: samples in a step, in place of the recipe's.
        seed: what initial weights, order and dropout follow from, in place of the recipe's.
        backend: what computes it, `"numpy"` or `"torch"`; what has computed the run that goes on, or else
            NumPy, unless given. Processes that torchrun has started share every batch.
        device: of PyTorch: `"cpu"`, `"cuda"` or `"cuda:1"`; the processor unless given.
        precision: of PyTorch: `"float32"`, `"bfloat16"` or `"float16"`, the latter two mixed with float32;
            on a GPU bfloat16 where it has units for it, on the processor float32, unless given.

    Raises:
        DataError: the data set cannot be read.
        Diverged: a loss is not finite.
        MissingPackage: PyTorch is not installed.
        TrainingError: the folder cannot be written, its run is another one, or there is no such device here.
        ValueError: a number of epochs, samples or seed that no file could name; a backend that is not there,
            or a device or precision for NumPy.
    """
    from cnnspec import training
    from cnnspec.training.backend import Choice
    from cnnspec.training.loop import ignore_step
    from cnnspec.training.train import ignore_epoch

    choice = Choice(backend, device, precision)

    def opens(recorded: PlanFacts | None) -> AbstractContextManager[Backend]:
        return _opened(choice.after(recorded))

    recipe = _with_numbers(network.recipe, epochs=epochs, batch=batch, seed=seed)
    on_epoch, each_step = callback or ignore_epoch, on_step or ignore_step
    if out is not None:
        from cnnspec.training.keep import train_in_folder

        checked = _checked_again(network)
        return train_in_folder(
            checked,
            recipe,
            os.fspath(out),
            data,
            data_dir,
            resume=resume,
            on_epoch=on_epoch,
            on_step=each_step,
            opens=opens,
        )
    with opens(None) as computes:
        if data is None:
            with computes.crew.in_turn():
                data = training.load_data(recipe.data, data_dir)
        return training.train(
            network.graph,
            network.facts,
            recipe,
            data,
            on_epoch=on_epoch,
            on_step=each_step,
            backend=computes,
        )


def _opened(choice: Choice) -> AbstractContextManager[Backend]:
    """What computes a run.

    Raises:
        ValueError: there is none of this name, or what is asked of it is another's.
    """
    from cnnspec.training.backend import BACKENDS, NumpyBackend
    from cnnspec.training.crew import launched

    if choice.backend not in BACKENDS:
        raise ValueError(f'`backend` must be "numpy" or "torch", not {choice.backend!r}')
    if choice.backend == "torch":
        from cnnspec.torch_backend import TorchBackend

        return TorchBackend(choice.device or "cpu", choice.precision)
    if choice.device or choice.precision:
        raise ValueError('`device` and `precision` are for PyTorch: add backend="torch"')
    place = launched()
    if place is not None and place.size > 1:
        message = f"torchrun has started {place.size} processes, and only PyTorch shares a run among them"
        raise ValueError(f'{message}: add backend="torch"')
    return nullcontext(NumpyBackend())


def _with_numbers(recipe: Recipe, **given: int | None) -> Recipe:
    """The recipe with those numbers that are given.

    Raises:
        ValueError: one that no file could name.
    """
    for setting, value in given.items():
        if value is None:
            continue
        least = 0 if setting == "seed" else 1
        if value < least:
            raise ValueError(f"`{setting}` must be at least {least}, not {value}")
        recipe = recipe.changed(setting, value)
    return recipe


def _checked_again(network: Network) -> Checked:
    """The whole of what is known of a network's file, with the values that its parameters have."""
    values = {
        name: value for name, value in network.graph.parameters.items() if not isinstance(value, Unknown)
    }
    return check_source(network.source, values)


class Run:
    """A run that has been, from its folder alone; `load_run` gives it.

    Attributes:
        path: the folder.
        network: the network that was trained, with the recipe that was followed.
        record: the content of `run.json`.
        history: the figures of the finished epochs.
    """

    def __init__(self, saved: SavedRun) -> None:
        self._saved = saved
        subject = saved.subject
        self.path, self.record, self.history = saved.path, saved.record, saved.history
        self.network = Network(subject.graph, subject.facts, subject.recipe, subject.checked.source)

    def weights(self, which: Which = "last") -> dict[str, NDArray[np.float32]]:
        """The weights after the last epoch, or after the `best` one.

        Raises:
            TrainingError: no epoch was finished, or the file is damaged.
        """
        return self._saved.weights(which)

    def compile(self, which: Which = "last", batch: int = 256) -> Model:
        """The trained network, ready to run. It takes samples as the run prepared its own: normalised.

        Raises:
            TrainingError: the weights cannot be had.
        """
        return self._saved.compile(which, batch)

    def predict(self, *files: str | os.PathLike[str], which: Which = "last") -> list[Prediction]:
        """What the network says of images, recordings or arrays in files, prepared as the run's own.

        Raises:
            TrainingError: a file cannot be read, or does not fit the network.
        """
        from cnnspec.training.inputs import read_content
        from cnnspec.training.predictions import predict

        found = []
        with self.compile(which) as model:
            for file in files:
                found += predict(self._saved, model, os.fspath(file), read_content(Path(file)))
        return found

    def evaluate(
        self, part: Part = "test", data_dir: Path | None = None, which: Which = "last"
    ) -> Evaluation:
        """How well the network does on a part of its data: figures, and of classes each by each.

        Raises:
            TrainingError: the data cannot be read.
            ValueError: there is no such part.
        """
        from cnnspec.training.evaluation import evaluate_samples, labelled

        if part not in get_args(Part):
            raise ValueError(f"there are the parts `test` and `train`, not `{part}`")
        x, labels = labelled(self._saved, self.network.recipe.data, part, data_dir)
        with self.compile(which) as model:
            return evaluate_samples(model, x, labels, self._saved)

    def __repr__(self) -> str:
        epochs = "1 epoch" if len(self.history) == 1 else f"{len(self.history)} epochs"
        return f"<Run {self.path}: {self.network.name}, {epochs}, {self._saved.status}>"


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a run folder.

    Raises:
        TrainingError: it is none, or its record is damaged.
    """
    from cnnspec.training.runs import load_run as load_saved

    return Run(load_saved(Path(path)))


# --- other systems --------------------------------------------------------------------------------------


def to_torch(network: Network, weights: Weights | None = None) -> nn.Module:
    """A network as a live PyTorch module, whose `state_dict` has the names of the weights.

    Args:
        network: a checked network.
        weights: its weights by name, a `Run`, or the path of a run folder or a safetensors file; the initial
            ones that the recipe gives unless given.

    Raises:
        MissingPackage: PyTorch is not installed.
        SpecError: PyTorch cannot say some of the layers; all of them are named.
        WeightsError: the weights are another network's.
    """
    from cnnspec.bridges.torch import to_module

    return to_module(network.graph, network.facts, _weights(network, weights))


def to_onnx(
    network: Network, weights: Weights | None = None, path: str | os.PathLike[str] | None = None
) -> ModelProto:
    """A network as an ONNX model for prediction: opset 17, batches of any size, the weights inside.

    Args:
        network: a checked network.
        weights: as for `to_torch`.
        path: a file to write the model to.

    Raises:
        MissingPackage: the package `onnx` is not installed.
        SpecError: ONNX cannot say some of the layers; all of them are named.
        WeightsError: the weights are another network's.
        OSError: the file cannot be written.
    """
    from cnnspec.bridges.onnx import to_onnx as to_model
    from cnnspec.language.saving import save

    model = to_model(network.graph, network.facts, _weights(network, weights))
    if path is not None:
        save(Path(path), model.SerializeToString())
    return model


def from_onnx(
    model: ModelProto | str | os.PathLike[str], shape: Shape | None = None
) -> tuple[Network, dict[str, NDArray[np.float32]]]:
    """A network and its weights from an ONNX model; `network.source.text` is its spec.

    Args:
        model: the model, or the path of its file.
        shape: the shape of one sample, where the model leaves it open.

    Raises:
        MissingPackage: the package `onnx` is not installed.
        NotAModel: the file holds no model.
        SpecError: some operators have no counterpart; all of them are named.
    """
    from cnnspec.bridges.onnx_import import load_model, read_model
    from cnnspec.bridges.spec import to_spec

    name = "model.onnx"
    if isinstance(model, str | os.PathLike):
        name = os.fspath(model)
        model = load_model(Path(name))
    written = to_spec(read_model(model, name, shape), [f"From {Path(name).name}."])
    return loads(written.text, f"{Path(name).stem}.cnn"), written.weights


def _weights(network: Network, weights: Weights | None) -> dict[str, NDArray[np.float32]]:
    """The weights of a network from whatever holds them."""
    from cnnspec.bridges.weights import matched

    graph, facts = network.graph, network.facts
    if weights is None:
        from cnnspec.training.initializers import initial_weights

        return {name: array.astype("f4") for name, array in initial_weights(graph, facts, network.recipe)}
    if isinstance(weights, Run):
        weights = weights.weights()
    elif isinstance(weights, str | os.PathLike):
        from safetensors.numpy import load_file

        weights = load_run(weights).weights() if Path(weights).is_dir() else load_file(weights)
    return matched(graph, facts, weights)
