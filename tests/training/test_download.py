"""The downloader against a server on this machine: good mirrors, bad ones, and nothing left behind."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cnnspec.training.datasets import DataError
from cnnspec.training.datasets import download as download_module
from cnnspec.training.datasets.download import download
from cnnspec.training.datasets.published import IDX_NAMES, MNIST, Published
from tests.training.idx_files import good_files

FILES = {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in good_files().items()}
MD5 = {name: hashlib.md5(FILES[f"{name}.gz"]).hexdigest() for name in IDX_NAMES}


@dataclass
class Mirrors:
    """A server with a folder for each way of answering, and what it was asked."""

    address: str
    asked: list[str] = field(default_factory=list)

    def set_of(self, *folders: str) -> Published:
        return replace(MNIST, md5=MD5, mirrors=tuple(f"{self.address}/{folder}/" for folder in folders))


@pytest.fixture
def mirrors() -> Iterator[Mirrors]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            _, folder, name = self.path.split("/")
            getattr(self, folder)(FILES[name])

        def good(self, content: bytes):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def unsized(self, content: bytes):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def changed(self, content: bytes):
            self.good(content[:-1] + b"?")

        def missing(self, content: bytes):
            self.send_error(404)

        def cut(self, content: bytes):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])

        def endless(self, content: bytes):
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(1000):
                    self.wfile.write(bytes(10_000))
            except OSError:
                self.close_connection = True

        def rubbish(self, content: bytes):
            self.wfile.write(b"this is no answer\r\n\r\n")

        def log_message(self, *_: object):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Mirrors(f"http://127.0.0.1:{server.server_address[1]}", asked)
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("folder", ["good", "unsized"])
def test_a_good_mirror_gives_all_four_files(folder: str, mirrors: Mirrors, tmp_path: Path):
    reports: list[tuple[str, int, int | None]] = []
    files = download(
        mirrors.set_of(folder), tmp_path / "new" / "mnist", lambda *report: reports.append(report)
    )
    assert {path.name: path.read_bytes() for path in files.values()} == FILES
    assert sorted(path.name for path in (tmp_path / "new" / "mnist").iterdir()) == sorted(FILES)
    name = "train-images-idx3-ubyte.gz"
    total = len(FILES[name]) if folder == "good" else None
    mine = [report for report in reports if report[0] == name]
    assert mine[0] == (name, 0, total)
    assert mine[-1] == (name, len(FILES[name]), total)


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("changed", "wrong checksum"),
        ("missing", "answers 404"),
        ("cut", "cut the connection after"),
        ("endless", "sends more than 1000000 bytes"),
        ("rubbish", "this is no answer"),
    ],
)
def test_a_bad_mirror_is_named_and_leaves_nothing(
    folder: str, reason: str, mirrors: Mirrors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(download_module, "MAX_DOWNLOAD_BYTES", 1_000_000)
    with pytest.raises(DataError) as caught:
        download(mirrors.set_of(folder), tmp_path)
    assert caught.value.message == (
        "MNIST is not on this computer, and train-images-idx3-ubyte.gz could not be downloaded"
    )
    assert caught.value.help[0].startswith(f"tried {mirrors.address}/{folder}/: ")
    assert reason in caught.value.help[0]
    assert "t10k-labels-idx1-ubyte.gz" in caught.value.help[1]
    assert str(tmp_path) in caught.value.help[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["changed", "missing", "cut", "rubbish"])
def test_the_second_mirror_is_used_where_the_first_is_bad(folder: str, mirrors: Mirrors, tmp_path: Path):
    download(mirrors.set_of(folder, "good"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == FILES
    assert mirrors.asked[:2] == [f"/{folder}/train-images-idx3-ubyte.gz", "/good/train-images-idx3-ubyte.gz"]


def test_nobody_listening_is_a_reason(tmp_path: Path, mirrors: Mirrors):
    dead = replace(mirrors.set_of(), mirrors=("http://127.0.0.1:9/",))
    with pytest.raises(DataError) as caught:
        download(dead, tmp_path)
    assert "refused" in caught.value.help[0].lower()


def test_files_that_are_there_are_not_fetched_again(mirrors: Mirrors, tmp_path: Path):
    present = "train-images-idx3-ubyte.gz"
    (tmp_path / present).write_bytes(FILES[present])
    download(mirrors.set_of("good"), tmp_path)
    assert len(mirrors.asked) == 3


def test_an_interruption_leaves_no_partial_file(mirrors: Mirrors, tmp_path: Path):
    def interrupt(name: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(mirrors.set_of("good"), tmp_path, interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(mirrors: Mirrors, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="cannot write to the data folder"):
        download(mirrors.set_of("good"), tmp_path / "file" / "mnist")
