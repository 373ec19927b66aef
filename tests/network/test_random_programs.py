"""Random programs over the whole language: read, formatted, computed beside PyTorch, and broken in one place.

The long campaign: `pytest -m campaign tests/network/test_random_programs.py`.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from cnnspec.language.dumping import dump
from cnnspec.language.formatter import format_source
from cnnspec.language.parser import parse
from cnnspec.language.rendering import render_all
from cnnspec.language.source import Source
from cnnspec.network.check import Checked, check_source
from tests.support.random_programs import random_program
from tests.support.seeded_faults import SORTS, random_fault

SAMPLE, CAMPAIGN = range(30), range(30, 560)
seeds = pytest.mark.parametrize("seed", SAMPLE)
campaign_seeds = pytest.mark.parametrize("seed", CAMPAIGN)


def check(text: str) -> Checked:
    return check_source(Source("random.cnn", text))


def errors(checked: Checked) -> list:
    return [finding for finding in checked.diagnostics if finding.is_error]


# --- checked and formatted ------------------------------------------------------------------------------


@seeds
def test_program_has_no_errors_and_formatting_keeps_its_meaning(seed):
    read_and_format(seed)


@pytest.mark.campaign
@campaign_seeds
def test_campaign_of_programs_without_errors(seed):
    read_and_format(seed)


def read_and_format(seed):
    text = random_program(seed)
    before = check(text)
    assert not errors(before), render_all(before.diagnostics)
    formatted = format_source(Source("random.cnn", text))
    after = check(formatted)
    assert format_source(Source("random.cnn", formatted)) == formatted
    assert words(formatted) == words(text)
    assert dump(after.facts) == dump(before.facts)
    assert [node.name for node in after.graph.nodes] == [node.name for node in before.graph.nodes]


def words(text: str) -> list[str]:
    """The tree without the places of its parts."""
    tree = dump(parse(Source("random.cnn", text)).tree)
    return [line for line in tree.split("\n") if "span:" not in line]


# --- computed beside PyTorch ----------------------------------------------------------------------------


@seeds
def test_program_agrees_with_pytorch(seed):
    agree(seed)


@pytest.mark.campaign
@campaign_seeds
def test_campaign_of_programs_beside_pytorch(seed):
    agree(seed)


def agree(seed):
    """In float64 to 1e-9 and in float32 to 1e-4, or as near as rounding lets PyTorch itself come.

    How far its float32 is from its float64 tells how much the network magnifies what is rounded; PyTorch's
    sums are float64 within float32 normalizations, so ours may be further from the truth.
    """
    torch = pytest.importorskip("torch")
    from tests.support.models import draw_inputs, random_model

    graph, facts = check(random_program(seed)).network()
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 8))
    labels = rng.integers(0, facts.shape(graph.outputs[0])[0], count)
    options = {"batch": count, "workers": 1 + seed % 2, "dtype": "float64"}
    with random_model(graph, facts, rng, **options) as model:
        weights, inputs = dict(model.weights), draw_inputs(model, rng, count)
        dy = rng.standard_normal((count, *facts.shape(graph.outputs[0])))
        weights = {name: array.copy() for name, array in weights.items()}
        double = of_model(model, inputs, dy, labels)
    with random_model(graph, facts, rng, **{**options, "dtype": "float32"}) as model:
        for name, array in weights.items():
            model.weights[name] = array
        single = of_model(model, inputs, dy, labels)
    truth = of_pytorch(torch.float64, graph, facts, weights, inputs, dy, labels)
    rounded = of_pytorch(torch.float32, graph, facts, weights, inputs, dy, labels)
    apart = {name: float(np.abs(rounded[name] - expected).max()) for name, expected in truth.items()}
    largest = max(float(np.abs(expected).max()) for expected in truth.values())
    wrong = {}
    for name in double.keys() & truth.keys():  # frozen weights have a gradient in PyTorch only
        scale = max(float(np.abs(truth[name]).max()), 1e-3 * largest, 1e-3)
        ours64, ours32 = (float(np.abs(run[name] - truth[name]).max()) for run in (double, single))
        worst = max(apart.values())
        if not (ours64 <= max(1e-9 * scale, 1e-5 * worst) and ours32 <= max(1e-4 * scale, 1000 * worst)):
            wrong[name] = f"float64 {ours64:.1e}, float32 {ours32:.1e}, PyTorch's float32 {apart[name]:.1e}"
    assert not wrong


def of_model(model, inputs, dy, labels) -> dict[str, np.ndarray]:
    """Prediction, output and input gradients in training, weight gradients, and the same from a loss."""
    from tests.support.models import alone, as_tuple

    x = alone(inputs)
    found = {"prediction": model.predict(x), "output": model.forward(x, training=True)}
    for number, gradient in enumerate(as_tuple(model.backward(dy))):
        found[f"input {number}"] = gradient.copy()
    found |= {name: array.copy() for name, array in model.gradients.items()}
    found["loss"] = np.array(model.loss_and_gradients(x, labels).loss)
    return found | {f"loss: {name}": array.copy() for name, array in model.gradients.items()}


def of_pytorch(dtype, graph, facts, weights, inputs, dy, labels) -> dict[str, np.ndarray]:
    """The same of the twin, where there is a gradient at all."""
    import torch

    from tests.support.models import alone
    from tests.support.torch_twin import Twin

    twin = Twin(graph, facts, weights).to(dtype)
    leaves = tuple(torch.tensor(array, dtype=dtype, requires_grad=True) for array in inputs)
    with torch.no_grad():
        found = {"prediction": twin(alone(leaves))}
    found["output"] = output = twin(alone(leaves))
    output.backward(torch.tensor(dy, dtype=dtype))
    found |= {f"input {number}": leaf.grad for number, leaf in enumerate(leaves) if leaf.grad is not None}
    arrays = {name: tensor.detach().numpy() for name, tensor in found.items()} | twin.gradients()
    arrays = {name: array.copy() for name, array in arrays.items()}
    twin.zero_grad()
    logits = twin(alone(leaves), logits=True)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    arrays["loss"] = loss.detach().numpy()
    return arrays | {f"loss: {name}": array for name, array in twin.gradients().items()}


# --- broken in one place --------------------------------------------------------------------------------


@seeds
def test_single_fault_is_reported_on_its_line_and_nowhere_else(seed):
    breaks(seed, None)


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_of_fault_is_reported_on_its_line(sort):
    seeds = (seed for seed in range(400) if any(SORTS[sort](check(random_program(seed)))))
    breaks(next(seeds), sort)


@pytest.mark.campaign
@campaign_seeds
@pytest.mark.parametrize("sort", SORTS)
def test_campaign_of_single_faults(seed, sort):
    if any(SORTS[sort](check(random_program(seed)))):
        breaks(seed, sort)


def breaks(seed, sort):
    fault = random_fault(check(random_program(seed)), random.Random(f"{seed} {sort}"), sort)
    found = errors(check(fault.broken))
    shown = f"{fault.sort} on line {fault.place.line}\n{fault.broken}\n{render_all(found)}"
    assert fault.code in [finding.code for finding in found], shown
    assert {finding.span.line for finding in found} == {fault.place.line}, shown
    if fault.in_block:
        assert all(any(note.startswith("in `") for note in finding.notes) for finding in found), shown
