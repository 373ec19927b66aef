"""LeNet-5 as published, against the figures that the paper prints (LeCun et al. 1998, section II.B)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cnnspec

SPEC = Path(__file__).parents[2] / "specs" / "lenet5_1998.cnn"
TRAINED = {"C1": 156, "S2": 12, "C3": 1_516, "S4": 32, "C5": 48_120, "F6": 10_164}
CONNECTIONS = {"C1": 122_304, "S2": 5_880, "C3": 151_600, "S4": 2_000, "C5": 48_120, "F6": 10_164}
# table I: a row for each map of S2, a # where a map of C3 sees it
TABLE = """
#...###..####.##
##...###..####.#
###...###..#.###
.###..####..#.##
..###..####.##.#
...###..####.###
"""


@pytest.fixture(scope="module")
def network():
    return cnnspec.load(SPEC)


@pytest.fixture(scope="module")
def layers(network):
    return {layer.name: layer for layer in network.layers}


def test_trained_parameters_are_the_papers(network, layers):
    assert {name: layers[name].params for name in TRAINED} == TRAINED
    assert network.totals.trainable_params == sum(TRAINED.values()) == 60_000


def test_connections_are_the_papers(layers):
    """The paper counts every weight and bias once for each unit that uses it."""
    counted = {}
    for name in CONNECTIONS:
        channels, *sizes = layers[name].output_shape
        positions = int(np.prod(sizes))
        if name.startswith("S"):  # 2x2 inputs and a bias for each unit
            counted[name] = channels * positions * 5
        else:
            counted[name] = layers[name].params * positions
    assert counted == CONNECTIONS


def test_table_of_connections_is_the_papers(layers):
    rows = TABLE.split()
    lists = tuple(tuple(i for i, row in enumerate(rows) if row[o] == "#") for o in range(16))
    assert layers["C3"].layer.connections.lists == lists


def test_receptive_field_is_the_whole_input_at_c5(layers):
    assert [(axis.size, axis.jump) for axis in layers["C5"].receptive_field] == [(32, 4)] * 2
    assert [(axis.size, axis.jump) for axis in layers["S4"].receptive_field] == [(16, 4)] * 2


def test_centres_are_ten_distinct_bitmaps(network):
    model = network.compile(batch=1)
    centers = model.weights["RBF.centers"]
    assert centers.shape == (10, 7 * 12)
    assert set(np.unique(centers)) == {-1.0, 1.0}
    apart = ((centers[:, None] - centers) ** 2).sum(-1)
    assert (apart[~np.eye(10, dtype=bool)] >= 40).all()


def test_subsampling_begins_as_average_pooling(network):
    weights = network.compile(batch=1).weights
    assert (weights["S2.coefficient"] == 0.25).all()
    assert not weights["S2.bias"].any()


def test_it_learns_the_digits_and_leaves_the_centres_alone(network):
    before = {name: array.copy() for name, array in network.compile().weights.items()}
    result = cnnspec.train(network, epochs=10)
    assert result.history[-1].test_accuracy > 0.93
    weights = result.model.weights
    still = {name for name, array in before.items() if np.array_equal(array, weights[name])}
    assert still == {"RBF.centers", "scale1.weight"}
