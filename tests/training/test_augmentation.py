"""Augmentation against independent computations: loops over pixels, PyTorch's interpolation, moments."""

import math

import numpy as np
import pytest

from cnnspec.recipe import kinds
from cnnspec.recipe.augment import Brightness, Crop, Erase, Flip, Noise, Rotate, Shift
from cnnspec.training import augmentation
from cnnspec.training.augmentation import ANGLES, Augmenter
from cnnspec.training.datasets.dataset import Scale

IMAGE, SIGNAL, VOLUME = (3, 9, 7), (2, 40), (1, 4, 5, 6)
SCALE = Scale(np.array([-0.5, 0.25, 2.0], np.float32), np.array([2.0, 3.0, 4.0], np.float32))


def samples(shape, count=40):
    return np.random.default_rng(0).random((count, *shape), np.float32) + 3  # far from every black


def changed(augment, x, scale=None, seed=5, epoch=2):
    rows = np.arange(len(x))
    return Augmenter((augment,), x.shape[1:], len(x), scale or Scale(), seed, epoch)(x.copy(), rows)


def test_every_augmentation_of_the_language_is_computed():
    assert set(augmentation._CHANGES) == set(kinds("augment").values())


@pytest.mark.parametrize(("direction", "axis"), [("horizontal", -1), ("vertical", -2)])
def test_flip_turns_about_half_of_the_samples_around(direction, axis):
    x = samples(IMAGE, 400)
    y = changed(Flip(direction=direction), x)
    turned = [np.array_equal(b, np.flip(a, axis)) for a, b in zip(x, y, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(x, y, strict=True)]
    assert all(np.logical_xor(turned, same))
    assert 150 < sum(turned) < 250


def moved(sample, offsets, black):
    """A sample moved by whole pixels, pixel by pixel."""
    out = np.empty_like(sample)
    for place in np.ndindex(*sample.shape):
        channel, *at = place
        origin = [i + o for i, o in zip(at, offsets, strict=True)]
        inside = all(0 <= i < n for i, n in zip(origin, sample.shape[1:], strict=True))
        out[place] = sample[(channel, *origin)] if inside else black[channel]
    return out


@pytest.mark.parametrize("shape", [IMAGE, SIGNAL, VOLUME])
@pytest.mark.parametrize("augment", [Shift(distance=2), Crop(padding=2)], ids=str)
def test_shift_moves_whole_pixels_and_fills_with_black(shape, augment):
    x = samples(shape, 16)
    scale = Scale(SCALE.black[: shape[0]], SCALE.range[: shape[0]])
    reachable = list(np.ndindex(*(5,) * (len(shape) - 1)))
    seen = set()
    for before, after in zip(x, changed(augment, x, scale), strict=True):
        offsets = [tuple(i - 2 for i in places) for places in reachable]
        (found,) = [o for o in offsets if np.array_equal(moved(before, o, scale.black), after)]
        seen.add(found)
    assert len(seen) > 4


def test_crop_that_reflects_is_numpys_pad():
    x = samples(IMAGE)
    padded = np.pad(x, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect")
    for wide, after in zip(padded, changed(Crop(padding=3, reflect=True), x), strict=True):
        cuts = [wide[:, i : i + 9, j : j + 7] for i in range(7) for j in range(7)]
        assert any(np.array_equal(cut, after) for cut in cuts)


@pytest.mark.parametrize("angle", [10, 45, 180])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 12, 17)])
@pytest.mark.parametrize("kept", [True, False])
def test_rotate_is_bilinear_as_in_pytorch(torch, monkeypatch, angle, shape, kept):
    """PyTorch's grid gives black outside, and mixes it in at the edge as our border does."""
    if not kept:
        monkeypatch.setattr(augmentation, "MOST_PLACES", 0)
    channels, height, width = shape
    black = np.arange(channels, dtype=np.float32) - 1
    x = samples(shape)
    keys = np.random.SeedSequence([5, 2, 0, 1])
    drawn = np.random.Generator(np.random.Philox(keys)).random((len(x), 1), np.float32)[:, 0]
    degrees = ((np.floor(drawn * ANGLES) + 0.5) * 2 / ANGLES - 1) * angle
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    rows, columns = rows - (height - 1) / 2, columns - (width - 1) / 2
    grids = []
    for degree in degrees:
        cosine, sine = math.cos(math.radians(degree)), math.sin(math.radians(degree))
        y, z = cosine * rows - sine * columns, sine * rows + cosine * columns
        grids.append(np.stack([z * 2 / width, y * 2 / height], -1))
    grid = torch.from_numpy(np.stack(grids).astype(np.float32))
    raised = torch.from_numpy(x - black[:, None, None])
    theirs = torch.nn.functional.grid_sample(raised, grid, mode="bilinear", align_corners=False).numpy()
    ours = changed(Rotate(angle=angle), x, Scale(black, np.ones(channels, np.float32)))
    np.testing.assert_allclose(ours, theirs + black[:, None, None], atol=2e-4)
    assert degrees.std() > 0.4 * angle


@pytest.mark.parametrize("shape", [IMAGE, SIGNAL, VOLUME])
def test_erase_puts_one_box_of_zeros_anywhere(shape):
    x = samples(shape, 100)
    erased = changed(Erase(size=4), x) == 0
    sides = [set() for _ in shape[1:]]
    for mask in erased:
        assert (mask == mask[0]).all(), "all channels alike"
        spans = [
            np.flatnonzero(mask[0].any(tuple(set(range(mask.ndim - 1)) - {axis})))
            for axis in range(mask.ndim - 1)
        ]
        assert mask[0].sum() == math.prod(span[-1] - span[0] + 1 for span in spans)
        for side, span in zip(sides, spans, strict=True):
            side.add(len(span))
    assert all(max(side) == 4 for side in sides), "whole, or cut off at an edge"
    assert all(len(side) > 1 for side in sides)
    assert np.array_equal(np.where(erased, 0, x), changed(Erase(size=4), x))


@pytest.mark.parametrize("shape", [(3, 5, 5), (3,)])
def test_brightness_scales_the_distance_from_black(shape):
    x = samples(shape, 300)
    black = SCALE.black.reshape(-1, *(1,) * (len(shape) - 1))
    ratio = (changed(Brightness(amount=0.2), x, SCALE) - black) / (x - black)
    factors = ratio.reshape(len(x), -1)
    np.testing.assert_allclose(factors, factors[:, :1].repeat(factors.shape[1], 1), rtol=1e-4)
    assert 0.8 <= factors.min() < 0.81
    assert 1.19 < factors.max() <= 1.2001


def test_noise_is_normal_in_units_of_black_to_white():
    x = samples((3, 30, 30), 200)
    noise = changed(Noise(deviation=0.05), x, SCALE) - x
    deviations = noise.std((0, 2, 3), dtype=np.float64)
    np.testing.assert_allclose(deviations, 0.05 * SCALE.range, rtol=0.02)
    assert abs(noise.mean()) < 1e-3
    shares = np.abs(noise[:, 0]) < deviations[0]
    assert shares.mean() == pytest.approx(0.6827, abs=0.01), "within one deviation"
    assert len({sample.tobytes() for sample in noise}) == len(x)


CHAIN = (
    Flip(),
    Crop(padding=2),
    Rotate(angle=20),
    Erase(size=3),
    Brightness(amount=0.3),
    Noise(deviation=0.1),
)


def test_a_sample_is_changed_alike_whatever_batch_it_comes_in():
    x = samples(IMAGE)
    every = Augmenter(CHAIN, IMAGE, len(x), Scale(), 1, 1)(x.copy(), np.arange(len(x)))
    order = np.random.default_rng(1).permutation(len(x))
    for rows in (order[:7], order[7:8], order[8:]):
        some = Augmenter(CHAIN, IMAGE, len(x), Scale(), 1, 1)(x[rows], rows)
        np.testing.assert_array_equal(some, every[rows])


def test_seed_epoch_and_place_in_the_list_each_decide():
    x = samples(IMAGE)
    results = [
        changed(Shift(distance=3), x, seed=seed, epoch=epoch).tobytes()
        for seed, epoch in ((0, 1), (0, 2), (1, 1), (1, 2))
    ]
    assert len(set(results)) == 4
    assert changed(Shift(distance=3), x, seed=0, epoch=1).tobytes() == results[0]
    twice = Augmenter((Noise(deviation=0.1),) * 2, IMAGE, len(x), Scale(), 0, 1)(x.copy(), np.arange(len(x)))
    once = changed(Noise(deviation=0.1), x, seed=0, epoch=1) - x
    assert not np.allclose(twice - x, 2 * once, atol=1e-3), "two noises, not the same twice"


@pytest.mark.parametrize(
    ("augment", "shape", "words"),
    [
        (Rotate(angle=5), (1, 100), "cannot change samples of 1x100"),
        (Shift(distance=1), (8,), "cannot change samples of 8"),
        (Flip(), (1, 2, 3, 4), "cannot change samples of 1x2x3x4"),
        (Flip(direction="vertical"), (1, 100), "needs rows, and a sample is 1x100"),
        (Crop(padding=4, reflect=True), (1, 4, 9), "mirrors more than a sample of 1x4x9 holds"),
        (Noise(deviation=1), (8,), ""),
        (Crop(padding=3, reflect=True), (1, 4, 9), ""),
    ],
    ids=str,
)
def test_a_shape_that_does_not_fit_is_said(augment, shape, words):
    assert augment.misfit(shape) == words


def test_erase_reaches_every_place_equally():
    erased = (changed(Erase(size=1), samples((1, 10), 5000)) == 0)[:, 0]
    assert (erased.sum(1) == 1).all()
    np.testing.assert_allclose(erased.mean(0), 0.1, atol=0.02)
