"""`--set` reaches the parameters of a network and the settings of its `train` block."""

import pytest

from cnnspec.language.errors import SpecError
from cnnspec.language.source import Source
from cnnspec.network.assignment import read_assignment
from cnnspec.network.check import check_source
from cnnspec.network.settings import check_source_with

SPEC = """network Net(width=8, batch=3) {
    input 1x8x8
    dense width -> relu
    dense 10 -> softmax
}

train {
    data digits
    augment shift 1
    augment erase 2
    loss cross_entropy
    optimizer OPTIMIZER
    LINE
    epochs 5
}
"""


def recipe(*words, optimizer="sgd lr=0.1 momentum=0.9", line=""):
    text = SPEC.replace("OPTIMIZER", optimizer).replace("LINE", line)
    return check_source_with(Source("net.cnn", text), dict(map(read_assignment, words))).recipe


def as_file(optimizer="sgd lr=0.1 momentum=0.9", line=""):
    """What the checker makes of a file that says it itself."""
    text = SPEC.replace("OPTIMIZER", optimizer).replace("LINE", line)
    return check_source(Source("net.cnn", text)).recipe


def faults(*words):
    with pytest.raises(SpecError) as caught:
        recipe(*words)
    return [(finding.code, finding.message, *finding.help) for finding in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("words", "optimizer", "line"),
    [
        (["lr=0.3"], "sgd lr=0.3 momentum=0.9", ""),
        (["optimizer.lr=1e-3"], "sgd lr=1e-3 momentum=0.9", ""),
        (["sgd.lr=0.3", "momentum=0"], "sgd lr=0.3", ""),
        (["optimizer=adam"], "adam", ""),
        (["lr=0.3", "optimizer=adam"], "adam lr=0.3", ""),
        (["beta1=0.8", "optimizer=adam"], "adam beta1=0.8", ""),
        (['optimizer="sgd lr=0.2 nesterov=true momentum=0.5"'], "sgd lr=0.2 nesterov=true momentum=0.5", ""),
        (["seed=7"], "sgd lr=0.1 momentum=0.9", "seed 7"),
        (["clip.norm=2"], "sgd lr=0.1 momentum=0.9", "clip 2"),
        (["clip=0.5"], "sgd lr=0.1 momentum=0.9", "clip 0.5"),
        (["stop.patience=3"], "sgd lr=0.1 momentum=0.9", "stop patience=3"),
        (['schedule="cosine warmup=1"'], "sgd lr=0.1 momentum=0.9", "schedule cosine warmup=1"),
        (["schedule=one_cycle", "peak=0.4"], "sgd lr=0.1 momentum=0.9", "schedule one_cycle peak=0.4"),
    ],
)
def test_a_setting_is_as_if_the_file_said_so(words, optimizer, line):
    assert recipe(*words) == as_file(optimizer, line)


def test_one_of_several_is_called_by_its_kind():
    assert [item.written() for item in recipe("erase.size=4").augment] == ["shift 1", "erase 4"]
    assert [item.written() for item in recipe('augment="flip"').augment] == ["flip"]


def test_parameters_of_the_network_go_first():
    checked = check_source_with(
        Source("net.cnn", SPEC.replace("OPTIMIZER", "sgd").replace("LINE", "")), {"width": 5, "batch": 9}
    )
    assert dict(checked.graph.parameters) == {"width": 5, "batch": 9}
    assert checked.recipe.batch == 64


@pytest.mark.parametrize(
    ("word", "code", "message", "help"),
    [
        (
            "lrr=1",
            "unknown-parameter",
            "network `Net` has no parameter `lrr`, and no setting is called so",
            "did you mean `lr`?",
        ),
        (
            "widht=1",
            "unknown-parameter",
            "network `Net` has no parameter `widht`, and no setting is called so",
            "did you mean `width` or `weights`?",
        ),
        ("momentum=1.5", "wrong-value", "`momentum` must be at least 0 and below 1, not 1.5", None),
        ("epochs=0", "wrong-value", "`epochs` must be at least 1, not 0", None),
        (
            "optimizer=adma",
            "wrong-value",
            "`optimizer` cannot be `adma`: there is no optimizer `adma`",
            "did you mean `adam` or `adamw`?",
        ),
    ],
)
def test_wrong_settings_are_told(word, code, message, help):
    assert faults(word) == [(code, message, *([help] if help else []))]


def test_all_faults_are_told_in_one_go():
    assert [message for _, message, *_ in faults("lr=0", "momentum=2")] == [
        "`lr` must be above 0, not 0",
        "`momentum` must be at least 0 and below 1, not 2",
    ]


def test_a_name_that_means_several_settings_is_refused():
    with pytest.raises(SpecError) as caught:
        recipe("metric=test_loss", line="stop patience=2\n schedule plateau")
    (finding,) = caught.value.diagnostics
    assert finding.message == "`metric` could mean several settings"
    assert finding.help == ("write `schedule.metric` or `plateau.metric` or `stop.metric`",)


def test_settings_of_single_layers_are_the_files_own():
    assert faults("layers=conv1")[0][0] == "unknown-parameter"
    assert faults("freeze.layers=conv1")[0][0] == "unknown-parameter"
