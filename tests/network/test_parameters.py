"""Parameters of a network: defaults, values from outside, and names that do not exist."""

import pytest

import cnnspec
from cnnspec.cli._parameters import read_assignment
from cnnspec.language.rendering import render_all
from cnnspec.language.source import Source
from cnnspec.network.check import check_source

TEXT = """network Net(classes=10, hidden=2 * classes) {
    input 1x8x8
    dense hidden -> relu
    dense classes
}
"""


def outputs(**parameters):
    return [layer.output_shape for layer in cnnspec.loads(TEXT, **parameters).layers]


def test_default_may_use_an_earlier_parameter():
    assert outputs() == [(1, 8, 8), (20,), (20,), (10,)]
    assert outputs(classes=3) == [(1, 8, 8), (6,), (6,), (3,)]


def test_value_from_outside_goes_before_the_default():
    assert outputs(hidden=7) == [(1, 8, 8), (7,), (7,), (10,)]


def test_unknown_parameter_suggests_a_near_one():
    text = render_all(check_source(Source("net.cnn", TEXT), {"clases": 3}).diagnostics)
    assert (
        text
        == """error[unknown-parameter]: network `Net` has no parameter `clases`
 --> net.cnn:1:9
  |
1 | network Net(classes=10, hidden=2 * classes) {
  |         ^^^
  |
  = help: did you mean `classes`?

1 error"""
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("classes=10", 10),
        ("width=1.5", 1.5),
        ("size=28x28", (28, 28)),
        ("bias=false", False),
        ("mode=same", "same"),
        ("n=2 ** 3 + 1", 9),
        ('name="a b"', "a b"),
        ("budget=5M", 5_000_000),
    ],
)
def test_assignment_is_read_as_the_language_reads_it(text, value):
    assert read_assignment(text)[1] == value


@pytest.mark.parametrize(
    "text", ["", "classes", "classes=", "=3", "a=1\nb=2", "a=}", "a=1 }\nblock b {", "a=(", "3=4"]
)
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(ValueError, match="name=value"):
        read_assignment(text)


NORM = """block norm(channels, same=2, how="channels") {
    conv channels 3x3 padding=same
    layernorm over=channels
    layernorm over=how
    conv channels 3x3 padding=same+1
}
network Net {
    input 3x8x8
    norm 16
}
"""


def test_word_of_an_option_is_that_word_where_a_parameter_has_its_name():
    """The sizes and numbers of parameters as in PyTorch: `padding="same"`, one weight and bias a channel."""
    layers = cnnspec.loads(NORM).layers[1:]
    assert [layer.output_shape for layer in layers] == [(16, 8, 8)] * 3 + [(16, 12, 12)]
    assert [layer.params for layer in layers] == [448, 32, 32, 2320]
