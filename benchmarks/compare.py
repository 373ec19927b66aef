"""The tables of the README: cnnspec beside PyTorch, ONNX Runtime and JAX, from one run in resumable parts.

    python benchmarks/compare.py [--rows 'lenet*'] [--kernels native] [--again] [--results FILE] [--plot FILE]

Every row is measured by a process of its own and kept in a JSON file; rows that are there are not measured
again, so that an interrupted run goes on where it was. In a row the systems take turns and each in its
fastest mode counts; a figure is the median ratio of the rounds with its quartiles, above 1 where cnnspec is
faster. `--kernels haswell` measures what NumPy's BLAS does on a processor without AVX-512. Figures need a
quiet machine; rows during which others took processors are marked.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.training.svg import document, element, line, text

if TYPE_CHECKING:
    from cnnspec.measurement.turns import Spread

HERE = Path(__file__).parent
SPECS = HERE.parent / "specs"
RESULTS = HERE / "results" / "compare.json"
KERNELS = {"native": None, "haswell": "Haswell"}
TRAINING, INFERENCE = ("torch", "jax"), ("torch", "onnxruntime", "jax")


@dataclass(frozen=True)
class Row:
    """One line of a table: a network in training or prediction at a batch size."""

    spec: Path
    batch: int
    training: bool
    rounds: int
    seconds: float

    @property
    def name(self) -> str:
        """By which it is asked for and kept."""
        kind = "training" if self.training else "inference"
        return f"{self.spec.stem}-{kind}-{self.batch}"

    @property
    def title(self) -> str:
        """What readers see."""
        return f"{self.spec.stem}, {'training' if self.training else 'inference'}"


def lenet(training: bool) -> list[Row]:
    return [Row(SPECS / "lenet.cnn", batch, training, 9, 0.2) for batch in (1, 16, 64, 256, 1024)]


ROWS = [
    *lenet(training=True),
    *lenet(training=False),
    Row(SPECS / "resnet20_cifar.cnn", 128, True, 3, 0.3),
    Row(HERE / "vgg_cifar.cnn", 128, True, 3, 0.3),
    *(
        Row(SPECS / f"{name}.cnn", batch, False, 5 if batch == 1 else 3, 0.2)
        for name in ("vgg11", "resnet18", "mobilenet_v2")
        for batch in (1, 16)
    ),
]


def main() -> None:
    arguments = parse()
    if arguments.one:
        (row,) = (row for row in ROWS if row.name == arguments.one)
        print(json.dumps(measured(row, arguments)))
        return
    for row in ROWS:
        if fnmatch.fnmatch(row.name, arguments.rows):
            keep(row, arguments)
    results = load(arguments.results)
    print(table(results, arguments.kernels))
    if arguments.plot:
        arguments.plot.write_text(plot(results, arguments.kernels), encoding="utf-8")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="*", metavar="PATTERN", help="which rows, such as 'lenet*'")
    parser.add_argument("--kernels", choices=KERNELS, default="native", help="of NumPy's BLAS")
    parser.add_argument("--again", action="store_true", help="measure rows that are there again")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="where they are kept")
    parser.add_argument("--plot", type=Path, default=None, metavar="FILE", help="write the ratios as SVG")
    parser.add_argument("--threads", type=int, default=None, help="for each system; all unless given")
    parser.add_argument("--without", default="", metavar="SYSTEMS", help="systems to leave out: jax,torch")
    parser.add_argument(
        "--rounds", type=int, default=None, help="turns of each system, unless as the row has it"
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def keep(row: Row, arguments: argparse.Namespace) -> None:
    """Measure a row in a process of its own, and write it down at once."""
    key = f"{arguments.kernels}/{row.name}"
    if key in load(arguments.results) and not arguments.again:
        return
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    if KERNELS[arguments.kernels]:
        environment["OPENBLAS_CORETYPE"] = KERNELS[arguments.kernels]
    words = [sys.executable, __file__, "--one", row.name, "--without", arguments.without]
    for option in ("threads", "rounds"):
        value = getattr(arguments, option)
        words += [f"--{option}", str(value)] if value else []
    print(f"measuring {key}", file=sys.stderr, flush=True)
    run = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if run.returncode:
        print(f"{key} failed", file=sys.stderr)
        return
    found = {**load(arguments.results), key: json.loads(run.stdout.splitlines()[-1])}
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measured(row: Row, arguments: argparse.Namespace) -> dict[str, Any]:
    from cnnspec.measurement.comparison import compare, set_threads
    from cnnspec.measurement.machine import describe, sgemm_flops
    from cnnspec.measurement.task import Task
    from cnnspec.network.check import check_file
    from cnnspec.numpy_backend.blas import cores

    threads = arguments.threads or cores()
    systems = [s for s in (TRAINING if row.training else INFERENCE) if s not in arguments.without.split(",")]
    set_threads(systems, threads)
    task = Task(*check_file(row.spec).network(), row.batch, threads, row.training)
    found = compare(task, systems, rounds=arguments.rounds or row.rounds, seconds=row.seconds)
    limit = sgemm_flops(threads)
    return {
        "machine": str(describe(threads)),
        "batch": row.batch,
        "training": row.training,
        "network": task.graph.name,
        "step_seconds": spread(found.seconds),
        "gflops": task.flops() / found.seconds.middle / 1e9,
        "sgemm_gflops": limit / 1e9,
        "busy": found.busy,
        "disturbed": found.disturbed,
        "notes": found.notes,
        "rivals": {
            rival.system: {
                "mode": rival.mode,
                "ratio": spread(rival.ratio),
                "step_seconds": spread(rival.seconds),
                "trials": rival.trials,
            }
            for rival in found.rivals
        },
    }


def spread(of: Spread) -> list[float]:
    return [of.middle, of.low, of.high]


# --- the table ------------------------------------------------------------------------------------------

TITLES = {"torch": "PyTorch", "onnxruntime": "ONNX Runtime", "jax": "JAX"}


def found_rows(results: dict[str, Any], kernels: str) -> list[tuple[Row, dict[str, Any]]]:
    """The rows that have been measured with these kernels."""
    keys = ((row, f"{kernels}/{row.name}") for row in ROWS)
    return [(row, results[key]) for row, key in keys if key in results]


def table(results: dict[str, Any], kernels: str) -> str:
    """One Markdown table of all rows of these kernels."""
    lines = [
        f"| network | batch | images/s | of sgemm | {' | '.join(f'times {t}' for t in TITLES.values())} |",
        "|---|---:|---:|---:|---|---|---|",
    ]
    for row, found in found_rows(results, kernels):
        rate = row.batch / found["step_seconds"][0]
        share = found["gflops"] / found["sgemm_gflops"]
        cells = " | ".join(ratio(found["rivals"].get(system)) for system in TITLES)
        mark = " (disturbed)" if found["disturbed"] else ""
        lines.append(f"| {row.title}{mark} | {row.batch} | {rate:,.0f} | {share:.0%} | {cells} |")
    return "\n".join(lines)


def ratio(rival: dict[str, Any] | None) -> str:
    """The median with its quartiles, and the mode of the rival."""
    if rival is None:
        return ""
    middle, low, high = rival["ratio"]
    return f"{middle:.2f} ({low:.2f} to {high:.2f}){', ' * bool(rival['mode'])}{rival['mode']}"


# --- the plot -------------------------------------------------------------------------------------------

LEFT, ROW, TOP, WIDTH, RIGHT = 250, 22, 70, 760, 30
COLOURS = {"torch": "#d55e00", "onnxruntime": "#0072b2", "jax": "#009e73"}
TICKS = (0.25, 0.5, 1, 2, 4, 8)


def plot(results: dict[str, Any], kernels: str) -> str:
    """An SVG: for every row how many times as fast as each rival, median and quartiles."""
    rows = found_rows(results, kernels)
    height = TOP + ROW * len(rows) + 20
    doublings = math.log2(TICKS[-1] / TICKS[0])

    def across(value: float) -> float:
        place = min(max(math.log2(value / TICKS[0]) / doublings, 0), 1)
        return LEFT + place * (WIDTH - LEFT - RIGHT)

    content = [text("Times as fast as each system in its fastest mode", LEFT, 20, font_size=14)]
    met = [system for system in TITLES if any(system in found["rivals"] for _, found in rows)]
    for number, system in enumerate(met):
        x, colour = LEFT + 130 * number, COLOURS[system]
        content += [element("circle", cx=x + 5, cy=36, r=4, fill=colour), text(TITLES[system], x + 14, 40)]
    for tick in TICKS:
        x, strong = across(tick), tick == 1
        content.append(line(x, TOP - 8, x, height - 20, stroke="#444444" if strong else "#dddddd"))
        content.append(text(f"{tick:g}", x, TOP - 12, text_anchor="middle", fill="#555555"))
    for number, (row, found) in enumerate(rows):
        y = TOP + ROW * (number + 0.5)
        content.append(text(f"{row.title}, batch {row.batch}", LEFT - 12, y + 4, text_anchor="end"))
        for place, (system, rival) in enumerate(found["rivals"].items()):
            at = y + 5 * (place - (len(found["rivals"]) - 1) / 2)
            middle, low, high = map(across, rival["ratio"])
            colour = COLOURS[system]
            content.append(line(low, at, high, at, stroke=colour, stroke_width=2))
            content.append(element("circle", cx=middle, cy=at, r=3.5, fill=colour))
    description = (
        "A row for each network and batch size, a dot for each system; right of 1 cnnspec is faster."
    )
    return document(WIDTH, height, "cnnspec beside other systems", description, content)


if __name__ == "__main__":
    main()
