"""Every algorithm of a convolution beside every other and beside PyTorch; the choice, and its limits."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.layers import LayerError
from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.pooling import MaxPool
from cnnspec.numpy_backend import make_plan
from cnnspec.numpy_backend.choices import BadChoices, Choices
from cnnspec.numpy_backend.costs import Conditions
from cnnspec.numpy_backend.fitting import CannotFit, plan_within
from cnnspec.numpy_backend.selection import UnknownAlgorithm, select_kernels
from tests.support.graphs import sequential
from tests.support.lenet import lenet
from tests.support.models import distance, random_model

TOLERANCE = {"float32": 1e-4, "float64": 1e-10}


# --- beside each other and PyTorch ----------------------------------------------------------------------


def draw(seed):
    """A random convolution, more often than not one that several algorithms can compute, and its input."""
    rng = np.random.default_rng(seed)
    plain = rng.random() < 0.6
    while True:
        groups = 1 if plain else int(rng.choice([1, 2, 4]))
        shape = (4 * int(rng.integers(1, 4)), *map(int, rng.integers(4, 13, 2)))
        layer = Conv(
            channels=4 * int(rng.integers(1, 4)),
            kernel=3 if plain else tuple(map(int, rng.integers(1, 6, 2))),
            stride=1 if plain else tuple(map(int, rng.integers(1, 4, 2))),
            padding=tuple(map(int, rng.integers(0, 4, 4))),
            dilation=1 if plain else tuple(map(int, rng.integers(1, 3, 2))),
            groups=groups,
            bias=bool(rng.random() < 0.5),
        )
        layers = [layer, MaxPool(kernel=2)] if rng.random() < 0.5 else [layer]
        try:
            return sequential(shape, *layers), layer, shape, rng
        except LayerError:
            continue


def drawn_gradient(shape):
    """Numbers about 1, so that no sum of them cancels."""
    return 1 + np.sin(np.arange(np.prod(shape))).reshape(shape)


def passes(network, way, x, dtype, **options):
    """The output, and a function from its gradient to all others."""
    choices = Choices({"conv1": way} if way else {})
    rng = np.random.default_rng(5)
    model = random_model(
        *network,
        rng,
        batch=len(x),
        workers=1,
        micro_batch=3,
        dtype=dtype,
        choices=choices,
        loss=None,
        **options,
    )
    with model:
        y = model.forward(x, training=True)
        dx = model.backward(drawn_gradient(y.shape).astype(dtype))
        return {"y": y, "dx": dx, **{name: g.copy() for name, g in model.gradients.items()}}, dict(
            model.weights
        )


def predictions(network, way, x, dtype, **options):
    """The output alone, of a model that does not learn."""
    choices = Choices({"conv1": way} if way else {})
    given = {"batch": len(x), "workers": 1, "micro_batch": 3, "dtype": dtype, "loss": None, "training": False}
    with random_model(*network, np.random.default_rng(5), choices=choices, **given, **options) as model:
        return model.predict(x)


def by_pytorch(torch, network, layer, x, weights):
    """The same of PyTorch."""
    leaf = torch.tensor(x, requires_grad=True)
    given = {name: torch.tensor(array.copy(), requires_grad=True) for name, array in weights.items()}
    top, bottom, left, right = layer.padding
    y = torch.nn.functional.conv2d(
        torch.nn.functional.pad(leaf, (left, right, top, bottom)),
        given["conv1.weight"],
        given.get("conv1.bias"),
        stride=layer.stride,
        dilation=layer.dilation,
        groups=layer.groups,
    )
    if len(network[0].nodes) > 2:
        y = torch.nn.functional.max_pool2d(y, 2)
    y.backward(torch.tensor(drawn_gradient(y.shape).astype(x.dtype)))
    found = {"y": y.detach().numpy(), "dx": leaf.grad.numpy()}
    return {**found, **{name: tensor.grad.numpy() for name, tensor in given.items()}}


def assert_all_agree(torch, seed, dtype):
    network, layer, shape, rng = draw(seed)
    x = rng.standard_normal((int(rng.integers(1, 8)), *shape)).astype(dtype)
    (selected,) = select_kernels(*network, Conditions(3, True), {})[1:2]
    ways = selected.rivals or ("",)
    results = {way: passes(network, way, x, dtype)[0] for way in ways}
    weights = passes(network, ways[0], x, dtype)[1]
    results["PyTorch"] = by_pytorch(torch, network, layer, x, weights)
    for way, one in results.items():
        for name, expected in results["PyTorch"].items():
            assert distance(one[name], expected) < TOLERANCE[dtype], (str(layer), way, name)
    of_prediction = select_kernels(*network, Conditions(3, False), {})[1].rivals or ("",)
    for way in of_prediction:
        y = predictions(network, way, x, dtype)
        assert distance(y, results["PyTorch"]["y"]) < TOLERANCE[dtype], (str(layer), way)
    return {*ways, *of_prediction}


def test_every_algorithm_agrees_with_every_other_and_with_pytorch(torch):
    seen = set()
    for seed in range(12):
        seen |= assert_all_agree(torch, seed, "float32" if seed % 3 else "float64")
    assert seen >= {"im2col", "tiles", "shifts", "winograd-2x2", "winograd-4x4"}


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(500))
def test_every_algorithm_agrees_on_many_shapes(torch, seed):
    assert_all_agree(torch, seed, "float64")
    assert_all_agree(torch, 10_000 + seed, "float32")


@pytest.mark.parametrize("seed", range(15))
def test_planned_equals_unplanned_to_the_bit(seed):
    network, _, shape, rng = draw(seed)
    x = rng.standard_normal((5, *shape)).astype("float32")
    for way in select_kernels(*network, Conditions(3, True), {})[1].rivals:
        planned, apart = (
            passes(network, way, x, "float32", reuse_memory=reuse)[0] for reuse in (True, False)
        )
        assert all(np.array_equal(planned[name], apart[name]) for name in planned), way
    for way in select_kernels(*network, Conditions(3, False), {})[1].rivals:
        planned, apart = (
            predictions(network, way, x, "float32", reuse_memory=reuse) for reuse in (True, False)
        )
        assert np.array_equal(planned, apart), way


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    way=st.sampled_from(["im2col", "shifts", "winograd-2x2", "winograd-4x4"]),
    training=st.booleans(),
    micro_batch=st.integers(1, 9),
)
def test_no_two_live_buffers_of_a_plan_overlap(seed, way, training, micro_batch):
    graph, facts = draw(seed)[0]
    ways = select_kernels(graph, facts, Conditions(1, training), {})[1].rivals
    choices = Choices({"conv1": way} if way in ways else {}, workers=1, micro_batch=micro_batch)
    plan = make_plan(graph, facts, batch=9, training=training, choices=choices)
    alive = [b.lifetime(plan.micro_batch, plan.dtype.itemsize) for b in plan.buffers.all]
    places = [(start, start + buffer.size) for start, buffer in zip(plan.offsets, alive, strict=True)]
    for i, (one, (start, end)) in enumerate(zip(alive, places, strict=True)):
        assert end <= plan.arena_bytes
        for other, (begin, stop) in zip(alive[:i], places[:i], strict=True):
            assert not one.meets(other) or end <= begin or stop <= start


# --- the choice -----------------------------------------------------------------------------------------


def chosen(shape, *layers, **options):
    """The name of the algorithm of the first convolution, and why."""
    plan = make_plan(*sequential(shape, *layers), **{"batch": 32, "training": False, "workers": 1} | options)
    return plan.kernels[1].name, plan.steps[1].why


def test_many_channels_are_convolved_by_winograd():
    name, why = chosen((128, 28, 28), Conv(channels=128, kernel=3, padding=1))
    assert name == "winograd-4x4"
    assert "estimated" in why
    assert "im2col" in why
    assert "16 images" in why


def test_a_colour_image_is_convolved_by_patches_where_it_is_learned_from():
    assert chosen((3, 64, 64), Conv(channels=16, kernel=3, padding=1), training=True)[0] == "im2col"
    assert chosen((3, 64, 64), Conv(channels=16, kernel=3, padding=1))[0] == "shifts"


def test_few_channels_before_a_pooling_are_convolved_by_tiles():
    graph, facts = lenet()
    assert make_plan(graph, facts, batch=64).kernels[1].name == "tiles"


def test_few_channels_are_predicted_by_shifts():
    plan = make_plan(*lenet(), batch=64, training=False)
    assert plan.kernels[1].name == "shifts"
    assert chosen((16, 32, 32), Conv(channels=16, kernel=5, padding=2))[0] == "shifts"


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 9), {"kernel": 4, "stride": 2, "padding": 1}),
        ((3, 10), {"kernel": 3, "dilation": 1}),
        ((2, 7, 6, 9), {"kernel": (3, 2, 4), "stride": (2, 1, 3), "padding": (1, 0, 2)}),
        ((4, 30, 70), {"kernel": (5, 3), "dilation": (1, 2), "padding": (2, 1), "groups": 2}),
    ],
    ids=str,
)
def test_shifts_along_any_number_of_axes(shape, options):
    network = sequential(shape, Conv(channels=4, **options))
    for count in (1, 5):
        x = np.random.default_rng(0).standard_normal((count, *shape))
        expected = predictions(network, "im2col", x, "float64")
        assert distance(predictions(network, "shifts", x, "float64"), expected) < 1e-12


def test_shifts_in_blocks_of_rows():
    network = sequential((3, 90, 120), Conv(channels=6, kernel=5, padding=2), MaxPool(kernel=2))
    x = np.random.default_rng(0).standard_normal((40, 3, 90, 120)).astype("float32")
    for options in ({"micro_batch": 1}, {"micro_batch": 20}):
        given = {"batch": 40, "workers": 1, "training": False, "loss": None, **options}
        by_way = []
        for way in ("im2col", "shifts"):
            choices = Choices({"conv1": way})
            with random_model(*network, np.random.default_rng(5), choices=choices, **given) as model:
                by_way.append(model.predict(x))
        assert distance(by_way[1], by_way[0]) < 1e-5


def test_shifts_are_for_prediction_alone():
    with pytest.raises(UnknownAlgorithm):
        make_plan(*lenet(), batch=64, choices=Choices({"conv1": "shifts"}))


def test_a_point_needs_no_patches():
    name, why = chosen((8, 5, 5), Conv(channels=4, kernel=1))
    assert (name, why) == ("direct", "a 1x1 kernel needs no patches")


def test_estimates_name_the_cheapest():
    (selected,) = select_kernels(
        *sequential((16, 32, 32), Conv(channels=16, kernel=3)), Conditions(16, True), {}
    )[1:]
    cheapest = selected.rivals[selected.estimates.index(min(selected.estimates))]
    assert selected.kind.name == cheapest


def test_the_plan_is_the_same_every_time():
    plans = [make_plan(*lenet(), batch=64) for _ in range(2)]
    assert plans[0].choices == plans[1].choices


# --- choices that are given -----------------------------------------------------------------------------


def test_choices_survive_being_written_down():
    plan = make_plan(*lenet(), batch=64)
    again = Choices.from_json(plan.choices.as_json())
    assert again == plan.choices
    assert (
        make_plan(*lenet(), batch=64, choices=again).steps
        == make_plan(*lenet(), batch=64, choices=plan.choices).steps
    )


def test_choices_are_followed():
    choices = Choices({"conv2": "im2col"}, workers=1, micro_batch=4)
    plan = make_plan(*lenet(), batch=64, choices=choices)
    assert (plan.workers, plan.micro_batch) == (1, 4)
    by_name = dict(zip((n.name for n in plan.graph.nodes), plan.kernels, strict=True))
    assert by_name["conv2"].name == "im2col"
    assert by_name["conv2"].why == "as chosen"


@pytest.mark.parametrize(
    ("algorithms", "message"),
    [
        ({"conv9": "im2col"}, "the network has no layer `conv9`"),
        ({"conv1": "fft"}, "`conv1` cannot be computed by `fft`: the ways are im2col, tiles"),
        ({"dense1": "tiles"}, "`dense1` cannot be computed by `tiles`: there is but one way"),
    ],
)
def test_choices_that_cannot_be_had_are_refused(algorithms, message):
    with pytest.raises(UnknownAlgorithm) as caught:
        make_plan(*lenet(), batch=4, choices=Choices(algorithms))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format": 1, "algorithms": {"a": 1}}',
        '{"format": 1, "algorithms": {}, "workers": 0}',
        '{"format": 1, "algorithms": {}, "micro_batch": true}',
    ],
)
def test_texts_that_hold_no_choices_are_refused(text):
    with pytest.raises(BadChoices):
        Choices.from_json(text)


# --- within some memory ---------------------------------------------------------------------------------


def planner(network, batch, **options):
    return lambda choices: make_plan(*network, batch=batch, choices=choices, **options)


def test_less_memory_makes_pieces_smaller():
    plan = planner(lenet(), 256)
    free = plan(Choices()).total_bytes
    within = plan_within(plan, Choices(), int(free * 0.6))
    assert within.total_bytes <= free * 0.6
    assert within.micro_batch < plan(Choices()).micro_batch


def test_the_least_memory_that_is_named_can_be_had():
    plan = planner(lenet(), 64)
    with pytest.raises(CannotFit) as caught:
        plan_within(plan, Choices(), 1000)
    least = caught.value.least.total_bytes
    assert plan_within(plan, Choices(), least).total_bytes == least
    assert "one image at a time by one worker" in caught.value.why


@pytest.mark.parametrize("training", [True, False])
def test_no_layer_is_said_to_need_more_than_the_network(training):
    """The pooling has a map and its gradient, and what it keeps: not all at a time."""
    network = sequential((3, 64, 64), Conv(channels=8, kernel=3), MaxPool(kernel=2), Dense(units=2))
    with pytest.raises(CannotFit) as caught:
        plan_within(planner(network, 4, training=training), Choices(), 1000)
    least = caught.value.least
    name, number, unit = re.search(r"`(\w+)` needs most, ([\d.]+) (\wB)", caught.value.why).groups()
    said = float(number) * {"kB": 1e3, "MB": 1e6}[unit]
    map_bytes = 8 * 62 * 62 * 4
    assert name == "conv1"
    assert map_bytes <= said <= least.total_bytes < sum(least.bytes_by_node.values())


def test_little_memory_takes_algorithms_that_need_little():
    network = sequential((32, 8, 8), Conv(channels=32, kernel=3, padding=1), Relu())
    plan = planner(network, 1, training=False)
    assert plan(Choices({"conv1": "winograd-4x4"})).total_bytes > 1_200_000
    within = plan_within(plan, Choices({"conv1": "winograd-4x4"}), 1_200_000)
    assert within.kernels[1].name == "im2col"


def test_a_batch_norm_in_training_keeps_the_whole_batch():
    network = sequential((3, 16, 16), Conv(channels=8, kernel=3, padding=1), BatchNorm(), Relu())
    with pytest.raises(CannotFit) as caught:
        plan_within(planner(network, 64), Choices(), 500_000)
    assert "`batchnorm1` normalise" in caught.value.why
    assert "64 images" in caught.value.why
