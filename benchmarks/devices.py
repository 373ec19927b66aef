"""Images a second with `--backend torch` on a device, beside a plain PyTorch loop there.

    python benchmarks/devices.py --device cuda [--networks lenet,resnet18,cifar_net] [--rounds 9] [--json]

Networks of specs/ learn from random images that lie in memory. The plain loop is what most people write: a
`DataLoader` over a `TensorDataset`, the module that `cnnspec.to_torch` gives, `zero_grad`, `backward`, `step`
and `loss.item()`; numbers and memory format are those of cnnspec (`--precision`, channels last on a GPU).
Both take turns; the ratio is that of each round, its median and quartiles are printed.

In turns of its own it is measured for how long a step of cnnspec waits for data: until a batch is made, and
until it is on the device. Every step ends with its loss, so that the device has nothing to do meanwhile. This
share is told of the images as they are, and with the chain of augmentations of specs/cifar_net.cnn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from cnnspec.bridges.torch import to_module
from cnnspec.measurement.turns import Spread, take_turns
from cnnspec.network.check import Checked, check_file
from cnnspec.recipe.augment import Augmentation, Crop, Flip
from cnnspec.torch_backend import TorchBackend
from cnnspec.torch_backend.placement import PRECISIONS, Placement
from cnnspec.training import DataSet, TrainingError
from cnnspec.training.feed import Batch, feed
from cnnspec.training.initializers import initial_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.training.model import TrainableModel

SPECS = Path(__file__).parent.parent / "specs"
NETWORKS = ("lenet", "resnet18", "cifar_net")
BATCHES = {"cpu": {"lenet": 256, "resnet18": 16, "cifar_net": 128}, "cuda": {"lenet": 1024, "resnet18": 256}}
IMAGES_IN_BATCHES = 4
CHAIN: tuple[Augmentation, ...] = (Flip(), Crop(padding=4))
Step = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """What was measured of a network: images a second with quartiles, the ratio, and shares of waiting."""

    network: str
    batch: int
    cnnspec: Spread
    plain: Spread
    ratio: Spread
    waits: float
    waits_augmented: float


def main() -> int:
    arguments = parse()
    try:
        backend = TorchBackend(arguments.device, arguments.precision)
    except TrainingError as error:
        print(f"error: {error.message}\nhelp: {'; '.join(error.help)}", file=sys.stderr)
        return 1
    backend.placement = Watched.of(backend.placement)
    rows = [measure(name, backend, arguments) for name in arguments.networks]
    about = {"device": str(backend.placement), "precision": backend.placement.precision}
    about |= {"PyTorch": torch.__version__, "threads": str(torch.get_num_threads())}
    if arguments.json:
        print(json.dumps({"machine": about, "rows": [asdict(row) for row in rows]}, indent=2))
        return 0
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    systems = f"{'cnnspec':>9} {'plain':>9}  {'ratio (quartiles)':<20}"
    print(f"{'network':<10} {'batch':>5} {systems} waits   augmented")
    for row in rows:
        rates = f"{row.cnnspec.middle:>9,.0f} {row.plain.middle:>9,.0f}"
        waits = f"{row.waits:6.1%} {row.waits_augmented:>10.1%}"
        print(f"{row.network:<10} {row.batch:>5} {rates}  {row.ratio!s:<20} {waits}")
    return 0


def parse() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu; cuda unless given")
    parser.add_argument("--precision", choices=PRECISIONS, help="as `cnnspec run` has it")
    parser.add_argument("--networks", type=names, default=NETWORKS, help="of specs/, " + ",".join(NETWORKS))
    parser.add_argument("--batch", type=int, help="images in a step, where not what suits the device")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn")
    parser.add_argument("--loader-workers", type=int, default=0, help="processes of the plain DataLoader")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def names(text: str) -> tuple[str, ...]:
    found = tuple(text.split(","))
    for name in found:
        if not (SPECS / f"{name}.cnn").is_file():
            raise argparse.ArgumentTypeError(f"there is no network `{name}` in specs/")
    return found


def measure(name: str, backend: TorchBackend, arguments: argparse.Namespace) -> Row:
    checked = check_file(SPECS / f"{name}.cnn")
    batch = arguments.batch or BATCHES[backend.placement.device.type].get(name, 128)
    data = random_images(checked, batch * IMAGES_IN_BATCHES)
    with_ours = Ours(checked, backend, data, batch)
    plain = plain_step(checked, backend.placement, data, batch, arguments.loader_workers)
    rounds = take_turns(
        {"cnnspec": with_ours.step, "plain": plain}, rounds=arguments.rounds, seconds=arguments.seconds
    )
    rates = {
        system: Spread.of([batch / seconds for seconds in rounds.seconds[system]])
        for system in ("cnnspec", "plain")
    }
    waits = [with_ours.waits(arguments.seconds * 2, chain) for chain in ((), CHAIN)]
    with_ours.close()
    return Row(name, batch, rates["cnnspec"], rates["plain"], rounds.ratio("cnnspec", "plain"), *waits)


def random_images(checked: Checked, count: int) -> DataSet:
    graph, facts = checked.network()
    random = np.random.default_rng(0)
    x = random.random((count, *facts.shape(0)), np.float32)
    classes = facts.shape(graph.outputs[0])[0]
    y = random.integers(0, classes, count)
    return DataSet("random", x, y, x[:10], y[:10], tuple(map(str, range(classes))))


# --- cnnspec ----------------------------------------------------------------------------------------------


class Watched(Placement):
    """A placement that can wait until a copy has arrived, and notes for how long it did."""

    seconds = 0.0
    watching = False

    @classmethod
    def of(cls, placement: Placement) -> Watched:
        """The same place, watched."""
        return cls(placement.device, placement.precision, placement.channels_last)

    def moved(self, array: NDArray[np.generic]) -> torch.Tensor:
        """An array there; while it is watched, after it has arrived."""
        if not Watched.watching:
            return Placement.moved(self, array)
        begin = time.perf_counter()
        tensor = Placement.moved(self, array)
        synchronize(self)
        Watched.seconds += time.perf_counter() - begin
        return tensor


def synchronize(placement: Placement) -> None:
    """Wait until the device has done all that it was told."""
    if placement.is_gpu:
        torch.cuda.synchronize(placement.device)


class Ours:
    """Steps of cnnspec's own training, epoch after epoch."""

    def __init__(self, checked: Checked, backend: TorchBackend, data: DataSet, batch: int) -> None:
        graph, facts = checked.network()
        self._backend, self._data, self._batch, self._seed = backend, data, batch, checked.recipe.seed
        self._model: TrainableModel = backend.build(graph, facts, checked.recipe, batch)
        self._batches = self._forever(())

    def step(self) -> None:
        """One step."""
        one = next(self._batches)
        self._model.train_batch(one.x, one.labels, one.indices)

    def waits(self, seconds: float, chain: tuple[Augmentation, ...]) -> float:
        """The share of the time for which a step waits for its data."""
        self._batches.close()
        self._batches = self._forever(chain)
        for _ in range(IMAGES_IN_BATCHES):
            self.step()
        Watched.seconds, Watched.watching, waited = 0.0, True, 0.0
        synchronize(self._backend.placement)
        start = time.perf_counter()
        while (now := time.perf_counter()) - start < seconds:
            one = next(self._batches)
            waited += time.perf_counter() - now
            self._model.train_batch(one.x, one.labels, one.indices)
        Watched.watching = False
        return (waited + Watched.seconds) / (now - start)

    def _forever(self, chain: tuple[Augmentation, ...]) -> Iterator[Batch]:
        for epoch in itertools.count(1):
            with feed(
                self._data,
                seed=self._seed,
                epoch=epoch,
                batch=self._batch,
                augment=chain,
                stage=self._backend.stage,
            ) as batches:
                yield from batches

    def close(self) -> None:
        """Let go of threads and memory."""
        self._batches.close()
        self._model.close()


# --- the plain loop ---------------------------------------------------------------------------------------


def plain_step(checked: Checked, placement: Placement, data: DataSet, batch: int, workers: int) -> Step:
    graph, facts = checked.network()
    weights = {
        name: array.astype(np.float32) for name, array in initial_weights(graph, facts, checked.recipe)
    }
    device = placement.device
    model = to_module(graph, facts, weights, logits=True).to(device).train()
    if placement.channels_last:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    scaler = placement.scaler()
    samples = TensorDataset(torch.from_numpy(data.train_x), torch.from_numpy(data.train_y))
    loader = DataLoader(samples, batch, shuffle=True, num_workers=workers, pin_memory=placement.is_gpu)

    def forever() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            yield from loader

    batches = forever()

    def step() -> float:
        x, y = (one.to(device, non_blocking=True) for one in next(batches))
        if placement.channels_last:
            x = x.to(memory_format=torch.channels_last)
        optimizer.zero_grad()
        with placement.autocast():
            loss = nn.functional.cross_entropy(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.item()

    return step


if __name__ == "__main__":
    sys.exit(main())
