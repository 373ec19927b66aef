"""Models that PyTorch itself writes, come in as specs, compute what PyTorch computed."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from cnnspec.bridges.onnx_import import read_model  # noqa: E402
from cnnspec.bridges.spec import to_spec  # noqa: E402
from cnnspec.language.source import Source  # noqa: E402
from cnnspec.network.check import check_source  # noqa: E402
from cnnspec.numpy_backend import compile_graph  # noqa: E402
from tests.support.models import as_tuple  # noqa: E402
from tests.support.three_ways import farthest  # noqa: E402
from tests.zoo.small import SMALL  # noqa: E402

TOLERANCE = 1e-4
QUICK = ("lenet", "nin", "squeezenet1_1", "resnet20_cifar", "mnist_net")
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.campaign) for name in SMALL]


def with_random_statistics(module):
    """In evaluation, batch norm with statistics of its own."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return module.eval()


def by_tracing(module, x, **options):
    """The model of PyTorch's older exporter."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}} if options.pop("open", False) else {}
        torch.onnx.export(module, (x,), file, dynamo=False, opset_version=17, **names)
    return onnx.load_model_from_string(file.getvalue())


def by_capture(module, x):
    """The model of PyTorch's newer exporter, for any number of samples."""
    pytest.importorskip("onnxscript")
    batch = {0: torch.export.Dim("N")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(module, (x,), dynamo=True, dynamic_shapes=(batch,), verbose=False)
    return made.model_proto


EXPORTERS = {
    "one sample": by_tracing,
    "any number": lambda module, x: by_tracing(module, x, open=True),
    "captured": by_capture,
}


@pytest.mark.parametrize(
    "exporter",
    [n if n == "any number" else pytest.param(n, marks=pytest.mark.campaign) for n in EXPORTERS],
)
@pytest.mark.parametrize("name", NAMES)
def test_twin_written_by_pytorch_computes_the_same(name, exporter):
    torch.manual_seed(0)
    module = with_random_statistics(SMALL[name].module(name))
    graph, facts = SMALL[name].network(name)
    shape = facts.shape(graph.sources()[0])
    rng = np.random.default_rng(0)
    x = rng.integers(0, 50, (1, *shape)) if name == "text_cnn" else rng.standard_normal((1, *shape))
    x = x.astype("f4")
    with torch.inference_mode():
        theirs = module(torch.tensor(x)).numpy()
    samples = torch.tensor(x if exporter == "one sample" else x.repeat(2, 0))  # 1 would be taken for fixed
    written = to_spec(read_model(EXPORTERS[exporter](module, samples), "model.onnx"), ["A model."])
    other, found = check_source(Source("model.cnn", written.text)).network()
    with compile_graph(other, found, batch=1, training=False, loss=None) as model:
        for weight, array in written.weights.items():
            model.weights[weight] = array
        ours = as_tuple(model.predict(x))
    assert farthest(ours, (theirs,)) < TOLERANCE
