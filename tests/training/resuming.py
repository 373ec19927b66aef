"""Runs of a small network in processes of their own, killed and gone on with; what the tests of it share."""

import contextlib
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from cnnspec.cli.main import main
from cnnspec.training.record import read_record
from cnnspec.training.run_folder import RunFolder

SPEC = """network Small {
    input 1x8x8
    conv 4 3x3 -> batchnorm -> relu
    maxpool 2x2
    dropout 0.2
    dense 10 -> softmax
}

train {
    data digits normalize=true
    augment shift 1
    optimizer sgd lr=0.05 momentum=0.9
    batch 100
    epochs EPOCHS
    checkpoint every=1
}
"""
KEPT = (
    "weights.safetensors",
    "best.safetensors",
    "checkpoint.safetensors",
    "checkpoint.previous.safetensors",
    "metrics.csv",
    "metrics.jsonl",
)
"""The files that must be equal, byte for byte. The checkpoint holds the optimizer's state."""


def write_spec(folder: Path, epochs: int = 4, text: str = SPEC) -> Path:
    path = folder / "small.cnn"
    path.write_text(text.replace("EPOCHS", str(epochs)))
    return path


def words(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cnnspec", "run", *arguments]


def train(here: Path, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """`cnnspec run` in a process of its own."""
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    return subprocess.run(
        words(*arguments),
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def called(here: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`cnnspec` in this process, which is much faster."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.chdir(here), contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = main(arguments)
        except SystemExit as end:  # a usage error of argparse
            status = int(str(end.code))
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), error.getvalue())


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of the files that must be equal."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in KEPT}


def kill_at(here: Path, out: Path, saves: int, seconds: float) -> int:
    """Begin a run, and kill it so long after so many checkpoints of it were seen; 0: after its record was."""
    checkpoint, seen = out / "checkpoint.safetensors", set()
    with subprocess.Popen(
        words("small.cnn", "--out", str(out), "--quiet"), cwd=here, stdout=subprocess.DEVNULL
    ) as process:
        while (
            process.poll() is None and saves >= 0 and (len(seen) < saves or not (out / "run.json").exists())
        ):
            with contextlib.suppress(FileNotFoundError):
                seen.add(checkpoint.stat().st_mtime_ns)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
    return process.returncode


def check_loadable(out: Path) -> str:
    """Fail unless a run can go on in this folder; where it stands, in words."""
    if not (out / "run.json").exists():
        return "not begun"
    record = read_record(out / "run.json")
    checkpoint, _ = RunFolder(out).latest_checkpoint()
    if checkpoint is None:
        return "no checkpoint"
    assert checkpoint.about.spec == record.fingerprint()
    position = checkpoint.about.position
    return f"epoch {position.epoch}, batch {position.batch}"


def moments(count: int, most: int) -> list[tuple[int, float]]:
    """Moments to kill at, for `kill_at`: most while it saves all the time, some while it starts."""
    chance = random.Random(1)
    return [
        (-1, chance.uniform(0, 0.5)) if i % 10 == 9 else (chance.randint(0, most), chance.uniform(0, 0.01))
        for i in range(count)
    ]
