"""The exported PyTorch source and NumPy file beside the NumPy backend and each other."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from cnnspec.bridges import numpy_source, torch_source
from cnnspec.bridges.source.file import about
from cnnspec.language.errors import SpecError
from cnnspec.language.source import Source
from cnnspec.network.check import check_file, check_source
from tests.numpy_backend.test_every_layer import CASES, build, names
from tests.support import golden
from tests.support.exported import by_source, drawn, gradients_apart, load
from tests.support.random_graphs import check_text
from tests.support.random_networks import random_network
from tests.support.random_programs import random_program
from tests.support.three_ways import by_onnx, by_torch, farthest
from tests.zoo.small import SMALL
from tests.zoo.specs import SPECS

TOLERANCE = 1e-4
SAMPLE, CAMPAIGN = range(8), range(8, 208)
QUICK = [
    case if i % 3 == 1 else pytest.param(case, marks=pytest.mark.campaign) for i, case in enumerate(CASES)
]
LARGE = ("densenet121", "resnet50", "unet", "vgg16", "alexnet", "mobilenet_v1", "googlenet", "vgg11")
SPECS_TO_TRY = [pytest.param(name, marks=pytest.mark.campaign) if name in LARGE else name for name in SMALL]


def assert_source_alike(graph, facts, count=3, scale=0.3):
    """NumPy, the PyTorch source and ONNX Runtime, or as near as PyTorch's float32 comes to its float64."""
    x, weights, ours = drawn(graph, facts, count, scale)
    theirs, runtime = by_source(graph, facts, weights, x), by_onnx(graph, facts, weights, x)
    pairs = (ours, theirs), (ours, runtime), (theirs, runtime)
    apart = max(farthest(one, other) for one, other in pairs)
    if apart > TOLERANCE:
        exact = by_torch(graph, facts, weights, x, "float64")
        assert farthest(by_source(graph, facts, weights, x, "float64"), exact) < 1e-9
        assert apart <= 20 * farthest(theirs, exact)


def is_random(graph):
    """Dropout, which draws other numbers, and batch statistics of a single number, which PyTorch refuses."""
    return any(node.layer.keyword == "dropout" for node in graph.nodes)


def assert_gradients_alike(graph, facts):
    if is_random(graph):
        return
    try:
        far = gradients_apart(graph, facts)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        return
    assert not far


@pytest.mark.parametrize("case", QUICK, ids=[names(case) for case in CASES])
def test_layer(case):
    assert_source_alike(*build(case))
    assert_gradients_alike(*build(case))


@pytest.mark.parametrize("name", SPECS_TO_TRY)
def test_spec_with_small_inputs(name):
    assert_source_alike(*SMALL[name].network(name), count=1, scale=0.1)


@pytest.mark.parametrize("seed", SAMPLE)
def test_random_networks(seed):
    for graph, facts in (check_text(random_program(seed)), random_network(seed)):
        assert_source_alike(graph, facts)
        assert_gradients_alike(graph, facts)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", CAMPAIGN)
def test_campaign_of_random_networks(seed):
    for graph, facts in (check_text(random_program(seed)), random_network(seed)):
        assert_source_alike(graph, facts)
        assert_gradients_alike(graph, facts)


@pytest.mark.campaign
@pytest.mark.parametrize("name", list(SMALL))
def test_campaign_of_gradients(name):
    assert_gradients_alike(*SMALL[name].network(name))


# --- how they read --------------------------------------------------------------------------------------


def exported(given: str) -> str:
    """`torch specs/lenet.cnn` as its source."""
    system, path = given.split()
    exporters = {"torch": torch_source, "numpy": numpy_source}
    if system == "keras":
        from cnnspec.bridges import keras_source

        exporters["keras"] = keras_source
    checked = check_file(path)
    return exporters[system].to_source(*checked.network(), about(checked.source)).text


@pytest.mark.parametrize("path", golden.cases("export"), ids=golden.name)
def test_source_matches_the_golden_text(path, update_golden, monkeypatch):
    monkeypatch.chdir(SPECS.parent)
    golden.check(path, exported, update_golden)


@pytest.mark.parametrize("path", golden.cases("export"), ids=golden.name)
def test_golden_source_passes_ruff(path, tmp_path):
    if shutil.which("ruff") is None:
        pytest.skip("ruff is not installed")
    text = path.read_text("utf-8").partition(golden.MARKER)[2]
    file = tmp_path / "exported.py"
    file.write_text(text)
    done = subprocess.run(["ruff", "check", "--isolated", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_numpy_file_trains_from_its_own_weights_file(tmp_path):
    """On blobs of two classes the loss falls to a tenth; the file alone is enough to run."""
    text = "network Net { input 1x8x8\n conv 4 3x3 -> relu\n maxpool 2x2\n dense 2 -> softmax }"
    graph, facts = check_source(Source("net.cnn", text)).network()
    network = load(numpy_source.to_source(graph, facts).text)["Net"]()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    x = rng.standard_normal((64, 1, 8, 8)) * 0.3 + labels[:, None, None, None]
    losses = [network.train_step(x, labels, lr=0.1) for _ in range(60)]
    assert losses[-1] < losses[0] / 10
    from safetensors.numpy import save_file

    arrays = {
        f"{name}.{weight}": array.astype("f4")
        for name, layer, _ in network.layers
        for weight, array in layer.weights.items()
    }
    save_file(arrays, tmp_path / "net.safetensors")
    other = load(numpy_source.to_source(graph, facts).text)["Net"]()
    other.load(str(tmp_path / "net.safetensors"))
    np.testing.assert_allclose(other.forward(x), network.forward(x), atol=1e-5)


def test_numpy_file_needs_numpy_alone(tmp_path):
    graph, facts = check_file(SPECS / "lenet.cnn").network()
    file = tmp_path / "exported.py"
    file.write_text(numpy_source.to_source(graph, facts).text)
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'cnnspec', 'safetensors')))\n"
        "import exported, numpy; print(exported.LeNet().forward(numpy.zeros((2, 1, 28, 28))).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 10)", done.stderr


def test_layers_that_pytorch_cannot_say_are_named_with_their_places():
    text = "network Net {\n input 4x5x5x5x5\n conv 4 3\n pad 1 mode=reflect\n}"
    graph, facts = check_text(text)
    with pytest.raises(SpecError) as raised:
        torch_source.to_source(graph, facts)
    assert [d.span.line for d in raised.value.diagnostics] == [3, 4]
