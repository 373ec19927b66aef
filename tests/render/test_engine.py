"""Which engine draws, and what is said when none can."""

from __future__ import annotations

import importlib.util
import os
import stat
import subprocess
from pathlib import Path

import pytest

from cnnspec.language.saving import save
from cnnspec.render import EngineError, NoEngineError, draw, engine, to_dot
from tests.render import networks

BEGINNINGS = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def lenet() -> str:
    return to_dot(*networks.lenet())


@pytest.mark.usefixtures("dot_program")
@pytest.mark.parametrize("format", BEGINNINGS)
def test_the_dot_program_draws(lenet: str, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert draw(lenet, format).startswith(BEGINNINGS[format])


@pytest.mark.usefixtures("no_dot")
@pytest.mark.parametrize("format", BEGINNINGS)
def test_pygraphviz_draws_where_there_is_no_dot(lenet: str, format: str) -> None:
    pytest.importorskip("pygraphviz")
    assert draw(lenet, format).startswith(BEGINNINGS[format])


@pytest.mark.parametrize("script", ["echo 'no layout engine' >&2; exit 1", "exit 0", "kill -SEGV $$"])
def test_pygraphviz_draws_where_dot_fails(lenet: str, fake_dot, script: str) -> None:
    pytest.importorskip("pygraphviz")
    fake_dot(script)
    assert draw(lenet, "svg").startswith(b"<?xml")


def test_an_engine_that_fails_is_quoted(lenet: str, fake_dot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fake_dot("echo 'Warning: one' >&2; echo 'Error: no plugin for pdf' >&2; exit 1")
    with pytest.raises(EngineError, match=r"^dot: Error: no plugin for pdf$"):
        draw(lenet, "pdf")


def test_an_engine_that_hangs_is_stopped(lenet: str, fake_dot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(engine, "TIMEOUT_SECONDS", 0.2)
    fake_dot("exec sleep 20")
    with pytest.raises(EngineError, match="stopped after"):
        draw(lenet, "svg")


@pytest.mark.usefixtures("no_dot")
def test_no_engine_at_all(lenet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NoEngineError):
        draw(lenet, "svg")
    assert draw(lenet, "dot").decode() == lenet


@pytest.mark.usefixtures("no_dot")
def test_letters_are_drawn_where_the_system_has_no_fonts(lenet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pygraphviz")
    bare = engine._FONTS.replace('<include ignore_missing="yes">', "<dir>/nowhere").replace(
        "</include>", "</dir>"
    )
    monkeypatch.setattr(engine, "_FONTS", bare)
    picture = draw(lenet, "pdf")
    assert b"DejaVu" in picture


def test_a_configuration_of_fonts_is_respected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FONTCONFIG_FILE", "/chosen.conf")
    assert engine._environment(tmp_path)["FONTCONFIG_FILE"] == "/chosen.conf"


def test_fonts_and_their_license_are_in_the_package() -> None:
    folder = Path(engine.__file__).parent / "fonts"
    assert sorted(path.name for path in folder.iterdir()) == [
        "DejaVuSans-Bold.ttf",
        "DejaVuSans.ttf",
        "LICENSE.txt",
    ]


# --- saving -----------------------------------------------------------------------------------------------


def test_save_replaces_a_file_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    path.write_bytes(b"old")
    path.chmod(0o640)
    save(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["a.svg"]


def test_save_gives_a_new_file_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    save(tmp_path / "a.svg", b"new")
    assert (tmp_path / "a.svg").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_save_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.svg"
    path.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        save(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.svg"]


def test_save_follows_a_link_and_keeps_it(tmp_path: Path) -> None:
    target, link = tmp_path / "target.svg", tmp_path / "link.svg"
    target.write_bytes(b"old")
    link.symlink_to(target)
    save(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_save_writes_to_a_device_without_replacing_it(tmp_path: Path) -> None:
    link = tmp_path / "null.svg"
    link.symlink_to(os.devnull)
    save(link, b"new")
    assert Path(os.devnull).is_char_device()


def test_the_carried_engine_imports_nothing_of_ours() -> None:
    text = (Path(engine.__file__).parent / "carried_engine.py").read_text()
    assert "import cnnspec" not in text
    assert "from cnnspec" not in text


def test_dot_text_is_read_without_complaint(lenet: str, dot_program: str) -> None:
    for network in (networks.lenet, networks.signal, networks.residual):
        for direction in ("down", "right"):
            text = to_dot(*network(), direction=direction)
            done = subprocess.run(
                [dot_program, "-Tdot"], input=text.encode(), capture_output=True, check=True
            )
            assert done.stderr == b""
