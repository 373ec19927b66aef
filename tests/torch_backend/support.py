"""A subject in both backends, and a little data."""

import numpy as np
import torch

from cnnspec.language.source import Source
from cnnspec.network.check import check_source
from cnnspec.torch_backend import TorchBackend
from cnnspec.training.backend import NumpyBackend
from cnnspec.training.subject import make_subject

torch.set_num_threads(1)

CONVOLUTIONAL = """network Net {
    input 2x9x8
    conv 4 3x3 padding=1 bias=false -> batchnorm -> relu
    maxpool 2x2
    conv 5 3x3 -> gelu
    flatten
    dense 6 -> softmax
}
"""


def subject(text=CONVOLUTIONAL, train="", batch=12):
    """The network of a text, with the statements of a `train` block."""
    checked = check_source(Source("net.cnn", f"{text}\ntrain {{\nbatch {batch}\n{train}\n}}\n"))
    codes = {found.code for found in checked.diagnostics if found.severity == "error"}
    assert codes <= {"data-shape", "data-classes", "data-target"}, checked.diagnostics
    return make_subject(checked)


def both(one, batch=12, **torch_options):
    """The same network by NumPy and by PyTorch, with the same first weights."""
    backend = TorchBackend(**torch_options)
    known = (one.graph, one.facts, one.recipe, batch)
    return NumpyBackend().build(*known), backend.build(*known)


def samples(count=12, shape=(2, 9, 8), classes=6, seed=0):
    """Samples and their class numbers."""
    random = np.random.default_rng(seed)
    return random.standard_normal((count, *shape)).astype(np.float32), random.integers(0, classes, count)


def assert_near(ours, theirs, tolerance=1e-5):
    """Arrays by name are near each other, by the largest number of each."""
    assert set(ours) == set(theirs)
    for name in ours:
        scale = max(float(np.abs(ours[name]).max(initial=0)), 1.0)
        np.testing.assert_allclose(theirs[name], ours[name], rtol=0, atol=tolerance * scale, err_msg=name)
