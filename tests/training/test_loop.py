"""The loop: means over samples, the order of the batches, and the stop when a loss is no number."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from cnnspec.layers.activations import Softmax
from cnnspec.layers.dense import Dense
from cnnspec.recipe import Recipe, Sgd, XavierUniform
from cnnspec.training import DataSet, Diverged, train
from cnnspec.training.feed import shuffled
from cnnspec.training.initializers import initial_weights
from cnnspec.training.loop import Course, Mean, Position, Step, epochs, train_epoch
from cnnspec.training.schedules import Schedule
from cnnspec.training.train import usable_batch
from tests.support.graphs import sequential


@dataclass
class Result:
    loss: float
    correct: int
    count: int
    top5: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0

    @property
    def weight(self) -> float:
        return self.count


@dataclass
class Fake:
    """A model whose loss on a sample is the sample's own value; it notes what it was asked."""

    fail_at: int | None = None
    test_loss: float = 0.5
    schedule: Schedule = field(default_factory=lambda: Schedule(0.1, batches=1, epochs=1))
    seen: list[list[int]] = field(default_factory=list)

    def train_batch(self, x, labels, indices) -> Result:
        self.seen.append(indices.tolist())
        if self.fail_at == len(self.seen):
            return Result(math.nan, 0, len(indices))
        chosen = x[indices].reshape(len(indices), -1)[:, 0]
        return Result(float(chosen.mean()), int(labels[indices].sum()), len(indices))

    def evaluate(self, x, labels) -> Result:
        return Result(self.test_loss, 1, len(labels))


def data_of(count: int) -> DataSet:
    x = np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1) ** 2
    y = np.arange(count, dtype=np.int64) % 2
    return DataSet("made", x, y, x[:2], y[:2], ("even", "odd"))


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 7, 10, 11, 1000])
def test_the_mean_loss_is_that_over_samples_whatever_the_batch(batch: int):
    data = data_of(10)  # the squares of 0 to 9: 285 / 10
    mean = train_epoch(Fake(), data, Course(batch, 1, seed=0), Position()).mean
    assert mean.loss == pytest.approx(28.5)
    assert mean.accuracy == pytest.approx(0.5)
    assert mean.count == 10


@pytest.mark.parametrize(("count", "batch", "sizes"), [(10, 4, [4, 4, 2]), (3, 8, [3]), (1, 64, [1])])
def test_the_last_batch_is_as_short_as_it_comes(count: int, batch: int, sizes: list[int]):
    model = Fake()
    train_epoch(model, data_of(count), Course(batch, 1, seed=0), Position())
    assert [len(indices) for indices in model.seen] == sizes
    assert sorted(index for indices in model.seen for index in indices) == list(range(count))


def test_the_order_follows_from_seed_and_epoch_alone():
    np.testing.assert_array_equal(shuffled(1000, 3, 7), shuffled(1000, 3, 7))
    orders = {tuple(shuffled(1000, seed, epoch)) for seed in range(3) for epoch in range(1, 4)}
    assert len(orders) == 9


def test_steps_are_reported_with_their_place():
    steps: list[Step] = []
    list(epochs(Fake(), data_of(5), Course(2, 2, seed=0), on_step=steps.append))
    assert [(step.epoch, step.batch, step.batches) for step in steps] == [
        (1, 1, 3),
        (1, 2, 3),
        (1, 3, 3),
        (2, 1, 3),
        (2, 2, 3),
        (2, 3, 3),
    ]


@pytest.mark.parametrize("stop", range(13))
def test_a_loop_that_begins_at_a_position_does_what_one_would_that_came_to_it(stop: int):
    course, data = Course(2, 3, seed=5), data_of(7)  # three epochs of four batches
    whole, steps = Fake(), [Step(Position(), 4, 0.0, 0.0)]
    figures = list(epochs(whole, data, course, on_step=steps.append))
    rest = Fake()
    later = list(epochs(rest, data, course, steps[stop].position))
    assert rest.seen == whole.seen[stop:]
    done = max(0, -(-stop // 4) - 1)
    assert [epoch.figures for epoch in later] == [epoch.figures for epoch in figures[done:]]


def test_a_position_counts_batches_epochs_and_updates():
    position = Position().after_batch(Result(2.0, 1, 4)).after_batch(Result(5.0, 2, 2))
    assert position == Position(1, 2, 2, Mean(18.0, 6.0, 3.0, 6))
    assert position.after_epoch() == Position(2, 0, 2, Mean())


def test_a_loss_that_is_no_number_stops_and_names_epoch_and_batch():
    model = Fake(fail_at=5)
    running = epochs(model, data_of(6), Course(2, 10, seed=0))
    assert next(running).number == 1
    with pytest.raises(Diverged) as caught:
        next(running)
    assert caught.value.message == "the loss is nan in epoch 2, batch 2 of 3: training has diverged"
    assert "`lr`" in caught.value.help[0]
    assert len(model.seen) == 5


def test_a_test_loss_that_is_no_number_stops_before_the_epoch_counts():
    with pytest.raises(Diverged, match="the loss is inf in epoch 1, on the test part after it"):
        list(epochs(Fake(test_loss=math.inf), data_of(6), Course(2, 10, seed=0)))


# --- with the real backend --------------------------------------------------------------------------------


def small_data(count: int) -> DataSet:
    random = np.random.default_rng(0)
    x = random.standard_normal((count, 1, 4, 4)).astype(np.float32)
    y = random.integers(0, 3, count)
    return DataSet("made", x, y, x, y, ("a", "b", "c"))


def network():
    return sequential((1, 4, 4), Dense(units=8), Dense(units=3), Softmax())


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (3, 8), (1, 64)])
def test_training_equals_pytorch_batch_by_batch(torch, count: int, batch: int):
    data = small_data(count)
    recipe = Recipe(optimizer=Sgd(lr=0.1, momentum=0.9), init=XavierUniform(), batch=batch, epochs=3, seed=4)
    graph, facts = network()
    start = {name: array.copy() for name, array in initial_weights(graph, facts, recipe)}
    ours = train(graph, facts, recipe, data)
    ours.model.close()

    theirs = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Linear(8, 3))
    with torch.no_grad():
        for parameter, array in zip(theirs.parameters(), start.values(), strict=True):
            parameter.copy_(torch.from_numpy(array))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    x, y = torch.from_numpy(data.train_x), torch.from_numpy(data.train_y)
    for epoch in ours.history:
        order = torch.from_numpy(shuffled(count, 4, epoch.number))
        total = 0.0
        for indices in order.split(batch):
            loss = torch.nn.functional.cross_entropy(theirs(x[indices]), y[indices])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(indices)
        test = torch.nn.functional.cross_entropy(theirs(x), y).item()
        assert epoch.train_loss == pytest.approx(total / count, rel=1e-4)
        assert epoch.test_loss == pytest.approx(test, rel=1e-4)
    for array, parameter in zip(ours.model.weights.values(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(array, parameter.detach().numpy(), rtol=1e-3, atol=1e-5)


def test_training_twice_gives_the_same_bits():
    results = []
    for _ in range(2):
        graph, facts = network()
        result = train(graph, facts, Recipe(batch=4, epochs=2, seed=1), small_data(10))
        result.model.close()
        results.append({name: array.tobytes() for name, array in result.model.weights.items()})
    assert results[0] == results[1]


def test_a_learning_rate_beyond_reason_diverges_without_a_warning():
    graph, facts = network()
    with pytest.raises(Diverged):
        train(graph, facts, Recipe(optimizer=Sgd(lr=1e30), batch=4, epochs=20), small_data(10))


def test_a_batch_larger_than_the_data_takes_no_more_memory_than_the_data():
    assert usable_batch(Recipe(batch=10**9), small_data(10)) == 10
    graph, facts = network()
    result = train(graph, facts, Recipe(batch=10**9, epochs=1), small_data(10))
    result.model.close()
    assert result.history[0].number == 1


def test_train_step_gives_the_loss_before_the_update():
    from cnnspec.training import build_model

    graph, facts = network()
    data = small_data(10)
    model = build_model(graph, facts, Recipe(optimizer=Sgd(lr=0.1), batch=10))
    before = model.evaluate(data.train_x, data.train_y).loss
    assert model.train_step(data.train_x, data.train_y) == pytest.approx(before, rel=1e-5)
    assert model.train_step(data.train_x, data.train_y) < before
    model.close()
