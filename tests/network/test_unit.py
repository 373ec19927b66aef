"""What one unit sees, against the lecture's arithmetic, brute force and the table of receptive fields."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.cli.main import OK, main
from cnnspec.language.source import Source
from cnnspec.network.check import check_file, check_source
from cnnspec.network.unit import UnitError, look, sentences

ROOT = Path(__file__).parent.parent.parent
SPECS = sorted(path for path in (ROOT / "specs").glob("*.cnn") if "\nnetwork " in path.read_text("utf-8"))


def network(*lines):
    return check_source(Source("net.cnn", "\n".join(["network N {", *lines, "}"]))).network()


def seen(lines, name, *position):
    graph, facts = network(*lines)
    node = [node.name for node in graph.nodes].index(name)
    return look(graph, facts, node, position).seen


LENET = ["input 1x28x28", "conv 6 5x5 padding=2", "avgpool 2x2", "conv 16 5x5", "avgpool 2x2", "dense 120"]


def test_unit_inside_lenet():
    """Row 4 of conv2 takes rows 4 to 8 of the pool, those rows 8 to 17 of conv1, those pixels 6 to 19."""
    (found,) = seen(LENET, "conv2", 4, 7)
    assert found.window == found.inside == ((6, 20), (12, 26))


def test_unit_at_the_edge_is_clipped():
    (found,) = seen(LENET, "conv2", 0, 9)
    assert found.window == ((-2, 12), (16, 30))
    assert found.inside == ((0, 12), (16, 28))


def test_vector_sees_everything():
    (found,) = seen(LENET, "dense1")
    assert found.inside == ((0, 28), (0, 28))


def test_dilated_window_counts_what_is_there():
    """Places -3, 0 and 3 of a 3-kernel dilated by 3: the first inside is 0."""
    (found,) = seen(["input 1x10", "conv 1 3 dilation=3 padding=3"], "conv1", 0)
    assert (found.window, found.inside) == (((-3, 4),), ((0, 4),))
    (found,) = seen(["input 1x10", "conv 1 3 dilation=3 padding=3"], "conv1", 1)
    assert found.inside == ((1, 5),)


def test_padding_between_layers_sees_nothing_where_nothing_is():
    """Unit 0 takes positions -1 and 0 of conv1; there is no -1, so it sees what unit 0 of conv1 does."""
    (found,) = seen(["input 1x10", "conv 1 1", "conv 1 2 padding=1 stride=2"], "conv2", 0)
    assert (found.window, found.inside) == (((-1, 1),), ((0, 1),))


def test_every_input_is_told_apart():
    lines = ["input left 1x9x9", "l = conv 4 3x3", "input right 1x11x11", "conv 4 5x5", "add l", "conv 2 3x3"]
    left, right = seen(lines, "conv2", 2, 2)
    assert (left.input, left.inside) == ("left", ((2, 7), (2, 7)))
    assert (right.input, right.inside) == ("right", ((2, 9), (2, 9)))


def test_input_without_a_way_is_not_seen():
    lines = ["input left 1x9x9", "l = conv 4 3x3", "input right 1x11x11", "conv 4 5x5", "add l"]
    left, right = seen(lines, "l", 0, 0)
    assert left.inside == ((0, 3), (0, 3))
    assert right.inside is None
    graph, facts = network(*lines)
    said = sentences(look(graph, facts, 1, (0, 0)))
    assert "  sees nothing of `right` (1x11x11)" in said


def test_gate_of_one_position_repeats():
    lines = ["input 4x8x8", "x = conv 4 1x1", "globalavgpool", "multiply x"]
    (found,) = seen(lines, "multiply1", 3, 3)
    assert found.inside == ((0, 8), (0, 8))


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.campaign] if p.stem == "densenet121" else []) for p in SPECS],
    ids=lambda path: path.stem,
)
def test_windows_agree_with_the_table(path):
    """A unit far from the edges sees what the receptive field says of it."""
    graph, facts = check_file(path).network()
    for index, layer in enumerate(facts.layers):
        field, sizes = layer.receptive_field, facts.shape(index)[1:]
        if not field or len(sizes) != len(field):
            continue
        middle = [n // 2 for n in sizes]
        window = look(graph, facts, index, middle).seen[0].window
        assert window == tuple(axis.seen(unit) for axis, unit in zip(field, middle, strict=True))
        for axis, unit, (first, stop) in zip(field, middle, window, strict=True):
            assert axis.ways or (first, stop - first) == (axis.start + axis.jump * unit, axis.size)


@st.composite
def chains(draw):
    """Lines of windows over a signal, some of which may not fit."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        kernel, stride, padding, dilation = (draw(st.integers(low, 3)) for low in (1, 1, 0, 1))
        options = f"stride={stride} padding={padding} dilation={dilation}"
        lines.append(f"{draw(st.sampled_from(['conv', 'conv_transpose']))} 1 {kernel} {options}")
    return lines


@given(chains(), st.integers(0, 10**6))
@settings(max_examples=300, deadline=None)
def test_positions_are_those_that_reach_the_unit(lines, choice):
    """By brute force: positions are followed one by one, from the unit to the input."""
    checked = check_source(Source("net.cnn", "\n".join(["network N {", "input 1x17", *lines, "}"])))
    if not checked.ok:
        return
    graph, facts = checked.network()
    last = len(graph.nodes) - 1
    unit = choice % facts.shape(last)[1]
    reached = {unit}
    for node, layer in reversed(list(zip(graph.nodes, facts.layers, strict=True))[1:]):
        window = node.layer.window(*layer.input_shapes)
        if window != "pointwise":
            n = layer.input_shapes[0][1]
            reached = {p for output in reached for p in window[0].seen(output) if 0 <= p < n}
    (found,) = look(graph, facts, last, (unit,)).seen
    assert found.inside == (((min(reached), max(reached) + 1),) if reached else None)


@pytest.mark.parametrize(("position", "said"), [((1,), "2 spatial axes, not 1"), ((0, 10), "not to 10")])
def test_unit_that_is_not_there(position, said):
    with pytest.raises(UnitError, match=said):
        seen(LENET, "conv2", *position)


def test_command_says_it_in_words_and_as_json(capsys):
    words = ["check", str(ROOT / "specs" / "lenet.cnn"), "--layer", "conv2", "--unit", "0,7"]
    assert main(words) == OK
    assert capsys.readouterr().out.splitlines() == [
        "unit (0, 7) of `conv2` (16x10x10)",
        "  sees rows 0 to 11 and columns 12 to 25 of `input` (1x28x28): 12x14 of its 28x28 positions",
        "  its window, unclipped, is 14x14: rows -2 to 11 and columns 12 to 25; what lies outside is padding",
    ]
    assert main([*words, "--json"]) == OK
    document = json.loads(capsys.readouterr().out)
    (unit,) = document["units"]
    (found,) = unit["inputs"]
    assert found["clipped"] == {"first": [0, 12], "last": [11, 25], "size": [12, 14]}
    assert found["unclipped"] == {"first": [-2, 12], "last": [11, 25], "size": [14, 14]}
