"""Runs that are killed at any moment: the folder stays usable, and the run goes on bit for bit."""

from pathlib import Path

import pytest

from tests.training.resuming import called, check_loadable, digests, kill_at, moments, write_spec

EPOCHS = 10
SAVES = 15 * EPOCHS
"""Batches, and so checkpoints; who looks at the file may miss some."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody stopped."""
    here = tmp_path_factory.mktemp("whole")
    write_spec(here, EPOCHS)
    result = called(here, "run", "small.cnn", "--out", "whole", "--quiet")
    assert result.returncode == 0, result.stderr
    return here


def hunt(here: Path, kills: int, resumed: int) -> None:
    expected = digests(here / "whole")
    stands = []
    for number, (saves, seconds) in enumerate(moments(kills, SAVES)):
        out = here / f"killed-{number}"
        kill_at(here, out, saves, seconds)
        stands.append(check_loadable(out))
        if number % (kills // resumed) == 0:
            result = called(here, "run", "small.cnn", "--out", str(out), "--resume", "--quiet")
            assert result.returncode == 0, (stands[-1], result.stderr)
            assert digests(out) == expected, stands[-1]
    print(f"{kills} kills, at: {', '.join(sorted(stands))}")
    assert len(set(stands)) > kills // 2


def test_a_run_that_was_killed_goes_on_as_if_it_never_was(whole: Path):
    hunt(whole, kills=4, resumed=2)


@pytest.mark.campaign
def test_a_hundred_kills_leave_every_folder_usable(whole: Path):
    hunt(whole, kills=100, resumed=20)
