from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without the `dot` program."""
    empty = tmp_path / "no-programs"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))


@pytest.fixture
def fake_dot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A machine whose `dot` program is a shell script."""

    def install(script: str) -> None:
        folder = tmp_path / "programs"
        folder.mkdir()
        program = folder / "dot"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")

    return install


@pytest.fixture
def dot_program() -> str:
    program = shutil.which("dot")
    if program is None:
        pytest.skip("needs the `dot` program")
    return program
