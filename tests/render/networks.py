"""Networks built by hand for the tests of the diagrams."""

from __future__ import annotations

from collections import Counter

from cnnspec.language.source import Source, Span
from cnnspec.layers import Layer, Shape
from cnnspec.layers.activations import Relu, Sigmoid, Softmax
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.merging import Add
from cnnspec.layers.pooling import AvgPool, MaxPool
from cnnspec.layers.regularization import Dropout
from cnnspec.layers.shapes import Input
from cnnspec.network import receptive_field
from cnnspec.network.graph import Facts, Graph, LayerFacts, Node, Origin, ReceptiveField

NOWHERE = Span(Source("<test>", ""), 0, 0)
ORIGIN = Origin(NOWHERE, NOWHERE, {}, ())


Step = Layer | tuple[str, Layer] | tuple[str, Layer, tuple[str, ...]]


def build(*steps: Step, name: str = "Network", outputs: tuple[str, ...] = ()) -> tuple[Graph, Facts]:
    """A network of layers, each perhaps with a name, and with the names of its inputs."""
    nodes: list[Node] = []
    index: dict[str, int] = {}
    counts: Counter[str] = Counter()
    for step in steps:
        given, layer, inputs = (*step, None, None)[:3] if isinstance(step, tuple) else (None, step, None)
        counts[layer.keyword] += 1
        label = given or (
            layer.keyword if layer.keyword == "input" else f"{layer.keyword}{counts[layer.keyword]}"
        )
        if inputs is not None:
            sources = tuple(index[source] for source in inputs)
        else:
            sources = (len(nodes) - 1,) if layer.arity else ()
        index[label] = len(nodes)
        nodes.append(Node(label, layer, sources, ORIGIN))
    ends = tuple(index[end] for end in outputs) or (len(nodes) - 1,)
    graph = Graph(name, tuple(nodes), ends, (), (), NOWHERE)
    return graph, facts_of(graph)


def facts_of(graph: Graph) -> Facts:
    found: list[LayerFacts] = []
    for node in graph.nodes:
        shapes = tuple(found[source].shape or () for source in node.inputs)
        fields = [found[source].receptive_field for source in node.inputs]
        shape = node.layer.infer(*shapes)
        found.append(
            LayerFacts(
                input_shapes=shapes,
                shape=shape,
                weights=node.layer.weights(*shapes),
                macs=node.layer.macs(*shapes),
                receptive_field=field_of(node.layer, shapes, fields, shape),
            )
        )
    return Facts(tuple(found))


def field_of(layer: Layer, shapes: tuple[Shape, ...], fields: list, shape: Shape) -> ReceptiveField:
    if not shapes:
        return receptive_field.of_input(shape)
    widest = max(fields, key=lambda field: sum(axis.size for axis in field))
    return receptive_field.through(widest, layer.window(*shapes), shapes[0], shape)


def lenet() -> tuple[Graph, Facts]:
    return build(
        Input(shape=(1, 28, 28)),
        Conv(channels=6, kernel=(5, 5), padding=2),
        Sigmoid(),
        AvgPool(kernel=(2, 2)),
        Conv(channels=16, kernel=(5, 5)),
        Sigmoid(),
        AvgPool(kernel=(2, 2)),
        Dense(units=120),
        Sigmoid(),
        Dense(units=84),
        Sigmoid(),
        Dense(units=10),
        Softmax(),
        name="LeNet",
    )


def signal() -> tuple[Graph, Facts]:
    return build(
        Input(shape=(1, 16000)),
        Conv(channels=16, kernel=64, stride=8, bias=False),
        Relu(),
        MaxPool(kernel=4),
        Conv(channels=32, kernel=9, padding="same", dilation=2),
        Relu(),
        Dropout(drop_probability=0.25),
        MaxPool(kernel=4),
        Dense(units=10),
        name="Keywords",
    )


def vgg() -> tuple[Graph, Facts]:
    steps: list[Step] = [Input(shape=(3, 224, 224))]
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            steps += [Conv(channels=channels, kernel=(3, 3), padding=1), Relu()]
        steps.append(MaxPool(kernel=(2, 2)))
    for _ in range(2):
        steps += [Dense(units=4096), Relu(), Dropout()]
    return build(*steps, Dense(units=1000), Softmax(), name="VGG16")


def residual() -> tuple[Graph, Facts]:
    return build(
        ("input", Input(shape=(3, 32, 32))),
        ("stem", Conv(channels=64, kernel=(3, 3), padding=1)),
        ("relu1", Relu()),
        ("stage1.conv1", Conv(channels=64, kernel=(3, 3), padding=1, bias=False)),
        ("relu2", Relu()),
        ("stage1.conv2", Conv(channels=64, kernel=(3, 3), padding=1, bias=False)),
        ("stage1.add", Add(), ("stage1.conv2", "relu1")),
        ("relu3", Relu()),
        ("stage2.conv1", Conv(channels=128, kernel=(3, 3), padding=1, stride=2)),
        ("relu4", Relu()),
        ("stage2.conv2", Conv(channels=128, kernel=(3, 3), padding=1)),
        ("stage2.shortcut", Conv(channels=128, kernel=(1, 1), stride=2), ("relu3",)),
        ("stage2.add", Add(), ("stage2.conv2", "stage2.shortcut")),
        ("relu5", Relu()),
        ("pool", AvgPool(kernel=(16, 16))),
        ("classes", Dense(units=10)),
        ("softmax", Softmax()),
        name="Residual",
    )
