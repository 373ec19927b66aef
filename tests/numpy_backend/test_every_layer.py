"""One table over every registered layer kind."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.layers import Layer, Shape, kinds
from cnnspec.layers.activations import HardSigmoid, LogSoftmax, Relu, Sigmoid, Softmax, Tanh
from cnnspec.layers.adaptive import AdaptiveAvgPool, AdaptiveMaxPool, GlobalAvgPool, GlobalMaxPool
from cnnspec.layers.channels import Shuffle, Take
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense, Rbf
from cnnspec.layers.depthwise import Depthwise
from cnnspec.layers.embedding import Embedding
from cnnspec.layers.framing import Crop, Pad
from cnnspec.layers.gates import Gelu, HardSwish, Mish, Silu
from cnnspec.layers.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from cnnspec.layers.pooling import AvgPool, L2Pool, MaxPool, Subsample
from cnnspec.layers.rectifiers import Elu, LeakyRelu, Prelu, Relu6, Selu, Softplus
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.resampling import PixelShuffle, Upsample
from cnnspec.layers.scaling import Scale
from cnnspec.layers.shapes import Flatten, Input, Reshape
from cnnspec.layers.transposed import ConvTranspose
from cnnspec.network.graph import Facts, Graph
from cnnspec.numpy_backend.kernels.base import kernel_class
from tests.support.graphs import sequential
from tests.support.models import alone, as_tuple, distance, draw_inputs, random_model
from tests.support.random_graphs import check_text

Case = tuple[Shape, tuple[Layer, ...]] | str
"""A shape and the layers behind it, or the body of a network in the language."""

CASES: list[Case] = [
    ((3, 5, 4), ()),
    ((3, 5, 4), (Relu(),)),
    ((3, 5, 4), (Sigmoid(),)),
    ((3, 5, 4), (Tanh(),)),
    ((3, 5, 4), (Softmax(),)),
    ((7,), (Softmax(),)),
    ((3, 5, 4), (Flatten(),)),
    ((3, 5, 4), (Dropout(drop_probability=0.4),)),
    ((3, 5, 4), (Dense(units=6),)),
    ((9,), (Dense(units=6, bias=False),)),
    ((2, 17), (Conv(channels=3, kernel=4, stride=2, padding=1),)),
    ((4, 7, 6), (Conv(channels=6, kernel=(3, 2), padding=(1, 0, 2, 1), dilation=(1, 2), groups=2),)),
    ((4, 6, 6), (Conv(channels=3, kernel=1),)),
    ((2, 5, 4, 6), (Conv(channels=3, kernel=2, padding="same", bias=False),)),
    ((1, 8, 8), (Conv(channels=2, kernel=3, padding=1), Tanh(), MaxPool(kernel=2))),
    ((1, 9, 6), (Conv(channels=2, kernel=4), AvgPool(kernel=(2, 3)))),
    ((2, 7, 8), (MaxPool(kernel=3, stride=2, padding=1, dilation=2),)),
    ((2, 7, 8), (AvgPool(kernel=3, stride=2, padding=1, ceil=True),)),
    ((2, 7, 8), (AvgPool(kernel=3, stride=2, padding=1, count_padding=False),)),
    ((3, 5, 4), (Tanh(amplitude=1.7159, slope=2 / 3),)),
    ((3, 7, 6), (Depthwise(kernel=3, padding=1, stride=2),)),
    ((2, 9), (Depthwise(kernel=4, dilation=2, padding=(1, 2), multiplier=2, bias=False),)),
    ((2, 4, 3, 5), (Depthwise(kernel=2, multiplier=2),)),
    ((3, 6, 5), (Conv(channels=6, kernel=3, padding=1, groups=3),)),
    ((3, 6, 6), (Conv(channels=3, kernel=3, connections=((0, 1), (2,), (1, 2))),)),
    ((2, 4, 5), (Conv(channels=2, kernel=1, connections=((1,), (0, 1)), bias=False),)),
    ((2, 6, 6), (Conv(channels=2, kernel=3, padding=1, connections=((0,), (0, 1))), AvgPool(kernel=2))),
    ((2, 4, 3), (ConvTranspose(channels=3, kernel=2, stride=2),)),
    ((4, 5, 4), (ConvTranspose(channels=6, kernel=(3, 4), stride=2, padding=(1, 0, 2, 1), groups=2),)),
    ((2, 7), (ConvTranspose(channels=3, kernel=3, stride=3, dilation=2, output_padding=2, bias=False),)),
    ((2, 3, 2, 3), (ConvTranspose(channels=2, kernel=3, stride=2, padding="same"),)),
    ((2, 7, 8), (L2Pool(kernel=3, stride=2, padding=1),)),
    ((1, 8, 8), (Conv(channels=2, kernel=3, padding=1), Tanh(), L2Pool(kernel=2))),
    ((1, 9, 6), (Conv(channels=2, kernel=4), Subsample(kernel=(2, 3)))),
    ((2, 7, 8), (Subsample(kernel=3, stride=2, padding=1, ceil=True),)),
    ((2, 7, 8), (AdaptiveAvgPool(size=(3, 4)),)),
    ((2, 3, 5), (AdaptiveAvgPool(size=(4, 1)),)),
    ((2, 7, 8), (AdaptiveMaxPool(size=3),)),
    ((1, 8, 8), (Conv(channels=2, kernel=3, padding=1), Tanh(), AdaptiveMaxPool(size=4))),
    ((3, 5, 4), (GlobalAvgPool(),)),
    ((3, 9), (GlobalAvgPool(),)),
    ((3, 5, 4), (GlobalMaxPool(),)),
    ((3, 5, 4), (Rbf(units=4),)),
    ((9,), (Rbf(units=4, trainable=True),)),
    ((3, 5, 4), (HardSigmoid(),)),
    ((3, 5, 4), (LogSoftmax(),)),
    ((7,), (LogSoftmax(),)),
    ((3, 5, 4), (LeakyRelu(slope=0.2),)),
    ((3, 5, 4), (LeakyRelu(slope=1.5),)),
    ((3, 5, 4), (Prelu(),)),
    ((7,), (Prelu(shared=True),)),
    ((3, 5, 4), (Relu6(),)),
    ((3, 5, 4), (Elu(alpha=0.7),)),
    ((3, 5, 4), (Selu(),)),
    ((3, 5, 4), (Softplus(),)),
    ((3, 5, 4), (Gelu(),)),
    ((3, 5, 4), (Gelu(approximate=True),)),
    ((3, 5, 4), (Silu(),)),
    ((3, 5, 4), (Mish(),)),
    ((3, 5, 4), (HardSwish(),)),
    ((1, 8, 8), (Conv(channels=2, kernel=3, padding=1), Gelu(), MaxPool(kernel=2))),
    ((1, 8, 8), (Conv(channels=2, kernel=3), Elu(), Conv(channels=2, kernel=3, padding=1))),
    ((1, 8, 8), (Conv(channels=2, kernel=3), Silu(), Conv(channels=2, kernel=3, padding=1))),
    ((1, 8, 8), (Conv(channels=2, kernel=3), Prelu(), Conv(channels=2, kernel=3, padding=1))),
    ((3, 5, 4), (BatchNorm(),)),
    ((7,), (BatchNorm(affine=False),)),
    ((2, 9), (Conv(channels=3, kernel=3, bias=False), BatchNorm(epsilon=1e-3), Relu())),
    ((3, 5, 4), (LayerNorm(),)),
    ((3, 5, 4), (LayerNorm(over="channels"),)),
    ((3, 2, 3, 4), (LayerNorm(over="channels", affine=False),)),
    ((7,), (LayerNorm(affine=False),)),
    ((6, 5, 4), (GroupNorm(groups=2),)),
    ((6,), (GroupNorm(groups=2, affine=False),)),
    ((3, 5, 4), (InstanceNorm(),)),
    ((3, 9), (InstanceNorm(affine=True),)),
    ((7, 5, 4), (LocalResponseNorm(alpha=0.5, k=2.0),)),
    ((3,), (LocalResponseNorm(size=8, alpha=0.3, beta=1.2),)),
    ((3, 5, 4), (Scale(),)),
    ((3, 9), (Scale(bias=True),)),
    ((7,), (Scale(trainable=False, bias=True),)),
    ((2, 3, 4), (Reshape(shape=(4, 6)), Tanh())),
    ((5, 3, 4), (Take(start=1, stop=4),)),
    ((6, 3, 4), (Shuffle(groups=3),)),
    ((2, 4, 5), (Pad(amounts=(1, 0, 2, 1), value=0.5),)),
    ((2, 4, 5), (Pad(amounts=3, mode="reflect"),)),
    ((2, 4), (Pad(amounts=(2, 5), mode="edge"),)),
    ((2, 6, 5), (Crop(amounts=(1, 0, 2, 1)),)),
    ((2, 3, 6, 5), (Crop(to=(3, 3, 2)),)),
    ((2, 3, 4), (Upsample(factor=(2, 3)),)),
    ((2, 3, 4), (Upsample(factor=(3, 2), mode="linear"),)),
    ((2, 2, 3, 2), (Upsample(factor=2, mode="linear"),)),
    ((12, 3, 2), (PixelShuffle(factor=(3, 2)),)),
    ((6, 5), (PixelShuffle(factor=3),)),
    ((9,), (Embedding(vocabulary=6, dimension=4), Conv(channels=2, kernel=3))),
    # a residual block, with a value that two layers read and that has a margin
    "input 2x6x5; conv 3 3x3 padding=1 -> relu; add { branch { conv 3 3x3 padding=1 } branch { } } -> tanh",
    "input 2x6x5; skip = tanh; add skip skip; multiply skip; mean skip skip skip",
    "input 3x4x5; gate = conv 3 4x5 -> sigmoid; from input -> multiply gate; add gate; mean gate; add input",
    "input 3x4x5; gate = conv 3 4x5; mean gate input input; add gate gate",
    "input 3x4; concat { branch { conv 2 3 padding=1 } branch { } branch { avgpool 3 stride=1 padding=1 } }",
    "input left 2x4x5; input right 2x4x5; a = concat left right left; b = conv 2 1; c = tanh; output c b a",
    "input left 2x6; input right 3; from left -> dense 3 -> multiply right -> softmax; d = dense 2; output d",
    "input left 2x4x4; input right 2x4x4; a = sigmoid; b = flatten; output a b",
]
COUNT = 5


def build(case: Case) -> tuple[Graph, Facts]:
    if isinstance(case, str):
        return check_text("network Case {\n" + case.replace("; ", "\n") + "\n}\n")
    shape, layers = case
    return sequential(shape, *layers)


def names(case: Case) -> str:
    if isinstance(case, str):
        return case
    shape, layers = case
    return " ".join(map(str, [Input(shape=shape), *layers]))


def kinds_in(case: Case) -> set[type[Layer]]:
    return {type(node.layer) for node in build(case)[0].nodes}


every_case = pytest.mark.parametrize("case", CASES, ids=names)
# What dropout draws depends on the type and on the piece's first image.
every_case_without_dropout = pytest.mark.parametrize(
    "case", [case for case in CASES if Dropout not in kinds_in(case)], ids=names
)


def test_every_kind_has_a_kernel():
    missing = []
    for keyword, kind in kinds().items():
        try:
            kernel_class(kind)
        except NotImplementedError:
            missing.append(keyword)
    assert not missing, f"kinds without a kernel in numpy_backend/kernels: {', '.join(missing)}"


def test_every_kind_is_in_the_table():
    assert not set(kinds().values()) - set().union(*map(kinds_in, CASES))


def run(case, **options):
    """Output, input gradient and weight gradients of the case, from the same random numbers every time."""
    rng = np.random.default_rng(7)
    options = {"workers": 2, "micro_batch": 2, "loss": None} | options
    with random_model(*build(case), rng, batch=COUNT, **options) as model:
        x = draw_inputs(model, rng, COUNT)
        y = as_tuple(model.forward(alone(x), training=True))
        dy = tuple(rng.standard_normal((COUNT, *shape)) for shape in model.outputs.shapes)
        assert [array.shape for array in y] == [array.shape for array in dy], "inferred and computed differ"
        dx = as_tuple(model.backward(alone(dy)))
        assert [array.shape for array in dx] == [array.shape for array in x]
        arrays = {**dict(zip("yzw", y, strict=False)), **{f"d{i}": array for i, array in enumerate(dx)}}
        return {**arrays, **{name: array.copy() for name, array in model.gradients.items()}}


@every_case
def test_inferred_shape_is_the_computed_one(case):
    assert run(case)["y"].dtype == np.float32


@every_case
def test_gradients_match_the_slope_along_random_directions(case):
    rng = np.random.default_rng(3)
    options = {"dtype": "float64", "micro_batch": COUNT, "loss": None}
    with random_model(*build(case), rng, batch=COUNT, **options) as model:
        x = draw_inputs(model, rng, COUNT)
        weights = tuple(rng.standard_normal((COUNT, *shape)) for shape in model.outputs.shapes)

        def value() -> float:
            model.step = 0  # the same dropout mask
            outputs = as_tuple(model.forward(alone(x), training=True))
            return float(sum((y * weight).sum() for y, weight in zip(outputs, weights, strict=True)))

        value()
        dx = as_tuple(model.backward(alone(weights)))
        gradients = {name: array.copy() for name, array in model.gradients.items()}
        arrays = {n: (model.weights[n], g) for n, g in gradients.items()}
        if Embedding not in kinds_in(case):  # tokens are whole numbers, and have no gradient
            arrays |= {f"x{i}": pair for i, pair in enumerate(zip(x, dx, strict=True))}
        for name, (array, gradient) in arrays.items():
            direction, step, start = rng.standard_normal(array.shape), 1e-6, array.copy()
            array[...] = start + step * direction
            above = value()
            array[...] = start - step * direction
            below = value()
            array[...] = start
            slope = (above - below) / (2 * step)
            assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-6, abs=1e-7), name


@every_case_without_dropout
def test_float32_is_close_to_float64(case):
    single, double = run(case), run(case, dtype="float64")
    assert max(distance(single[name], double[name]) for name in double) < 1e-5


@every_case
@pytest.mark.parametrize("options", [{}, {"reuse_memory": False}], ids=["again", "without memory reuse"])
def test_same_bits(case, options):
    first, second = run(case), run(case, **options)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name, strict=True)


@every_case_without_dropout
def test_one_worker_is_close_to_two(case):
    one, two = run(case, workers=1, micro_batch=3), run(case)
    assert max(distance(one[name], two[name]) for name in two) < 1e-5
