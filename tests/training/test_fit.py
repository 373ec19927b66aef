"""What only the files say of a data set is compared with the network before the first step."""

import numpy as np
import pytest

from cnnspec.language.source import Source
from cnnspec.network.check import check_source
from cnnspec.training import DataSet
from cnnspec.training.datasets import DataError
from cnnspec.training.datasets.fit import check_fits

CLASSES = np.arange(6) % 2
TARGETS = np.zeros((6, 1), np.float32)


def checked(layers, train=""):
    return check_source(
        Source("net.cnn", f"network N {{\ninput 1x8x8\n{layers}\n}}\ntrain {{\n{train}\n}}\n")
    )


def data(labels, shape=(1, 8, 8)):
    names = ("a", "b") if labels.dtype == np.int64 else ()
    x = np.zeros((len(labels), *shape), np.float32)
    return DataSet("npz", x, labels, x, labels, names)


@pytest.mark.parametrize(
    ("layers", "train", "given"),
    [
        ("dense 2 -> softmax", "", data(CLASSES)),
        ("dense 2", "loss mse", data(CLASSES)),
        ("dense 1 -> sigmoid", "loss binary_cross_entropy", data(CLASSES)),
        ("dense 1", "loss mse", data(TARGETS)),
        ("dense 1 -> sigmoid", "loss binary_cross_entropy", data(TARGETS)),
        ("dense 2", "loss l1", data(np.zeros((6, 2), np.float32))),
        ("conv 2 3x3 padding=1", "loss mse", data(np.zeros((6, 2, 8, 8), np.float32))),
        ("dense 2 -> softmax", "augment rotate 5\naugment crop padding=2 reflect=true", data(CLASSES)),
    ],
)
def test_what_fits_is_taken(layers, train, given):
    spec = checked(layers, train)
    graph, facts = spec.network()
    check_fits(graph, facts, spec.recipe, given)


@pytest.mark.parametrize(
    ("layers", "train", "given", "message"),
    [
        (
            "dense 2",
            "",
            data(CLASSES, (1, 8, 9)),
            "a sample of `npz` is 1x8x9, and the network takes 1x8x8\nwrite `input 1x8x9`",
        ),
        (
            "dense 2",
            'data images "nowhere"',
            DataSet("images", *(np.zeros((6, 1, 9, 9), np.float32), CLASSES) * 2, ("a", "b")),
            "a sample of `images` is 1x9x9, and the network takes 1x8x8\n"
            "write `input 1x9x9`, or `resize=8x8` behind `data images`",
        ),
        (
            "dense 3",
            "",
            data(CLASSES),
            "`npz` has 2 classes, and the output is 3\nend with `dense 2 -> softmax`",
        ),
        (
            "dense 1",
            "",
            data(CLASSES),
            "`npz` has 2 classes, and the output is 1\nend with `dense 2 -> softmax`",
        ),
        (
            "dense 1",
            "",
            data(TARGETS),
            "`cross_entropy` compares classes, and `npz` has numbers as targets\n"
            "write `loss mse`; classes are whole numbers",
        ),
        (
            "dense 2",
            "loss mse",
            data(TARGETS),
            "a target of `npz` is 1, and the output is 2\nend with `dense 1`",
        ),
        (
            "dense 2",
            "loss mse",
            data(np.zeros((6, 2, 3), np.float32)),
            "a target of `npz` is 2x3, and the output is 2\nlet the output be 2x3",
        ),
    ],
)
def test_what_does_not_fit_is_refused(layers, train, given, message):
    spec = checked(layers, train)
    graph, facts = spec.network()
    with pytest.raises(DataError) as caught:
        check_fits(graph, facts, spec.recipe, given)
    assert "\n".join([caught.value.message, *caught.value.help]) == message


def test_an_augmentation_that_cannot_change_the_samples_is_refused():
    spec = check_source(Source("net.cnn", "network N {\ninput 64\ndense 2\n}\ntrain {\naugment shift 1\n}\n"))
    graph, facts = spec.network()
    with pytest.raises(DataError, match="`shift 1` cannot change samples of 64"):
        check_fits(graph, facts, spec.recipe, data(CLASSES, (64,)))
