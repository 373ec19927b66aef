"""What is computed together with the layer before it gives what it gives by itself."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.layers.activations import Relu, Sigmoid, Tanh
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.layers.rectifiers import Relu6
from cnnspec.layers.shapes import Flatten
from cnnspec.layers.transposed import ConvTranspose
from cnnspec.numpy_backend import make_plan
from cnnspec.numpy_backend.choices import Choices
from tests.support.graphs import sequential
from tests.support.models import distance, random_model
from tests.support.random_graphs import check_text

SHAPE = (4, 7, 6)
LINEAR = [
    Conv(channels=6, kernel=3, padding=1),
    Conv(channels=6, kernel=(3, 2), stride=2, bias=False),
    Conv(channels=6, kernel=3, groups=2),
    Conv(channels=4, kernel=3, groups=4, padding=1),
    Conv(channels=5, kernel=1),
    Depthwise(kernel=3, multiplier=2, bias=False),
    ConvTranspose(channels=3, kernel=3, stride=2),
    ConvTranspose(channels=6, kernel=2, groups=2, bias=False),
    Dense(units=9),
    Dense(units=9, bias=False),
]


def models(*layers, **options):
    """The same network with fusion and without."""
    network = sequential(SHAPE, *layers)
    for fuse in (True, False):
        yield random_model(*network, np.random.default_rng(0), fuse=fuse, **{"batch": 5} | options)


def images(count=5, shape=SHAPE):
    return np.random.default_rng(1).standard_normal((count, *shape))


# --- batch norm in the weights --------------------------------------------------------------------------


@pytest.mark.parametrize("linear", LINEAR, ids=str)
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("affine", [True, False])
def test_a_folded_batch_norm_gives_what_it_gives_by_itself(linear, dtype, close, affine):
    fused, apart = models(linear, BatchNorm(affine=affine), training=False, dtype=dtype)
    with fused, apart:
        assert [s.algorithm.split()[0] for s in fused.plan.steps][-1] == "folded"
        assert [s.algorithm.split()[0] for s in apart.plan.steps][-1] == "channel"
        assert distance(fused.predict(images()), apart.predict(images())) < close


@pytest.mark.parametrize("behind", [(), (Relu(),)], ids=["alone", "with a rectifier"])
@pytest.mark.parametrize("linear", LINEAR, ids=str)
def test_of_two_batch_norms_the_first_is_folded(linear, behind):
    fused, apart = models(linear, BatchNorm(), BatchNorm(), *behind, training=False, dtype="float64")
    with fused, apart:
        assert fused.plan.fusion.norms == {1: 2}
        assert distance(fused.predict(images()), apart.predict(images())) < 1e-12


def test_folding_follows_weights_and_statistics_that_are_assigned():
    fused, apart = models(LINEAR[0], BatchNorm(), training=False, dtype="float64")
    with fused, apart:
        fused.predict(images())
        for model in (fused, apart):
            for name, array in model.weights.items():
                model.weights[name] = array * 2 + 0.1
        assert distance(fused.predict(images()), apart.predict(images())) < 1e-12
        for name, array in apart.weights.items():
            np.testing.assert_array_equal(fused.weights[name], array)


def test_training_folds_nothing():
    plan = make_plan(*sequential(SHAPE, LINEAR[0], BatchNorm()), batch=4)
    assert not plan.fusion.norms


@pytest.mark.parametrize(
    "body",
    [
        "input 2x6x5; a = conv 3 3x3; b = batchnorm; add a b",
        "input 2x6x5; a = conv 3 3x3; b = batchnorm; output a b",
        "input 2x6x5; relu -> batchnorm",
        "input 2x6x5; conv 2 3x3 connections=[[0], [0, 1]] -> batchnorm",
    ],
)
def test_what_others_read_or_is_not_linear_is_not_folded(body):
    network = check_text("network Case {\n" + body.replace("; ", "\n") + "\n}\n")
    assert not make_plan(*network, batch=4, training=False).fusion.norms


def test_a_folded_batch_norm_needs_no_memory_of_its_own():
    plan = make_plan(*sequential(SHAPE, LINEAR[0], BatchNorm(), Relu()), batch=4, training=False)
    conv, norm = (i for i in range(1, 3))
    assert plan.buffers.values[conv] == plan.buffers.values[norm]
    assert not plan.buffers.scratch[norm]


def test_kernels_are_prepared_again_for_weights_that_are_assigned():
    fused, apart = models(LINEAR[0], BatchNorm(), Relu(), training=False, dtype="float64")
    with fused, apart:
        for model in (fused, apart):
            model.predict(images())
            model.weights["conv1.weight"] = model.weights["conv1.weight"] * -2
        assert distance(fused.predict(images()), apart.predict(images())) < 1e-12


def test_weights_of_a_model_that_only_predicts_are_changed_by_assignment_alone():
    model, _ = models(LINEAR[0], training=False)
    with pytest.raises(ValueError, match="read-only"):
        model.weights["conv1.bias"][...] = 0


# --- scales in the weights ------------------------------------------------------------------------------

LECUN = Tanh(amplitude=1.7159, slope=2 / 3)
FIRST = Conv(channels=6, kernel=3, padding=1)
POINT, DENSE = Conv(channels=5, kernel=1), Dense(units=9)
CHAINS = {
    "between two": (FIRST, Sigmoid(), Conv(channels=5, kernel=(3, 2), stride=2)),
    "without biases": (FIRST.replaced(bias=False), Sigmoid(), Conv(channels=5, kernel=3, bias=False)),
    "across a mean": (FIRST, Sigmoid(), AvgPool(kernel=2, stride=2), POINT),
    "across a maximum": (FIRST, Sigmoid(), MaxPool(kernel=3, padding=1), Flatten(), DENSE),
    "with amplitude and slope": (FIRST, LECUN, AvgPool(kernel=(2, 3), stride=1), Dense(units=9, bias=False)),
    "of groups": (FIRST, Sigmoid(), Conv(channels=4, kernel=3, groups=2), Sigmoid(), Depthwise(kernel=2)),
    "no shift into padding": (FIRST, LECUN, Conv(channels=5, kernel=3, padding=1)),
    "into a transposed one": (FIRST, LECUN, ConvTranspose(channels=3, kernel=3, stride=2, bias=False)),
    "of a transposed one": (ConvTranspose(channels=6, kernel=2, groups=2), Sigmoid(), POINT),
    "with batch norms": (FIRST, BatchNorm(), Sigmoid(), Conv(channels=5, kernel=2, bias=False), BatchNorm()),
    "several in a row": (
        Flatten(),
        DENSE,
        Sigmoid(),
        Dense(units=8),
        LECUN,
        Dense(units=7),
        Sigmoid(),
        DENSE,
    ),
    "of means alone": (FIRST, AvgPool(kernel=2, stride=1), MaxPool(kernel=2), AvgPool(kernel=2), DENSE),
}


@pytest.mark.parametrize("layers", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-12), ("float32", 1e-5)])
def test_scales_in_the_weights_give_what_they_give_by_themselves(layers, dtype, close):
    fused, apart = models(*layers, training=False, dtype=dtype)
    with fused, apart:
        assert fused.plan.fusion.bare
        assert any("the scales of" in step.algorithm for step in fused.plan.steps)
        for _ in range(2):
            assert distance(fused.predict(images()), apart.predict(images())) < close
            for model in (fused, apart):
                for name, array in model.weights.items():
                    model.weights[name] = array * 1.5


@pytest.mark.parametrize(
    "body",
    [
        "input 2x6x5; conv 3 3x3 -> sigmoid -> conv 3 3x3 padding=1",
        "input 2x6x5; conv 3 3x3 -> sigmoid -> conv_transpose 3 3x3",
        "input 2x6x5; conv 3 3x3 -> sigmoid -> relu -> conv 3 1x1",
        "input 2x6x5; conv 3 3x3 -> sigmoid -> avgpool 2x2 padding=1 -> conv 3 1x1",
        "input 2x5x5; conv 3 1x1 -> sigmoid -> avgpool 2x2 ceil=true -> conv 3 1x1",
        "input 2x6x5; conv 3 3x3 -> sigmoid",
        "input 2x6x5; sigmoid -> conv 3 3x3",
        "input 2x6x5; conv 3 3x3; a = sigmoid; b = conv 3 1x1; add a b",
        "input 2x6x5; conv 3 3x3; a = sigmoid; b = conv 3 1x1; output a b",
        "input 2x6x5; a = conv 3 3x3; sigmoid; b = conv 3 1x1; add a b",
        "input 2x6x5; conv 3 3x3 -> tanh -> conv 3 3x3",
    ],
)
def test_scales_stay_where_nobody_can_take_them_in(body):
    network = check_text("network Case {\n" + body.replace("; ", "\n") + "\n}\n")
    assert not make_plan(*network, batch=4, training=False).fusion.bare


def test_training_keeps_its_scales():
    assert not make_plan(*sequential(SHAPE, *CHAINS["between two"]), batch=4).fusion.bare


# --- a rectifier with the batch norm before it ----------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_rectifier_done_with_its_batch_norm_gives_the_same_bits(dtype, workers):
    layers = (LINEAR[0], BatchNorm(), Relu(), POINT, BatchNorm(affine=False), Relu(), Flatten(), DENSE)
    fused, apart = models(*layers, dtype=dtype, workers=workers, batch=6)
    with fused, apart:
        assert len(fused.plan.fusion.rectified) == 2
        for seed in range(3):
            x, found = np.random.default_rng(seed).standard_normal((6, *SHAPE)).astype(dtype), []
            for model in (fused, apart):
                y = model.forward(x, training=True)
                found.append((y, model.backward(np.cos(y))))
            for together, by_itself in zip(*found, strict=True):
                np.testing.assert_array_equal(together, by_itself)
            for name, gradient in apart.gradients.items():
                np.testing.assert_array_equal(fused.gradients[name], gradient)
            np.testing.assert_array_equal(fused.predict(x), apart.predict(x))


@pytest.mark.parametrize(
    "body",
    [
        "input 2x6x5; conv 3 3x3; a = batchnorm; b = relu; add a b",
        "input 2x6x5; conv 3 3x3; a = batchnorm; b = relu; output a b",
        "input 2x6x5; conv 3 3x3 -> relu -> batchnorm",
        "input 2x6x5; conv 3 3x3 -> batchnorm -> leaky_relu",
    ],
)
def test_a_rectifier_stays_where_others_read_the_batch_norm(body):
    network = check_text("network Case {\n" + body.replace("; ", "\n") + "\n}\n")
    assert not make_plan(*network, batch=4).fusion.rectified


# --- a rectifier with the linear layer before it --------------------------------------------------------

CONV, APART = Conv(channels=4, kernel=3, padding=1), Depthwise(kernel=3, padding=1)


@pytest.mark.parametrize("rectifier", [Relu(), Relu6()], ids=str)
@pytest.mark.parametrize("algorithm", ["winograd-2x2", "winograd-4x4"])
@pytest.mark.parametrize("workers", [1, 2, 3], ids=lambda n: f"{n} workers")
def test_a_rectifier_done_in_passing_gives_the_same_bits(rectifier, algorithm, workers):
    layers = (CONV, rectifier, CONV, rectifier, APART, rectifier, Flatten(), Dense(units=3))
    choices = Choices({"conv1": algorithm, "conv2": algorithm}, workers, 5)
    fused, apart = models(*layers, training=False, choices=choices, scale=2)
    with fused, apart:
        assert len(fused.plan.fusion.finished) == 3
        assert not apart.plan.fusion.finished
        for count in (1, 5):
            np.testing.assert_array_equal(fused.predict(images(count)), apart.predict(images(count)))


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("dilation", [1, 9], ids=["by rows", "by slices"])
def test_each_channel_is_rectified_by_its_own_kernel(multiplier, dilation):
    layer = Depthwise(kernel=3, padding=dilation, dilation=dilation, multiplier=multiplier, bias=False)
    for layers in ((layer, Relu()), (layer, BatchNorm(), Relu6())):
        network = sequential((5, 12, 40), *layers)
        fused, apart = (
            random_model(*network, np.random.default_rng(0), fuse=fuse, batch=3, training=False)
            for fuse in (True, False)
        )
        with fused, apart:
            assert fused.plan.fusion.finished == {1: len(layers)}
            x = images(3, (5, 12, 40))
            assert distance(fused.predict(x), apart.predict(x)) < 1e-6


def test_what_is_done_in_passing_needs_no_memory_of_its_own_and_is_told():
    plan = make_plan(*sequential(SHAPE, APART, BatchNorm(), Relu()), batch=4, training=False)
    assert plan.steps[1].algorithm == "products of rows, with batchnorm1 and relu1"
    assert plan.steps[3].algorithm == "done with depthwise1"
    assert plan.bytes_by_node["relu1"] == 0


@pytest.mark.parametrize(
    "body",
    [
        "input 2x6x5; a = depthwise 3x3; b = relu; add a b",
        "input 2x6x5; a = depthwise 3x3; b = relu; output a b",
        "input 2x6x5; depthwise 3x3 -> maxpool 2x2 -> relu",
        "input 2x6x5; depthwise 3x3 -> leaky_relu",
        "input 2x6x5; depthwise 3x3 -> relu -> conv 3 5x5 padding=2",  # which would have to copy the map
    ],
)
def test_a_rectifier_stays_where_it_saves_nothing_or_others_read_what_is_before(body):
    network = check_text("network Case {\n" + body.replace("; ", "\n") + "\n}\n")
    assert not make_plan(*network, batch=4, training=False).fusion.finished


def test_a_map_for_winograd_needs_no_margin_of_zeros():
    network = sequential(SHAPE, APART, Relu(), CONV)
    for algorithm, margin in (("winograd-4x4", False), ("im2col", True)):
        choices = Choices({"conv1": algorithm}, 1, 4)
        plan = make_plan(*network, batch=4, training=False, choices=choices)
        assert (bool(plan.layouts[2].margin), bool(plan.fusion.finished)) == (margin, not margin)
