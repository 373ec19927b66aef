"""The buffer of NumPy's loops is short while a network runs, and the caller's own afterwards."""

from __future__ import annotations

import numpy as np
import pytest

from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.numpy_backend import looping
from tests.support.graphs import sequential
from tests.support.models import random_model


def model_of(sizes, monkeypatch):
    """A model one of whose kernels notes the size of the buffer."""
    seen = []
    maximum = np.maximum

    def noting(*arguments, **options):
        seen.append(np.getbufsize())
        return maximum(*arguments, **options)

    monkeypatch.setattr(np, "maximum", noting)
    network = sequential((4, *sizes), Conv(channels=4, kernel=5), Relu())
    return random_model(*network, np.random.default_rng(0), batch=4, workers=1), seen


@pytest.mark.parametrize(("size", "expected"), [(64, looping.ELEMENTS), (8, None)])
def test_only_large_pieces_are_looped_over_with_a_short_buffer(size, expected, monkeypatch):
    before = np.getbufsize()
    model, seen = model_of((size, size), monkeypatch)
    with model:
        model.predict(np.zeros((4, 4, size, size)))
    assert set(seen) == {expected or before}
    assert np.getbufsize() == before


def test_the_callers_buffer_comes_back_after_an_error():
    before = np.getbufsize()

    def fail():
        with looping.short_buffer(looping.SMALL):
            raise ZeroDivisionError(np.getbufsize())

    with pytest.raises(ZeroDivisionError, match=str(looping.ELEMENTS)):
        fail()
    assert np.getbufsize() == before
