"""Receptive fields of every layer, against what the gradients of compiled networks reach.

Networks are drawn at random: whole programs, graphs of several inputs, chains of all options, and long maps
with transposed convolutions and resampling. The compiled network has positive weights only
(`tests/support/positive_networks.py`). Of every layer some units are taken, at the corners, in the middle and
anywhere. Compared is, for every
input and along every axis, the first and the last position that the unit's gradient reaches:

* with the input window of that unit, clipped: both are equal, so nothing outside is reached; between them a
  dilation or a stride may leave holes;
* where no window on the way reaches over an edge, with the receptive field of the layer, one for all inputs.

The entry of the layer is that of all its units, in windows that are not clipped: size, jump and start say
where each of them lies where all are alike. Otherwise the size is the largest of them, and it is said that
they differ; a unit that has the largest is among those whose gradients are taken.

The long campaign: `pytest -m campaign tests/network/test_receptive_field_measured.py`.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cnnspec.language.source import Source
from cnnspec.network.analyse import analyse
from cnnspec.network.check import check_source
from cnnspec.network.graph import hull
from cnnspec.network.unit import look
from tests.support.positive_networks import positive_model
from tests.support.random_graphs import check_text, random_spec
from tests.support.random_networks import random_network
from tests.support.random_programs import random_program

SAMPLE, CAMPAIGN = range(24), range(1000)
BATCH = 32


@pytest.mark.parametrize("seed", SAMPLE)
def test_field_of_every_layer_is_what_gradients_reach(seed):
    compare(seed)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", CAMPAIGN)
def test_campaign_of_measured_fields(seed):
    compare(seed)


def drawn(seed):
    """A network, one of four sorts."""
    sort, seed = seed % 4, seed // 4
    if sort == 0:
        return next(check_text(text) for text in programs(seed))
    if sort == 1:
        return check_text(random_spec(seed))
    if sort == 2:
        graph, _ = random_network(seed)
        return graph, analyse(graph).facts
    return next(network for attempt in range(100) if (network := fitting(long_spec(seed + 1000 * attempt))))


def fitting(text):
    """The network, unless a window does not fit."""
    checked = check_source(Source("<test>", text))
    return checked.network() if checked.ok else None


def programs(seed):
    """Programs without an embedding: tokens have no gradient."""
    attempts = (random_program(seed + 1000 * attempt) for attempt in range(100))
    return (text for text in attempts if "embedding" not in text)


def long_spec(seed):
    """Ways over a long signal or a map that differ in everything, joined, and more behind them."""
    rng = np.random.default_rng([seed, 11])
    sizes = "90" if rng.random() < 0.5 else "28x34"
    ways = [" -> ".join([*resampling(rng, 3), "pad 12 -> crop to=12"]) for _ in range(2)]
    join = str(rng.choice(["add", "multiply", "concat"]))
    branches = " ".join(f"branch {{ {way} }}" for way in ways)
    behind = " -> ".join(resampling(rng, 2))
    lines = [f"input 1x{sizes}", "conv 4 2", f"{join} {{ {branches} }}", f"conv 4 1 -> {behind}"]
    return "\n".join(["network Long {", *lines, "}"])


def resampling(rng, most):
    kernel, dilation, stride, factor, before = (int(rng.integers(1, top)) for top in (5, 4, 4, 4, 3))
    choices = [
        f"conv 4 {kernel} dilation={dilation} padding={before - 1}",
        f"conv 4 {kernel} stride={stride} groups=2",
        f"maxpool {kernel + 1} stride={stride} padding={kernel // 2} ceil=true",
        f"maxpool {kernel} stride=1 dilation={dilation}",
        f"avgpool {kernel} stride={stride}",
        f"upsample {factor}",
        f"upsample {factor} mode=linear",
        f"pad ({kernel},) -> crop ({dilation},)",
        "conv 8 1 -> shuffle 2 -> take 1 5",
        f"conv_transpose 4 {kernel} stride={stride} dilation={dilation}",
        f"conv_transpose 4 {kernel + 1} stride={stride} padding=1 groups=2",
    ]
    return [str(rng.choice(choices)) for _ in range(int(rng.integers(1, most + 1)))]


def compare(seed):
    graph, facts = drawn(seed)
    probes = [
        (index, position)
        for index, item in enumerate(graph.nodes)
        if item.inputs
        for position in positions(facts, index, np.random.default_rng([seed, index]))
    ]
    found = reached(graph, facts, probes)
    for (index, position), gradients in zip(probes, found, strict=True):
        where = f"unit {position} of {graph.nodes[index].name}: {graph.nodes[index].layer.written()}"
        seen = look(graph, facts, index, position).seen
        reaches = [first_and_last(gradient) for gradient in gradients]
        assert [each.inside for each in seen] == reaches, where
        check_unit(facts.layers[index].receptive_field, position, seen, where)
    for index, item in enumerate(graph.nodes):
        if item.inputs:
            check_entry(graph, facts, index)


def check_unit(field, position, seen, where):
    """One field stands for all inputs: it holds all that is reached, and no more where nothing is cut.

    Where a pattern has gaps along one axis, other units at this place may see more along this one.
    """
    units = position if len(position) == len(field) else (0,) * len(field)
    reached = joined(field, [each.inside for each in seen])
    whole = all(each.inside == each.window for each in seen)
    alike = not any(axis.ways for axis in field)
    for interval, axis, unit in zip(reached, field, units, strict=False):
        assert hull([interval, axis.seen(unit)]) == axis.seen(unit), where
        assert not (whole and alike) or interval == axis.seen(unit), where


def check_entry(graph, facts, index):
    """The numbers of a layer against the windows of all its units."""
    field, where = facts.layers[index].receptive_field, graph.nodes[index].layer
    sizes = facts.shape(index)[1:]
    for number, axis in enumerate(field):
        count = sizes[number] if len(sizes) == len(field) else 1
        intervals = [widest_window(graph, facts, index, number, unit) for unit in range(count)]
        assert intervals == [axis.seen(unit) for unit in range(count)], where
        lengths = [interval[1] - interval[0] if interval else 0 for interval in intervals]
        assert axis.size == max(lengths), where
        assert axis.varies == (len(set(lengths)) > 1), where
        assert axis.start == next((interval[0] for interval in intervals if interval), 0), where
        if not axis.ways:
            starts = [axis.start + unit * axis.jump for unit in range(count)]
            assert intervals == [(start, start + axis.size) for start in starts], where


def widest_window(graph, facts, index, number, unit):
    """What units at one place along one axis see along it, wherever they are along the others.

    A transposed convolution leaves gaps along one axis in which nothing is seen along the others either.
    Places of the others are tried until as much is found as the entry says; more must not be found.
    """
    sizes, field = facts.shape(index)[1:], facts.layers[index].receptive_field
    wanted, found = field[number].seen(unit), None
    others = [range(n) for n in sizes]
    if len(sizes) == len(field):
        others[number] = [unit]
    middle = tuple(places[len(places) // 2] for places in others)
    for position in (middle, *itertools.product(*others)):
        window = joined(field, [seen.window for seen in look(graph, facts, index, position).seen])
        found = hull([found, window[number] if window else None])
        if found == wanted:
            break
    return found


def joined(field, boxes):
    """From the first position of any input to the last along each axis, where inputs have as many axes."""
    return [
        hull(edges) for edges in zip(*(box for box in boxes if box and len(box) == len(field)), strict=True)
    ]


def positions(facts, index, rng):
    """Corners, the middle, two others, and where most is seen."""
    sizes, field = facts.shape(index)[1:], facts.layers[index].receptive_field
    corners = [tuple(0 for _ in sizes), tuple(n - 1 for n in sizes), tuple(n // 2 for n in sizes)]
    others = [tuple(int(rng.integers(n)) for n in sizes) for _ in range(2)]
    if len(field) == len(sizes):
        others.append(tuple(widest(axis, n) for axis, n in zip(field, sizes, strict=True)))
    return dict.fromkeys([*corners, *others])


def widest(axis, n):
    """The middle one of the units that see as much as the entry of the layer says."""
    units = [unit for unit in range(n) if (seen := axis.seen(unit)) and seen[1] - seen[0] == axis.size]
    return units[len(units) // 2] if units else 0


def reached(graph, facts, probes):
    """For each probe the gradients of all inputs, summed over their channels."""
    model, outputs = positive_model(graph, facts, BATCH)
    sources = [facts.shape(source) for source in graph.sources()]
    found = []
    with model:
        for some in (probes[start : start + BATCH] for start in range(0, len(probes), BATCH)):
            x = tuple(np.ones((len(some), *shape)) for shape in sources)
            y = model.forward(x if len(x) > 1 else x[0], training=True)
            dy = [np.zeros_like(array) for array in (y if isinstance(y, tuple) else (y,))]
            for row, (index, position) in enumerate(some):
                dy[outputs[index]][(row, slice(None), *position)] = 1
            dx = model.backward(tuple(dy) if len(dy) > 1 else dy[0])
            arrays = dx if isinstance(dx, tuple) else (dx,)
            assert all(np.isfinite(array).all() and (array >= 0).all() for array in arrays)
            found += [[array[row].sum(axis=0) for array in arrays] for row in range(len(some))]
    return found


def first_and_last(gradient):
    """Along every axis the first position with a gradient, and the one behind the last."""
    places = np.nonzero(gradient)
    if not gradient.any():
        return None
    return tuple((int(axis.min()), int(axis.max()) + 1) for axis in places) if gradient.ndim else ()
