"""Runs that have been: evaluated, asked for predictions, listed, and used from Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cnnspec
from cnnspec.api import Run
from cnnspec.recipe import Digits
from cnnspec.training import TrainingError, load_data
from cnnspec.training.runs import load_run
from tests.training.idx_files import write_set
from tests.training.resuming import called

SPEC = """network Small {
    input 1x12x12
    conv 4 3x3 -> relu
    maxpool 2x2
    dense 10END
}

train {
    data digits resize=12x12 normalize=true
    optimizer sgd lr=0.05 momentum=0.9
    batch 50
    epochs 2
}
"""


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: one that ends with a softmax, one that gives logits."""
    here = tmp_path_factory.mktemp("runs")
    for name, end in (("softmax", " -> softmax"), ("logits", "")):
        network = cnnspec.loads(SPEC.replace("END", end), f"{name}.cnn")
        cnnspec.train(network, out=here / "runs" / name).model.close()
    return here


@pytest.fixture
def here(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(origin)
    return origin


def command(here: Path, *words: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cnnspec", *words], cwd=here, capture_output=True, timeout=120, **options
    )


def spoken(here: Path, *words: str) -> tuple[int, str, str]:
    result = called(here, *words)
    assert "internal error" not in result.stderr
    return result.returncode, result.stdout, result.stderr


def save_digits(here: Path, count: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Test digits as PNG files, their bytes and their classes."""
    image = pytest.importorskip("PIL.Image")
    data = load_data(Digits())
    pixels = np.round(data.test_x[:count, 0] * 255).astype(np.uint8)
    names = [f"digit-{i}.png" for i in range(count)]
    for name, one in zip(names, pixels, strict=True):
        image.fromarray(one).save(here / name)
    return names, pixels, data.test_y[:count]


def probabilities_by_torch(torch, weights: dict[str, np.ndarray], pixels: np.ndarray) -> np.ndarray:
    """The network and its preparation, in PyTorch: bilinear resizing, the training pixels' own figures."""
    functional = torch.nn.functional
    own = {name: torch.from_numpy(np.array(array)) for name, array in weights.items()}

    def resized(x: np.ndarray):
        x = torch.from_numpy(np.ascontiguousarray(x, np.float32))
        return functional.interpolate(x, (12, 12), mode="bilinear", align_corners=False)

    train = resized(load_data(Digits()).train_x)
    x = (resized(pixels[:, None] / 255) - train.mean()) / train.std(correction=0)
    x = functional.conv2d(x, own["conv1.weight"], own["conv1.bias"])
    x = functional.max_pool2d(functional.relu(x), 2).flatten(1)
    x = functional.linear(x, own["dense1.weight"], own["dense1.bias"])
    return functional.softmax(x, 1).numpy()


@pytest.mark.parametrize("run", ["softmax", "logits"])
def test_predictions_are_those_of_pytorch(run: str, torch, here: Path):
    names, pixels, _ = save_digits(here, 6)
    saved = cnnspec.load_run(Path("runs") / run)
    expected = probabilities_by_torch(torch, saved.weights(), pixels)
    found = saved.predict(*names)
    assert [one.name for one in found] == names
    np.testing.assert_allclose([one.values for one in found], expected, atol=1e-5)
    np.save(here / "digits.npy", pixels)
    status, out, error = spoken(here, "predict", f"runs/{run}", *names, "--json", "--top", "2")
    assert (status, error) == (0, "")
    samples = json.loads(out)["samples"]
    for sample, row in zip(samples, expected, strict=True):
        assert sample["class"] == str(row.argmax())
        assert [one["probability"] for one in sample["top"]] == pytest.approx(np.sort(row)[:-3:-1], abs=1e-5)


def test_one_class_a_line_and_the_standard_input(here: Path):
    names, pixels, _ = save_digits(here, 3)
    np.save(here / "many.npy", (np.stack([p.repeat(2, 0).repeat(2, 1)[2:14, 2:14] for p in pixels])[:, None]))
    status, out, _ = spoken(here, "predict", "runs/softmax", *names, "many.npy", "--quiet")
    assert status == 0
    assert len(out.split()) == 6
    status, table, _ = spoken(here, "predict", "runs/softmax", "many.npy")
    assert [line.split()[0] for line in table.splitlines()] == ["file", *(f"many.npy[{i}]" for i in range(3))]
    result = command(here, "predict", "runs/softmax", "-", "-q", input=(here / names[0]).read_bytes())
    assert result.stdout.decode().split() == out.split()[:1]


def test_files_that_cannot_be_used_are_named_and_the_others_shown(here: Path):
    (name, *_), _, _ = save_digits(here, 1)
    (here / "empty.png").write_bytes(b"")
    (here / "cut.png").write_bytes((here / name).read_bytes()[:60])
    np.save(here / "wide.npy", np.zeros((1, 3, 3)))
    np.save(here / "words.npy", np.array(["a"]))
    (here / "pickle.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes(50))
    status, out, error = spoken(
        here, "predict", "runs/softmax", "none.png", "empty.png", "cut.png", "wide.npy", "words.npy",
        "pickle.npy", name, "--quiet",
    )  # fmt: skip
    assert status == 1
    assert len(out.split()) == 1
    assert [line.split(":")[1].strip() for line in error.splitlines() if line.startswith("error")] == [
        "none.png", "empty.png", "cut.png", "wide.npy", "words.npy", "pickle.npy",
    ]  # fmt: skip
    assert "none.png: cannot be read (no such file or directory)" in error
    assert "wide.npy: is 1x3x3, and the network takes 1x12x12, or N x 1x12x12" in error


# --- evaluated --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["softmax", "logits"])
def test_the_evaluation_is_that_of_the_logs_and_of_pytorch(run: str, torch, here: Path):
    saved = cnnspec.load_run(Path("runs") / run)
    found = saved.evaluate()
    last = saved.history[-1]
    assert found.accuracy == pytest.approx(last.test_accuracy, abs=1e-9)
    assert found.loss == pytest.approx(last.test_loss, rel=1e-5)
    data = load_data(Digits())
    pixels = data.test_x[:, 0] * 255
    expected = probabilities_by_torch(torch, saved.weights(), pixels)
    taken = expected.argmax(1)
    for own in range(10):
        for other in range(10):
            assert found.confusion[own, other] == ((data.test_y == own) & (taken == other)).sum()
    wrong = np.flatnonzero(taken != data.test_y)
    assert {one.index for one in found.mistakes} == set(wrong.tolist())
    worst = min(wrong, key=lambda i: expected[i, data.test_y[i]])
    assert found.mistakes[0].index == worst
    third = found.classes[3]
    assert third.recall == pytest.approx(((taken == 3) & (data.test_y == 3)).sum() / (data.test_y == 3).sum())
    assert third.precision == pytest.approx(((taken == 3) & (data.test_y == 3)).sum() / (taken == 3).sum())


def test_what_a_run_has_not_is_refused(here: Path, tmp_path: Path):
    run = cnnspec.load_run("runs/softmax")
    with pytest.raises(ValueError, match="there are weights `last` and `best`, not `first`"):
        run.weights("first")
    with pytest.raises(ValueError, match="there are the parts `test` and `train`, not `all`"):
        run.evaluate("all")
    shutil.copytree(here / "runs" / "softmax", tmp_path / "run")
    (tmp_path / "run" / "weights.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"weights\.safetensors is not there$"):
        cnnspec.load_run(tmp_path / "run").weights()


@pytest.mark.parametrize(("setting", "value", "least"), [("epochs", 0, 1), ("batch", -1, 1), ("seed", -1, 0)])
def test_numbers_that_no_file_could_name_are_refused(setting: str, value: int, least: int, here: Path):
    network = cnnspec.load_run("runs/softmax").network
    said = f"`{setting}` must be at least {least}, not {value}"
    with pytest.raises(ValueError, match=said):
        cnnspec.train(network, **{setting: value})
    if setting != "epochs":
        with pytest.raises(ValueError, match=said):
            network.compile(**{setting: value})


def test_the_command_prints_accuracy_classes_and_matrix(here: Path):
    status, out, error = spoken(here, "evaluate", "runs/softmax")
    assert (status, error) == (0, "")
    history = cnnspec.load_run("runs/softmax").history
    assert f"accuracy  {history[-1].test_accuracy:.4f}, " in out
    assert "of 360" in out
    assert "precision  recall" in out
    assert spoken(here, "evaluate", "runs/softmax", "-q")[1] == f"{history[-1].test_accuracy:.4f}\n"
    document = json.loads(spoken(here, "evaluate", "runs/softmax", "--json", "--weights", "best")[1])
    assert document["count"] == 360
    assert np.sum(document["confusion"]) == 360


def test_other_data_are_prepared_by_the_figures_of_the_run(here: Path):
    write_set(here / "data" / "fashion-mnist")
    words = ("evaluate", "runs/softmax", "--data", "fashion_mnist", "--data-dir", "data", "--json")
    status, out, error = spoken(here, *words)
    assert (status, error) == (0, "")
    document = json.loads(out)
    assert document["count"] == 10
    assert document["data"] == "fashion_mnist resize=12x12 normalize=true"
    status, _, error = spoken(here, "evaluate", "runs/softmax", "--data", "cifar10", "--data-dir", "data")
    assert status == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "nowhere"), "there is no folder nowhere"),
        (("evaluate", "softmax"), "there is no folder softmax\nhelp: did you mean `runs/softmax`?"),
        (("evaluate", "net.cnn"), "net.cnn is a spec, and no run folder\nhelp: `cnnspec run net.cnn` trains"),
        (("evaluate", "runs/softmax/run.json"), "runs/softmax/run.json is no run folder: it is a file"),
        (("predict", ".", "a.png"), "is no run folder: it holds no run.json"),
        (("evaluate", "broken"), "is not the record of a run: it is not JSON"),
        (("runs", "nowhere"), "cannot read nowhere: no such file"),
        (("predict", "bare", "a.png"), "no epoch of this run was finished"),
        (("predict", "damaged", "a.png"), "damaged/weights.safetensors is damaged: its checksum"),
        (("predict", "mixed", "a.png"), "the weights in mixed are those of another network"),
    ],
)
def test_folders_that_cannot_be_used_are_told(words: tuple[str, ...], message: str, here: Path):
    for name in ("broken", "bare", "damaged", "mixed"):
        shutil.copytree(here / "runs" / "softmax", here / name, dirs_exist_ok=True)
    (here / "broken" / "run.json").write_text("{")
    (here / "net.cnn").touch()
    for name in ("weights.safetensors", "metrics.csv", "metrics.jsonl", "times.csv"):
        (here / "bare" / name).unlink(missing_ok=True)
    weights = here / "damaged" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    record = here / "mixed" / "run.json"
    record.write_text(record.read_text().replace("conv 4", "conv 5"))
    status, _, error = spoken(here, *words)
    assert status == 1
    assert message in error


# --- listed -----------------------------------------------------------------------------------------------


def test_runs_are_listed_and_compared(here: Path):
    status, out, error = spoken(here, "runs")
    assert (status, error) == (0, "")
    head, *rows = out.splitlines()
    assert head.split()[:5] == ["run", "network", "data", "status", "epochs"]
    assert [row.split()[0] for row in rows] == ["runs/softmax", "runs/logits"]
    assert all("finished" in row and "2/2" in row for row in rows)
    status, out, _ = spoken(here, "runs", "runs/softmax", "runs/logits", "--json")
    document = json.loads(out)
    assert list(document["differences"]) == ["layers"]
    status, out, _ = spoken(here, "runs", "runs/softmax", "runs/logits")
    assert "best test accuracy" in out
    assert "seed" not in out


def test_a_run_whose_process_is_gone_was_killed(here: Path):
    shutil.copytree(here / "runs" / "softmax", here / "dead", dirs_exist_ok=True)
    record = here / "dead" / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"running"'))
    assert load_run(here / "dead").status == "killed"
    assert "killed" in spoken(here, "runs", "dead")[1]


def test_where_there_are_no_runs_it_says_so(tmp_path: Path):
    status, out, error = spoken(tmp_path, "runs")
    assert (status, out) == (0, "")
    assert "there are no runs here yet" in error


# --- from Python ------------------------------------------------------------------------------------------


def test_a_callback_sees_each_epoch_and_can_end_the_run(tmp_path: Path):
    network = cnnspec.loads(SPEC.replace("END", " -> softmax"), "a.cnn")
    seen = []

    def callback(epoch, model):
        seen.append((epoch.number, float(model.weights["conv1.bias"][0])))
        return epoch.number == 3

    result = cnnspec.train(network, epochs=9, callback=callback)
    result.model.close()
    assert [number for number, _ in seen] == [1, 2, 3]
    assert len(result.history) == 3
    kept = cnnspec.train(network, epochs=9, callback=callback, out=tmp_path / "run")
    kept.model.close()
    assert seen[:3] == seen[3:]
    assert len(cnnspec.load_run(tmp_path / "run").history) == 3


def test_a_run_goes_on_from_python(tmp_path: Path):
    network = cnnspec.loads(SPEC.replace("END", " -> softmax"), "a.cnn")
    for epochs in (1, 2, 3):
        cnnspec.train(network, epochs=epochs, out=tmp_path / "parts", resume=True).model.close()
    whole = cnnspec.train(network, epochs=3, out=tmp_path / "whole")
    whole.model.close()
    for name in ("weights", "checkpoint", "best"):
        file = f"{name}.safetensors"
        assert (tmp_path / "parts" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    run = cnnspec.load_run(tmp_path / "parts")
    assert run.network.totals.params == network.totals.params
    np.testing.assert_array_equal(run.weights()["conv1.bias"], whole.model.weights["conv1.bias"])
    with pytest.raises(TrainingError, match="batch: 50 -> 20"):
        cnnspec.train(network, batch=20, out=tmp_path / "parts", resume=True)
    with pytest.raises(TrainingError, match="is not empty"):
        cnnspec.train(network, out=tmp_path / "parts")


# --- other than classes -----------------------------------------------------------------------------------

NUMBERS = """network Numbers {
    input 1x4x4
    dense 6 -> relu
    dense 2
}

train {
    data npz "numbers.npz"
    loss mse
    optimizer adam lr=0.01
    batch 16
    epochs 2
}
"""
BINARY = """network Binary {
    input 1x4x4
    dense 1LAST
}

train {
    data npz "binary.npz"
    loss binary_cross_entropy
    batch 16
    epochs 2
}
"""


def trained(folder: Path, text: str, name: str, y: np.ndarray) -> Run:
    """A run in `folder` on noise with these targets."""
    x = np.random.default_rng(1).standard_normal((len(y), 1, 4, 4)).astype(np.float32)
    np.savez(folder / f"{name}.npz", x=x, y=y)
    (folder / f"{name}.cnn").write_text(text)
    cnnspec.train(cnnspec.load(folder / f"{name}.cnn"), out=folder / "run").model.close()
    return cnnspec.load_run(folder / "run")


def test_a_regression_is_evaluated_by_the_distance_from_its_targets(tmp_path: Path):
    run = trained(tmp_path, NUMBERS, "numbers", np.random.default_rng(2).random((60, 2)) * 3)
    data = load_data(run.network.recipe.data)
    with run.compile() as model:
        outputs = np.asarray(model.predict(data.test_x), np.float64)
    mae = np.abs(outputs - data.test_y).mean()
    r2 = 1 - ((outputs - data.test_y) ** 2).sum() / ((data.test_y - data.test_y.mean(0)) ** 2).sum()
    found = run.evaluate()
    assert found.figures == pytest.approx({"loss": run.history[-1].test_loss, "mae": mae, "r2": r2}, rel=1e-4)
    assert found.class_names == ()
    status, out, error = spoken(tmp_path, "evaluate", "run")
    assert (status, error) == (0, "")
    assert f"mae       {mae:.4f}\nr2        {r2:.4f}\nloss      " in out
    assert spoken(tmp_path, "evaluate", "run", "-q")[1] == f"{r2:.4f}\n"
    document = json.loads(spoken(tmp_path, "evaluate", "run", "--json")[1])
    assert document["r2"] == pytest.approx(r2, rel=1e-4)
    assert "confusion" not in document
    page = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert f"{r2:.4f}" in page
    assert page.count("<circle") >= 2 * len(data.test_y)


@pytest.mark.parametrize("last", ["", " -> sigmoid"])
def test_one_output_for_yes_and_no_tells_two_classes_apart(tmp_path: Path, last: str):
    labels = np.random.default_rng(3).integers(0, 2, 80)
    run = trained(tmp_path, BINARY.replace("LAST", last), "binary", labels)
    data = load_data(run.network.recipe.data)
    weights = {name: np.asarray(array, np.float64) for name, array in run.weights().items()}
    logits = data.test_x.reshape(len(data.test_y), -1) @ weights["dense1.weight"].reshape(-1)
    logits += weights["dense1.bias"][0]
    taken = (logits > 0).astype(int)
    found = run.evaluate()
    assert found.accuracy == pytest.approx(np.mean(taken == data.test_y))
    for own in (0, 1):
        for other in (0, 1):
            assert found.confusion[own, other] == ((data.test_y == own) & (taken == other)).sum()
    np.save(tmp_path / "one.npy", data.test_x[0])
    (prediction,) = run.predict(tmp_path / "one.npy")
    chance = 1 / (1 + np.exp(-logits[0]))
    np.testing.assert_allclose(prediction.values, [1 - chance, chance], rtol=1e-4)


@pytest.mark.parametrize("last", [" -> log_softmax", " -> softmax", ""])
def test_probabilities_add_up_whatever_the_network_ends_with(tmp_path: Path, last: str):
    text = BINARY.replace("dense 1LAST", f"dense 3{last}").replace("binary_cross_entropy", "cross_entropy")
    run = trained(tmp_path, text, "binary", np.arange(60) % 3)
    np.save(tmp_path / "one.npy", np.ones((1, 4, 4), np.float32))
    (prediction,) = run.predict(tmp_path / "one.npy")
    assert prediction.values.sum() == pytest.approx(1, rel=1e-5)
    assert prediction.values.min() > 0
