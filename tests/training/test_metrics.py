"""Accuracy, top-5, MAE and R2 beside PyTorch and their definitions, however the samples are cut."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.layers.activations import Softmax
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.recipe import CrossEntropy
from cnnspec.recipe.learning import L1, BinaryCrossEntropy, Huber, Mse
from cnnspec.training import DataSet, TrainingError
from cnnspec.training.metrics import Gathered, Measures, measures_for
from tests.support.graphs import sequential
from tests.support.models import random_model

CLASSIFIER = """network Classes {
    input 1x6x6
    dense 8 -> softmax
}

train {
    loss cross_entropy
    batch 7
    epochs 2
    keep best=test_top5
}
"""
REGRESSION = """network Numbers {
    input 1x6x6
    dense 3
}

train {
    loss LOSS
    optimizer sgd lr=0.01
    batch 7
    epochs 3
    keep best=test_r2
    stop patience=2 metric=test_mae
}
"""


def targets(count: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((count, 3)).astype(np.float32) * (1, 4, 0.1) + 2


def regression_data() -> DataSet:
    random = np.random.default_rng(4)
    x = random.standard_normal((50, 1, 6, 6)).astype(np.float32)
    y = targets(50).astype(np.float32)
    return DataSet("made", x[:30], y[:30], x[30:], y[30:], ())


def class_data(classes: int) -> DataSet:
    random = np.random.default_rng(6)
    x = random.standard_normal((50, 1, 6, 6)).astype(np.float32)
    y = np.arange(50) % classes
    return DataSet("made", x[:30], y[:30], x[30:], y[30:], tuple(f"c{i}" for i in range(classes)))


@pytest.mark.parametrize("shape", [(8,), (8, 3, 2)], ids=["one class", "a class for each pixel"])
@pytest.mark.parametrize(("count", "piece", "workers"), [(1, 1, 1), (23, 4, 2), (23, 64, 1)])
def test_top5_is_that_of_pytorchs_topk(torch, shape, count: int, piece: int, workers: int):
    random = np.random.default_rng(1)
    last = Dense(units=8) if len(shape) == 1 else Conv(channels=8, kernel=1)
    graph, facts = sequential((2, 3, 2), last, Softmax())
    x = random.standard_normal((count, 2, 3, 2)).astype(np.float32)
    labels = random.integers(0, 8, (count, *shape[1:]))
    options = {"batch": 64, "loss": CrossEntropy(), "micro_batch": piece, "workers": workers}
    with random_model(graph, facts, random, **options) as model:
        found = model.evaluate(x, labels)
        p = torch.from_numpy(np.asarray(model.predict(x)))
    among = (p.topk(5, dim=1).indices == torch.from_numpy(labels)[:, None]).any(1)
    assert found.top5 == pytest.approx(among.double().reshape(count, -1).mean(1).sum().item())
    first = p.argmax(1) == torch.from_numpy(labels)
    assert found.correct == pytest.approx(first.double().reshape(count, -1).mean(1).sum().item())


@pytest.mark.parametrize("loss", [Mse(), L1(), Huber(delta=0.4)], ids=str)
@pytest.mark.parametrize(("piece", "workers"), [(64, 1), (3, 2)])
def test_mae_and_r2_are_those_of_their_definitions(torch, loss, piece: int, workers: int):
    random = np.random.default_rng(2)
    graph, facts = sequential((2, 3, 2), Dense(units=3))
    x, y = random.standard_normal((23, 2, 3, 2)).astype(np.float32), targets(23)
    with random_model(graph, facts, random, batch=64, loss=loss, micro_batch=piece, workers=workers) as model:
        z = np.asarray(model.predict(x), np.float64)
        gathered = Gathered()
        for first in range(0, 23, 5):
            gathered = gathered.plus(model.evaluate(x[first : first + 5], y[first : first + 5]))
    figures = gathered.figures(Measures(distance=True), y)
    expected = torch.nn.functional.l1_loss(torch.from_numpy(z), torch.from_numpy(y)).item()
    assert figures["mae"] == pytest.approx(expected, rel=1e-5)
    residual = sum((z[i, j] - y[i, j]) ** 2 for i in range(23) for j in range(3))
    total = sum((y[i, j] - sum(y[:, j]) / 23) ** 2 for i in range(23) for j in range(3))
    assert figures["r2"] == pytest.approx(1 - residual / total, rel=1e-5)


def test_r2_of_targets_that_are_all_alike():
    y = np.full((4, 1), 3.0)
    assert Gathered(4, squared=0.0).figures(Measures(distance=True), y)["r2"] == 1.0
    assert Gathered(4, squared=0.5).figures(Measures(distance=True), y)["r2"] == 0.0


@pytest.mark.parametrize(
    ("loss", "kind", "outputs", "expected"),
    [
        (CrossEntropy(), np.int64, (10,), Measures(top5=True)),
        (CrossEntropy(), np.int64, (5,), Measures()),
        (Mse(), np.float32, (10,), Measures(accuracy=False, distance=True)),
        (Mse(), np.int64, (10,), Measures()),
        (BinaryCrossEntropy(), np.float32, (3,), Measures()),
        (BinaryCrossEntropy(), np.int64, (1,), Measures()),
    ],
)
def test_what_is_measured_follows_from_loss_and_targets(loss, kind, outputs, expected):
    assert measures_for(loss, np.zeros(4, kind), outputs) == expected


# --- in a run ---------------------------------------------------------------------------------------------


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_logs_of_a_classifier_have_top5_and_it_can_decide(tmp_path: Path):
    data = class_data(8)
    result = cnnspec.train(cnnspec.loads(CLASSIFIER, "a.cnn"), data, out=tmp_path / "run")
    result.model.close()
    probabilities = np.asarray(result.model.predict(data.test_x))
    order = np.argsort(-probabilities, axis=1)[:, :5]
    expected = np.mean([label in row for label, row in zip(data.test_y, order, strict=True)])
    assert float(rows(tmp_path / "run")[-1]["test_top5"]) == pytest.approx(expected)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["final"]["test_top5"] == pytest.approx(expected)
    assert record["best"]["metric"] == "test_top5"


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_the_logs_of_a_regression_have_mae_and_r2_and_no_accuracy(tmp_path: Path, loss: str):
    data = regression_data()
    network = cnnspec.loads(REGRESSION.replace("LOSS", loss), "a.cnn")
    result = cnnspec.train(network, data, out=tmp_path / "run")
    result.model.close()
    outputs = np.asarray(result.model.predict(data.test_x), np.float64)
    last = rows(tmp_path / "run")[-1]
    assert [name for name in last if "accuracy" in name] == []
    assert float(last["test_mae"]) == pytest.approx(np.abs(outputs - data.test_y).mean(), rel=1e-4)
    left = ((outputs - data.test_y) ** 2).sum() / ((data.test_y - data.test_y.mean(0)) ** 2).sum()
    assert float(last["test_r2"]) == pytest.approx(1 - left, rel=1e-4)
    event = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1])
    assert f"{event['test_r2']:.6g}" == last["test_r2"]


def test_a_figure_that_is_not_measured_is_refused_before_the_first_step(tmp_path: Path):
    """What kind of targets an array holds is known when it has been read."""
    network = cnnspec.loads(REGRESSION.replace("LOSS", "mse"), "a.cnn")
    data = class_data(3)
    with pytest.raises(TrainingError) as caught:
        cnnspec.train(network, data, out=tmp_path / "run", on_step=lambda step: pytest.fail("a step"))
    assert caught.value.message == "`test_r2` is not measured in this run"
    assert caught.value.help == ("there is `train_loss`, `train_accuracy`, `test_loss`, `test_accuracy`",)
