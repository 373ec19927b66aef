"""Whether a network and the data that have been read fit each other, before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnspec.recipe.agreement import outputs_for_classes, takes_targets
from cnnspec.training.datasets.dataset import DataError
from cnnspec.training.datasets.parts import words

if TYPE_CHECKING:
    from cnnspec.network.graph import Facts, Graph
    from cnnspec.recipe import Recipe
    from cnnspec.training.datasets.dataset import DataSet


def check_fits(graph: Graph, facts: Facts, recipe: Recipe, data: DataSet) -> None:
    """Whether the network takes the samples, gives what the labels ask for, and can be fed as augmented.

    Raises:
        DataError: it does not.
    """
    taken, given = facts.shape(graph.sources()[0]), data.sample_shape
    if taken != given:
        raise DataError(
            f"a sample of `{data.name}` is {words(given)}, and the network takes {words(taken)}",
            f"write `input {words(given)}`" + _sized(recipe, data, taken, given),
        )
    for augmentation in recipe.augment:
        if wrong := augmentation.misfit(given):
            raise DataError(f"`{augmentation.written()}` {wrong}", "leave it out")
    if len(graph.outputs) == 1:
        _check_labels(facts.shape(graph.outputs[0]), recipe, data)


def _sized(recipe: Recipe, data: DataSet, taken: tuple[int, ...], given: tuple[int, ...]) -> str:
    option = recipe.data.sized_by if recipe.data.keyword == data.name else ""
    if not option or len(taken) != len(given) or taken[0] != given[0]:
        return ""
    return f", or `{option}={words(taken[1:])}` behind `data {data.name}`"


def _check_labels(output: tuple[int, ...], recipe: Recipe, data: DataSet) -> None:
    if np.issubdtype(data.train_y.dtype, np.integer):
        classes = len(data.class_names)
        if data.train_y.ndim == 1 and classes and output not in outputs_for_classes(classes, recipe.loss):
            raise DataError(
                f"`{data.name}` has {classes} classes, and the output is {words(output)}",
                f"end with `dense {classes} -> softmax`",
            )
        return
    target = data.train_y.shape[1:]
    if not takes_targets(recipe.loss):
        raise DataError(
            f"`{recipe.loss.keyword}` compares classes, and `{data.name}` has numbers as targets",
            "write `loss mse`; classes are whole numbers",
        )
    if output != target:
        raise DataError(
            f"a target of `{data.name}` is {words(target)}, and the output is {words(output)}",
            f"end with `dense {words(target)}`" if len(target) == 1 else f"let the output be {words(target)}",
        )
