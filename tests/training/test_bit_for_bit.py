"""A run that is stopped after any batch and gone on with comes to the same bits, whatever it keeps."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cnnspec.language.source import Source
from cnnspec.network.check import check_source
from cnnspec.training.conduct import Job, Listener, Stopped, closing, conduct, resume_job
from cnnspec.training.datasets import DataSet, load_data
from cnnspec.training.loop import Step
from cnnspec.training.record import read_record
from cnnspec.training.recorder import Recorder
from cnnspec.training.run_folder import RunFolder
from cnnspec.training.subject import make_subject

SPEC = """network Small {
    input 1x8x8
    conv 4 3x3 -> LAYER -> relu
    maxpool 2x2
    dropout 0.2
    dense 10 -> softmax
}

train {
    data digits normalize=true
    batch 25
    epochs 4
    SETTINGS
}
"""
SETTINGS = {
    "sgd": "optimizer sgd lr=0.05",
    "momentum, cosine": "optimizer sgd lr=0.05 momentum=0.9 nesterov=true\nschedule cosine warmup=1.5",
    "adam, one cycle": "optimizer adam lr=0.01\nschedule one_cycle\nclip 0.5",
    "adamw, steps": "optimizer adamw lr=0.01\nschedule multistep at=[1, 2] factor=0.5",
    "rmsprop, plateau": "optimizer rmsprop lr=0.01 centered=true momentum=0.5\n"
    "schedule plateau patience=0 factor=0.5 threshold=0.5",
    "augmented": "optimizer sgd lr=0.05 momentum=0.9\naugment shift 1\naugment noise 0.1",
    "frozen": "optimizer sgd lr=0.05 momentum=0.9\nfreeze conv1\nkeep best=test_accuracy",
    "smoothed": "loss cross_entropy smoothing=0.1\noptimizer adam",
    "stopped early": "optimizer sgd lr=0.5\nstop patience=1 metric=test_accuracy",
}
KEPT = ("weights.safetensors", "best.safetensors", "checkpoint.safetensors", "metrics.csv", "metrics.jsonl")


class StopAfter(Listener):
    """Asks for the end after so many batches."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def step(self, step: Step) -> None:
        self.left -= 1

    def wants_to_stop(self) -> bool:
        return self.left <= 0


@pytest.fixture(scope="module")
def data() -> DataSet:
    """A hundred digits to learn, thirty to test."""
    whole = load_data(check_source(Source("a.cnn", SPEC.replace("SETTINGS", ""))).recipe.data)
    return replace(
        whole,
        train_x=whole.train_x[:110],
        train_y=whole.train_y[:110],
        test_x=whole.test_x[:30],
        test_y=whole.test_y[:30],
    )


def run(text: str, folder: RunFolder, data: DataSet, listener: Listener) -> None:
    """Begin a run, or go on with the one in the folder."""
    folder.path.mkdir(exist_ok=True)
    if folder.record.exists():
        job = resume_job(folder, read_record(folder.record), None, None, listener)
    else:
        job = Job(make_subject(check_source(Source("a.cnn", text))))
    recorder = Recorder(folder, job.subject.graph.name, job.subject.recipe)
    with closing(recorder):
        conduct(recorder, job, listener, data).model.close()


def stopped_and_gone_on_with(text: str, folder: RunFolder, data: DataSet, after: Sequence[int]) -> None:
    for batches in after:
        with pytest.raises(Stopped):
            run(text, folder, data, StopAfter(batches))
    run(text, folder, data, Listener())


WITHIN, BETWEEN = ((1,), (2, 3, 1)), ((4, 1), (5,))
"""After how many batches each process stops; an epoch has five."""


@pytest.mark.parametrize(
    ("layer", "stops"),
    [
        pytest.param("batchnorm", WITHIN, id="batchnorm"),
        pytest.param("lrn", BETWEEN, id="lrn"),
        pytest.param("batchnorm", BETWEEN, marks=pytest.mark.campaign, id="batchnorm, between epochs"),
        pytest.param("lrn", WITHIN, marks=pytest.mark.campaign, id="lrn, within epochs"),
    ],
)
@pytest.mark.parametrize("settings", SETTINGS)
def test_stopping_changes_nothing(settings, layer, stops, data: DataSet, tmp_path: Path):
    text = SPEC.replace("SETTINGS", SETTINGS[settings]).replace("LAYER", layer)
    whole = RunFolder(tmp_path / "whole")
    run(text, whole, data, Listener())
    for number, after in enumerate(stops):
        parts = RunFolder(tmp_path / f"parts-{number}")
        stopped_and_gone_on_with(text, parts, data, after)
        for name in KEPT:
            assert (parts.path / name).read_bytes() == (whole.path / name).read_bytes(), (after, name)
        assert len(read_record(parts.record).sessions) == len(after) + 1
