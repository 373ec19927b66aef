"""The memory that `cnnspec check --memory` predicts for training, beside what a step of training then takes.

    python benchmarks/memory.py [--one NAME]

Each network is built and trained for one step in a process of its own, after a small one that loads all
code. `arrays` is what NumPy reports to `tracemalloc` where the workers are threads; `resident` is what the
process and its workers hold of the machine's memory at most, beyond what they held before. The bound: the
prediction is within 20 % of either.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np

from cnnspec.language.source import Source
from cnnspec.layers.embedding import Embedding
from cnnspec.measurement.processes import peak_memory
from cnnspec.network.check import Checked, check_file, check_source
from cnnspec.network.table import in_bytes
from cnnspec.numpy_backend import Model, make_plan
from cnnspec.training.memory import training_memory
from cnnspec.training.model import TrainableModel, usable_loss

SPECS = Path(__file__).parent.parent / "specs"
BATCHES = {
    "lenet": 256,
    "lenet_caffe": 64,
    "lenet_fashion": 256,
    "mlp": 64,
    "resnet20_cifar": 32,
    "text_cnn": 32,
    "alexnet": 8,
    "squeezenet1_1": 4,
    "mobilenet_v2": 4,
    "googlenet": 4,
    "resnet18": 2,
    "densenet121": 2,
}
"""So large that a step takes seconds."""
BOUND = 0.2


def inputs(checked: Checked, batch: int) -> list[np.ndarray]:
    """Random images for every input; token 0 where an embedding reads it."""
    graph, facts = checked.network()
    readers = graph.consumers()
    rng = np.random.default_rng(0)
    return [
        np.zeros((batch, *facts.shape(source)), np.float32)
        if any(isinstance(graph.nodes[reader].layer, Embedding) for reader in readers[source])
        else rng.random((batch, *facts.shape(source)), np.float32)
        for source in graph.sources()
    ]


SMALL = "network Small { input 1x8x8\n conv 2 3x3 -> relu -> batchnorm -> dense 3 }"


def step(checked: Checked, images: list[np.ndarray], processes: bool | None = None) -> TrainableModel:
    """A model after a step of training."""
    graph, facts = checked.network()
    batch, loss = len(images[0]), usable_loss(graph, facts, checked.recipe)
    plan = make_plan(graph, facts, batch=batch, training=True, loss=loss, processes=processes)
    model = TrainableModel(Model(plan), checked.recipe)
    given = tuple(images) if len(images) > 1 else images[0]
    if loss is not None:
        model.train_step(given, np.zeros(batch, np.int64))
    else:
        model.backward(np.zeros_like(model.forward(given, training=True)))
    return model


def measure(checked: Checked, batch: int) -> dict[str, float]:
    """The ratios of predicted bytes to those of all arrays, and to those that are resident."""
    small = check_source(Source("small", SMALL))
    step(small, inputs(small, 2)).close()
    images = inputs(checked, batch)
    with peak_memory() as resident:
        model = step(checked, images)
    optimizer = training_memory(*checked.network(), checked.recipe, batch).optimizer
    predicted = model.plan.total_bytes + optimizer
    model.close()
    tracemalloc.start()
    model = step(checked, images, processes=False)
    ours = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    arrays = sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces([ours]).traces)
    return {
        "predicted": predicted,
        "resident": resident[0],
        "to resident": predicted / resident[0],
        "to arrays": (model.plan.total_bytes + optimizer) / arrays,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--one", choices=BATCHES, help="measure one network here, and print it as JSON")
    chosen = parser.parse_args().one
    if chosen:
        print(json.dumps(measure(check_file(SPECS / f"{chosen}.cnn"), BATCHES[chosen])))
        return
    print(f"{'network':<15} batch  predicted   resident  to resident  to arrays")
    worst = 0.0
    for name, batch in BATCHES.items():
        words = [sys.executable, __file__, "--one", name]
        found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        sizes = [found[part] for part in ("predicted", "resident")]
        ratios = [found[f"to {part}"] for part in ("resident", "arrays")]
        worst = max([worst, *(abs(1 - ratio) for ratio in ratios)])
        cells = "  ".join(f"{in_bytes(size):>9}" for size in sizes)
        print(f"{name:<15} {batch:>5}  {cells}  {ratios[0]:>11.3f}  {ratios[1]:>9.3f}")
    print(f"\nfarthest off: {worst:.1%}, allowed {BOUND:.0%}")
    sys.exit(worst > BOUND)


if __name__ == "__main__":
    main()
