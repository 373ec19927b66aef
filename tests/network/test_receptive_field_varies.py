"""Receptive fields behind transposed convolution and adaptive pooling, against a count of every position."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

import cnnspec
from cnnspec.language.source import Source
from cnnspec.layers.windows import AxisBins, AxisWindow, TransposedWindow
from cnnspec.network.check import check_source
from cnnspec.network.graph import AxisField
from cnnspec.network.receptive_field import LONGEST_PERIOD, of_input, through, union
from cnnspec.network.report import report


def positions(window, unit):
    """The input positions of a unit, by trying all of them."""
    match window:
        case AxisBins(n=n, outputs=outputs):
            return [p for p in range(5000) if p < (unit + 1) * n / outputs and p + 1 > unit * n / outputs]
        case TransposedWindow(stride=s, dilation=d, before=before):
            places = range(window.kernel)
            return sorted({p for p in range(-60, 400) for k in places if p * s + k * d - before == unit})
        case AxisWindow(stride=s, dilation=d, before=before):
            return [unit * s + k * d - before for k in range(window.kernel)]


def seen(windows, unit):
    """What a unit behind these layers sees of the input."""
    units = {unit}
    for window in reversed(windows):
        units = {p for u in units for p in positions(window, u)}
    return units


def random_window(rng):
    kernel, stride, dilation, before = (int(rng.integers(1, top)) for top in (6, 4, 4, 3))
    choice = rng.random()
    if choice < 0.5:
        return AxisWindow(kernel, stride, dilation, before)
    if choice < 0.85:
        return TransposedWindow(kernel, stride, dilation, before, 0, 0)
    return AxisBins(int(rng.integers(1, 9)), int(rng.integers(1, 9)))


@pytest.mark.parametrize("seed", range(60))
def test_a_window_sees_what_the_definition_says(seed):
    window = random_window(np.random.default_rng(seed))
    for unit in range(40):
        assert list(window.seen(unit)) == positions(window, unit)
        ahead = window.seen(unit + window.period)
        assert [p - window.advance for p in ahead] == list(window.seen(unit))


@pytest.mark.parametrize("seed", range(120))
def test_composed_fields_are_those_of_every_unit(seed):
    rng = np.random.default_rng(seed)
    windows = [random_window(rng) for _ in range(int(rng.integers(1, 4)))]
    field = of_input((1, 100))
    for window in windows:
        field = through(field, (window,), (1, 100), (1, 10**6))
    (axis,) = field
    first = 12  # beyond the left edge of every map
    cycle = len(axis.ways[0].pattern) if axis.ways else 1
    fields = [seen(windows, unit) for unit in range(first, first + 2 * cycle)]
    sizes = [max(f) - min(f) + 1 if f else 0 for f in fields]
    assert axis.size == max(sizes)
    assert axis.varies == (len(set(sizes)) > 1)
    for now, later in zip(fields[:cycle], fields[cycle:], strict=True):
        assert {p + cycle * axis.jump for p in now} == later


def test_jump_is_a_fraction_behind_a_transposed_convolution():
    (axis,) = through(of_input((1, 8)), (TransposedWindow(3, 2, 1, 0, 0, 0),), (1, 8), (1, 17))
    assert axis.jump == Fraction(1, 2)
    assert (axis.size, axis.start, axis.varies) == (2, -1, True)
    assert axis.centre == -0.5  # unit 0 sees inputs -1 and 0, unit 1 input 0 alone


def test_a_convolution_with_stride_gives_whole_jumps_again():
    field = through(of_input((1, 8)), (TransposedWindow(2, 2, 1, 0, 0, 0),), (1, 8), (1, 16))
    (axis,) = through(field, (AxisWindow(4, 2),), (1, 16), (1, 7))
    assert axis == AxisField(size=2, jump=1, start=0)
    assert not axis.varies


def test_up_and_down_join_into_one_pattern():
    up = through(of_input((1, 8)), (TransposedWindow(3, 2, 1, 1, 0, 0),), (1, 8), (1, 16))
    (joined,) = union([up, through(up, (AxisWindow(3, 1, 1, 1, 1),), (1, 16), (1, 16))], (1, 16))
    assert joined.jump == Fraction(1, 2)
    assert joined.size == 3  # unit 0 sees inputs -1 to 1, by way of its neighbour before it


def test_a_period_too_long_leaves_the_field_unknown():
    stride = LONGEST_PERIOD + 1
    assert (
        through(of_input((1, 8)), (TransposedWindow(3, stride, 1, 0, 0, 0),), (1, 8), (1, 8 * stride)) is None
    )


def test_huge_windows_take_no_time():
    field = through(of_input((1, 10**12)), (AxisWindow(10**11, 10**10),), (1, 10**12), (1, 91))
    (axis,) = through(field, (TransposedWindow(10**9, 2, 10**6 + 1, 0, 0, 0),), (1, 91), (1, 10**15))
    assert axis.size == 10**11 + (10**9 - 1) // 2 * (10**6 + 1) * 10**10


NETWORK = """network Up {
    input 1x30x30
    conv 2 3x3 stride=2 padding=1
    conv_transpose 2 4x3 stride=2
    conv 1 3x3
    conv_transpose 1 2x2 stride=2
}
"""


def test_the_gradient_of_each_output_covers_its_field():
    """With every weight 1, an output's gradient is not zero exactly where it sees the input."""
    network = cnnspec.loads(NETWORK)
    model = network.compile(batch=1)
    for name, array in model.weights.items():
        model.weights[name] = np.ones_like(array)
    sizes = set()
    for row in range(20, 40):
        dy = np.zeros(model.forward(np.ones((1, 1, 30, 30), np.float32), training=True).shape, np.float32)
        dy[0, 0, row, row] = 1
        touched = np.nonzero(model.backward(dy)[0, 0])
        sizes.add(tuple(int(axis.max() - axis.min()) + 1 for axis in touched))
    largest = tuple(max(size[axis] for size in sizes) for axis in (0, 1))
    assert tuple(axis.size for axis in network.layers[-1].receptive_field) == largest


def test_the_report_and_the_table_say_that_it_varies():
    checked = check_source(Source("up.cnn", NETWORK))
    layers = json.loads(json.dumps(report(checked)))["layers"]
    fields = {layer["name"]: layer["receptive_field"] for layer in layers}
    assert "varies" not in fields["conv1"]
    assert fields["conv_transpose1"] == {
        "size": [5, 5],
        "jump": [1, 1],
        "start": [-3, -3],
        "varies": [False, True],
    }
    assert fields["conv_transpose2"]["jump"] == [0.5, 0.5]
    assert "up to 5x5" in str(cnnspec.loads(NETWORK))
