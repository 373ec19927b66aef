"""What a `train` block may say: data sets, losses, optimizers, initialisers. Nothing is computed here."""

from cnnspec.recipe.augment import Augmentation
from cnnspec.recipe.control import SETTINGS, Checkpoint, Clip, Freeze, Keep, Setting, Stop
from cnnspec.recipe.data import DataKind, Digits, FashionMnist, Mnist
from cnnspec.recipe.figures import METRICS, chosen_metric, higher_is_better
from cnnspec.recipe.kinds import ROLES, RecipeKind, kinds
from cnnspec.recipe.learning import (
    CrossEntropy,
    Initializer,
    Loss,
    Optimizer,
    PytorchDefault,
    Sgd,
    XavierNormal,
    XavierUniform,
)
from cnnspec.recipe.recipe import SCALARS, Recipe, default_recipe
from cnnspec.recipe.schedules import Schedule

__all__ = [
    "METRICS",
    "ROLES",
    "SCALARS",
    "SETTINGS",
    "Augmentation",
    "Checkpoint",
    "Clip",
    "CrossEntropy",
    "DataKind",
    "Digits",
    "FashionMnist",
    "Freeze",
    "Initializer",
    "Keep",
    "Loss",
    "Mnist",
    "Optimizer",
    "PytorchDefault",
    "Recipe",
    "RecipeKind",
    "Schedule",
    "Setting",
    "Sgd",
    "Stop",
    "XavierNormal",
    "XavierUniform",
    "chosen_metric",
    "default_recipe",
    "higher_is_better",
    "kinds",
]
