"""What a `train` block may say: data sets, losses, optimizers, initialisers. Nothing is computed here."""

from cnnspec.recipe.data import DataKind, Digits, FashionMnist, Mnist
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

__all__ = [
    "ROLES",
    "SCALARS",
    "CrossEntropy",
    "DataKind",
    "Digits",
    "FashionMnist",
    "Initializer",
    "Loss",
    "Mnist",
    "Optimizer",
    "PytorchDefault",
    "Recipe",
    "RecipeKind",
    "Sgd",
    "XavierNormal",
    "XavierUniform",
    "default_recipe",
    "kinds",
]
