"""What a diagram shows, read back from the picture that Graphviz draws."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.shapes import Flatten, Input
from cnnspec.render import DIRECTIONS, THEMES, to_dot
from cnnspec.render.boxes import fold
from cnnspec.render.theme import FONT
from tests.render import networks, pictures

GOLDEN = Path(__file__).parent / "lenet.dot"


def test_dot_of_lenet_is_the_golden_text(request: pytest.FixtureRequest) -> None:
    text = to_dot(*networks.lenet())
    if request.config.getoption("--update-golden"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_dot_is_the_same_every_time() -> None:
    assert to_dot(*networks.residual()) == to_dot(*networks.residual())


LENET = {  # Dive into Deep Learning, section 7.6; receptive fields after Araujo et al. 2019
    "input": ("1×28×28",),
    "conv1": ("6×28×28", "conv 6 5×5 padding=2", "156 params", "RF 5×5", "sigmoid"),
    "avgpool1": ("6×14×14", "avgpool 2×2", "no params", "RF 6×6"),
    "conv2": ("16×10×10", "conv 16 5×5", "2,416 params", "RF 14×14", "sigmoid"),
    "avgpool2": ("16×5×5", "avgpool 2×2", "no params", "RF 16×16"),
    "dense1": ("120", "dense 120", "48,120 params", "RF whole input", "sigmoid"),
    "dense2": ("84", "dense 84", "10,164 params", "RF whole input", "sigmoid"),
    "dense3": ("10", "dense 10", "850 params", "RF whole input", "softmax"),
}


def test_boxes_of_lenet_say_the_published_numbers() -> None:
    svg = pictures.parse(to_dot(*networks.lenet()))
    assert pictures.boxes(svg) == {name: [name, *said] for name, said in LENET.items()}


def test_title_and_legend_of_lenet() -> None:
    said = pictures.texts(pictures.parse(to_dot(*networks.lenet())))
    outside = [text for text in said if not any(text in (name, *rest) for name, rest in LENET.items())]
    assert outside == [
        "LeNet",
        "61,706 parameters",
        "416,520 multiply-accumulates (MACs)",
        "convolution",
        "activation",
        "pooling",
        "dense",
        "shape: channels × height × width",
        "RF: receptive field in the input",
    ]


def test_arrows_of_lenet_form_a_chain() -> None:
    names = list(LENET)
    chain = {f"{first}->{second}" for first, second in pairwise(names)}
    assert pictures.arrows(pictures.parse(to_dot(*networks.lenet()))) == chain


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("network", [networks.lenet, networks.signal, networks.residual])
def test_every_layer_is_drawn(network, theme: str, direction) -> None:
    graph, facts = network()
    svg = pictures.parse(to_dot(graph, facts, theme=theme, direction=direction))
    drawn = pictures.boxes(svg)
    for box in fold(graph, facts):
        said = drawn[graph.nodes[box.head].name]
        known = facts.layers[box.head]
        assert graph.nodes[box.head].name in said
        assert "×".join(map(str, known.shape or ())) in said
        if known.params:
            assert f"{known.params:,} params" in said
        for index in box.strips:
            assert any(graph.nodes[index].layer.written() in text for text in said)


def test_arrows_of_a_branching_network() -> None:
    assert pictures.arrows(pictures.parse(to_dot(*networks.residual()))) == {
        "input->stem",
        "stem->stage1.conv1",
        "stage1.conv1->stage1.conv2",
        "stage1.conv2->stage1.add",
        "stem->stage1.add",
        "stage1.add->stage2.conv1",
        "stage2.conv1->stage2.conv2",
        "stage1.add->stage2.shortcut",
        "stage2.conv2->stage2.add",
        "stage2.shortcut->stage2.add",
        "stage2.add->pool",
        "pool->classes",
    }


def test_a_merge_says_the_shapes_that_meet() -> None:
    said = pictures.boxes(pictures.parse(to_dot(*networks.residual())))
    assert "of 64×32×32, 64×32×32" in said["stage1.add"]


def test_an_activation_whose_input_is_read_elsewhere_has_its_own_box() -> None:
    graph, facts = networks.build(
        ("input", Input(shape=(3, 8, 8))),
        ("conv", Conv(channels=3, kernel=3, padding=1)),
        ("relu", Relu()),
        ("add", networks.Add(), ("relu", "conv")),
    )
    assert [box.nodes for box in fold(graph, facts)] == [(0,), (1,), (2,), (3,)]


def test_an_activation_on_the_input_has_its_own_box() -> None:
    graph, facts = networks.build(Input(shape=(5,)), Relu(), Relu())
    assert [box.nodes for box in fold(graph, facts)] == [(0,), (1, 2)]


def test_a_change_of_shape_is_not_folded() -> None:
    graph, facts = networks.build(Input(shape=(2, 3, 3)), Flatten(), Flatten(), Dense(units=2))
    assert [box.nodes for box in fold(graph, facts)] == [(0,), (1, 2), (3,)]


def test_several_outputs_are_marked() -> None:
    graph, facts = networks.build(
        ("input", Input(shape=(4,))),
        ("left", Dense(units=2), ("input",)),
        ("relu", Relu()),
        ("right", Dense(units=3), ("input",)),
        outputs=("relu", "right"),
    )
    svg = pictures.parse(to_dot(graph, facts))
    assert {"left->output 2", "right->output 3"} <= pictures.arrows(svg)
    assert pictures.texts(svg).count("output") == 2


def test_a_long_chain_stays_one_narrow_column() -> None:
    layers = [Conv(channels=3, kernel=3, padding=1) for _ in range(60)]
    svg = pictures.parse(to_dot(*networks.build(Input(shape=(3, 32, 32)), *layers)))
    assert len(pictures.boxes(svg)) == 61
    assert float((svg.get("width") or "").removesuffix("pt")) < 400


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_boxes_do_not_grow_with_the_widest_usual_font(direction) -> None:
    """A browser may draw the text in DejaVu Sans where Graphviz measured Helvetica."""
    for network in (networks.lenet, networks.signal, networks.residual):
        dot = to_dot(*network(), direction=direction)
        wide = dot.replace(FONT, "DejaVu Sans")
        assert wide != dot
        assert pictures.widths(pictures.parse(wide)) == pictures.widths(pictures.parse(dot))


def test_tooltip_has_the_costs() -> None:
    assert "117,600 multiply-accumulates" in to_dot(*networks.lenet())
