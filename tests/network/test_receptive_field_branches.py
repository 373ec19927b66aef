"""Receptive fields through branches, resampling and frames, against the gradients of networks of ones."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec

LENGTH = 90
EDGE = 20
"""Beside the edges padding cuts fields short; they are compared further inside."""


def statements(rng, count):
    """Random statements over a map of 4 channels and one axis."""
    kernel, dilation, stride, factor = (int(rng.integers(1, most)) for most in (5, 3, 3, 4))
    choices = [
        f"conv 4 {kernel} dilation={dilation}",
        f"conv 4 {kernel} stride={stride} padding={int(rng.integers(0, 3))}",
        f"avgpool {max(kernel - 1, 1)} stride={stride}",
        f"upsample {factor}",
        f"upsample {factor} mode=linear",
        f"pad ({kernel}, {dilation})",
        f"crop ({kernel}, {dilation})",
        "pixel_shuffle 2 -> conv 4 1",
        f"conv_transpose 4 {kernel} stride={stride}",
        "shuffle 2 -> take 1 3 -> conv 4 1",
    ]
    return [choices[int(rng.integers(len(choices)))] for _ in range(count)]


def network(seed):
    """Two ways that differ in everything, cut to one length and joined; perhaps gated, a layer behind."""
    rng = np.random.default_rng(seed)
    ways = [" -> ".join([*statements(rng, int(rng.integers(1, 4))), "crop to=12"]) for _ in range(2)]
    gate = "multiply { branch { } branch { globalavgpool -> conv 4 1 } }" if rng.random() < 0.3 else "relu"
    join = str(rng.choice(["add", "mean", "concat"]))
    body = f"{join} {{ branch {{ {ways[0]} }} branch {{ {ways[1]} }} }} -> conv 4 1 -> {gate}"
    behind = f"conv 2 {int(rng.integers(1, 4))}"
    return f"network Net {{\n input 1x{LENGTH}\n conv 4 2\n {body}\n {behind}\n}}\n"


def seen_by_gradient(checked):
    """For every unit of the output the input positions that its gradient reaches."""
    outputs = checked.layers[-1].output_shape
    model = checked.compile(batch=outputs[1])
    for name, array in model.weights.items():
        model.weights[name] = np.full_like(array, 0.25)
    y = model.forward(np.ones((outputs[1], 1, LENGTH), np.float32), training=True)
    dy = np.zeros_like(y)
    dy[np.arange(outputs[1]), 0, np.arange(outputs[1])] = 1
    reached = model.backward(dy)[:, 0] != 0
    model.close()
    return [np.flatnonzero(row) for row in reached]


def inside(interval):
    return interval[0] >= EDGE and interval[1] <= LENGTH - EDGE


@pytest.mark.parametrize("seed", range(60))
def test_fields_behind_branches_are_what_gradients_reach(seed):
    text = network(seed)
    checked = cnnspec.loads(text)
    (axis,) = checked.layers[-1].receptive_field
    for unit, reached in enumerate(seen_by_gradient(checked)):
        interval = axis.seen(unit)
        if len(reached):
            actual = (int(reached[0]), int(reached[-1]) + 1)
            assert interval[0] <= actual[0] < actual[1] <= interval[1], text
            assert not inside(interval) or interval == actual, (unit, text)


def fields(body, shape="1x20"):
    return cnnspec.loads(f"network Net {{\n input {shape}\n {body}\n}}\n").layers[-1].receptive_field


def test_branches_see_the_union():
    (axis,) = fields("concat { branch { conv 1 3 padding=1 } branch { conv 1 7 padding=(0, 6) } }")
    assert (axis.size, axis.jump, axis.start, axis.varies) == (8, 1, -1, False)


def test_ways_that_jump_differently_see_most_where_they_are_farthest_apart():
    """Unit `u` sees `u` by one way, and `2 u` by the other: 10 positions at unit 9."""
    (axis,) = fields("add { branch { crop (0, 10) } branch { conv 1 1 stride=2 } }")
    assert (axis.size, axis.varies) == (10, True)
    (behind,) = fields("add { branch { crop (0, 10) } branch { conv 1 1 stride=2 } }\n conv 1 3")
    assert behind.size == 12  # units 7 to 9 see 7 to 18


@pytest.mark.parametrize("length", [20, 2000])
def test_a_gate_over_the_whole_map_sees_the_whole_input(length):
    body = "conv 2 3 padding=1\n multiply { branch { } branch { globalavgpool -> conv 2 1 -> sigmoid } }"
    for more in ("", "\n conv 2 3", "\n conv 2 3 padding=1", "\n crop 5", "\n maxpool 2"):
        (axis,) = fields(body + more, f"1x{length}")
        assert (axis.start, axis.size, axis.jump) == (-1, length + 2, 0)


def test_upsampling_shares_the_jump_among_the_new_positions():
    (nearest,) = fields("upsample 2")
    assert (nearest.size, float(nearest.jump), nearest.start) == (1, 0.5, 0)
    (linear,) = fields("upsample 2 mode=linear")
    assert (linear.size, float(linear.jump), linear.start) == (2, 0.5, -1)
    (after,) = fields("upsample 2\n conv 1 3")
    assert (after.size, float(after.jump), after.varies) == (2, 0.5, False)


def test_window_over_one_position_and_its_padding_does_not_repeat_it():
    """Unit 2 of the padded map is the position that is there; the others are padding, 4 inputs apart."""
    (axis,) = fields("maxpool 4\n pad 2", "1x4")
    assert (axis.size, axis.jump, axis.start) == (4, 4, -8)
    (gate,) = fields("x = conv 1 3\n maxpool 18\n multiply x")
    assert (gate.size, gate.jump, gate.start) == (20, 0, 0)


def test_axes_made_anew_see_everything():
    body = "conv 2 3x3\n reshape 4x24\n conv 2 3\n globalavgpool -> dense 3 -> reshape 3x1x1 -> upsample 4"
    field = fields(body, "1x10x8")
    assert [(axis.start, axis.size, axis.jump) for axis in field] == [(0, 10, 0), (0, 8, 0)]


SEVERAL = """network Several {
    input image 1x28x28
    input sound 1x400
    input numbers 7
    from sound -> conv 4 8 stride=4 -> globalavgpool -> flatten
    heard = dense 8
    from image -> conv 8 3x3 -> flatten -> dense 8
    add heard
    joined = concat numbers
    output joined heard
}
"""


def test_inputs_of_different_axes_are_told_apart_in_the_table():
    lines = {line.split()[0]: line for line in str(cnnspec.loads(SEVERAL)).splitlines() if line.strip()}
    assert lines["conv1"].endswith(" 8")
    assert lines["conv2"].endswith(" 3x3")
    assert lines["heard"].endswith(" all")
    assert lines["sight"].endswith("sees 3x3 of the 28x28 input")


def test_padding_behind_ways_that_jump_differently_goes_on_along_each():
    """Unit 9 sees 9 and 18; the convolution's last unit also the padding behind it, 10 and 20."""
    (axis,) = fields("add { branch { crop (0, 10) } branch { conv 1 1 stride=2 } }\n conv 1 3 padding=1")
    assert [axis.seen(unit) for unit in (0, 1, 9)] == [(-2, 3), (0, 5), (8, 21)]
    assert (axis.size, axis.jump, axis.start, axis.varies) == (13, 1, -2, True)


def test_a_unit_that_is_not_there_counts_for_nothing():
    """Of every two units behind the transposed convolution one sees two positions; this one is cut off."""
    (both,) = fields("conv_transpose 1 3 stride=2\n crop (2, 37)")
    assert (both.size, both.varies) == (2, True)
    (odd,) = fields("conv_transpose 1 3 stride=2\n crop (3, 37)")
    assert (odd.size, odd.start, odd.varies) == (1, 1, False)


def test_ways_of_different_jumps_over_a_long_map_are_known():
    """The last of 1,000,000 units sees its position, and twice that by the other way."""
    body = "add { branch { crop (0, 1_000_000) } branch { conv 1 1 stride=2 } }"
    (axis,) = fields(body, "1x2000000")
    assert (axis.size, axis.jump, axis.start, axis.varies) == (1_000_000, 1, 0, True)


def test_an_unknown_field_is_said_to_be_unknown():
    text = "network Up {\n input 1x40\n upsample 31\n conv_transpose 2 3 stride=29\n}"
    *_, row = (line for line in str(cnnspec.loads(text)).splitlines() if line.startswith("conv_transpose1"))
    assert row.endswith("unknown")
    assert "unknown      receptive fields whose pattern takes more than 512 units" in str(cnnspec.loads(text))
    with pytest.raises(cnnspec.SpecError, match="`conv_transpose1` is unknown"):
        cnnspec.loads(text.replace("}", " expect receptive_field(conv_transpose1) > 1\n}"))
