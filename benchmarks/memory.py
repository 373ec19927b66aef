"""The memory that `cnnspec check --memory` predicts for training, beside what a step of training then takes.

    python benchmarks/memory.py [--one NAME]

Each network is built and trained for one step in a process of its own. What it took is what `tracemalloc`
counts, to which NumPy reports its arrays: `arrays` are those that are there after the step, `peak` is the
most there was at any time, Python's own objects among it. The bound: the prediction is within 20 % of either.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np

from cnnspec.layers.embedding import Embedding
from cnnspec.network.check import Checked, check_file
from cnnspec.network.table import in_bytes
from cnnspec.training.memory import training_memory
from cnnspec.training.model import build_model

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


def measure(checked: Checked, batch: int) -> dict[str, int]:
    """Predicted bytes, those of all arrays after a step, and the most at any time."""
    graph, facts = checked.network()
    images = inputs(checked, batch)
    labels = np.zeros(batch, np.int64)
    predicted = training_memory(graph, facts, checked.recipe, batch).peak
    tracemalloc.start()
    try:
        model = build_model(graph, facts, checked.recipe, batch=batch)
        given = tuple(images) if len(images) > 1 else images[0]
        if model.plan.loss is not None:
            model.train_step(given, labels)
        else:
            model.backward(np.zeros_like(model.forward(given, training=True)))
        peak = tracemalloc.get_traced_memory()[1]
        ours = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        traces = tracemalloc.take_snapshot().filter_traces([ours]).traces
        arrays = sum(trace.size for trace in traces)
        model.close()
    finally:
        tracemalloc.stop()
    return {"predicted": predicted, "arrays": arrays, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--one", choices=BATCHES, help="measure one network here, and print it as JSON")
    chosen = parser.parse_args().one
    if chosen:
        print(json.dumps(measure(check_file(SPECS / f"{chosen}.cnn"), BATCHES[chosen])))
        return
    print(f"{'network':<15} batch  predicted     arrays       peak  to arrays  to peak")
    worst = 0.0
    for name, batch in BATCHES.items():
        words = [sys.executable, __file__, "--one", name]
        found = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        sizes = [found[part] for part in ("predicted", "arrays", "peak")]
        ratios = [sizes[0] / size for size in sizes[1:]]
        worst = max([worst, *(abs(1 - ratio) for ratio in ratios)])
        cells = "  ".join(f"{in_bytes(size):>9}" for size in sizes)
        print(f"{name:<15} {batch:>5}  {cells}  {ratios[0]:>9.3f}  {ratios[1]:>7.3f}")
    print(f"\nfarthest off: {worst:.1%}, allowed {BOUND:.0%}")
    sys.exit(worst > BOUND)


if __name__ == "__main__":
    main()
