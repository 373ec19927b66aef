"""How long `cnnspec check specs/lenet.cnn` takes beside `python -c "import pydantic, lark"`.

    python benchmarks/startup.py [--rounds 21]

Both run in turn as commands of their own; the ratio is that of each round, and its median and quartiles are
printed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

SPEC = Path(__file__).parent.parent / "specs" / "lenet.cnn"
IMPORTS = [sys.executable, "-c", "import pydantic, lark"]
LIMIT = 1.5


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one command, its output thrown away."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    program = shutil.which("cnnspec", path=str(Path(sys.executable).parent))
    check = (
        [program, "check", str(SPEC)] if program else [sys.executable, "-m", "cnnspec", "check", str(SPEC)]
    )
    pairs = [(seconds(IMPORTS), seconds(check)) for _ in range(rounds + 1)][1:]  # the first fills the caches
    imports, checks = (statistics.median(column) * 1000 for column in zip(*pairs, strict=True))
    low, middle, high = statistics.quantiles([check / imports for imports, check in pairs], n=4)
    print(f"import pydantic, lark      {imports:6.1f} ms")
    print(f"cnnspec check lenet.cnn    {checks:6.1f} ms")
    print(f"ratio                      {middle:6.2f} ({low:.2f} to {high:.2f}), the limit is {LIMIT}")


if __name__ == "__main__":
    main()
