"""Training: data sets, initialisers, optimizers, the loop, and what a run leaves behind."""

from cnnspec.training.datasets import DataError, DataSet, load_data
from cnnspec.training.errors import TrainingError
from cnnspec.training.loop import Diverged, Epoch, Step
from cnnspec.training.model import TrainableModel, build_model
from cnnspec.training.train import TrainingResult, train

__all__ = [
    "DataError",
    "DataSet",
    "Diverged",
    "Epoch",
    "Step",
    "TrainableModel",
    "TrainingError",
    "TrainingResult",
    "build_model",
    "load_data",
    "train",
]
