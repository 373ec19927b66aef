"""First values: their distributions against the formulas of the papers and against PyTorch's layers."""

import math

import numpy as np
import pytest

from cnnspec.layers.base import Weight
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.recipe import PytorchDefault, XavierNormal, XavierUniform, kinds
from cnnspec.training.initializers import initial_values, initial_weights, random_stream
from tests.support.graphs import sequential

CONV = Weight("weight", (64, 32, 5, 5), fan_in=32 * 25, fan_out=64 * 25)
DENSE = Weight("weight", (300, 400), fan_in=400, fan_out=300)
BIAS = Weight("bias", (1000,), fan_in=400, fan_out=300, role="bias")


def values(init, weight, seed=0):
    return initial_values(init, weight, random_stream(seed, "layer.weight"))


@pytest.mark.parametrize("weight", [CONV, DENSE])
def test_xavier_uniform_keeps_the_bound_and_the_variance(weight: Weight):
    bound = math.sqrt(6 / (weight.fan_in + weight.fan_out))
    drawn = values(XavierUniform(), weight)
    assert drawn.shape == weight.shape
    assert drawn.dtype == np.float32
    assert np.abs(drawn).max() <= bound
    assert np.abs(drawn).max() > 0.999 * bound
    assert drawn.var() == pytest.approx(2 / (weight.fan_in + weight.fan_out), rel=0.02)
    assert abs(drawn.mean()) < 0.01 * bound


@pytest.mark.parametrize("weight", [CONV, DENSE])
def test_xavier_uniform_has_the_distribution_of_pytorch(torch, weight: Weight):
    torch.manual_seed(0)
    theirs = torch.nn.init.xavier_uniform_(torch.empty(weight.shape)).numpy()
    ours = values(XavierUniform(), weight)
    quantiles = np.linspace(0, 1, 21)
    scale = theirs.std()
    np.testing.assert_allclose(
        np.quantile(ours, quantiles) / scale, np.quantile(theirs, quantiles) / scale, atol=0.03
    )


@pytest.mark.parametrize("weight", [CONV, DENSE])
def test_xavier_normal_has_the_variance_and_tails_of_a_normal(weight: Weight):
    deviation = math.sqrt(2 / (weight.fan_in + weight.fan_out))
    drawn = values(XavierNormal(), weight)
    assert drawn.std() == pytest.approx(deviation, rel=0.02)
    assert np.mean(np.abs(drawn) < deviation) == pytest.approx(0.6827, abs=0.01)
    assert np.mean(np.abs(drawn) < 2 * deviation) == pytest.approx(0.9545, abs=0.01)


@pytest.mark.parametrize("init", [XavierUniform(), XavierNormal()])
def test_xavier_biases_are_zero(init):
    np.testing.assert_array_equal(values(init, BIAS), np.zeros(1000, np.float32))


@pytest.mark.parametrize("weight", [CONV, DENSE, BIAS])
def test_pytorch_default_is_uniform_within_one_over_root_fan_in(weight: Weight):
    bound = 1 / math.sqrt(weight.fan_in)
    drawn = values(PytorchDefault(), weight)
    assert np.abs(drawn).max() <= bound
    assert drawn.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_pytorch_default_has_the_spread_of_pytorchs_own_layers(torch):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(32, 64, 5).requires_grad_(False)
    drawn = values(PytorchDefault(), CONV)
    assert drawn.std() == pytest.approx(float(layer.weight.std()), rel=0.02)
    assert np.abs(drawn).max() == pytest.approx(float(layer.weight.abs().max()), rel=0.001)
    assert float(layer.bias.abs().max()) <= 1 / math.sqrt(CONV.fan_in)


def test_adding_a_layer_changes_no_other_weight():
    small = dict(initial_weights(*sequential((4,), Dense(units=5), Dense(units=3)), XavierUniform(), 7))
    large = dict(
        initial_weights(*sequential((4,), Dense(units=5), Dense(units=3), Dense(units=2)), XavierUniform(), 7)
    )
    assert set(large) - set(small) == {"dense3.weight", "dense3.bias"}
    for name, array in small.items():
        np.testing.assert_array_equal(array, large[name])


def test_weights_of_equal_shape_and_seeds_are_independent():
    network = sequential((1, 40, 40), Conv(channels=64, kernel=7), Conv(channels=64, kernel=7))
    one = dict(initial_weights(*network, XavierUniform(), 0))
    other = dict(initial_weights(*network, XavierUniform(), 1))
    first, second = one["conv1.weight"].ravel(), one["conv2.weight"].ravel()[: 64 * 49]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
    assert abs(np.corrcoef(first, other["conv1.weight"].ravel())[0, 1]) < 0.06


def test_the_same_seed_gives_the_same_weights():
    network = sequential((1, 8, 8), Conv(channels=3, kernel=3), Dense(units=4))
    first = dict(initial_weights(*network, PytorchDefault(), 5))
    again = dict(initial_weights(*network, PytorchDefault(), 5))
    assert list(first) == ["conv1.weight", "conv1.bias", "dense1.weight", "dense1.bias"]
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


def test_a_weight_with_a_value_of_its_own_begins_with_it():
    scale = Weight("scale", (6,), 1, 1, trainable=False, initial=1.0)
    for kind in kinds("init").values():
        np.testing.assert_array_equal(values(kind(), scale), np.ones(6, np.float32))


def test_a_weight_with_a_table_of_values_begins_with_it():
    table = Weight("centers", (2, 3), 3, 2, trainable=False, initial=(1, -1, 1, -1, -1, 1))
    np.testing.assert_array_equal(values(XavierUniform(), table), [[1, -1, 1], [-1, -1, 1]])


def test_signs_are_the_same_in_every_run_and_balanced():
    signs = Weight("centers", (100, 84), 84, 100, trainable=False, initial="signs")
    drawn = values(XavierUniform(), signs, seed=0)
    assert drawn.dtype == np.float32
    assert set(np.unique(drawn)) == {-1.0, 1.0}
    assert abs(drawn.mean()) < 0.03
    np.testing.assert_array_equal(drawn, values(PytorchDefault(), signs, seed=5))


def test_every_initialiser_of_the_language_has_a_rule():
    for kind in kinds("init").values():
        assert values(kind(), DENSE).std() > 0
