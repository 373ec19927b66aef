"""The PyTorch backend against the NumPy backend, which computes in other ways."""

import numpy as np
import pytest

pytest.importorskip("torch")

from cnnspec.training.errors import TrainingError
from tests.torch_backend.support import CONVOLUTIONAL, assert_near, both, samples, subject

RESIDUAL = """network Net {
    input 2x9x8
    conv 4 3x3 padding=1 -> batchnorm -> relu
    add {
        branch { conv 4 3x3 padding=1 bias=false -> batchnorm affine=false }
        branch { }
    } -> leaky_relu 0.1
    globalavgpool -> layernorm
    forward = dense 6
    dense 6 -> log_softmax
}
"""
NETWORKS = {"convolutional": CONVOLUTIONAL, "residual": RESIDUAL}


@pytest.mark.parametrize("options", [{}, {"channels_last": True}], ids=["", "channels last"])
@pytest.mark.parametrize("name", NETWORKS)
def test_losses_gradients_and_statistics_are_those_of_numpy(name, options):
    ours, theirs = both(subject(NETWORKS[name], "freeze conv1"))
    if options:
        theirs = channels_last(subject(NETWORKS[name], "freeze conv1"))
    x, labels = samples(40)
    rows = np.random.default_rng(1).permutation(40)[:9]  # fewer than a batch
    found = [model.model.loss_and_gradients(x, labels, rows) for model in (ours, theirs)]
    assert found[1].loss == pytest.approx(found[0].loss, rel=1e-6)
    assert found[1].correct == found[0].correct
    assert (found[1].count, found[1].weight) == (9, 9)
    assert "conv1.weight" not in theirs.gradients
    assert_near({n: ours.gradients[n] for n in theirs.gradients}, dict(theirs.gradients))
    assert set(theirs.gradients) == set(ours.gradients)
    assert_near(dict(ours.weights), dict(theirs.weights))  # the running statistics are among them
    ours.close()


def channels_last(one):
    import torch

    from cnnspec.torch_backend import TorchBackend
    from cnnspec.torch_backend.placement import Placement

    backend = TorchBackend()
    backend.placement = Placement(torch.device("cpu"), channels_last=True)
    return backend.build(one.graph, one.facts, one.recipe, 12)


LOSSES = {
    "cross_entropy": "",
    "cross_entropy smoothing=0.2": "",
    "cross_entropy weights=(1, 0.5, 2, 0, 3, 1)": "",
    "cross_entropy weights=(1, 0.5, 2, 0, 3, 1) smoothing=0.1": "",
    "mse": "one-hot",
    "l1": "numbers",
    "huber delta=0.3": "numbers",
    "binary_cross_entropy": "between",
}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_that_of_numpy(loss):
    """In training and in evaluation, with classes and with numbers for targets."""
    last = "sigmoid" if loss.startswith("binary") else "softmax" if loss.startswith("cross") else "tanh"
    one = subject(CONVOLUTIONAL.replace("softmax", last), f"loss {loss}")
    ours, theirs = both(one)
    x, labels = samples(31)
    if LOSSES[loss] in ("numbers", "between"):
        labels = np.random.default_rng(2).random((31, 6)).astype(np.float32)
    found = [model.model.loss_and_gradients(x[:12], labels[:12]) for model in (ours, theirs)]
    assert_near(figures(found[0]), figures(found[1]))
    assert_near(dict(ours.gradients), dict(theirs.gradients))
    found = [model.evaluate(x, labels) for model in (ours, theirs)]
    assert_near(figures(found[0]), figures(found[1]))
    ours.close()


def test_class_weights_that_were_tested_first_can_be_learned_with():
    _, model = both(subject(train="loss cross_entropy weights=(1, 0.5, 2, 4, 3, 1)"))
    x, labels = samples()
    before = model.evaluate(x, labels).loss
    model.train_step(x, labels)
    assert model.evaluate(x, labels).loss != before


def figures(result):
    names = ("loss", "correct", "count", "weight", "top5", "absolute", "squared")
    return {name: np.array(getattr(result, name), float) for name in names}


def test_a_class_for_each_pixel():
    text = "network Net {\n input 2x9x8\n conv 4 3x3 padding=1 -> relu\n conv 6 1x1 -> softmax\n}"
    ours, theirs = both(subject(text, "loss cross_entropy smoothing=0.1"))
    x, _ = samples(12)
    labels = np.random.default_rng(3).integers(0, 6, (12, 9, 8))
    found = [model.model.loss_and_gradients(x, labels) for model in (ours, theirs)]
    assert_near(figures(found[0]), figures(found[1]))
    assert_near(dict(ours.gradients), dict(theirs.gradients))
    assert_near(*(figures(model.evaluate(x, labels)) for model in (ours, theirs)))
    ours.close()


def test_predictions_and_the_gradient_of_the_input():
    ours, theirs = both(subject())
    x, _ = samples(30)
    np.testing.assert_allclose(theirs.predict(x), ours.predict(x), atol=1e-6)
    dy = np.random.default_rng(4).standard_normal((7, 6)).astype(np.float32)
    outputs = [model.forward(x[:7], training=True) for model in (ours, theirs)]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-6)
    gradients = [model.backward(dy) for model in (ours, theirs)]
    np.testing.assert_allclose(gradients[1], gradients[0], atol=1e-5)
    assert_near(dict(ours.gradients), dict(theirs.gradients))
    with pytest.raises(ValueError, match="backward needs a forward"):
        theirs.backward(dy)
    ours.close()


def test_dropout_follows_from_seed_and_step():
    text = CONVOLUTIONAL.replace("flatten", "dropout 0.5")
    x, labels = samples()

    def losses(seed, first=0):
        _, model = both(subject(text, f"seed {seed}"))
        model.model.step = first
        return [model.model.loss_and_gradients(x, labels).loss for _ in range(3)]

    alike = losses(1)
    assert losses(1) == alike
    assert losses(1, first=1)[:2] == alike[1:]
    assert len({*alike, *losses(2)}) == 6


@pytest.mark.parametrize(("precision", "tolerance"), [("bfloat16", 0.03), ("float16", 0.004)])
def test_shorter_numbers_are_near_and_weights_stay_long(precision, tolerance):
    """PyTorch mixes precisions on the processor as on a GPU."""
    ours, theirs = both(subject(train="optimizer sgd lr=0.1"), precision=precision)
    x, labels = samples()
    losses = [[model.train_step(x, labels) for _ in range(5)] for model in (ours, theirs)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[1], losses[0], rtol=tolerance)
    assert all(array.dtype == np.float32 for array in theirs.weights.values())
    ours.close()


def test_what_does_not_fit_is_refused_as_numpy_does():
    _, model = both(subject())
    x, labels = samples()
    with pytest.raises(ValueError, match="x must be Nx2x9x8, not 12x2x8x8"):
        model.train_batch(x[:, :, 1:], labels)
    with pytest.raises(ValueError, match="label 6 is no class: there are 6, from 0"):
        model.train_batch(x, np.full(12, 6))
    with pytest.raises(ValueError, match=r"weight 'conv1.weight' has shape 4x2x3x3, not 2"):
        model.weights["conv1.weight"] = np.zeros(2)
    with pytest.raises(ValueError, match=r"there is no weight 'conv9.weight'"):
        model.weights["conv9.weight"] = np.zeros(2)


def test_a_device_that_is_not_there():
    import torch

    from cnnspec.torch_backend import TorchBackend

    with pytest.raises(TrainingError, match="there is no device `gpu`") as found:
        TorchBackend("gpu")
    assert found.value.help == ("--device takes cpu, cuda, or cuda:1",)
    with pytest.raises(TrainingError, match="there is no device `cuda:x`"):
        TorchBackend("cuda:x")
    if not torch.cuda.is_available():
        with pytest.raises(TrainingError, match=r"--device cuda: .*PyTorch"):
            TorchBackend("cuda")
