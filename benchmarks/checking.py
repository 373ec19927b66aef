"""How long checking takes: large networks beside LeNet, and chains of layers beside shorter ones.

    python benchmarks/checking.py [--rounds 7] [--no-gc]

Checked within one process, after a first round that fills the caches; each figure is the median of the
rounds. The bounds: a network of some hundred layers takes at most 1.5 times as long as LeNet plus 0.3 s, and
the time of a chain grows with its length. What a layer of a longer chain takes more is Python's collection of
garbage, which `--no-gc` leaves out.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from pathlib import Path

from cnnspec.language.reading import read
from cnnspec.language.source import Source
from cnnspec.network.check import check_source

SPECS = Path(__file__).parent.parent / "specs"
LENGTHS = (2_500, 5_000, 10_000)
RESNET152 = """use "residual.cnn"

network ResNet152(classes=1000) {
    input 3x224x224

    stem
    bottleneck 64 project=true
    repeat 2 { bottleneck 64 }
    bottleneck 128 stride=2 project=true
    repeat 7 { bottleneck 128 }
    bottleneck 256 stride=2 project=true
    repeat 35 { bottleneck 256 }
    bottleneck 512 stride=2 project=true
    repeat 2 { bottleneck 512 }
    globalavgpool -> dense classes -> softmax

    expect params == 60_192_808
}
"""
"""He et al. 2015, table 1; the number of parameters is torchvision's."""


def chain(length: int) -> str:
    """A file of so many layers, one a line."""
    layers = ["    conv 8 3x3 padding=1", "    relu"] * (length // 2)
    return "\n".join(["network Chain {", "    input 8x16x16", *layers, "}"])


def repeated(length: int) -> str:
    """As many layers, from one line."""
    body = f"repeat {length // 2} {{ conv 8 3x3 padding=1 -> relu }}"
    return f"network Chain {{\n    input 8x16x16\n    {body}\n}}"


def seconds(source: Source, rounds: int) -> tuple[float, int]:
    """The median time of a check, and how many layers there are."""
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        checked = check_source(source)
        times.append(time.perf_counter() - start)
        assert checked.ok
    assert checked.graph is not None
    return statistics.median(times[1:]), len(checked.graph.nodes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-gc", action="store_true")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    if arguments.no_gc:
        gc.disable()
    lenet, _ = seconds(read(SPECS / "lenet.cnn"), rounds)
    sources = {name: read(SPECS / f"{name}.cnn") for name in ("lenet", "resnet50", "densenet121")}
    sources["resnet152"] = Source("resnet152.cnn", RESNET152, str(SPECS / "resnet152.cnn"))
    for name, source in sources.items():
        time, layers = seconds(source, rounds)
        print(f"{name:24} {layers:6} layers {time * 1000:8.1f} ms {time / lenet:8.1f} times LeNet")
    for make in (chain, repeated):
        first = None
        for length in LENGTHS:
            time, layers = seconds(Source("chain.cnn", make(length)), rounds)
            first = first or time / layers
            growth = f"{time / layers / first:8.2f} times as long a layer"
            print(f"{make.__name__:24} {layers:6} layers {time * 1000:8.1f} ms {growth}")


if __name__ == "__main__":
    main()
