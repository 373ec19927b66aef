"""Resizing against PyTorch, and scaling."""

import numpy as np
import pytest

from cnnspec.training.datasets.pixels import CHUNK_IMAGES, prepare, resize


@pytest.mark.parametrize(
    ("native", "target"),
    [
        ((8, 8), (28, 28)),
        ((8, 8), (16, 16)),
        ((8, 8), (7, 9)),
        ((28, 28), (32, 32)),
        ((28, 28), (14, 14)),
        ((28, 28), (8, 8)),
        ((28, 28), (5, 61)),
        ((8, 8), (1, 1)),
        ((1, 1), (4, 4)),
        ((3, 5), (224, 224)),
    ],
)
def test_resize_equals_pytorchs_interpolate(torch, native: tuple[int, int], target: tuple[int, int]):
    images = np.random.default_rng(0).random((5, 2, *native), np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(images), size=target, mode="bilinear", align_corners=False
    )
    ours = resize(images, target)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_resize_to_the_same_size_changes_nothing():
    images = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)
    assert resize(images, (8, 8)) is images


def test_prepare_scales_the_brightest_to_one_and_works_across_chunks():
    images = np.random.default_rng(0).integers(0, 17, (CHUNK_IMAGES + 3, 4, 4)).astype(np.uint8)
    pixels = prepare(images, 16, (4, 4))
    assert pixels.shape == (CHUNK_IMAGES + 3, 1, 4, 4)
    np.testing.assert_array_equal(pixels[:, 0], images.astype(np.float32) / np.float32(16))
    np.testing.assert_allclose(prepare(images, 16, (6, 6))[-1:], resize(pixels[-1:], (6, 6)), atol=1e-6)
