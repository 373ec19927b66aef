"""Receptive fields of every layer, against what the gradients of compiled networks reach.

Networks are drawn at random: whole programs, graphs of several inputs, chains of all options, and long maps
with transposed convolutions and resampling. The compiled network has positive weights only
(`tests/support/positive_networks.py`). Of every layer some units are taken, at the corners, in the middle and
anywhere. Compared is, for every input and along every axis, the first and the last position that the unit's
gradient reaches:

* with the input window of that unit, clipped: both are equal, so nothing outside is reached; between them a
  dilation or a stride may leave holes;
* with the receptive field of the layer, one for all inputs: its interval for that unit holds all that is
  reached. It is that, where no window on the way reaches over an edge of the input and units do not differ;
  behind ways that jump differently, an interval may count padding among them.

The long campaign: `pytest -m campaign tests/network/test_receptive_field_measured.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.network.receptive_field import _unit
from cnnspec.network.unit import look
from tests.support.positive_networks import positive_model
from tests.support.random_graphs import check_text, random_spec
from tests.support.random_networks import random_network
from tests.support.random_programs import random_program

SAMPLE, CAMPAIGN = range(24), range(300)
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
        return random_network(seed)
    return check_text(long_spec(seed))


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
        for position in positions(facts.shape(index)[1:], np.random.default_rng([seed, index]))
    ]
    found = reached(graph, facts, probes)
    for (index, position), gradients in zip(probes, found, strict=True):
        where = f"unit {position} of {graph.nodes[index].name}: {graph.nodes[index].layer.written()}"
        found = look(graph, facts, index, position).seen
        for seen, gradient in zip(found, gradients, strict=True):
            assert seen.inside == first_and_last(gradient), where
        check_table(facts.layers[index].receptive_field, position, found, where)


def check_table(field, position, found, where):
    """One field stands for all inputs: it holds what is reached of each, and no more where nothing is cut."""
    whole = all(seen.inside == seen.window for seen in found)
    found = [seen for seen in found if seen.inside]
    if not field or any(len(seen.inside) != len(field) for seen in found):
        return
    units = position if len(position) == len(field) else (0,) * len(field)
    for number, (axis, unit) in enumerate(zip(field, units, strict=True)):
        first = min((seen.inside[number][0] for seen in found), default=None)
        stop = max((seen.inside[number][1] for seen in found), default=None)
        if found:
            interval = _unit(axis, unit)
            assert interval[0] <= first < stop <= interval[1], where
            assert not whole or axis.pattern or interval == (first, stop), where


def positions(sizes, rng):
    """Corners, the middle and two others."""
    corners = [tuple(0 for _ in sizes), tuple(n - 1 for n in sizes), tuple(n // 2 for n in sizes)]
    return dict.fromkeys([*corners, *(tuple(int(rng.integers(n)) for n in sizes) for _ in range(2))])


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
