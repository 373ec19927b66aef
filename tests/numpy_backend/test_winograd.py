"""Winograd's convolution beside PyTorch and beside patches, in every layout, and how far it rounds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from cnnspec.layers.activations import Relu, Tanh
from cnnspec.layers.convolution import Conv
from cnnspec.layers.normalization import BatchNorm
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.numpy_backend.choices import Choices
from cnnspec.numpy_backend.kernels import winograd_tiles
from cnnspec.numpy_backend.kernels.cook_toom import POINTS, filtering
from cnnspec.numpy_backend.kernels.winograd import WinogradKernel
from tests.support.graphs import sequential
from tests.support.models import distance, random_model

WAYS = ("winograd-2x2", "winograd-4x4")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
PADDINGS = [0, 1, 2, 3, (1, 0), (0, 3), (2, 0, 1, 4), "same"]


def computed(way, layers, shape, count=5, dtype="float64", **options):
    """Output, input gradient and weight gradients of a network whose first convolution is computed so."""
    rng = np.random.default_rng(3)
    options = {"workers": 1, "micro_batch": 3, "loss": None} | options
    choices = Choices({"conv1": way})
    network = sequential(shape, *layers)
    with random_model(*network, rng, batch=count, choices=choices, dtype=dtype, **options) as model:
        assert model.plan.kernels[1].name == way
        x = rng.standard_normal((count, *shape)).astype(dtype)
        y = model.forward(x, training=True)
        dx = model.backward(rng.standard_normal(y.shape).astype(dtype))
        return {"y": y, "dx": dx, **{name: g.copy() for name, g in model.gradients.items()}}


def assert_alike(one, other, close):
    apart = {name: distance(one[name], other[name]) for name in other}
    assert not {name: d for name, d in apart.items() if not d < close}


# --- the matrices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [2, 4])
def test_the_matrices_filter_a_signal(m):
    rng = np.random.default_rng(m)
    taps, signal = rng.standard_normal(3), rng.standard_normal(m + 2)
    f = filtering(m, 3, POINTS[m])
    expected = sliding_window_view(signal, 3) @ taps
    assert np.allclose(f.outputs @ ((f.taps @ taps) * (f.inputs @ signal)), expected)
    backward = f.reversed
    turned = sliding_window_view(signal, 3) @ taps[::-1]
    assert np.allclose(backward.outputs @ ((backward.taps @ taps) * (backward.inputs @ signal)), turned)


def test_the_points_of_two_give_the_published_matrices():
    f = filtering(2, 3, POINTS[2])  # Lavin & Gray 2015, section 4.1, up to the scale of each row
    published = {
        "inputs": [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]],
        "taps": [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]],
    }
    for name, rows in published.items():
        for ours, theirs in zip(getattr(f, name), np.array(rows), strict=True):
            scale = np.linalg.norm(ours) / np.linalg.norm(theirs)
            assert np.allclose(ours, scale * theirs) or np.allclose(ours, -scale * theirs)


# --- beside patches and PyTorch -------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_gives_what_patches_give(way, padding, dtype):
    layers = [Conv(channels=4, kernel=3, padding=padding)]
    shape = (3, 9, 6)
    assert_alike(
        computed(way, layers, shape, dtype=dtype),
        computed("im2col", layers, shape, dtype=dtype),
        TOLERANCE[dtype],
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(8))
def test_it_gives_what_pytorch_gives(way, seed, torch, monkeypatch):
    rng = np.random.default_rng(seed)
    if seed % 2:
        monkeypatch.setattr(winograd_tiles, "CHUNK", 1500)
        monkeypatch.setattr(winograd_tiles, "BLOCK", 600)
        monkeypatch.setattr(winograd_tiles, "FEWEST_COLUMNS", 4)
        monkeypatch.setattr("cnnspec.numpy_backend.kernels.winograd.CHUNK", 1500)
        monkeypatch.setattr("cnnspec.numpy_backend.kernels.winograd.TRANSFORMED", 500)
    shape = tuple(map(int, rng.integers([1, 1, 1], [7, 14, 14])))
    padding = tuple(map(int, rng.integers(1, 4, 4)))
    layer = Conv(channels=int(rng.integers(1, 9)), kernel=3, padding=padding, bias=bool(rng.random() < 0.5))
    count = int(rng.integers(1, 9))
    with random_model(
        *sequential(shape, layer),
        rng,
        batch=count,
        choices=Choices({"conv1": way}),
        dtype="float64",
        loss=None,
    ) as model:
        x = torch.tensor(rng.standard_normal((count, *shape)), requires_grad=True)
        weights = {name: torch.tensor(w.copy(), requires_grad=True) for name, w in model.weights.items()}
        top, bottom, left, right = padding
        padded = torch.nn.functional.pad(x, (left, right, top, bottom))
        y = torch.nn.functional.conv2d(padded, weights["conv1.weight"], weights.get("conv1.bias"))
        dy = rng.standard_normal(y.shape)
        y.backward(torch.tensor(dy))
        assert distance(model.forward(x.detach().numpy(), training=True), y.detach().numpy()) < 1e-11
        assert distance(model.backward(dy), x.grad.numpy()) < 1e-11
        for name, weight in weights.items():
            assert distance(model.gradients[name], weight.grad.numpy()) < 1e-11


# --- in company -----------------------------------------------------------------------------------------

COMPANY = {
    "before a pooling": [Conv(channels=4, kernel=3, padding=1), Relu(), MaxPool(kernel=2)],
    "before a pooling of 4": [Conv(channels=3, kernel=3, padding=1), AvgPool(kernel=4)],
    "before a pooling of 2x1": [Conv(channels=3, kernel=3, padding=(1, 2)), Tanh(), MaxPool(kernel=(2, 1))],
    "before a pooling of 3": [Conv(channels=3, kernel=3, padding=(2, 1)), MaxPool(kernel=3, padding=1)],
    "before one that pads": [
        Conv(channels=4, kernel=3, padding=1),
        Relu(),
        Conv(channels=2, kernel=5, padding=2),
    ],
    "before another": [Conv(channels=4, kernel=3), Relu(), Conv(channels=5, kernel=3, padding=1)],
    "before a batch norm": [Conv(channels=4, kernel=3, padding=1), BatchNorm(), Relu()],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layers", COMPANY.values(), ids=COMPANY)
def test_it_gives_what_patches_give_in_company(way, layers):
    shape = (3, 8, 12)
    assert_alike(computed(way, layers, shape), computed("im2col", layers, shape), 1e-11)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 12, 4), (1, 4, 20)], ids=str)
def test_it_gives_tiles_to_a_pooling_that_asks_for_them(way, shape):
    layers = [Conv(channels=3, kernel=3, padding=1), Relu(), MaxPool(kernel=2)]
    plan = random_model(*sequential(shape, *layers), np.random.default_rng(0), batch=2).plan
    assert [layout.tile for layout in plan.layouts][1:3] == [(2, 2), (2, 2)]
    assert_alike(computed(way, layers, shape), computed("im2col", layers, shape), 1e-11)


@pytest.mark.parametrize("way", WAYS)
def test_a_value_with_a_margin_is_read_and_given_back(way):
    before = Conv(channels=4, kernel=5, padding=2)
    layers = [Conv(channels=4, kernel=3, padding=2), Relu(), before, Relu(), before]
    shape = (2, 7, 7)
    assert_alike(computed(way, layers, shape), computed("im2col", layers, shape), 1e-11)


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_norm_is_folded_into_its_weights(way):
    layers = [Conv(channels=4, kernel=3, padding=1, bias=False), BatchNorm(), Relu()]
    choices, shape = Choices({"conv1": way}), (3, 7, 6)
    x = np.random.default_rng(1).standard_normal((5, *shape))
    outputs = []
    for fuse in (True, False):
        rng = np.random.default_rng(0)
        options = {"batch": 5, "training": False, "dtype": "float64", "choices": choices, "fuse": fuse}
        with random_model(*sequential(shape, *layers), rng, **options) as model:
            assert bool(model.plan.kernels[1].absorbed) == fuse
            outputs.append(model.predict(x))
    assert distance(*outputs) < 1e-12


@pytest.mark.parametrize("way", WAYS)
def test_planned_equals_unplanned_to_the_bit(way):
    layers = [Conv(channels=4, kernel=3, padding=1), Relu(), MaxPool(kernel=2), Conv(channels=3, kernel=3)]
    shape, options = (3, 12, 12), {"dtype": "float32", "workers": 2, "processes": False}
    planned = computed(way, layers, shape, **options)
    apart = computed(way, layers, shape, reuse_memory=False, **options)
    assert all(np.array_equal(planned[name], apart[name]) for name in planned)


# --- rounding -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "most"), [("winograd-2x2", 1e-6), ("winograd-4x4", 5e-6)])
@pytest.mark.parametrize("channels", [4, 16, 64, 256])
def test_rounding_is_bounded_as_said(way, most, channels):
    """The docstring of winograd.py: at most 1e-6 and 5e-6 of the largest number, forward and backward."""
    layers, shape = [Conv(channels=channels, kernel=3, padding=1)], (channels, 12, 12)
    assert_alike(
        computed(way, layers, shape, count=2, dtype="float32"),
        computed("im2col", layers, shape, count=2, dtype="float64"),
        most,
    )


# --- where it is none -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layer",
    [
        Conv(channels=4, kernel=3, stride=2),
        Conv(channels=4, kernel=3, dilation=2),
        Conv(channels=4, kernel=(3, 1)),
        Conv(channels=4, kernel=3, groups=2),
        Conv(channels=4, kernel=3, connections=((0, 1), (2,), (3, 1), (0,))),
    ],
    ids=str,
)
def test_it_is_only_for_plain_kernels_of_3x3(layer):
    assert not WinogradKernel.suits(layer, ((4, 9, 9),))
