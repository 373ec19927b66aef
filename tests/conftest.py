"""Options and fixtures of all tests."""

import gc
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the expected outputs under tests/cases"
    )


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect without the garbage collector, and keep it from what has come to stay: modules and tests."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture
def update_golden(request):
    return request.config.getoption("--update-golden")


@pytest.fixture
def torch():
    """PyTorch, the outside truth; tests that compare with it are skipped without it."""
    return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def data_dir():
    """The folder with the real data sets; tests that need it are skipped without it."""
    for folder in (os.environ.get("CNNSPEC_DATA_DIR"), ROOT.parent / "shared" / "data"):
        if folder and Path(folder).is_dir():
            return Path(folder)
    pytest.skip("no data sets: set CNNSPEC_DATA_DIR to a folder with mnist/ and fashion-mnist/")
