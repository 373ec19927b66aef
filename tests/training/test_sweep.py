"""Sweeps: what is tried, what Optuna itself reads in the journal, and that nothing is lost or done twice."""

import contextlib
import csv
import hashlib
import itertools
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cnnspec.training.run_folder import is_running
from cnnspec.training.sweep.space import SpaceError, assignments, make_space, read_axis, values_of
from tests.training.resuming import called

pytest.importorskip("optuna")

import optuna
from optuna import distributions

from cnnspec.training.sweep.study import Aim, Sweep

SPEC = """network Small(width=4, kernel=3) {
    input 1x8x8
    conv width kernel -> relu
    maxpool 2x2
    dense 10 -> softmax
}

train {
    data digits normalize=true limit=30
    optimizer sgd lr=0.05 momentum=0.9
    batch 50
    epochs EPOCHS
}
"""
SLOW = SPEC.replace("EPOCHS", "12").replace("batch 50", "batch 5")
LR = ("--param", "lr=1e-3..1e-1")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.cnn").write_text(SPEC.replace("EPOCHS", "3"))
    (tmp_path / "slow.cnn").write_text(SLOW)
    return tmp_path


def sweep(here: Path, *words: str, file: str = "net.cnn") -> subprocess.CompletedProcess[str]:
    result = called(here, "sweep", file, "--out", "s", *words)
    assert "internal error" not in result.stderr
    return result


def read(here: Path):
    """The study, as Optuna's own storage reads it."""
    backend = optuna.storages.journal.JournalFileBackend(str(here / "s" / "journal.log"))
    return optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(backend))


def started(here: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "cnnspec", "sweep", "slow.cnn", "--out", "s", "--no-pruning", *words],
        cwd=here,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def wait_for_epochs(here: Path, count: int, trial: int = 0) -> None:
    """Until a trial has so many epochs in its log."""
    log = here / "s" / f"trial-{trial}" / "metrics.jsonl"
    until = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < count:
        assert time.monotonic() < until
        time.sleep(0.01)


def accuracies(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["test_accuracy"]) for row in csv.DictReader(file)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- what is tried ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-3..1e-1", distributions.FloatDistribution(1e-3, 1e-1, log=True)),
        ("lr=0.01..0.5", distributions.FloatDistribution(0.01, 0.5)),
        ("lr=0.01..0.5:log", distributions.FloatDistribution(0.01, 0.5, log=True)),
        ("lr=1e-3..1:linear", distributions.FloatDistribution(1e-3, 1.0)),
        ("momentum=0..0.95", distributions.FloatDistribution(0.0, 0.95)),
        ("shift=-2.5..2.5", distributions.FloatDistribution(-2.5, 2.5)),
        ("dropout=0.1..0.55:0.1", distributions.FloatDistribution(0.1, 0.5, step=0.1)),
        ("width=8..64", distributions.IntDistribution(8, 64)),
        ("width=1..1_000", distributions.IntDistribution(1, 1000, log=True)),
        ("width=8..60:8", distributions.IntDistribution(8, 56, step=8)),
        ("sgd.lr=1..2:0.5", distributions.FloatDistribution(1.0, 2.0, step=0.5)),
        ("kernel=3,5, 7", distributions.CategoricalDistribution((3, 5, 7))),
        ("kernel=(3, 1),(1, 3)", distributions.CategoricalDistribution(("(3, 1)", "(1, 3)"))),
        ("bias=true,false", distributions.CategoricalDistribution(("true", "false"))),
        ('x="a,b","c..d"', distributions.CategoricalDistribution(('"a,b"', '"c..d"'))),
        ("optimizer=adam,sgd lr=0.1", distributions.CategoricalDistribution(("adam", "sgd lr=0.1"))),
    ],
)
def test_an_axis_is_the_distribution_it_says(text, expected):
    axis = read_axis(text)
    assert axis.distribution() == expected
    assert axis.name == text.partition("=")[0]
    values = axis.values()
    assert all(expected._contains(expected.to_internal_repr(value)) for value in values)
    if isinstance(expected, distributions.IntDistribution):
        assert len(values) == (expected.high - expected.low) // expected.step + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "there is no `=`"),
        ("=1..2", "there is no name before `=`"),
        ("1r=1..2", "there is no name before `=`"),
        ("lr=", "`lr` has no values"),
        ("lr=0.1..0.01", "the range of `lr` is the wrong way round"),
        ("lr=2..2", "the range of `lr` holds nothing but 2"),
        ("lr=a..2", "`a` is no number that the range of `lr` could begin or end with"),
        ("lr=1..", "`` is no number that the range of `lr` could begin or end with"),
        ("lr=1..inf", "`inf` is no number that the range of `lr` could begin or end with"),
        ("lr=1..1e99", "`1e99` is no number that the range of `lr` could begin or end with"),
        ("lr=0..1:log", "`lr` cannot be spread by orders of magnitude: 0 is not above 0"),
        ("lr=0..1:evenly", "`:evenly` says nothing of how `lr` is spread"),
        ("width=8..64:0", "the step of `width` must be above 0 and at most 56, not 0"),
        ("width=8..64:100", "the step of `width` must be above 0 and at most 56, not 100"),
        ("kernel=3,,5", "a value of `kernel` is missing between two commas"),
        ("kernel=3,5,3", "`kernel` has the value 3 twice"),
        ("kernel=3,3.0", "`kernel` has the value 3.0 twice"),
    ],
)
def test_what_is_no_axis_is_told(text, message, here):
    with pytest.raises(SpaceError) as caught:
        read_axis(text)
    assert str(caught.value) == message
    result = sweep(here, "--param", text)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"error: --param: {message}\nhelp: {caught.value.help}\n"


def test_values_go_to_a_run_as_they_were_tried():
    held = {"lr": 0.1 + 0.2, "width": 8, "act": "relu", "kernel": "(3, 1)", "optimizer": "adam lr=0.1"}
    words = assignments(held)
    assert words == [
        "lr=0.30000000000000004",
        "width=8",
        "act=relu",
        "kernel=(3, 1)",
        'optimizer="adam lr=0.1"',
    ]
    assert values_of(held) == {**held, "kernel": (3, 1)}


def test_two_axes_have_two_names():
    with pytest.raises(SpaceError, match="`lr` is given twice"):
        make_space([read_axis("lr=1..2"), read_axis("lr=3..4")])


# --- what Optuna reads ------------------------------------------------------------------------------------


def test_the_journal_tells_optuna_what_the_run_folders_tell(here):
    result = sweep(here, *LR, "--param", "width=2,4,8", "--trials", "12", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    document, study = json.loads(result.stdout), read(here)
    states = {"finished": "COMPLETE", "pruned": "PRUNED"}
    assert study.direction.name == "MAXIMIZE"
    assert len(study.trials) == len(document["trials"]) == 12
    for trial, told in zip(study.trials, document["trials"], strict=True):
        folder = here / told["folder"]
        assert (trial.number, trial.params) == (told["number"], told["values"])
        assert trial.state.name == states[told["status"]]
        figures = accuracies(folder)
        assert list(trial.intermediate_values) == list(range(1, len(figures) + 1))
        assert list(trial.intermediate_values.values()) == pytest.approx(figures, abs=1e-6)
        if told["status"] == "finished":
            assert trial.value == pytest.approx(max(figures), abs=1e-6)
            assert len(figures) == 3
        record = json.loads((folder / "run.json").read_text())
        assert record["recipe"]["optimizer"] == f"sgd lr={trial.params['lr']} momentum=0.9"
        assert record["parameters"]["width"] == str(trial.params["width"])
        assert 1e-3 <= trial.params["lr"] <= 1e-1
    assert document["best"] == study.best_trial.number


def test_the_command_at_the_end_repeats_the_best_bit_for_bit(here):
    out = sweep(
        here, *LR, "--param", "optimizer=sgd momentum=0.5,adam", "--trials", "3", "--epochs", "2"
    ).stdout
    words = shlex.split(next(line for line in out.splitlines() if line.startswith("repeat")))[1:]
    assert words[:3] == ["cnnspec", "run", "net.cnn"]
    assert called(here, *words[1:], "--out", "again").returncode == 0
    best = here / "s" / f"trial-{read(here).best_trial.number}"
    for name in ("weights.safetensors", "best.safetensors", "metrics.csv", "metrics.jsonl"):
        assert digest(here / "again" / name) == digest(best / name)


def test_hopeless_trials_end_at_the_median(here):
    """The rule of Optuna's MedianPruner, computed again from the journal."""
    result = sweep(here, "--param", "lr=0.1,0.09,0.08,0.07,0.06,1e-6,2e-6,3e-6,4e-6,5e-6", "--epochs", "6")
    assert result.returncode == 0
    complete, pruned = [], 0
    for trial in sorted(read(here).trials, key=lambda trial: trial.datetime_complete):
        for epoch, _ in trial.intermediate_values.items():
            reached = [figure for step, figure in trial.intermediate_values.items() if step <= epoch]
            others = [one.intermediate_values[epoch] for one in complete]
            behind = len(others) >= 5 and epoch >= 2 and max(reached) < statistics.median(others)
            ended = trial.state.name == "PRUNED" and epoch == len(trial.intermediate_values)
            assert behind == ended or epoch == 6
            pruned += ended
        if trial.state.name == "COMPLETE":
            complete.append(trial)
    assert pruned
    assert "pruned after" in result.stdout
    listed = json.loads(called(here, "runs", "s", "--json").stdout)["runs"]
    assert sum(run["status"] == "pruned" for run in listed) == pruned


def test_without_pruning_every_trial_runs_to_its_end(here):
    sweep(here, "--param", "lr=0.1,0.09,0.08,0.07,0.06,1e-6,2e-6,3e-6", "--no-pruning")
    assert [trial.state.name for trial in read(here).trials] == ["COMPLETE"] * 8


def test_all_combinations_once_where_the_trials_suffice(here):
    result = sweep(here, "--param", "width=1..3", "--param", "optimizer=sgd,adam", "--epochs", "1")
    assert "all 6 combinations of width=1..3, optimizer=sgd,adam" in result.stdout
    tried = [(trial.params["width"], trial.params["optimizer"]) for trial in read(here).trials]
    assert sorted(tried) == sorted(itertools.product((1, 2, 3), ("sgd", "adam")))
    assert (
        sweep(here, "--param", "width=1..3", "--param", "optimizer=sgd,adam", "--epochs", "1").returncode == 0
    )
    assert len(read(here).trials) == 6


def test_no_combination_twice_where_they_do_not(here):
    result = sweep(
        here, "--param", "width=1..4", "--param", "kernel=1..4", "--trials", "14", "--epochs", "1", "--json"
    )
    assert (result.returncode, result.stderr) == (0, "")  # a signal from outside would end it early
    tried = [tuple(trial["values"].values()) for trial in json.loads(result.stdout)["trials"]]
    assert len(tried) == len(set(tried)) == 14


@pytest.mark.parametrize("trials", [3, 4], ids=["some", "all combinations"])
@pytest.mark.parametrize("method", ["create_new_trial", "set_trial_param", "set_trial_user_attr"])
def test_no_combination_twice_after_a_kill_while_one_is_chosen(method, trials, tmp_path, monkeypatch):
    """At each line that is written about the first, second, ... trial: the next process tries as many."""
    storage = optuna.storages.JournalStorage
    write, space = getattr(storage, method), make_space([read_axis("width=1,2"), read_axis("kernel=1,2")])
    for last in range(1, 12):
        written = itertools.count(1)

        def killed(*arguments, last=last, written=written, **options):
            found = write(*arguments, **options)
            if next(written) == last:
                raise KeyboardInterrupt
            return found

        aim = Aim(space, "test_accuracy", trials, 1, 0, True, {})
        with contextlib.suppress(KeyboardInterrupt), monkeypatch.context() as patch:
            patch.setattr(storage, method, killed)
            finish(Sweep(tmp_path / str(last), aim))
        sweep = Sweep(tmp_path / str(last), aim)
        finish(sweep)
        assert [trial.status for trial in sweep.trials()] == ["finished"] * trials
        assert len({tuple(trial.held.items()) for trial in sweep.trials()}) == trials
        assert all(len(trial.held) == 2 for trial in sweep.trials())


def finish(sweep: Sweep) -> None:
    """All trials, without training."""
    while sweep.has_work():
        with sweep.claim() as claim:
            assert claim is not None
            sweep.end(claim.number, "finished", 0.5)


def test_losses_are_minimized(here):
    result = sweep(here, *LR, "--trials", "3", "--metric", "test_loss", "--json")
    study, document = read(here), json.loads(result.stdout)
    assert (study.direction.name, document["direction"]) == ("MINIMIZE", "minimize")
    values = [trial["test_loss"] for trial in document["trials"]]
    assert document["best"] == values.index(min(values)) == study.best_trial.number


def test_other_seeds_try_other_values(here):
    def tried(out, *words):
        trials = json.loads(called(here, "sweep", "net.cnn", *LR, "--trials", "2", "--json", *words).stdout)
        return [trial["values"] for trial in trials["trials"]]

    assert tried(1, "--out", "a") == tried(2, "--out", "b") != tried(3, "--out", "c", "--seed", "1")


# --- trials that come to nothing --------------------------------------------------------------------------


def test_trials_that_diverge_or_do_not_check_leave_the_others_alone(here):
    result = sweep(here, "--param", "kernel=3,30", "--param", "lr=0.1,1e15", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    trials = {tuple(one["values"].values()): one for one in json.loads(result.stdout)["trials"]}
    assert trials[3, 0.1]["status"] == "finished"
    assert trials[3, 1e15]["status"] == "diverged"
    assert trials[30, 0.1]["status"] == "failed"
    assert trials[30, 0.1]["why"] == "kernel 30x30 does not fit the 8x8 map"
    states = {tuple(one.params.values()): one.state.name for one in read(here).trials}
    assert states[3, 1e15] == "PRUNED"
    assert states[30, 1e15] == "FAIL"


def test_nothing_that_comes_to_an_end_is_an_error(here):
    result = sweep(here, "--param", "lr=1e15,1e16")
    assert result.returncode == 1
    assert "error: no trial came to its end: " in result.stderr


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--param", "lrr=1..2"], 1, "has no parameter `lrr`, and no setting is called so"),
        (["--param", "lr=0.1,-1"], 1, "`lr` must be above 0, not -1"),
        (["--param", "momentum=0..1.5"], 1, "`momentum` must be at least 0 and below 1, not 1.5"),
        (["--param", "kernel=20,30"], 1, "kernel 20x20 does not fit the 8x8 map"),
        (["--param", "optimizer=sgd,adma"], 1, "there is no optimizer `adma`"),
        (["--param", "lr=1..2", "--param", "lr=1..2"], 2, "`lr` is given twice"),
        (["--param", "lr=1..2", "--set", "lr=1"], 2, "`lr` is both in --set and in --param"),
        (["--param", "epochs=1..2", "--epochs", "1"], 2, "`epochs` is both in --epochs and in --param"),
        (["--param", "lr=1..2", "--metric", "acuracy"], 2, "there is no figure `acuracy`"),
        (["--param", "lr=1..2", "--metric", "test_mae"], 1, "`test_mae` is not measured in these runs"),
        (["--param", "lr=1..2", "--trials", "0"], 2, "must be at least 1, not 0"),
        (["--param", "lr=1..2", "--jobs", "0"], 2, "must be at least 1, not 0"),
        (["--param", "lr=1..2", "--data", "mnist"], 1, "`mnist` is 1x28x28, and the network takes 1x8x8"),
        ([], 2, "the following arguments are required: --param"),
    ],
)
def test_wrong_uses_are_told(here, words, status, message):
    result = sweep(here, *words)
    assert result.returncode == status
    assert message in result.stderr


def test_another_sweep_does_not_go_into_the_same_folder(here):
    sweep(here, *LR, "--trials", "1")
    result = sweep(here, "--param", "lr=1e-3..1e-2", "--batch", "10", "--trials", "1")
    assert result.returncode == 1
    assert "this is not what the sweep in s began with:" in result.stderr
    assert "--param lr: 1e-3..1e-1 -> 1e-3..1e-2" in result.stderr
    assert "batch: 50 -> 10" in result.stderr
    (here / "net.cnn").write_text(SPEC.replace("EPOCHS", "4"))
    assert "epochs: 3 -> 4" in sweep(here, *LR, "--trials", "1").stderr


def test_a_folder_with_other_things_is_left_alone(here):
    (here / "s").mkdir()
    (here / "s" / "mine").write_text("mine")
    assert sweep(here, *LR).stderr.startswith("error: the folder s is not empty, and holds no sweep\nhelp: ")
    assert os.listdir(here / "s") == ["mine"]


def test_a_damaged_journal_is_told(here):
    sweep(here, *LR, "--trials", "1")
    (here / "s" / "journal.log").write_bytes(b"\x00not a journal\n{}\n")
    result = sweep(here, *LR, "--trials", "2")
    assert result.returncode == 1
    assert "s/journal.log is not the journal of a sweep, or damaged" in result.stderr


def test_without_optuna_one_line_says_what_to_install(here, monkeypatch):
    monkeypatch.setattr("cnnspec.training.sweep.find_spec", lambda name: None)
    result = sweep(here, *LR)
    assert result.returncode == 1
    assert result.stderr == (
        "error: a sweep needs the package optuna\nhelp: install it with `pip install 'cnnspec[sweep]'`\n"
    )


def test_optuna_is_not_imported_for_the_help():
    code = "import sys; from cnnspec.cli import sweep; print('optuna' in sys.modules, 'numpy' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


def test_quiet_prints_the_folder_of_the_best(here):
    result = sweep(here, *LR, "--trials", "2", "--quiet")
    assert result.stdout == f"s/trial-{read(here).best_trial.number}\n"
    assert result.stderr == ""


# --- nothing lost -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "slow.cnn").write_text(SLOW)
    assert sweep(folder, *LR, "--trials", "3", "--no-pruning", file="slow.cnn").returncode == 0
    return folder


def check_same(here: Path, whole: Path) -> None:
    """The same values, figures and weights as those of the whole sweep."""
    for trial, other in zip(read(here).trials, read(whole).trials, strict=True):
        assert (trial.number, trial.params, trial.value) == (other.number, other.params, other.value)
        assert trial.intermediate_values == other.intermediate_values
        for name in ("weights.safetensors", "checkpoint.safetensors", "metrics.jsonl"):
            file = Path("s") / f"trial-{trial.number}" / name
            assert digest(here / file) == digest(whole / file)


@pytest.mark.parametrize(
    "ending", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.campaign), signal.SIGKILL]
)
def test_a_sweep_that_was_stopped_goes_on_as_if_it_never_was(here, whole, ending):
    with started(here, *LR, "--trials", "3") as process:
        wait_for_epochs(here, 2)
        process.send_signal(ending)
        said = process.communicate()[1].decode()
    assert process.returncode == (-ending if ending == signal.SIGKILL else 130)
    if ending != signal.SIGKILL:
        assert "interrupted: 0 of 3 trials are done\nhelp: the same command goes on with s\n" in said
    trials = read(here).trials
    assert [trial.state.name for trial in trials] == ["RUNNING"]
    with (here / "s" / "journal.log").open("ab") as file:
        file.write(b'{"op_code":6,"trial')  # a line that a kill has cut short
    result = sweep(here, *LR, "--trials", "3", "--no-pruning", file="slow.cnn")
    assert (result.returncode, result.stderr) == (0, "")
    check_same(here, whole)
    record = json.loads((here / "s" / "trial-0" / "run.json").read_text())
    assert len(record["sessions"]) == 2


def test_several_processes_share_the_work(here, whole):
    processes = [started(here, *LR, "--trials", "3") for _ in range(3)]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in (here / "s").glob("trial-*")) == ["trial-0", "trial-1", "trial-2"]
    check_same(here, whole)
    for number in range(3):
        record = json.loads((here / "s" / f"trial-{number}" / "run.json").read_text())
        assert (record["status"], len(record["sessions"])) == ("finished", 1)


def test_jobs_share_the_work_and_stop_together(here):
    with started(here, *LR, "--trials", "3", "--jobs", "2") as process:
        wait_for_epochs(here, 1)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    sessions = [json.loads(path.read_text()) for path in (here / "s").glob("trial-*/run.json")]
    assert {record["status"] for record in sessions} <= {"interrupted", "finished"}
    result = sweep(here, *LR, "--trials", "3", "--jobs", "2", "--no-pruning", "--json", file="slow.cnn")
    assert (result.returncode, result.stderr) == (0, "")
    assert [trial["status"] for trial in json.loads(result.stdout)["trials"]] == ["finished"] * 3
    assert [trial.state.name for trial in read(here).trials] == ["COMPLETE"] * 3


def test_jobs_end_when_the_one_that_began_them_is_gone(here):
    with started(here, *LR, "--trials", "2", "--jobs", "2") as process:
        wait_for_epochs(here, 1)
        process.kill()
        process.communicate()
    until = time.monotonic() + 30
    while any(is_running(path) for path in (here / "s").glob("trial-*")):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert sweep(here, *LR, "--trials", "2", "--no-pruning", "--quiet", file="slow.cnn").returncode == 0


def test_what_a_job_has_to_say_is_heard(here):
    result = sweep(here, *LR, "--trials", "2", "--jobs", "2", "--metric", "test_mae")
    assert result.returncode == 1
    assert "error: `test_mae` is not measured in these runs" in result.stderr


def test_a_trial_whose_processes_vanish_is_given_up(here):
    """It may be what kills them, so that nobody else begins it for ever."""
    vanish = (
        "import os, sys; from cnnspec.cli.main import main; from cnnspec.training.sweep.work import Worker\n"
        "Worker._try = lambda self, claim: os._exit(9)\n"
        "main(sys.argv[1:])"
    )
    words = ["sweep", "net.cnn", "--out", "s", *LR, "--trials", "2"]
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", vanish, *words], cwd=here, capture_output=True)
        assert ended.returncode == 9
    result = sweep(here, *LR, "--trials", "2")
    assert "failed: its process ended 3 times without a word" in result.stdout
    assert [trial.state.name for trial in read(here).trials] == ["FAIL", "COMPLETE"]


def test_more_trials_go_on(here):
    sweep(here, *LR, "--trials", "2")
    before = [trial.params for trial in read(here).trials]
    result = sweep(here, *LR, "--trials", "4")
    assert "goes on in s: 2 are done" in result.stdout
    assert [trial.params for trial in read(here).trials][:2] == before
    assert len(read(here).trials) == 4
