"""The updates against PyTorch's."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.layers.dense import Dense
from cnnspec.network.learning import freeze_layers
from cnnspec.recipe import Clip, Freeze, Sgd, kinds
from cnnspec.recipe.learning import Adam, Adamw, Rmsprop
from cnnspec.training.optimizers import Part, clip_gradients, make_update, parts_of, state_bytes
from cnnspec.training.optimizers.update import CHUNK
from tests.support.graphs import sequential

STEPS = 50


CASES = {
    "sgd": (Sgd(lr=0.1), "SGD", {"lr": 0.1}),
    "sgd of a large rate": (Sgd(lr=0.9), "SGD", {"lr": 0.9}),
    "momentum": (Sgd(lr=0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "decay": (Sgd(lr=0.1, weight_decay=5e-2), "SGD", {"lr": 0.1, "weight_decay": 5e-2}),
    "momentum, decay": (
        Sgd(lr=0.05, momentum=0.9, weight_decay=0.1),
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
    ),
    "nesterov": (
        Sgd(lr=0.05, momentum=0.9, nesterov=True),
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "nesterov, decay": (
        Sgd(lr=0.05, momentum=0.5, nesterov=True, weight_decay=0.1),
        "SGD",
        {"lr": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
    ),
    "adam": (Adam(), "Adam", {}),
    "adam, all options": (
        Adam(lr=0.01, beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.1),
        "Adam",
        {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
    ),
    "adamw": (Adamw(), "AdamW", {}),
    "adamw, all options": (
        Adamw(lr=0.02, beta1=0.7, beta2=0.9, eps=1e-6, weight_decay=0.3),
        "AdamW",
        {"lr": 0.02, "betas": (0.7, 0.9), "eps": 1e-6, "weight_decay": 0.3},
    ),
    "rmsprop": (Rmsprop(), "RMSprop", {}),
    "rmsprop, centered": (Rmsprop(lr=0.005, centered=True), "RMSprop", {"lr": 0.005, "centered": True}),
    "rmsprop, all options": (
        Rmsprop(lr=0.002, alpha=0.9, eps=1e-5, momentum=0.8, centered=True, weight_decay=0.1),
        "RMSprop",
        {
            "lr": 0.002,
            "alpha": 0.9,
            "eps": 1e-5,
            "momentum": 0.8,
            "centered": True,
            "weight_decay": 0.1,
        },
    ),
    "rmsprop, momentum": (Rmsprop(momentum=0.9, lr=0.001), "RMSprop", {"momentum": 0.9, "lr": 0.001}),
}
SHAPES = {"conv1.weight": (6, 1, 5, 5), "conv1.bias": (6,), "dense1.weight": (10, 84)}


def drawn(random, scale=1.0):
    return {
        name: (scale * random.standard_normal(shape)).astype(np.float32) for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_fifty_steps_equal_pytorchs(torch, case: str):
    declared, name, options = CASES[case]
    random = np.random.default_rng(3)
    weights, gradients = drawn(random), drawn(random, 0)
    parameters = {key: torch.nn.Parameter(torch.from_numpy(w.copy())) for key, w in weights.items()}
    theirs = getattr(torch.optim, name)(parameters.values(), **options)
    ours = make_update(declared, parts_of(weights, gradients))
    for _ in range(STEPS):
        for key, gradient in drawn(random, 0.1).items():
            gradients[key][...] = gradient
            parameters[key].grad = torch.from_numpy(gradient.copy())
        theirs.step()
        ours.step()
    for key, weight in weights.items():
        np.testing.assert_allclose(weight, parameters[key].detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_quadratic_is_descended_as_pytorch_descends_it(torch, case: str):
    """`sum(c (w - 1)^2)`, whose gradient is of the weights themselves, so that differences would add up."""
    declared, name, options = CASES[case]
    curvature = np.linspace(0.05, 0.6, 40).astype(np.float32)
    weight, gradient = np.zeros(40, np.float32), np.zeros(40, np.float32)
    parameter = torch.nn.Parameter(torch.zeros(40))
    theirs = getattr(torch.optim, name)([parameter], **options)
    ours = make_update(declared, parts_of({"w": weight}, {"w": gradient}))
    for _ in range(STEPS):
        gradient[...] = 2 * curvature * (weight - 1)
        ours.step()
        theirs.zero_grad()
        (torch.from_numpy(curvature) * (parameter - 1) ** 2).sum().backward()
        theirs.step()
    np.testing.assert_allclose(weight, parameter.detach().numpy(), rtol=1e-5, atol=1e-5)
    assert np.abs(weight - 1).mean() < 1


@pytest.mark.parametrize("case", CASES)
def test_a_state_that_is_loaded_goes_on_bit_for_bit(case: str):
    declared = CASES[case][0]
    random = np.random.default_rng(0)
    steps = [drawn(random) for _ in range(7)]

    def run(update, weights, gradients, part):
        for step in part:
            for key, gradient in step.items():
                gradients[key][...] = gradient
            update.step()

    whole, gradients = drawn(np.random.default_rng(1)), drawn(random)
    update = make_update(declared, parts_of(whole, gradients))
    run(update, whole, gradients, steps[:4])
    kept = {name: array.copy() for name, array in update.state().items()}
    resumed, own = {name: array.copy() for name, array in whole.items()}, drawn(random)
    run(update, whole, gradients, steps[4:])
    again = make_update(declared, parts_of(resumed, own))
    again.load_state(kept)
    assert again.steps == 4
    run(again, resumed, own, steps[4:])
    for name, array in whole.items():
        assert array.tobytes() == resumed[name].tobytes()


def test_states_are_named_after_what_they_hold_and_belong_to_one_kind():
    random = np.random.default_rng(0)
    adam = make_update(Adam(), parts_of(drawn(random), drawn(random)))
    assert set(adam.state()) == {
        "step",
        *(f"{slot}/{name}" for slot in ("mean", "square") for name in SHAPES),
    }
    assert adam.state()["mean/conv1.weight"].shape == (6, 1, 5, 5)
    sgd = make_update(Sgd(momentum=0.9), parts_of(drawn(random), drawn(random)))
    with pytest.raises(
        ValueError, match=r"this is no state of the optimizer: `momentum/conv1.weight` is missing"
    ):
        sgd.load_state(adam.state())
    plain = make_update(Sgd(), parts_of(drawn(random), drawn(random)))
    with pytest.raises(ValueError, match=r"`momentum/conv1.weight` has no place"):
        plain.load_state(sgd.state())
    wrong = {**sgd.state(), "momentum/conv1.bias": np.zeros(7)}
    with pytest.raises(ValueError, match=r"`momentum/conv1.bias` is 7, not 6"):
        sgd.load_state(wrong)


def test_arrays_longer_than_a_chunk_are_changed_to_their_ends():
    size = 2 * CHUNK + 5
    random = np.random.default_rng(0)
    weight, gradient = (random.standard_normal(size).astype(np.float32) for _ in range(2))
    wanted = weight - np.float32(0.5) * gradient
    make_update(Sgd(lr=0.5), parts_of({"w": weight}, {"w": gradient})).step()
    np.testing.assert_array_equal(weight, wanted)


# --- clipping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "clip", [Clip(norm=1.0), Clip(norm=1e-3), Clip(norm=1e6), Clip(value=0.05), Clip(norm=0.5, value=0.01)]
)
def test_clipping_equals_pytorchs(torch, clip: Clip):
    random = np.random.default_rng(5)
    gradients = drawn(random, 0.1)
    parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES.values()]
    for parameter, gradient in zip(parameters, gradients.values(), strict=True):
        parameter.grad = torch.from_numpy(gradient.copy())
    if clip.value is not None:
        torch.nn.utils.clip_grad_value_(parameters, clip.value)
    if clip.norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip.norm)
    clip_gradients(clip, parts_of(drawn(random), gradients))
    for parameter, gradient in zip(parameters, gradients.values(), strict=True):
        np.testing.assert_allclose(gradient, parameter.grad.numpy(), rtol=1e-5, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=50), norm=st.floats(0.01, 100))
def test_the_norm_is_bounded_and_the_direction_kept(values: list[float], norm: float):
    gradient = np.array(values, np.float32)
    before = gradient.astype(np.float64)
    clip_gradients(Clip(norm=norm), parts_of({"w": np.zeros_like(gradient)}, {"w": gradient}))
    length = np.linalg.norm(before)
    assert np.linalg.norm(gradient.astype(np.float64)) <= norm * 1.0001
    if length < norm * 0.999:
        np.testing.assert_array_equal(gradient, before.astype(np.float32))
    elif length > 0:
        np.testing.assert_allclose(gradient * (length / norm), before, rtol=1e-3, atol=1e-3)


def test_momentum_follows_the_formula_by_hand():
    weight, gradient = np.array([1.0], np.float32), np.array([0.5], np.float32)
    update = make_update(Sgd(lr=0.1, momentum=0.9), parts_of({"w": weight}, {"w": gradient}))
    update.step()  # v = 0.5, w = 1 - 0.05
    assert weight[0] == pytest.approx(0.95)
    update.step()  # v = 0.9 * 0.5 + 0.5 = 0.95, w = 0.95 - 0.095
    assert weight[0] == pytest.approx(0.855)


@pytest.mark.parametrize("case", CASES)
def test_a_step_changes_the_arrays_in_place_and_allocates_nothing(case: str):
    weights = {"w": np.ones((400, 120), np.float32), "b": np.ones(120, np.float32)}
    gradients = {name: np.ones_like(array) for name, array in weights.items()}
    before = weights["w"]
    update = make_update(CASES[case][0], parts_of(weights, gradients))
    update.step()
    tracemalloc.start()
    try:
        update.step()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert weights["w"] is before
    assert peak < 4096, "no array is made: the smallest weight has 480 bytes, the largest 192,000"
    np.testing.assert_array_equal(gradients["w"], 1)


def test_every_optimizer_of_the_language_has_an_update_and_a_case_here():
    assert {type(declared) for declared, _, _ in CASES.values()} == set(kinds("optimizer").values())


@pytest.mark.parametrize("case", CASES)
def test_the_memory_of_an_update_is_what_is_foretold(case: str):
    graph, facts = sequential((40,), Dense(units=500), Dense(units=300))
    weights = {
        f"{node.name}.{weight.name}": np.zeros(weight.shape, np.float32)
        for node, layer in zip(graph.nodes, facts.layers, strict=True)
        for weight in layer.weights
    }
    size = sum(array.size for array in weights.values())
    parts = [Part(np.zeros(size, np.float32), np.zeros(size, np.float32), {"all": (0, (size,))})]
    tracemalloc.start()
    try:
        update = make_update(CASES[case][0], parts)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert update.steps == 0
    assert state_bytes(CASES[case][0], facts) == pytest.approx(taken, rel=0.02)


def test_frozen_weights_take_no_memory_of_an_update():
    graph, facts = sequential((40,), Dense(units=500), Dense(units=300))
    held = freeze_layers(graph, facts, Freeze(layers=("dense1",)))
    assert state_bytes(Adam(), held) == 4 * (2 * 150_300 + CHUNK)
