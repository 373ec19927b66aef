"""The tables of the README: cnnspec beside PyTorch, ONNX Runtime and JAX, from one run in resumable parts.

    python benchmarks/compare.py [--rows 'lenet*'] [--kernels native] [--again] [--results FILE]

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
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        kind = "training" if self.training else "inference"
        return f"{self.spec.stem}-{kind}-{self.batch}"


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
    print(table(load(arguments.results), arguments.kernels))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="*", metavar="PATTERN", help="which rows, such as 'lenet*'")
    parser.add_argument("--kernels", choices=KERNELS, default="native", help="of NumPy's BLAS")
    parser.add_argument("--again", action="store_true", help="measure rows that are there again")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="where they are kept")
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


def spread(of: Any) -> list[float]:
    return [of.middle, of.low, of.high]


def table(results: dict[str, Any], kernels: str) -> str:
    """One Markdown table of all rows of these kernels."""
    lines = [
        "| row | images/s | of sgemm | PyTorch | mode | ONNX Runtime | JAX | |",
        "|---|---:|---:|---:|---|---:|---:|---|",
    ]
    for row in ROWS:
        found = results.get(f"{kernels}/{row.name}")
        if found is None:
            continue
        rate = row.batch / found["step_seconds"][0]
        share = found["gflops"] / found["sgemm_gflops"]
        rivals = found["rivals"]
        cells = [ratio(rivals.get(system)) for system in ("torch", "onnxruntime", "jax")]
        mode = rivals.get("torch", {}).get("mode", "")
        mark = "disturbed" if found["disturbed"] else ""
        lines.append(
            f"| {row.name} | {rate:,.0f} | {share:.0%} | {cells[0]} | {mode} | {cells[1]} | {cells[2]} | {mark} |"
        )
    return "\n".join(lines)


def ratio(rival: dict[str, Any] | None) -> str:
    if rival is None:
        return ""
    middle, low, high = rival["ratio"]
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
