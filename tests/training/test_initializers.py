"""First values: their distributions against the formulas of the papers and against PyTorch's layers."""

import math

import numpy as np
import pytest

from cnnspec.layers.base import Weight
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.recipe import PytorchDefault, Recipe, XavierNormal, XavierUniform, kinds
from cnnspec.recipe.learning import Constant, HeNormal, HeUniform, Normal, Orthogonal
from cnnspec.training.initializers import initial_values, initial_weights, random_stream
from tests.support.graphs import sequential

CONV = Weight("weight", (64, 32, 5, 5), fan_in=32 * 25, fan_out=64 * 25)
DENSE = Weight("weight", (300, 400), fan_in=400, fan_out=300)
BIAS = Weight("bias", (1000,), fan_in=400, fan_out=300, role="bias")


def first_weights(network, init, seed):
    return initial_weights(*network, Recipe(init=init, seed=seed))


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
    small = dict(first_weights(sequential((4,), Dense(units=5), Dense(units=3)), XavierUniform(), 7))
    large = dict(
        first_weights(sequential((4,), Dense(units=5), Dense(units=3), Dense(units=2)), XavierUniform(), 7)
    )
    assert set(large) - set(small) == {"dense3.weight", "dense3.bias"}
    for name, array in small.items():
        np.testing.assert_array_equal(array, large[name])


def test_weights_of_equal_shape_and_seeds_are_independent():
    network = sequential((1, 40, 40), Conv(channels=64, kernel=7), Conv(channels=64, kernel=7))
    one = dict(first_weights(network, XavierUniform(), 0))
    other = dict(first_weights(network, XavierUniform(), 1))
    first, second = one["conv1.weight"].ravel(), one["conv2.weight"].ravel()[: 64 * 49]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.06
    assert abs(np.corrcoef(first, other["conv1.weight"].ravel())[0, 1]) < 0.06


def test_the_same_seed_gives_the_same_weights():
    network = sequential((1, 8, 8), Conv(channels=3, kernel=3), Dense(units=4))
    first = dict(first_weights(network, PytorchDefault(), 5))
    again = dict(first_weights(network, PytorchDefault(), 5))
    assert list(first) == ["conv1.weight", "conv1.bias", "dense1.weight", "dense1.bias"]
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


def test_a_weight_with_a_value_of_its_own_begins_with_it():
    scale = Weight("scale", (6,), 1, 1, trainable=False, initial=1.0)
    for init in every_initialiser():
        np.testing.assert_array_equal(values(init, scale), np.ones(6, np.float32))


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


def every_initialiser():
    return [kind(value=0.5) if kind is Constant else kind() for kind in kinds("init").values()]


@pytest.mark.parametrize("init", every_initialiser(), ids=lambda init: init.keyword)
def test_every_initialiser_of_the_language_has_a_rule(init):
    drawn = values(init, DENSE)
    assert drawn.shape == DENSE.shape
    assert drawn.dtype == np.float32
    assert np.abs(drawn).max() > 0


# --- He, orthogonal and plain ones ------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [CONV, DENSE], ids=["conv", "dense"])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("uniform", [True, False])
def test_he_has_the_deviation_and_bound_of_pytorchs_kaiming(torch, weight, mode, slope, uniform):
    torch.manual_seed(0)
    theirs = torch.nn.init
    fill = theirs.kaiming_uniform_ if uniform else theirs.kaiming_normal_
    wanted = fill(torch.empty(weight.shape), a=slope, mode=mode).numpy()
    drawn = values((HeUniform if uniform else HeNormal)(mode=mode, slope=slope), weight)
    assert drawn.std() == pytest.approx(wanted.std(), rel=0.02)
    assert abs(drawn.mean()) < 0.02 * wanted.std()
    if uniform:
        assert np.abs(drawn).max() == pytest.approx(np.abs(wanted).max(), rel=0.001)


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (64, 32, 5, 5), (64, 4, 3, 3), (5, 5), (7, 1)])
@pytest.mark.parametrize("gain", [1.0, 1.5])
def test_orthogonal_rows_or_columns_are_orthogonal_and_of_one_length(shape, gain):
    weight = Weight("weight", shape, fan_in=1, fan_out=1)
    matrix = values(Orthogonal(gain=gain), weight).reshape(shape[0], -1)
    product = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-5)


def test_orthogonal_matrices_are_as_often_mirrored_as_not():
    """Either sign of the determinant, and of an element: a factor of QR alone favours one."""
    weight = Weight("weight", (4, 4), fan_in=4, fan_out=4)
    signs = [np.linalg.det(values(Orthogonal(), weight, seed)) > 0 for seed in range(400)]
    assert 0.4 < np.mean(signs) < 0.6
    first = [values(Orthogonal(), weight, seed)[0, 0] > 0 for seed in range(400)]
    assert 0.4 < np.mean(first) < 0.6


@pytest.mark.parametrize("kind", [XavierUniform, XavierNormal])
def test_gain_scales_and_a_bias_begins_with_what_is_asked(kind):
    np.testing.assert_allclose(values(kind(gain=3), DENSE), 3 * values(kind(), DENSE), atol=1e-6)
    np.testing.assert_array_equal(values(kind(bias=0.25), BIAS), np.full(1000, 0.25, np.float32))


def test_normal_and_constant_do_as_they_say():
    assert values(Normal(std=0.01), DENSE).std() == pytest.approx(0.01, rel=0.02)
    np.testing.assert_array_equal(values(Constant(value=-2), DENSE), np.full(DENSE.shape, -2, np.float32))
    np.testing.assert_array_equal(values(Constant(value=-2, bias=1), BIAS), np.ones(1000, np.float32))


def test_layers_have_the_last_initialiser_that_names_them():
    network = sequential((4,), Dense(units=5), Dense(units=3), Dense(units=2))
    named = (Constant(value=1, layers=("dense*",)), Constant(value=2, bias=3, layers=("dense2", "nothing")))
    recipe = Recipe(init=XavierUniform(), layer_inits=named, seed=7)
    drawn = dict(initial_weights(*network, recipe))
    assert (drawn["dense1.weight"] == 1).all()
    assert (drawn["dense2.weight"] == 2).all()
    assert (drawn["dense2.bias"] == 3).all()
    assert (drawn["dense3.weight"] == 1).all()
    plain = dict(first_weights(network, XavierUniform(), 7))
    assert plain["dense1.weight"].std() > 0
