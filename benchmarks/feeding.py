"""How much of LeNet's throughput is left with augmentation on: `python benchmarks/feeding.py`.

Trains on random images of 28x28 that lie in memory, with each chain of augmentations and without, in rounds
that take turns; prints the median of the rounds' ratios and their quartiles.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from cnnspec.network.check import check_file
from cnnspec.recipe.augment import Augmentation, Brightness, Crop, Erase, Flip, Noise, Rotate, Shift
from cnnspec.training import DataSet, TrainableModel, build_model
from cnnspec.training.feed import feed

LENET = Path(__file__).parent.parent / "specs" / "lenet.cnn"
CHAINS: dict[str, tuple[Augmentation, ...]] = {
    "none": (),
    "shift 2": (Shift(distance=2),),
    "flip, crop padding=4": (Flip(), Crop(padding=4)),
    "rotate 10": (Rotate(angle=10),),
    "erase 8": (Erase(size=8),),
    "noise 0.05": (Noise(deviation=0.05),),
    "flip, shift 2, brightness 0.2": (Flip(), Shift(distance=2), Brightness(amount=0.2)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    data = random_images(arguments.images)
    checked = check_file(LENET)
    graph, facts = checked.network()
    model = build_model(graph, facts, checked.recipe, batch=arguments.batch)
    seconds: dict[str, list[float]] = {name: [] for name in CHAINS}
    for number in range(arguments.rounds + 1):
        for name, chain in CHAINS.items():
            seconds[name].append(epoch(model, data, arguments.batch, number, chain))
    model.close()
    alone = np.array(seconds["none"][1:])  # the first round warms up
    print(f"batch {arguments.batch}: {arguments.images / np.median(alone):,.0f} images a second without")
    for name, taken in seconds.items():
        low, middle, high = np.quantile(alone / np.array(taken[1:]), (0.25, 0.5, 0.75))
        print(f"{name:32} {middle:.2f} ({low:.2f} to {high:.2f})")


def epoch(
    model: TrainableModel, data: DataSet, batch: int, number: int, chain: tuple[Augmentation, ...]
) -> float:
    start = time.perf_counter()
    with feed(data, seed=0, epoch=number, batch=batch, augment=chain) as batches:
        for one in batches:
            model.train_batch(one.x, one.labels, one.indices)
    return time.perf_counter() - start


def random_images(count: int) -> DataSet:
    random = np.random.default_rng(0)
    x = random.random((count, 1, 28, 28), np.float32)
    y = random.integers(0, 10, count)
    return DataSet("random", x, y, x[:10], y[:10], tuple("0123456789"))


if __name__ == "__main__":
    main()
