"""LeNet on the digits, as `specs/lenet.cnn` says it: the accuracy that PyTorch reaches in the same way."""

from pathlib import Path

from cnnspec.network.check import check_file
from cnnspec.training import load_data, train

SPECS = Path(__file__).parents[2] / "specs"
PYTORCH_ACCURACY = 0.97
"""PyTorch reaches 0.97 to 0.98 on held-out digits with the same settings."""


def test_lenet_learns_the_digits():
    checked = check_file(SPECS / "lenet.cnn")
    graph, facts = checked.network()
    result = train(graph, facts, checked.recipe, load_data(checked.recipe.data))
    result.model.close()
    assert [epoch.number for epoch in result.history] == list(range(1, 41))
    assert result.history[-1].test_accuracy >= PYTORCH_ACCURACY
    assert result.history[-1].train_loss < 0.1


def test_the_recipe_for_fashion_mnist_is_the_published_one():
    recipe = check_file(SPECS / "lenet_fashion.cnn").recipe
    assert recipe.optimizer.written() == "sgd lr=0.9"
    assert (recipe.batch, recipe.epochs) == (256, 10)
    assert recipe.data.written() == "fashion_mnist"
