"""Layers that move, resample and look up values beside PyTorch, over drawn shapes and options."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cnnspec.layers import Layer, LayerError, Shape, product  # noqa: E402
from cnnspec.layers.activations import Tanh  # noqa: E402
from cnnspec.layers.channels import Shuffle, Take  # noqa: E402
from cnnspec.layers.convolution import Conv  # noqa: E402
from cnnspec.layers.embedding import Embedding  # noqa: E402
from cnnspec.layers.framing import Crop, Pad  # noqa: E402
from cnnspec.layers.resampling import PixelShuffle, Upsample  # noqa: E402
from cnnspec.layers.shapes import Reshape  # noqa: E402
from tests.numpy_backend.test_branches import TOLERANCE, run, run_twin  # noqa: E402
from tests.support.graphs import sequential  # noqa: E402
from tests.support.models import distance, random_model  # noqa: E402

Rng = np.random.Generator


def whole(rng: Rng, least: int, most: int) -> int:
    return int(rng.integers(least, most + 1))


def amounts(rng: Rng, axes: int, most: int) -> int | tuple[int, ...]:
    count = int(rng.choice([0, axes, 2 * axes]))
    return tuple(whole(rng, 0, most) for _ in range(count)) if count else whole(rng, 0, most)


def extents(rng: Rng, axes: int, most: int) -> int | tuple[int, ...]:
    return whole(rng, 1, most) if rng.random() < 0.5 else tuple(whole(rng, 1, most) for _ in range(axes))


def take(rng: Rng, shape: Shape) -> Layer:
    start = whole(rng, 0, shape[0] - 1)
    return Take(start=start, stop=whole(rng, start + 1, shape[0]))


def pad(rng: Rng, shape: Shape) -> Layer:
    mode = str(rng.choice(["constant", "reflect", "edge"]))
    value = float(rng.choice([0, 0.5, -2])) if mode == "constant" else 0
    return Pad(amounts=amounts(rng, len(shape) - 1, 3), mode=mode, value=value)


def crop(rng: Rng, shape: Shape) -> Layer:
    if rng.random() < 0.5:
        return Crop(to=tuple(whole(rng, 1, n) for n in shape[1:]))
    return Crop(amounts=amounts(rng, len(shape) - 1, 2))


def reshape(rng: Rng, shape: Shape) -> Layer:
    rest = product(shape[2:])
    return Reshape(shape=[(product(shape),), (rest, product(shape[:2])), shape[::-1]][whole(rng, 0, 2)])


MAKERS: dict[str, Callable[[Rng, Shape], Layer]] = {
    "take": take,
    "shuffle": lambda rng, shape: Shuffle(groups=whole(rng, 1, shape[0])),
    "pad": pad,
    "crop": crop,
    "reshape": reshape,
    "nearest": lambda rng, shape: Upsample(factor=extents(rng, len(shape) - 1, 3)),
    "linear": lambda rng, shape: Upsample(factor=extents(rng, len(shape) - 1, 4), mode="linear"),
    "pixel_shuffle": lambda rng, shape: PixelShuffle(factor=extents(rng, len(shape) - 1, 3)),
}


def fitting(rng: Rng, maker: Callable[[Rng, Shape], Layer], axes: int) -> tuple[Shape, Layer]:
    """A shape and a layer that takes it."""
    while True:
        shape = (whole(rng, 1, 12), *(whole(rng, 1, 7 if axes < 3 else 4) for _ in range(axes)))
        try:
            layer = maker(rng, shape)
            layer.infer(shape)
        except LayerError:
            continue
        return shape, layer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("maker", MAKERS)
def test_layer_agrees_with_pytorch(maker, axes, seed, dtype):
    """Alone, or between a layer that leaves a margin and one that asks for it."""
    rng = np.random.default_rng([seed, axes, len(maker)])
    shape, layer = fitting(rng, MAKERS[maker], axes)
    layers = [layer]
    if maker != "reshape" and rng.random() < 0.5:
        layers = [Tanh(), layer, Conv(channels=2, kernel=3, padding=1)]
    compare(sequential(shape, *layers), rng, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(10))
def test_embedding_agrees_with_pytorch(seed, dtype):
    rng = np.random.default_rng(seed)
    vocabulary, tokens = whole(rng, 1, 30), whole(rng, 1, 12)
    layers = [Embedding(vocabulary=vocabulary, dimension=whole(rng, 1, 6))]
    if seed % 2:
        layers.append(Conv(channels=3, kernel=3, padding=1))
    graph = sequential((tokens,), *layers)
    compare(graph, rng, dtype, lambda shape: rng.integers(0, vocabulary, shape))


def compare(graph, rng, dtype, draw=None):
    count = whole(rng, 1, 7)
    draw = draw or rng.standard_normal
    options = {"dtype": dtype, "workers": whole(rng, 1, 2), "micro_batch": whole(rng, 1, 4), "loss": None}
    with random_model(*graph, rng, batch=count, **options) as model:
        x = tuple(draw((count, *shape)).astype(dtype) for shape in model.inputs.shapes)
        dy = tuple(rng.standard_normal((count, *shape)).astype(dtype) for shape in model.outputs.shapes)
        ours, theirs = run(model, x, dy), run_twin(model, x, dy)
    wrong = {name: d for name in theirs if not (d := distance(ours[name], theirs[name])) <= TOLERANCE[dtype]}
    assert not wrong, [str(node.layer) for node in graph[0].nodes]


@pytest.mark.parametrize(
    ("token", "shown"), [(-1, "-1"), (20, "20"), (2.5, "2.5"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_embedding_refuses_what_is_no_token(token, shown):
    graph = sequential((5,), Embedding(vocabulary=20, dimension=3))
    x = np.ones((4, 5), np.float32)
    x[3, 2] = token
    with random_model(*graph, np.random.default_rng(0), batch=4, workers=2, loss=None) as model:
        with pytest.raises(ValueError, match=f"whole numbers from 0 to 19, not {shown}"):
            model.forward(x)
        assert model.forward(np.full((4, 5), 19)).shape == (4, 3, 5)
