"""Trains the networks of specs/ that are to reach an accuracy, and tells whether they do, and how fast.

    CNNSPEC_DATA_DIR=/path/to/data python benchmarks/accuracies.py [mnist_net ...] [--seeds 3]

`seconds` is all of a run: the epochs, the test after each, the data read before. The goals of the first two
are to be reached within ten minutes on two processors. CIFAR-10 is whole or a part of it, as it is found.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from cnnspec.language.record import replace
from cnnspec.network.check import check_file
from cnnspec.training import load_data, train
from cnnspec.training.record import cpus, speed

SPECS = Path(__file__).parent.parent / "specs"
GOALS = {"mnist_net": 0.992, "fashion_net": 0.92, "cifar_net": 0.60}


@dataclass(frozen=True)
class Outcome:
    """What a run came to: the accuracy after the last epoch and after the best, and the time."""

    images: int
    accuracy: float
    best: float
    seconds: float
    speed: float


def outcome(spec: str, seed: int, data_dir: Path | None) -> Outcome:
    """Train a spec as its file says."""
    begin = time.perf_counter()
    checked = check_file(SPECS / f"{spec}.cnn")
    graph, facts = checked.network()
    data = load_data(checked.recipe.data, data_dir)
    result = train(graph, facts, replace(checked.recipe, seed=seed), data)
    result.model.close()
    accuracies = [epoch.test_accuracy for epoch in result.history]
    seconds = time.perf_counter() - begin
    return Outcome(len(data.train_y), accuracies[-1], max(accuracies), seconds, speed(result.history))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("specs", nargs="*", default=list(GOALS), help="which of them: " + ", ".join(GOALS))
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to try, from 0")
    parser.add_argument("--data-dir", type=Path, help="folder with the data sets")
    arguments = parser.parse_args()
    print(f"{cpus()} processors")
    print("spec          seed  images  test accuracy    best    goal  seconds  images/s")
    for spec in arguments.specs:
        for seed in range(arguments.seeds):
            one = outcome(spec, seed, arguments.data_dir)
            print(
                f"{spec:12}  {seed:4d}  {one.images:6,}  {one.accuracy:13.4f}  {one.best:6.4f}"
                f"  {GOALS[spec]:6.3f}  {one.seconds:7.1f}  {one.speed:8,.0f}"
                f"{'' if one.accuracy >= GOALS[spec] else '  behind its goal'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
