"""MACs layer by layer beside PyTorch's own counter, at the published sizes: nothing is computed."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from cnnspec.network.check import check_file  # noqa: E402
from tests.zoo.twins import TWINS  # noqa: E402

SPECS = Path(__file__).parents[2] / "specs"


@pytest.mark.parametrize("name", sorted(TWINS))
def test_every_layer_has_pytorchs_macs(name):
    """The counter takes 2 FLOPs for each MAC; the order of branches is left open."""
    _, facts = check_file(SPECS / f"{name}.cnn").network()
    with torch.device("meta"):
        module = TWINS[name]().eval()
    counter = FlopCounterMode(display=False, depth=None)
    with counter:
        module(torch.zeros(1, *facts.shape(0), device="meta"))
    leaves = {
        f"{type(module).__name__}.{path}" for path, part in module.named_modules() if not [*part.children()]
    }
    counts = counter.get_flop_counts()
    theirs = [sum(ops.values()) // 2 for path, ops in counts.items() if path in leaves and ops]
    assert theirs
    assert sorted(theirs) == sorted(layer.macs for layer in facts.layers if layer.macs)
