"""What changed between two networks: which layers belong together, and what is told of them."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.cli.main import FINDINGS, OK, USAGE, main
from cnnspec.language.source import Source
from cnnspec.network import align as aligning
from cnnspec.network.align import align
from cnnspec.network.check import check_source
from cnnspec.network.diff import compare, diff_notes

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")
BASE = [
    "input 1x16x16",
    "conv 8 3x3 padding=1",
    "relu",
    "maxpool 2x2",
    "conv 16 3x3 padding=1",
    "relu",
    "dense 10",
]


def checked(lines):
    return check_source(Source("net.cnn", "\n".join(["network N {", *lines, "}"])))


def difference(before, after):
    return compare(checked(before), checked(after))


def found(before, after):
    """Every layer that is not the same: what became of it, its names, and what changed."""
    layers = difference(before, after).layers
    return [
        (layer.status, layer.before, layer.after, {change.what for change in layer.changes})
        for layer in layers
        if layer.status != "same"
    ]


def edited(*changes):
    """`BASE` with lines replaced, inserted before or taken out."""
    lines = list(BASE)
    for number, line in changes:
        lines[number] = line
    return [line for line in lines if line is not None]


def test_nothing_differs_from_itself():
    assert found(BASE, BASE) == []
    assert difference(BASE, BASE).same


def test_changed_option_is_told_with_what_follows():
    assert found(BASE, edited((4, "conv 32 3x3 padding=1"))) == [
        ("changed", "conv2", "conv2", {"what", "output", "params", "trainable", "macs"}),
        ("changed", "relu2", "relu2", {"output"}),
        ("changed", "dense1", "dense1", {"params", "trainable", "macs"}),
    ]


def test_changed_numbers_are_those_of_the_arithmetic():
    (layer,) = [
        la for la in difference(BASE, edited((4, "conv 32 3x3 padding=1"))).layers if la.before == "conv2"
    ]
    changes = {change.what: (change.before, change.after) for change in layer.changes}
    assert changes["params"] == (16 * 8 * 9 + 16, 32 * 8 * 9 + 32)
    assert changes["macs"] == (16 * 8 * 9 * 64, 32 * 8 * 9 * 64)
    assert changes["output"] == ("16x8x8", "32x8x8")


def test_wider_kernel_changes_receptive_fields_behind_it():
    (conv, relu, *_rest) = found(BASE, edited((4, "conv 16 5x5 padding=2")))
    assert conv == ("changed", "conv2", "conv2", {"what", "params", "trainable", "macs", "field", "start"})
    assert relu == ("changed", "relu2", "relu2", {"field", "start"})


def test_inserted_layer_leaves_the_others():
    """Those behind it are counted anew, which is a new name and no more."""
    after = [*BASE[:2], "tanh", "conv 8 1x1", *BASE[2:]]
    assert found(BASE, after) == [
        ("added", None, "tanh1", set()),
        ("added", None, "conv2", set()),
        ("renamed", "conv2", "conv3", set()),
    ]


def test_removed_layer_leaves_the_others():
    assert found(BASE, edited((2, None))) == [
        ("removed", "relu1", None, set()),
        ("renamed", "relu2", "relu1", set()),
    ]


def test_renamed_layer_is_recognised():
    (layer,) = found(BASE, edited((1, "stem = conv 8 3x3 padding=1")))[:1]
    assert layer == ("renamed", "conv1", "stem", set())


def test_renamed_and_changed_layer_is_recognised():
    """By its place: the other layers around it are alike."""
    (layer, *_) = found(BASE, edited((4, "wide = conv 24 3x3 padding=1")))
    assert layer[:3] == ("changed", "conv2", "wide")


def test_given_name_counts_more_than_options():
    before = ["input 1x8x8", "a = conv 4 1x1", "b = conv 6 1x1"]
    after = ["input 1x8x8", "b = conv 6 3x3", "c = conv 4 1x1"]
    assert [layer[:3] for layer in found(before, after)] == [
        ("removed", "a", None),
        ("changed", "b", "b"),
        ("added", None, "c"),
    ]


def test_moved_layer_is_recognised():
    before = ["input 4x8x8", "conv 4 3x3 padding=1", "batchnorm", "relu", "conv 4 3x3 padding=1"]
    after = ["input 4x8x8", "conv 4 3x3 padding=1", "relu", "batchnorm", "conv 4 3x3 padding=1"]
    ((status, old, new, changes),) = found(before, after)
    assert (status, changes) == ("moved", set())
    assert old == new in ("batchnorm1", "relu1")


def test_other_kind_is_removed_and_added():
    assert [layer[:3] for layer in found(BASE, edited((3, "avgpool 2x2")))] == [
        ("removed", "maxpool1", None),
        ("added", None, "avgpool1"),
    ]


def test_rewired_layer_is_told():
    before = ["input 4x8x8", "a = relu", "b = tanh", "add a", "sigmoid"]
    after = ["input first 4x8x8", "a = relu", "b = tanh", "add first", "sigmoid"]
    (_, layer) = found(before, after)
    assert layer == ("changed", "add1", "add1", {"reads"})
    notes = diff_notes(difference(before, after))
    assert "reads         `add1` takes b, first, and took b, a" in notes


def test_training_is_compared_where_a_file_has_it(tmp_path):
    text = "network N {\n input 1x28x28\n dense 10\n}\n"
    one = check_source(Source("a.cnn", text + "train {\n epochs 3\n}\n"))
    other = check_source(Source("b.cnn", text + "train {\n epochs 5\n}\n"))
    result = compare(one, other)
    assert [(c.what, c.before, c.after) for c in result.settings] == [("epochs", "3", "5")]
    assert not result.same
    assert compare(check_source(Source("a.cnn", text)), check_source(Source("b.cnn", text))).same


# --- the alignment ------------------------------------------------------------------------------------------

LAYERS = st.lists(
    st.sampled_from(["relu", "tanh", "conv 4 1x1", "conv 4 3x3 padding=1", "batchnorm"]), max_size=6
)


@given(LAYERS, LAYERS)
@settings(max_examples=150, deadline=None)
def test_every_layer_is_told_once_and_the_score_is_the_highest(before, after):
    one, other = (checked(["input 4x8x8", *lines]).network() for lines in (before, after))
    matches = align(one, other)
    assert sorted(m.before for m in matches if m.before is not None) == list(range(len(one[0].nodes)))
    assert [m.after for m in matches if m.after is not None] == list(range(len(other[0].nodes)))
    kept = [m for m in matches if not m.moved and m.before is not None and m.after is not None]
    assert [m.before for m in kept] == sorted(m.before for m in kept)


@given(LAYERS, LAYERS)
@settings(max_examples=60, deadline=None)
def test_alignment_has_the_highest_score_by_brute_force(before, after):
    one, other = (aligning._traits(*checked(["input 4x8x8", *lines]).network()) for lines in (before, after))
    pairs = [(i, j) for i, j in aligning._middle(one, other) if i is not None and j is not None]
    score = sum(one[i].score(other[j]) for i, j in pairs)
    best = 0
    for size in range(min(len(one), len(other)) + 1):
        for left in itertools.combinations(range(len(one)), size):
            for right in itertools.combinations(range(len(other)), size):
                scores = [one[i].score(other[j]) for i, j in zip(left, right, strict=True)]
                best = max(best, sum(scores) if all(scores) else 0)
    assert score == best


@given(LAYERS)
@settings(max_examples=40, deadline=None)
def test_a_network_is_the_same_as_itself(lines):
    assert difference(["input 4x8x8", *lines], ["input 4x8x8", *lines]).same


def test_large_networks_are_matched_by_name(monkeypatch):
    monkeypatch.setattr(aligning, "MOST_CELLS", 1)
    after = [
        "input 1x16x16",
        "tanh",
        "conv 8 5x5 padding=2",
        "maxpool 2x2",
        "conv 16 3x3 padding=1",
        "relu",
        "dense 9",
    ]
    statuses = [layer[:3] for layer in found(BASE, after)]
    assert ("added", None, "tanh1") in statuses
    assert ("changed", "conv1", "conv1") in statuses


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def diff(capsys):
    def call(*words):
        try:
            code = main(["diff", *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def scalable(tmp_path):
    path = tmp_path / "net.cnn"
    path.write_text("network N(width=1) {\n input 1x8x8\n conv (4 * width) 3x3\n relu\n}\n")
    return path


def test_parameters_of_either_side(diff, scalable):
    code, out, _ = diff(scalable, scalable, "--set-b", "width=2")
    assert code == FINDINGS
    assert out == (
        "network N\n"
        "   layer  what it is  output  params   MACs  receptive field  jump  start\n"
        "-  conv1  conv 4 3x3   4x6x6      40  1,296              3x3     1      0\n"
        "+  conv1  conv 8 3x3   8x6x6      80  2,592              3x3     1      0\n"
        "-  relu1  relu         4x6x6                             3x3     1      0\n"
        "+  relu1  relu         8x6x6                             3x3     1      0\n"
        "\n"
        "unchanged     1 layer\n"
        "parameters    40 -> 80 (+40, +100.0 %)\n"
        "trainable     40 -> 80 (+40, +100.0 %)\n"
        "MACs          1,296 -> 2,592 (+1,296, +100.0 %)\n"
        "activations   1,408 -> 2,560 bytes (+1,152, +81.8 %)\n"
        "weights       160 -> 320 bytes (+160, +100.0 %)\n"
    )
    assert diff(scalable, scalable, "--set", "width=3")[0] == OK
    assert diff(scalable, scalable, "--set-a", "width=3", "--set-b", "width=3")[0] == OK
    assert diff(scalable, scalable, "--set-a", "width=3", "--quiet") == (FINDINGS, "", "")


def test_document_has_every_layer(diff, scalable):
    code, out, _ = diff(scalable, scalable, "--set-b", "width=2", "--json")
    document = json.loads(out)
    assert (code, document["same"]) == (FINDINGS, False)
    assert [layer["status"] for layer in document["layers"]] == ["same", "changed", "changed"]
    assert document["layers"][1]["changes"]["params"] == {"before": 40, "after": 80}
    assert document["totals"]["macs"] == {"before": 1296, "after": 2592}
    assert document["settings"] == {}


def test_markdown_has_a_diff_block(diff, scalable):
    out = diff(scalable, scalable, "--set-b", "width=2", "--markdown")[1]
    assert out.startswith("## network N\n\n```diff\n   layer")
    assert "\n* parameters: 40 -> 80 (+40, +100.0 %)\n" in out


def test_file_that_cannot_be_compared(diff, tmp_path):
    broken = tmp_path / "broken.cnn"
    broken.write_text("network N {\n input 1x8x8\n conv 4 9x9\n}\n")
    code, out, err = diff(LENET, broken)
    assert (code, out) == (USAGE, "")
    assert "error[kernel-too-large]" in err
    assert diff(LENET, "nothing.cnn")[0] == USAGE
    assert diff(LENET)[0] == USAGE
    assert "--set-b width: write it as name=value" in diff(LENET, LENET, "--set-b", "width")[2]
