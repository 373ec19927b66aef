"""Where numbers that are not finite began: in weights, in inputs, in the output of a layer, in a gradient."""

import numpy as np
import pytest

from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.recipe import Recipe, Sgd
from cnnspec.recipe.learning import Mse
from cnnspec.training import DataSet, Diverged, TrainableModel, build_model
from cnnspec.training.health import first_not_finite
from cnnspec.training.train import run_epochs
from tests.support.graphs import sequential

COUNT = 6


@pytest.fixture
def model() -> TrainableModel:
    graph, facts = sequential((1, 4, 4), Conv(channels=2, kernel=3), Relu(), Dense(units=3), Dense(units=2))
    return build_model(graph, facts, Recipe(loss=Mse(), batch=COUNT, optimizer=Sgd(lr=0.01)))


def samples() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return random.random((COUNT, 1, 4, 4), np.float32) + 0.5, random.random((COUNT, 2), np.float32)


def fill(model: TrainableModel, *sizes: float) -> None:
    """Give all weights of each layer one value, and no bias."""
    for layer, size in zip(("conv1", "dense1", "dense2"), sizes, strict=True):
        model.weights[f"{layer}.weight"][...] = size
        model.weights[f"{layer}.bias"][...] = 0


def learned(model: TrainableModel, x: np.ndarray, y: np.ndarray):
    with np.errstate(all="ignore"):
        loss = model.model.loss_and_gradients(x, y).loss
        return loss, first_not_finite(model.model, x)


def test_a_step_that_is_all_finite_began_nowhere(model: TrainableModel):
    loss, found = learned(model, *samples())
    assert np.isfinite(loss)
    assert found is None


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_comes_before_all_that_is_made_of_it(model: TrainableModel, value: float):
    model.weights["dense1.weight"].reshape(-1)[3] = value
    loss, found = learned(model, *samples())
    assert not np.isfinite(loss)
    assert (found.layer, found.what) == ("dense1", "weight")
    assert found.text == "the weight of `dense1` is not finite: the update before was too large"


def test_an_input_that_is_no_number_is_the_first(model: TrainableModel):
    x, y = samples()
    x[2, 0, 1, 1] = np.nan
    _, found = learned(model, x, y)
    assert found.text == "the input is the first that is not finite"


@pytest.mark.parametrize(
    ("layer", "sizes"),
    [("conv1", (3e38, 1.0, 1.0)), ("dense1", (1e20, 1e20, 1.0)), ("dense2", (1e13, 1e13, 1e13))],
)
def test_the_layer_whose_output_overflows_is_named(
    model: TrainableModel, layer: str, sizes: tuple[float, float, float]
):
    """Each layer multiplies its positive inputs by some size; float32 ends at 3.4e38."""
    fill(model, *sizes)
    loss, found = learned(model, *samples())
    assert not np.isfinite(loss)
    assert (found.layer, found.what) == (layer, "output")
    assert found.text == f"the output of `{layer}` is the first that is not finite"


def test_a_gradient_that_overflows_names_the_layer_nearest_to_the_loss(model: TrainableModel):
    """The outputs' gradient, about 1e12, times the weights of the last layer is too large."""
    fill(model, 1e-10, 1e-10, 1e30)
    _, found = learned(model, *samples())
    assert (found.layer, found.what) == ("dense1", "gradient")
    assert found.text == "the gradient of the weight of `dense1` is the first that is not finite"


def test_a_run_names_the_layer(model: TrainableModel):
    x, y = samples()
    fill(model, 1e13, 1e13, 1e13)
    data = DataSet("made", x, y, x, y, ())
    recipe = Recipe(loss=Mse(), batch=COUNT, optimizer=Sgd(lr=0.01))
    with pytest.raises(Diverged, match=r"diverged; the output of `dense2` is the first that is not finite"):
        run_epochs(model, recipe, data)
