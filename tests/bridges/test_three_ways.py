"""The NumPy backend, the PyTorch module and the ONNX model of a network give the same predictions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from cnnspec.layers.regularization import Dropout
from cnnspec.network.check import check_file
from tests.numpy_backend.test_every_layer import CASES, build, names
from tests.support.graphs import sequential
from tests.support.models import draw_inputs, random_model
from tests.support.random_graphs import check_text
from tests.support.random_programs import random_program
from tests.support.three_ways import by_numpy, by_onnx, by_torch, farthest
from tests.zoo.small import SMALL
from tests.zoo.specs import SPECS

TOLERANCE = 1e-4
SAMPLE, CAMPAIGN = range(40), range(40, 440)
LARGE = ("unet", "resnet50", "vgg16", "densenet121")
WHOLE = sorted(path.stem for path in SPECS.glob("*.cnn") if "\nnetwork" in path.read_text("utf-8"))


def assert_alike(graph, facts, count=3, scale=0.5, seed=0):
    """To 1e-4 of the largest number, or as near as PyTorch's float32 comes to its own float64."""
    rng = np.random.default_rng(seed)
    with random_model(graph, facts, rng, batch=count, scale=scale, loss=None, training=False) as model:
        x, weights = draw_inputs(model, rng, count), dict(model.weights)
        x = tuple(array.astype(np.float32) for array in x)
        ours = by_numpy(model, x)
    torch, onnx = by_torch(graph, facts, weights, x), by_onnx(graph, facts, weights, x)
    apart = {"NumPy": farthest(ours, torch), "ONNX": farthest(onnx, torch)}
    if max(apart.values()) > TOLERANCE:
        rounded = farthest(torch, by_torch(graph, facts, weights, x, "float64"))
        assert max(apart.values()) <= 10 * rounded, apart


@pytest.mark.parametrize("case", CASES, ids=names)
def test_layer(case):
    assert_alike(*build(case))


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("kind", ["maxpool", "avgpool", "l2pool", "subsample"])
@pytest.mark.parametrize(
    "options",
    ["stride=2 ceil=true", "stride=3 padding=1 ceil=true", "stride=2 padding=(0, 2, 2, 1) ceil=true"],
)
def test_pooling_that_reaches_over_the_edge(kind, rows, options):
    """What `ceil` means differs from system to system."""
    for counted in ("", " count_padding=false") if kind == "avgpool" else ("",):
        text = f"network Net {{\n input 2x{rows + 4}x{2 * rows + 3}\n {kind} 3x3 {options}{counted}\n}}"
        assert_alike(*check_text(text))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.campaign) if name in LARGE else name for name in SMALL]
)
def test_spec_with_small_inputs(name):
    assert_alike(*SMALL[name].network(name), count=1, scale=0.1)


@pytest.mark.campaign
@pytest.mark.parametrize("name", WHOLE)
def test_campaign_of_whole_specs(name):
    assert_alike(*check_file(SPECS / f"{name}.cnn").network(), count=1, scale=0.05)


@pytest.mark.parametrize("seed", SAMPLE)
def test_random_program(seed):
    assert_alike(*check_text(random_program(seed)), seed=seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", CAMPAIGN)
def test_campaign_of_random_programs(seed):
    assert_alike(*check_text(random_program(seed)), seed=seed)


def test_dropout_drops_nothing_in_prediction():
    assert_alike(*sequential((3, 5, 4), Dropout(drop_probability=0.9)))
