"""From DOT text to a picture: the `dot` program draws, or else the engine that pygraphviz carries."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS: Final = ("svg", "png", "pdf", "dot")
TIMEOUT_SECONDS: Final = 300
"""The longest that one engine may draw; thousands of layers with branches can take minutes."""
DPI: Final = 192
"""Dots per inch of a PNG: twice a screen's, so that it stays sharp on a slide."""

_HERE: Final = Path(__file__).parent
_FONTS: Final = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">fonts.conf</include>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>{folder}</dir>
  <cachedir>{cache}</cachedir>
</fontconfig>
"""
"""The system's fonts and, last, our own: without any, Graphviz draws an empty square for each letter."""


class NoEngineError(Exception):
    """Neither the `dot` program nor pygraphviz is there."""


class EngineError(Exception):
    """Every engine that is there failed; the message is the last one's own."""


def draw(dot: str, format: str) -> bytes:
    """The picture of a DOT text, as `svg`, `png` or `pdf`; `dot` is the text itself.

    Raises:
        NoEngineError: there is nothing to draw with.
        EngineError: the engines that are there failed.
    """
    if format == "dot":
        return dot.encode()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="cnnspec-") as scratch:
        environment = _environment(Path(scratch))
        for name, command in _engines(format):
            try:
                return _run(command, dot, environment)
            except EngineError as error:
                faults.append(f"{name}: {error}")
    if not faults:
        raise NoEngineError
    raise EngineError("; ".join(faults))


def _engines(format: str) -> Iterator[tuple[str, list[str]]]:
    """The engines that are there, with the command that reads DOT text and writes a picture."""
    if program := shutil.which("dot"):
        yield "dot", [program, f"-T{format}", f"-Gdpi={DPI}"] if format == "png" else [program, f"-T{format}"]
    if importlib.util.find_spec("pygraphviz"):
        # A process of its own: the engine writes its complaints to the standard error, and may crash.
        dpi = [str(DPI)] if format == "png" else []
        yield "pygraphviz", [sys.executable, "-P", str(_HERE / "carried_engine.py"), format, *dpi]


def _run(command: list[str], dot: str, environment: dict[str, str]) -> bytes:
    """The standard output of an engine."""
    try:
        done = subprocess.run(
            command,
            input=dot.encode(),
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"stopped after {TIMEOUT_SECONDS} seconds") from None
    except OSError as error:
        raise EngineError(error.strerror or str(error)) from None
    if done.returncode == 0 and done.stdout:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip().splitlines()
    raise EngineError(said[-1].strip() if said else f"ended with status {done.returncode} and no picture")


def _environment(scratch: Path) -> dict[str, str]:
    """The environment with our fonts behind the system's, unless it names a configuration of fonts."""
    environment = dict(os.environ)
    if "FONTCONFIG_FILE" not in environment:
        # A copy, since fontconfig leaves a file of its own in a folder of fonts that it may write to.
        fonts = shutil.copytree(_HERE / "fonts", scratch / "fonts")
        path = scratch / "fonts.conf"
        path.write_text(_FONTS.format(folder=_xml(fonts), cache=_xml(scratch)), encoding="utf-8")
        environment["FONTCONFIG_FILE"] = str(path)
    return environment


def _xml(path: Path) -> str:
    return str(path).replace("&", "&amp;").replace("<", "&lt;")
