"""Images a second in training, beside PyTorch eager in the same process.

    python benchmarks/throughput.py [--batches 1,16,64,256,1024] [--rounds 9] [--threads 2] [--json]

LeNet as in specs/lenet.cnn learns from random images by plain gradient descent: forward, loss, backward and
update. Both systems take turns, a short while each; the ratio is that of each round, its median and quartiles
are printed. Figures for several threads need a quiet machine: PyTorch's OpenMP threads wait for each other by
spinning, and fall to a hundredth of their speed when another process holds a core. What others use is
measured all the while, and rows for which they left too few processors are marked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info

from cnnspec.measurement.processes import used_by_others
from cnnspec.network.check import check_file
from cnnspec.numpy_backend import Model, compile_graph
from cnnspec.numpy_backend.blas import cores
from cnnspec.recipe import CrossEntropy

SPEC = Path(__file__).parent.parent / "specs" / "lenet.cnn"
IMAGES, CLASSES, RATE = 4096, 10, 0.01
TOLERATED = 0.1
REST = 0.2
Step = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """What was measured at one batch size; rates are images a second, the medians of the rounds.

    `busy` is the share of the machine that others used meanwhile.
    """

    batch: int
    cnnspec: float
    pytorch: float
    ratio: float
    ratio_low: float
    ratio_high: float
    busy: float


def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    rows = [measure(batch, arguments) for batch in arguments.batches]
    if arguments.json:
        print(
            json.dumps(
                {"machine": machine(arguments.threads), "rows": [asdict(row) for row in rows]}, indent=2
            )
        )
        return
    print(", ".join(f"{name} {value}" for name, value in machine(arguments.threads).items()))
    print(f"{'batch':>6} {'cnnspec':>10} {'PyTorch':>10}   ratio (quartiles)   images a second")
    for row in rows:
        spread = f"({row.ratio_low:.2f} to {row.ratio_high:.2f})"
        short = (1 - row.busy) * cores() < arguments.threads - TOLERATED
        mark = f"   not to be used: others hold {row.busy:.0%} of the machine" if short else ""
        print(f"{row.batch:>6} {row.cnnspec:>10,.0f} {row.pytorch:>10,.0f} {row.ratio:>7.2f} {spread}{mark}")


def sizes(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def parse() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--batches", type=sizes, default=[1, 16, 64, 256, 1024], help="batch sizes")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each system")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a turn")
    parser.add_argument("--threads", type=int, default=2, help="threads for each system")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def measure(batch: int, arguments: argparse.Namespace) -> Row:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((IMAGES, 1, 28, 28)).astype(np.float32)
    labels = rng.integers(0, CLASSES, IMAGES)
    model = compiled(batch, arguments.threads)
    ours, theirs = our_step(model, x, labels, batch), torch_step(x, labels, batch)
    rates: list[tuple[float, float]] = []
    start, others = time.perf_counter(), used_by_others()
    with model:
        for step in (ours, theirs):
            rate(step, batch, arguments.seconds)
        for _ in range(arguments.rounds):
            rates.append((rate(ours, batch, arguments.seconds), rate(theirs, batch, arguments.seconds)))
    busy = (used_by_others() - others) / (time.perf_counter() - start) / cores()
    ratios = [a / b for a, b in rates]
    low, middle, high = statistics.quantiles(ratios, n=4)
    medians = [statistics.median(column) for column in zip(*rates, strict=True)]
    return Row(batch, medians[0], medians[1], middle, low, high, busy)


def rate(step: Step, batch: int, seconds: float) -> float:
    """Images a second over a while, after a rest in which the other's threads stop spinning."""
    time.sleep(REST)
    step()
    start = time.perf_counter()
    count = 0
    while (passed := time.perf_counter() - start) < seconds:
        step()
        count += 1
    return count * batch / passed


def compiled(batch: int, threads: int) -> Model:
    graph, facts = check_file(SPEC).network()
    workers = None if threads == cores() else threads
    return compile_graph(graph, facts, batch=batch, loss=CrossEntropy(), workers=workers)


def our_step(model: Model, x: np.ndarray, labels: np.ndarray, batch: int) -> Step:
    rng = np.random.default_rng(1)
    for array in model.weights.values():
        array[...] = rng.uniform(-0.1, 0.1, array.shape)
    pairs = [(array, model.gradients[name]) for name, array in model.weights.items()]
    scaled = [np.empty_like(array) for array, _ in pairs]

    def step() -> None:
        model.loss_and_gradients(x, labels, rng.integers(0, IMAGES, batch))
        for (weight, gradient), update in zip(pairs, scaled, strict=True):
            np.multiply(gradient, RATE, out=update)
            np.subtract(weight, update, out=weight)

    return step


def torch_step(x: np.ndarray, labels: np.ndarray, batch: int) -> Step:
    nn = torch.nn
    convolutions = [nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5)]
    dense = [nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, CLASSES)]
    network = nn.Sequential(*convolutions, nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten(), *dense)
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
    images, targets = torch.tensor(x), torch.tensor(labels)

    def step() -> float:
        rows = torch.randint(0, IMAGES, (batch,))
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(network(images[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def machine(threads: int) -> dict[str, str]:
    """What the figures depend on."""
    kernels = {info.get("architecture", "?") for info in threadpool_info() if info["user_api"] == "blas"}
    return {
        "threads": str(threads),
        "NumPy": np.__version__,
        "BLAS kernels": "/".join(sorted(kernels)),
        "PyTorch": torch.__version__,
    }


if __name__ == "__main__":
    main()
