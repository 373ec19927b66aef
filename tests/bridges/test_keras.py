"""The exported Keras source, run by Keras on PyTorch, beside the NumPy backend."""

from __future__ import annotations

import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")
os.environ.setdefault("KERAS_BACKEND", "torch")
with pytest.MonkeyPatch.context() as patch:
    patch.setattr("warnings.filters", [])
    keras = pytest.importorskip("keras", exc_type=ImportError)

from cnnspec.bridges.keras_source import to_source  # noqa: E402
from cnnspec.language.errors import SpecError  # noqa: E402
from cnnspec.network.check import check_file  # noqa: E402
from tests.numpy_backend.test_every_layer import CASES, build, names  # noqa: E402
from tests.support.exported import drawn, load  # noqa: E402
from tests.support.models import as_tuple  # noqa: E402
from tests.support.random_graphs import check_text  # noqa: E402
from tests.support.random_networks import random_network  # noqa: E402
from tests.support.random_programs import random_program  # noqa: E402
from tests.support.three_ways import by_torch, farthest  # noqa: E402
from tests.zoo.small import SMALL  # noqa: E402
from tests.zoo.specs import SPECS  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
TOLERANCE = 1e-4
QUICK = [
    case if i % 3 == 2 else pytest.param(case, marks=pytest.mark.campaign) for i, case in enumerate(CASES)
]


def assert_alike(graph, facts, tmp_path, scale=0.3):
    """Where Keras can say all layers; the weights go by their file.

    To 1e-4, or as near as PyTorch's float32 comes to its own float64.
    """
    from safetensors.numpy import save_file

    x, weights, ours = drawn(graph, facts, count=2, scale=scale)
    try:
        source = to_source(graph, facts)
    except SpecError as error:
        if any(finding.code != "not-covered" for finding in error.diagnostics):
            raise
        return
    code = load(source.text)
    model = code[source.main]()
    save_file(source.arrays(weights), tmp_path / "weights.safetensors")
    code["load_weights"](model, tmp_path / "weights.safetensors")
    with torch.no_grad():
        given = [np.moveaxis(array, 1, -1) for array in x]
        y = model(given if len(given) > 1 else given[0], training=False)
    found = map(keras.ops.convert_to_numpy, y if isinstance(y, list) else [y])
    theirs = tuple(np.moveaxis(array, -1, 1) for array in found)
    apart = farthest(as_tuple(ours), theirs)
    if apart > TOLERANCE:
        exact = by_torch(graph, facts, weights, x, "float64")
        assert apart <= 10 * farthest(by_torch(graph, facts, weights, x), exact)


@pytest.mark.parametrize("case", QUICK, ids=[names(case) for case in CASES])
def test_layer(case, tmp_path):
    assert_alike(*build(case), tmp_path)


@pytest.mark.parametrize("name", ["lenet", "m5_audio", "text_cnn", "resnet20_cifar"])
def test_spec_with_small_inputs(name, tmp_path):
    assert_alike(*SMALL[name].network(name), tmp_path, scale=0.1)


def test_lenet5_of_1998(tmp_path):
    assert_alike(*check_file(SPECS / "lenet5_1998.cnn").network(), tmp_path)


@pytest.mark.parametrize("kind", ["groupnorm 2", "instancenorm"])
def test_means_that_are_large_beside_the_deviation_lose_no_digits(kind, tmp_path):
    """Keras' own GroupNormalization is 0.12 off here, of values up to 2.1."""
    graph, facts = check_text(f"network Net {{\n input 4x6x6\n {kind} affine=false\n}}")
    source = to_source(graph, facts)
    x = 5 + 0.01 * np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype("f4")
    y = keras.ops.convert_to_numpy(load(source.text)[source.main]()(x))
    apart = x.astype("f8").reshape(2, 36, -1, 2 if kind == "groupnorm 2" else 1)
    centred = apart - apart.mean((1, 3), keepdims=True)
    expected = centred / np.sqrt((centred**2).mean((1, 3), keepdims=True) + 1e-5)
    assert np.abs(y - expected.reshape(x.shape)).max() < 2e-3  # x itself has steps of 5e-7


@pytest.mark.parametrize("seed", range(3))
def test_random_networks(seed, tmp_path):
    assert_alike(*random_network(seed), tmp_path)
    assert_alike(*check_text(random_program(seed)), tmp_path)


@pytest.mark.campaign
@pytest.mark.parametrize("name", list(SMALL))
def test_campaign_of_specs(name, tmp_path):
    assert_alike(*SMALL[name].network(name), tmp_path, scale=0.1)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(3, 103))
def test_campaign_of_random_networks(seed, tmp_path):
    assert_alike(*random_network(seed), tmp_path)
    assert_alike(*check_text(random_program(seed)), tmp_path)


def test_layers_that_keras_cannot_say_are_named_with_their_places():
    text = "network Net {\n input 4x9x9\n maxpool 3 dilation=2\n pad 1 mode=edge\n}"
    with pytest.raises(SpecError) as raised:
        to_source(*check_text(text))
    assert [d.span.line for d in raised.value.diagnostics] == [3, 4]
    assert "Keras cannot say `maxpool1`: it has no dilated pooling" in str(raised.value)
