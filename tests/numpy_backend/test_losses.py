"""Each loss against PyTorch's: its value, its gradients through a network, and its mean over pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cnnspec.layers.activations import LogSoftmax, Sigmoid, Softmax, Tanh
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.numpy_backend import compile_graph
from cnnspec.recipe import CrossEntropy, kinds
from cnnspec.recipe.learning import L1, BinaryCrossEntropy, Huber, Mse
from tests.support.graphs import sequential
from tests.support.models import random_model

torch = pytest.importorskip("torch")
F = torch.nn.functional

COUNT = 12
CLASSES = (0.5, 2.0, 1.0, 0.0, 3.5)


def weighted(loss):
    return None if loss.weights is None else torch.tensor(loss.weights, dtype=torch.float64)


def cross_entropy(loss, z, t):
    return F.cross_entropy(z, t, weight=weighted(loss), label_smoothing=loss.smoothing)


THEIRS = {
    CrossEntropy: cross_entropy,
    BinaryCrossEntropy: lambda loss, z, t: F.binary_cross_entropy_with_logits(z, t),
    Mse: lambda loss, z, t: F.mse_loss(z, t),
    L1: lambda loss, z, t: F.l1_loss(z, t),
    Huber: lambda loss, z, t: F.huber_loss(z, t, delta=loss.delta),
}
LOSSES = [
    CrossEntropy(),
    CrossEntropy(smoothing=0.1),
    CrossEntropy(weights=CLASSES),
    CrossEntropy(smoothing=0.3, weights=CLASSES),
    BinaryCrossEntropy(),
    Mse(),
    L1(),
    Huber(),
    Huber(delta=0.3),
]
SHAPES = {"vector": (5,), "map": (5, 4, 3)}


def network(shape, *last):
    if len(shape) == 1:
        return sequential((3, 4, 3), Dense(units=shape[0]), *last)
    return sequential((3, 4, 3), Conv(channels=shape[0], kernel=1), *last)


def targets_of(loss, shape, rng, count=COUNT):
    if isinstance(loss, CrossEntropy):
        return rng.integers(0, shape[0], (count, *shape[1:]))
    if isinstance(loss, BinaryCrossEntropy):
        return rng.random((count, *shape)).astype(np.float32)
    return rng.standard_normal((count, *shape)).astype(np.float32)


def outputs_and_gradient(model, loss, x, targets):
    """PyTorch's loss of the model's outputs, and their gradient."""
    z = torch.tensor(np.asarray(model.predict(x), np.float64), requires_grad=True)
    value = THEIRS[type(loss)](
        loss, z, torch.tensor(targets if targets.dtype.kind == "i" else targets.astype(float))
    )
    value.backward()
    return value.item(), z.grad.numpy()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("options", [{}, {"workers": 2, "micro_batch": 5}], ids=["whole", "in pieces"])
def test_value_and_gradients_equal_pytorchs(loss, shape, options):
    rng = np.random.default_rng(1)
    graph, facts = network(shape)
    x, targets = rng.standard_normal((COUNT, 3, 4, 3)), targets_of(loss, shape, rng)
    with random_model(graph, facts, rng, batch=COUNT, loss=loss, dtype="float64", **options) as model:
        value, dy = outputs_and_gradient(model, loss, x, targets)
        result = model.loss_and_gradients(x, targets)
        found = {name: gradient.copy() for name, gradient in model.gradients.items()}
        assert result.loss == pytest.approx(value, rel=1e-6)
        assert model.evaluate(x, targets).loss == pytest.approx(value, rel=1e-6)
        model.forward(x, training=True)
        model.backward(dy)
        for name, gradient in model.gradients.items():
            np.testing.assert_allclose(found[name], gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_float32_is_close_to_pytorchs_value(loss):
    rng = np.random.default_rng(2)
    graph, facts = network((5,))
    x, targets = rng.standard_normal((COUNT, 3, 4, 3)).astype(np.float32), targets_of(loss, (5,), rng)
    with random_model(graph, facts, rng, batch=COUNT, loss=loss) as model:
        assert model.evaluate(x, targets).loss == pytest.approx(
            outputs_and_gradient(model, loss, x, targets)[0], rel=1e-5
        )


@pytest.mark.parametrize(
    ("loss", "last"),
    [
        (CrossEntropy(smoothing=0.1), Softmax()),
        (CrossEntropy(weights=CLASSES), LogSoftmax()),
        (BinaryCrossEntropy(), Sigmoid()),
    ],
    ids=str,
)
def test_the_activation_that_a_loss_has_in_it_changes_nothing(loss, last):
    rng = np.random.default_rng(3)
    x, targets = rng.standard_normal((COUNT, 3, 4, 3)), targets_of(loss, (5,), rng)
    results, gradients = [], []
    for end in ((), (last,)):
        graph, facts = network((5,), *end)
        with random_model(graph, facts, np.random.default_rng(4), batch=COUNT, loss=loss) as model:
            results.append(model.loss_and_gradients(x.astype(np.float32), targets))
            gradients.append({name: array.copy() for name, array in model.gradients.items()})
    assert results[0] == results[1]
    for name, array in gradients[0].items():
        np.testing.assert_array_equal(array, gradients[1][name])


@pytest.mark.parametrize("loss", [Mse(), L1(), Huber(delta=0.1)], ids=str)
@pytest.mark.parametrize("last", [Softmax(), Sigmoid(), Tanh()], ids=str)
def test_a_loss_of_numbers_goes_through_the_last_activation(loss, last):
    rng = np.random.default_rng(5)
    graph, facts = network((5,), last)
    x, targets = rng.standard_normal((COUNT, 3, 4, 3)), targets_of(loss, (5,), rng)
    with random_model(graph, facts, rng, batch=COUNT, loss=loss, dtype="float64") as model:
        weight, bias = (
            torch.tensor(model.weights[f"dense1.{name}"], requires_grad=True) for name in ("weight", "bias")
        )
        z = torch.tensor(x).reshape(COUNT, -1) @ weight.T + bias
        y = {"softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "tanh": torch.tanh}[last.keyword](z)
        value = THEIRS[type(loss)](loss, y, torch.tensor(targets.astype(float)))
        value.backward()
        assert model.loss_and_gradients(x, targets).loss == pytest.approx(value.item(), rel=1e-9)
        np.testing.assert_allclose(model.gradients["dense1.weight"], weight.grad.numpy(), atol=1e-12)
        np.testing.assert_allclose(model.gradients["dense1.bias"], bias.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("loss", [Mse(), BinaryCrossEntropy()], ids=str)
def test_class_numbers_stand_for_one_hot_vectors(loss):
    rng = np.random.default_rng(6)
    graph, facts = network((5,))
    x, labels = rng.standard_normal((COUNT, 3, 4, 3)).astype(np.float32), rng.integers(0, 5, COUNT)
    with random_model(graph, facts, rng, batch=COUNT, loss=loss) as model:
        by_number, by_vector = (
            model.evaluate(x, labels),
            model.evaluate(x, np.eye(5, dtype=np.float32)[labels]),
        )
        assert by_number.loss == pytest.approx(by_vector.loss, rel=1e-6)
        right = np.count_nonzero(model.predict(x).argmax(1) == labels)
        assert by_number.correct == right


def test_one_output_takes_a_number_for_each_sample():
    rng = np.random.default_rng(7)
    graph, facts = network((1,))
    x, labels = rng.standard_normal((COUNT, 3, 4, 3)).astype(np.float32), rng.integers(0, 2, COUNT)
    with random_model(graph, facts, rng, batch=COUNT, loss=BinaryCrossEntropy()) as model:
        z = model.predict(x)[:, 0]
        result = model.evaluate(x, labels)
        assert result.loss == pytest.approx(np.mean(np.logaddexp(0, z) - labels * z), rel=1e-5)
        assert result.correct == np.count_nonzero((z > 0) == labels)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_huge_outputs_give_a_finite_loss_and_gradient(loss):
    rng = np.random.default_rng(8)
    graph, facts = network((5,))
    x, targets = 1e4 * rng.standard_normal((COUNT, 3, 4, 3)), targets_of(loss, (5,), rng)
    with (
        random_model(graph, facts, rng, batch=COUNT, loss=loss) as model,
        np.errstate(all="raise", under="ignore"),
    ):
        assert np.isfinite(model.loss_and_gradients(x.astype(np.float32), targets).loss)
        assert all(np.isfinite(gradient).all() for gradient in model.gradients.values())


@settings(max_examples=40, deadline=None)
@given(
    loss=st.sampled_from(LOSSES),
    count=st.integers(1, 9),
    piece=st.integers(1, 9),
    workers=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_the_mean_is_that_over_samples_however_they_are_cut(loss, count, piece, workers, seed):
    """Batches of any size, and pieces of them, weighted as the results say.

    The mean of a batch whose classes weigh nothing has no value (in PyTorch it is infinite): it is left out.
    """
    rng = np.random.default_rng(seed)
    graph, facts = network((5,))
    x, targets = rng.standard_normal((9, 3, 4, 3)), targets_of(loss, (5,), rng, 9)
    options = {"loss": loss, "dtype": "float64", "workers": workers, "micro_batch": piece}
    with random_model(graph, facts, rng, batch=9, **options) as model:
        whole = model.evaluate(x, targets)
        parts = [
            model.loss_and_gradients(x[i : i + count], targets[i : i + count]) for i in range(0, 9, count)
        ]
    assume(all(part.weight for part in parts))
    total = sum(part.loss * part.weight for part in parts)
    assert total == pytest.approx(whole.loss * whole.weight, rel=1e-9, abs=1e-12)
    assert sum(part.weight for part in parts) == pytest.approx(whole.weight)
    assert sum(part.correct for part in parts) == pytest.approx(whole.correct)


@pytest.mark.parametrize(
    ("loss", "targets", "words"),
    [
        (
            CrossEntropy(),
            np.zeros((COUNT, 5), int),
            "labels must be 12 whole numbers, one an image, not 12x5",
        ),
        (CrossEntropy(), np.full(COUNT, 5), "label 5 is no class: there are 5, from 0"),
        (Mse(), np.zeros((COUNT, 4)), "targets must be 12x5, one for each output, not 12x4"),
        (Mse(), np.full(COUNT, 5), "label 5 is no class: there are 5, from 0"),
        (Mse(), np.array(["a"] * COUNT), "targets must be numbers"),
        (
            BinaryCrossEntropy(),
            np.full((COUNT, 5), 1.5),
            "targets of binary_cross_entropy must be from 0 to 1",
        ),
    ],
)
def test_wrong_targets_are_refused(loss, targets, words: str):
    rng = np.random.default_rng(9)
    graph, facts = network((5,))
    with (
        random_model(graph, facts, rng, batch=COUNT, loss=loss) as model,
        pytest.raises(ValueError, match=words),
    ):
        model.loss_and_gradients(rng.standard_normal((COUNT, 3, 4, 3)).astype(np.float32), targets)


def test_weights_for_other_classes_are_refused_when_the_plan_is_made():
    with pytest.raises(ValueError, match="weights of 3 classes, not 5"):
        compile_graph(*network((5,)), batch=1, loss=CrossEntropy(weights=(1, 2, 3)))


def test_every_loss_of_the_language_is_tried_here():
    assert {type(loss) for loss in LOSSES} == set(kinds("loss").values())
