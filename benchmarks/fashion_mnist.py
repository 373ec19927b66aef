"""Trains LeNet on Fashion-MNIST as Dive into Deep Learning does, and compares with the figures it prints.

    CNNSPEC_DATA_DIR=/path/to/data python benchmarks/fashion_mnist.py [--seeds 3]

Published (section 7.6; plain SGD, lr 0.9, batch 256, Xavier, 10 epochs): loss 0.479, train accuracy 0.820,
test accuracy 0.825. Reruns spread over 0.46 to 0.49 in loss and 0.74 to 0.83 in test accuracy.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cnnspec.language.record import replace
from cnnspec.network.check import check_file
from cnnspec.training import load_data, train
from cnnspec.training.record import speed

SPEC = Path(__file__).parent.parent / "specs" / "lenet_fashion.cnn"
PUBLISHED_LOSS = (0.46, 0.49)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds to try, from 0")
    parser.add_argument("--data-dir", type=Path, help="folder with the data set")
    arguments = parser.parse_args()
    checked = check_file(SPEC)
    graph, facts = checked.network()
    data = load_data(checked.recipe.data, arguments.data_dir)
    print("seed  train loss  train accuracy  test accuracy  seconds  images/s")
    for seed in range(arguments.seeds):
        result = train(graph, facts, replace(checked.recipe, seed=seed), data)
        result.model.close()
        last = result.history[-1]
        inside = PUBLISHED_LOSS[0] <= last.train_loss <= PUBLISHED_LOSS[1]
        print(
            f"{seed:4d}  {last.train_loss:10.4f}  {last.train_accuracy:14.4f}  {last.test_accuracy:13.4f}"
            f"  {result.seconds:7.1f}  {speed(result.history):8,.0f}"
            f"{'' if inside else '  outside the published spread of the loss'}"
        )


if __name__ == "__main__":
    main()
