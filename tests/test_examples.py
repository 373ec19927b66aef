"""The examples keep what they promise: every file checks, is formatted, and the program runs."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from cnnspec.cli.main import main
from cnnspec.network.check import check_file

EXAMPLES = Path(__file__).parent.parent / "examples"
SPECS = sorted(EXAMPLES.rglob("*.cnn"))
LECTURE = sorted((EXAMPLES / "lecture").glob("*.cnn"))


def layers(name):
    """Of a lecture file, each layer's output shape and parameters by name."""
    checked = check_file(EXAMPLES / "lecture" / name)
    graph, facts = checked.network()
    return {
        node.name: (facts.shape(i), facts.layers[i].params, facts.layers[i].macs)
        for i, node in enumerate(graph.nodes)
    }


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_example_has_no_findings(path):
    assert check_file(path).diagnostics == ()


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_example_is_formatted(path):
    assert main(["fmt", "--check", str(path)]) == 0


@pytest.mark.parametrize("path", LECTURE, ids=lambda path: path.name)
def test_lecture_file_begins_with_its_section_and_claims_something(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert path.name[:2].isdigit()
    assert " : " in text
    assert "expect " in text


def test_command_checks_the_whole_lecture(capsys):
    assert main(["check", "--quiet", *map(str, LECTURE)]) == 0
    assert capsys.readouterr().err == ""


# the lecture's own numbers
@pytest.mark.parametrize(
    ("file", "layer", "expected"),
    [
        ("01_parameter_sharing.cnn", "perceptron", ((128,), 65536 * 128 + 128)),
        ("01_parameter_sharing.cnn", "convolution", ((128, 256, 256), 1152 + 128)),
        ("02_convolution.cnn", "conv1", ((1, 2, 2), 5)),
        ("03_padding.cnn", "conv1", ((1, 4, 4), 5)),
        ("04_stride.cnn", "conv1", ((1, 2, 2), 5)),
        ("05_input_channels.cnn", "conv1", ((1, 2, 2), 9)),
        ("06_output_channels.cnn", "conv1", ((128, 254, 254), 1152)),
        ("08_max_pooling.cnn", "maxpool1", ((1, 2, 2), 0)),
        ("10_fully_connected.cnn", "dense1", ((120,), 400 * 120 + 120)),
        ("11_lenet.cnn", "conv1", ((6, 28, 28), 156)),
        ("11_lenet.cnn", "avgpool2", ((16, 5, 5), 0)),
        ("11_lenet.cnn", "dense3", ((10,), 850)),
    ],
)
def test_lecture_file_gives_the_numbers_of_the_lecture(file, layer, expected):
    assert layers(file)[layer][:2] == expected


def test_program_runs_and_prints_the_lecture_numbers():
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "from_python.py"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "[[19. 25.]\n [37. 43.]]" in done.stdout
    assert "the whole network has 61,706" in done.stdout
    assert "the codes: ['kernel-too-large']" in done.stdout


def test_program_computes_and_learns():
    program = runpy.run_path(str(EXAMPLES / "from_python.py"))
    assert program["compute_the_convolution"]().tolist() == [[[[19, 25], [37, 43]]]]
    losses, accuracy = program["train_some_steps"]()
    assert losses[-1] < losses[0] / 2
    assert accuracy > 0.8
