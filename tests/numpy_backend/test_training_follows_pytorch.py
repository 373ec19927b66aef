"""LeNet on Fashion-MNIST: two hundred steps of descent beside PyTorch from the same start."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.support.fashion_mnist import training_images  # noqa: E402
from tests.support.lenet import lenet  # noqa: E402
from tests.support.models import random_model  # noqa: E402
from tests.support.torch_twin import Twin  # noqa: E402

STEPS, BATCH, RATE = 200, 64, 0.9


def xavier(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if len(shape) == 1:
        return np.zeros(shape)
    area = int(np.prod(shape[2:]))
    limit = (6 / ((shape[0] + shape[1]) * area)) ** 0.5
    return rng.uniform(-limit, limit, shape)


def test_lenet_follows_the_loss_of_pytorch():
    x, labels = training_images(60_000)
    graph, facts = lenet()
    rng = np.random.default_rng(0)
    with random_model(graph, facts, rng, batch=BATCH) as model:
        for name, array in model.weights.items():
            model.weights[name] = xavier(array.shape, rng)
        twin = Twin(graph, facts, dict(model.weights))
        optimizer = torch.optim.SGD(twin.parameters(), lr=RATE)
        for step in range(STEPS):
            indices = rng.integers(0, len(x), BATCH)
            result = model.loss_and_gradients(x, labels, indices)
            for name, gradient in model.gradients.items():
                model.weights[name] -= RATE * gradient
            optimizer.zero_grad()
            logits = twin(torch.tensor(x[indices]), logits=True)
            loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels[indices]))
            loss.backward()
            optimizer.step()
            assert result.loss == pytest.approx(loss.item(), abs=1e-3), f"step {step}"
