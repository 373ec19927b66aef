"""Dropout: what it drops, how it scales, and that it repeats."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.layers.regularization import Dropout
from tests.support.graphs import sequential
from tests.support.models import random_model

SHAPE = (4, 10, 10)
ONES = np.ones((50, *SHAPE), np.float32)


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    graph, facts = sequential(SHAPE, Dropout(drop_probability=0.3))
    with random_model(graph, facts, rng, batch=50, workers=2, micro_batch=10) as compiled:
        yield compiled


def test_drops_with_the_probability_and_scales_the_rest(model):
    y = model.forward(ONES, training=True)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    # 20,000 draws: the share dropped has a standard deviation of 0.0032.
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.013)
    assert np.all(np.abs(np.mean(y == 0, axis=0) - 0.3) < 0.45)


def test_pieces_and_steps_have_masks_of_their_own(model):
    y = model.forward(ONES, training=True)
    assert not np.array_equal(y[:10], y[10:20])
    assert not np.array_equal(y, model.forward(ONES, training=True))


def test_changes_nothing_in_inference(model):
    np.testing.assert_array_equal(model.forward(ONES), ONES)
    np.testing.assert_array_equal(model.predict(ONES), ONES)


def test_backward_uses_the_mask_of_forward(model):
    y = model.forward(ONES, training=True)
    np.testing.assert_array_equal(model.backward(ONES), y)


def test_backward_uses_the_mask_of_forward_when_pieces_are_computed_again(model):
    y = model.forward(ONES, training=True)
    model.predict(ONES * 2)
    np.testing.assert_array_equal(model.backward(ONES), y)


def test_repeats_from_a_seed(model):
    model.seed(5)
    first = [model.forward(ONES, training=True) for _ in range(2)]
    model.seed(5)
    np.testing.assert_array_equal(first, [model.forward(ONES, training=True) for _ in range(2)])
    model.seed(6)
    assert not np.array_equal(first[0], model.forward(ONES, training=True))
