"""The networks of specs/ beside PyTorch's own layers: parameters, costs, outputs and every gradient."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from cnnspec.language.record import replace  # noqa: E402
from cnnspec.layers import Layer  # noqa: E402
from cnnspec.layers.activations import Relu  # noqa: E402
from cnnspec.layers.gates import Silu  # noqa: E402
from cnnspec.layers.pooling import AvgPool, MaxPool  # noqa: E402
from cnnspec.layers.rectifiers import Relu6  # noqa: E402
from cnnspec.network.analyse import analyse  # noqa: E402
from cnnspec.network.check import check_file  # noqa: E402
from cnnspec.network.graph import Facts, Graph  # noqa: E402
from cnnspec.numpy_backend import Model, compile_graph  # noqa: E402
from cnnspec.recipe.learning import CrossEntropy  # noqa: E402
from tests.zoo.small import SMALL, SPECS, Small  # noqa: E402
from tests.zoo.twins import TWINS  # noqa: E402

torch.set_num_threads(1)

NAMES = sorted(TWINS)
SLOW = ("densenet121", "mobilenet_v2", "resnet18", "resnet50", "unet", "vgg11", "vgg16")
"""In float64, whose steps are the slowest, these are for the campaign."""
BOTH = [
    pytest.param(name, dtype, marks=[pytest.mark.campaign] if name in SLOW and dtype == "float64" else [])
    for name in NAMES
    for dtype in ("float64", "float32")
]
TOLERANCE = {"float64": 1e-8, "float32": 1e-3}
DEEP = 20
"""In float32 and with more layers with weights, gradients are compared of the same network with SiLU in the
place of rectifiers, and means in the place of maxima: a rectifier near 0, or two elements of a window that
are nearly equal, tip in one of the two and not in the other, and a gradient is off by a tenth. PyTorch's own
float32 is as far from its float64. (GoogLeNet with maxima, of six draws: apart by 5e-5 to 3e-3, and where by
more than 1e-3, PyTorch was as far from its own float64; with means by 1e-5.) What pools of maxima do
is compared in float64."""
NO_GRADIENT = 1e-3
"""Gradients this far below the largest are those of biases before a batch norm, which are 0."""


# --- at the published size: nothing is computed ---------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_published_size_has_pytorchs_parameters_output_and_cost(name):
    graph, facts = check_file(SPECS / f"{name}.cnn").network()
    with torch.device("meta"):
        module = TWINS[name]().eval()
    shapes = [weight.shape for layer in facts.layers for weight in layer.weights]
    assert shapes == [tuple(array.shape) for array in arrays(module)]
    counter = FlopCounterMode(display=False)
    with counter:
        output = module(torch.zeros(1, *facts.shape(0), device="meta"))
    assert facts.shape(graph.outputs[0]) == tuple(output.shape[1:])
    assert facts.totals().macs == counter.get_total_flops() // 2


# --- at a small size ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "dtype"), BOTH)
def test_prediction_agrees_with_pytorch(name, dtype):
    with Pair(name, dtype, "eval") as pair:
        x = pair.samples()
        assert apart(pair.model.predict(x), pair.module(torch.tensor(x))) < TOLERANCE[dtype]


@pytest.mark.parametrize(("name", "dtype"), BOTH)
def test_training_agrees_with_pytorch(name, dtype):
    with Pair(name, dtype, "train", smooth=dtype == "float32" and is_deep(name)) as pair:
        x = pair.samples()
        leaf = torch.tensor(x, requires_grad=True)
        expected = pair.module(leaf)
        dy = pair.rng.standard_normal(expected.shape).astype(dtype)
        expected.backward(torch.tensor(dy))
        distances = {"output": apart(pair.model.forward(x, training=True), expected)}
        dx = pair.model.backward(dy)
        if leaf.grad is not None:
            distances["input"] = apart(dx, leaf.grad)
        distances |= pair.gradients_apart() | pair.statistics_apart()
    wrong = {what: d for what, d in distances.items() if not d <= TOLERANCE[dtype]}
    assert not wrong


def is_deep(name: str) -> bool:
    _, facts = SMALL[name].network(name)
    return sum(bool(layer.weights) for layer in facts.layers) > DEEP


def test_every_spec_has_a_twin_or_needs_none():
    without = {"lenet5_1998", "lenet_fashion"}  # connections and units of its own; LeNet once more
    networks = {path.stem for path in SPECS.glob("*.cnn") if "\nnetwork " in path.read_text("utf-8")}
    assert networks - without == set(TWINS) == set(SMALL)


# --- a spec and its twin, with the same random weights --------------------------------------------------


class Pair:
    """A small network compiled here and built in PyTorch, with equal random weights and statistics."""

    def __init__(self, name: str, dtype: str, mode: str, smooth: bool = False) -> None:
        small: Small = SMALL[name]
        self.rng, self.dtype, self.count = np.random.default_rng(len(name)), dtype, small.count
        self.graph, self.facts = small.network(name)
        with torch.device("meta"):  # its values come below
            module = small.module(name).to(getattr(torch, dtype))
        self.module = module.to_empty(device="cpu").train(mode == "train")
        if smooth:
            self.graph, self.facts = without_kinks(self.graph)
            smoothen(self.module)
        self.model = self.compiled(mode == "train")
        self.names = dict(zip(self.model.weights, arrays(self.module), strict=True))
        for name, array in self.names.items():
            self.model.weights[name] = values = random_values(name, tuple(array.shape), self.rng)
            array.data.copy_(torch.from_numpy(values))

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.model.close()

    def compiled(self, training: bool) -> Model:
        loss = CrossEntropy() if len(self.facts.shape(self.graph.outputs[0])) == 1 else None
        options = {"batch": self.count, "workers": 2, "dtype": self.dtype}
        return compile_graph(self.graph, self.facts, training=training, loss=loss, **options)

    def samples(self) -> np.ndarray:
        shape = (self.count, *self.facts.shape(0))
        words = next((n.layer for n in self.graph.nodes if n.layer.keyword == "embedding"), None)
        if words is not None:
            return self.rng.integers(0, words.vocabulary, shape).astype(self.dtype)
        return self.rng.standard_normal(shape).astype(self.dtype)

    def gradients_apart(self) -> dict[str, float]:
        learned = {name: a.grad for name, a in self.names.items() if isinstance(a, nn.Parameter)}
        least = NO_GRADIENT * max(float(gradient.norm()) for gradient in learned.values())
        return {name: apart(self.model.gradients[name], array, least) for name, array in learned.items()}

    def statistics(self) -> dict[str, torch.Tensor]:
        return {name: array for name, array in self.names.items() if not isinstance(array, nn.Parameter)}

    def statistics_apart(self) -> dict[str, float]:
        return {name: apart(self.model.weights[name], array) for name, array in self.statistics().items()}


def without_kinks(graph: Graph) -> tuple[Graph, Facts]:
    """The network with SiLU in the place of rectifiers, and means in the place of maxima."""
    changed = replace(graph, nodes=tuple(replace(node, layer=smooth(node.layer)) for node in graph.nodes))
    return changed, analyse(changed).facts


def smooth(layer: Layer) -> Layer:
    if isinstance(layer, Relu | Relu6):
        return Silu()
    if isinstance(layer, MaxPool):
        return AvgPool(kernel=layer.kernel, stride=layer.stride, padding=layer.padding, ceil=layer.ceil)
    return layer


def smoothen(module: nn.Module) -> None:
    """The same for its twin."""
    for name, child in module.named_children():
        if isinstance(child, nn.ReLU | nn.ReLU6):
            setattr(module, name, nn.SiLU())
        elif isinstance(child, nn.MaxPool2d):
            pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode)
            setattr(module, name, pool)
        else:
            smoothen(child)


def arrays(module: nn.Module) -> list[torch.Tensor]:
    """Parameters and running statistics in the order of definition."""
    state = module.state_dict(keep_vars=True)
    return [array for name, array in state.items() if not name.endswith("num_batches_tracked")]


def random_values(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Values under which activations neither vanish nor explode (He et al. 2015); variances are positive."""
    if name.endswith("running_var"):
        return rng.uniform(0.5, 1.5, shape)
    if len(shape) == 1:
        offset = 0.7 if name.endswith("weight") else 0.0
        return offset + 0.2 * rng.standard_normal(shape)
    return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))


def apart(ours: np.ndarray, theirs: torch.Tensor, least: float = 0.0) -> float:
    """The norm of the difference, relative to that of PyTorch's or to `least`."""
    expected = theirs.detach().numpy()
    return float(np.linalg.norm(ours - expected) / max(np.linalg.norm(expected), least))
