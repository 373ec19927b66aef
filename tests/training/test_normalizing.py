"""Normalising, of arrays and of streams, against the definition in float64."""

import numpy as np
import pytest

from cnnspec.training.datasets import DataError
from cnnspec.training.datasets.normalizing import normalized
from cnnspec.training.datasets.parts import Part, Parts


class Stream:
    """An array that says that it is none."""

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __len__(self):
        return len(self.array)

    def rows(self, indices):
        return self.array[indices]


def parts(train, test):
    return Parts(Part(train, np.zeros(len(train), np.int64)), Part(test, np.zeros(len(test), np.int64)))


def values(shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def expected(train, x):
    axes = (0, *range(2, train.ndim))
    mean = train.mean(axes, keepdims=True, dtype=np.float64)
    return (x - mean) / train.std(axes, keepdims=True, dtype=np.float64)


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 5, 4), (2, 9), (2, 3, 4, 5), (6,)])
@pytest.mark.parametrize("streamed", [False, True])
def test_channels_are_normalised_by_the_training_part_alone(shape, streamed):
    scales = np.arange(1, shape[0] + 1, dtype=np.float32).reshape(-1, *(1,) * (len(shape) - 1))
    train, test = values((2000, *shape)) * scales, values((50, *shape), 1) + 5
    wanted = expected(train, train), expected(train, test)
    given = parts(Stream(train), Stream(test)) if streamed else parts(train.copy(), test.copy())
    found, scale = normalized(given, True)
    for part, want in zip((found.train, found.test), wanted, strict=True):
        got = part.x.rows(np.arange(len(part.x))) if streamed else part.x
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    mean, deviation = train.mean((0, *range(2, train.ndim))), train.std((0, *range(2, train.ndim)))
    np.testing.assert_allclose(scale.black, (0 - mean) / deviation, rtol=1e-4)
    np.testing.assert_allclose(scale.range, 1 / deviation, rtol=1e-4)


@pytest.mark.parametrize(
    "given", [((0.5,), (0.25,)), ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))], ids=["one", "three"]
)
def test_given_moments_are_taken(given):
    x = values((10, 3, 2, 2))
    found, _ = normalized(parts(x.copy(), x.copy()), given)
    np.testing.assert_allclose(found.test.x, (x - 0.5) / 0.25, rtol=1e-5, atol=1e-6)


def test_moments_of_another_number_of_channels_are_refused():
    x = values((10, 3, 2, 2))
    with pytest.raises(DataError, match="moments for 2 channels, and the samples have 3"):
        normalized(parts(x, x), ((0.1, 0.2), (1.0, 1.0)))


def test_values_that_are_all_alike_cannot_be_normalised():
    flat = np.full((2000, 1, 3, 3), 0.3, np.float32)
    with pytest.raises(DataError, match="every value is the same"):
        normalized(parts(flat, flat.copy()), True)


def test_a_channel_of_one_value_is_not_divided():
    x = values((100, 2))
    x[:, 1] = 7
    found, _ = normalized(parts(x, x.copy()), True)
    assert np.abs(found.train.x[:, 1]).max() == 0


def test_targets_go_with_the_channel_they_are_values_of():
    x = values((500, 2, 3)) * 10
    y = values((500, 1), 3) * 10
    given = Parts(Part(x.copy(), y), Part(x.copy(), y), target=1)
    found, _ = normalized(given, True)
    np.testing.assert_allclose(found.test.y, (y - x[:, 1].mean()) / x[:, 1].std(), rtol=1e-4, atol=1e-5)
