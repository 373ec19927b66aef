"""The memory that is predicted for training, against what NumPy reports to `tracemalloc` in a step."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cnnspec.cli.main import FINDINGS, OK, USAGE, main
from cnnspec.language.source import Source
from cnnspec.network.check import check_file, check_source
from cnnspec.numpy_backend import Model, make_plan
from cnnspec.numpy_backend.account import account
from cnnspec.training.memory import training_memory
from cnnspec.training.model import TrainableModel, usable_loss

ROOT = Path(__file__).parent.parent.parent
LENET = ROOT / "specs" / "lenet.cnn"
PARTS = ("weight", "gradient", "optimizer", "activation", "scratch")
NORMED = """network Normed {
    input 3x24x24
    conv 16 3x3 padding=1 bias=false -> batchnorm -> relu
    add { branch { } branch { conv 16 3x3 padding=1 bias=false -> batchnorm } } -> relu
    maxpool 2x2 -> conv 32 3x3 stride=2 -> batchnorm -> relu -> globalavgpool -> dense 10
}
train { optimizer sgd lr=0.1 momentum=0.9 }
"""
WIDE = """network Wide {
    input 1x16x16
    concat { branch { conv 8 1x1 } branch { conv 8 3x3 padding=1 } branch { depthwise 3x3 padding=1 } }
    layernorm -> gelu -> dense 500 -> relu -> dense 10 -> softmax
}
train { optimizer sgd lr=0.1 }
"""


def check(text):
    return check_source(Source("net.cnn", text))


NETWORKS = {"lenet": (check_file(LENET), 128), "normed": (check(NORMED), 24), "wide": (check(WIDE), 32)}


def taken(checked, batch):
    """Bytes of all arrays after a step, of everything at its worst moment, and of the plan."""
    graph, facts = checked.network()
    loss = usable_loss(graph, facts, checked.recipe)
    x, labels = np.ones((batch, *facts.shape(0)), np.float32), np.zeros(batch, np.int64)
    tracemalloc.start()
    try:
        plan = make_plan(graph, facts, batch=batch, loss=loss, processes=False)
        model = TrainableModel(Model(plan), checked.recipe)
        model.train_step(x, labels)
        ours = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        arrays = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
        model.close()
        return arrays, tracemalloc.get_traced_memory()[1], plan.total_bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", NETWORKS)
def test_prediction_is_within_20_percent_of_what_a_step_takes(name):
    checked, batch = NETWORKS[name]
    arrays, peak, planned = taken(checked, batch)
    predicted = planned + training_memory(*checked.network(), checked.recipe, batch).optimizer
    assert abs(predicted / arrays - 1) < 0.02
    assert abs(predicted / peak - 1) < 0.2


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 7, 100])
@pytest.mark.parametrize("training", [True, False])
def test_parts_add_up_to_the_plan(name, batch, training):
    graph, facts = NETWORKS[name][0].network()
    plan = make_plan(graph, facts, batch=batch, training=training)
    parts = account(plan)
    assert parts.total == plan.total_bytes
    assert parts.weights == facts.totals().weight_bytes
    assert min(parts.weights, parts.gradients, parts.activations, parts.scratch) >= 0
    assert (parts.gradients > 0) == (parts.activations > 0) == training


def test_optimizer_keeps_a_velocity_only_with_momentum():
    """And room for a chunk of the weights: all 61,706 of LeNet, the most of the wide one."""
    momentum = training_memory(*NETWORKS["lenet"][0].network(), NETWORKS["lenet"][0].recipe)
    assert momentum.optimizer == 4 * (61_706 + 61_706)
    plain = training_memory(*NETWORKS["wide"][0].network(), NETWORKS["wide"][0].recipe)
    assert plain.optimizer == 4 * 65_536


def test_activations_grow_with_the_images_at_work():
    graph, facts = NETWORKS["normed"][0].network()
    one, two = (training_memory(graph, facts, NETWORKS["normed"][0].recipe, n) for n in (8, 16))
    assert (one.images_at_once, two.images_at_once) == (8, 16)  # batch norm: a batch is one piece
    assert two.parts.activations == pytest.approx(2 * one.parts.activations, rel=0.01)  # but statistics
    assert (two.parts.weights, two.optimizer) == (one.parts.weights, one.optimizer)


# --- the command ----------------------------------------------------------------------------------------


@pytest.fixture
def command(capsys):
    def call(*words):
        try:
            code = main(["check", *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


def test_document_has_the_memory_only_where_asked(command):
    document = json.loads(command("--json", "--memory", "--batch", 256, LENET)[1])
    memory = document.pop("memory")
    assert document == json.loads(command("--json", LENET)[1])
    assert memory["batch"] == 256
    assert memory["weight_bytes"] == document["totals"]["weight_bytes"]
    assert sum(memory[f"{part}_bytes"] for part in PARTS) == memory["peak_bytes"]
    assert json.loads(command("--json", "--memory", LENET)[1])["memory"]["batch"] == 64  # the recipe's


def test_table_names_every_part_with_its_convention(command):
    code, out, err = command(LENET, "--memory")
    assert (code, err) == (OK, "")
    head, *lines = out.split("\n\n")[-1].splitlines()
    assert head.startswith("memory in training of LeNet, batches of 64: ")
    assert [line.split()[0] for line in lines] == [
        "weights",
        "gradients",
        "optimizer",
        "activations",
        "scratch",
        "peak",
    ]
    sizes = [int(line.split(" bytes")[0].split()[-1].replace(",", "")) for line in lines]
    assert sum(sizes[:-1]) == sizes[-1]


def test_faulty_file_has_no_memory(command, tmp_path):
    path = tmp_path / "faulty.cnn"
    path.write_text("network N {\n input 1x8x8\n conv 6 30x30\n}\n", "utf-8")
    code, out, _ = command("--json", "--memory", path)
    assert (code, json.loads(out)["memory"]) == (FINDINGS, None)
    assert command("--memory", path)[0] == FINDINGS


@pytest.mark.parametrize("words", [["--batch", 4], ["--memory", "--csv"], ["--memory", "--batch", 0]])
def test_what_does_not_go_together_is_refused(command, words):
    assert command(LENET, *words)[0] == USAGE
