"""Published figures: parameters, multiply-accumulates and receptive fields of the networks in specs/.

Sources:
* parameters and operations: the weight tables of torchvision (`num_params` and, in billions, `_ops` of
  `ResNet18_Weights` and so on), Dive into Deep Learning (LeNet, NiN), the papers
  of MobileNet and U-Net, Caffe's examples;
* receptive fields: Araujo, Norris & Sim 2019, "Computing receptive fields of convolutional neural networks",
  Distill, appendix; its residual networks have the strides of the paper, and torchvision's others.
"""

from __future__ import annotations

import pytest

from cnnspec.language.source import Source
from cnnspec.network.check import check_file, check_source
from cnnspec.network.graph import Facts, Graph
from tests.zoo.specs import FIGURE_LINES, SPECS

FIGURES = {
    # spec: params, MACs, receptive field and jump of the last map before it is pooled or flattened as a whole
    "lenet": (61_706, 416_520, 16, 4),
    "lenet_caffe": (431_080, 2_293_000, 16, 4),
    "alexnet": (61_100_840, 714_188_480, 195, 32),
    "vgg11": (132_863_336, 7_609_090_048, 150, 32),
    "vgg16": (138_357_544, 15_470_264_320, 212, 32),
    "nin": (1_992_166, 762_297_352, 195, 32),
    "googlenet": (6_624_904, 1_498_376_192, 379, 32),
    "resnet18": (11_689_512, 1_814_073_344, 435, 32),
    "resnet50": (25_557_032, 4_089_184_256, 427, 32),
    "densenet121": (7_978_856, 2_834_161_664, 2071, 32),
    "mobilenet_v1": (4_231_976, 568_740_352, 315, 32),
    "mobilenet_v2": (3_504_872, 300_774_272, 491, 32),
    "squeezenet1_1": (1_235_496, 349_151_936, 207, 16),
}

BILLIONS = {
    # torchvision's `_ops`
    "alexnet": 0.714, "vgg11": 7.609, "vgg16": 15.470, "googlenet": 1.498, "resnet18": 1.814,
    "resnet50": 4.089, "densenet121": 2.834, "mobilenet_v2": 0.301, "squeezenet1_1": 0.349,
}  # fmt: skip


def network(name: str) -> tuple[Graph, Facts]:
    return check_file(SPECS / f"{name}.cnn").network()


def last_map(graph: Graph, facts: Facts) -> int:
    """The node before the first that sees everything."""
    for node, layer in zip(graph.nodes, facts.layers, strict=True):
        if node.inputs and node.layer.window(*layer.input_shapes) == "everything":
            return node.inputs[0]
    raise AssertionError("no layer sees everything")


def fields(graph: Graph, facts: Facts, keyword: str) -> list[int]:
    """The sizes of the receptive fields behind every layer of a kind, equal along both axes."""
    sizes = []
    for node, layer in zip(graph.nodes, facts.layers, strict=True):
        if node.layer.keyword == keyword:
            (size,) = {axis.size for axis in layer.receptive_field or ()}
            sizes.append(size)
    return sizes


@pytest.mark.parametrize("name", FIGURES)
def test_network_has_its_published_figures(name):
    graph, facts = network(name)
    params, macs, size, jump = FIGURES[name]
    assert (facts.totals().params, facts.totals().macs) == (params, macs)
    for axis in facts.layers[last_map(graph, facts)].receptive_field:
        assert (axis.size, axis.jump) == (size, jump)


@pytest.mark.parametrize("name", BILLIONS)
def test_table_agrees_with_torchvisions_rounded_operations(name):
    assert round(FIGURES[name][1] / 1e9, 3) == BILLIONS[name]


def test_lenet_has_the_lectures_figures_layer_by_layer():
    graph, facts = network("lenet")
    assert [layer.params for layer in facts.layers if layer.params] == [156, 2_416, 48_120, 10_164, 850]
    maps = [node for node, layer in enumerate(facts.layers) if layer.shape and len(layer.shape) > 1][1:]
    seen = [
        facts.layers[node].receptive_field for node in maps if graph.nodes[node].layer.keyword != "sigmoid"
    ]
    assert [axes[0].size for axes in seen] == [5, 6, 14, 16]
    assert {axis.start for axes in seen for axis in axes} == {-2}


def test_unet_has_its_published_figures():
    graph, facts = network("unet")
    assert (facts.totals().params, facts.totals().macs) == (31_030_658, 150_428_424_448)
    bottom = next(i for i, node in enumerate(graph.nodes) if node.layer.keyword == "conv_transpose") - 1
    assert facts.shape(bottom) == (1024, 28, 28)
    assert [axis.size for axis in facts.layers[bottom].receptive_field] == [140, 140]


def test_lenet5_of_1998_has_its_published_figures():
    graph, facts = network("lenet5_1998")
    assert facts.totals().trainable_params == 60_000
    assert [(axis.size, axis.jump) for axis in facts.layers[last_map(graph, facts)].receptive_field] == [
        (32, 4)
    ] * 2


def test_vgg16_sees_so_much_behind_each_pooling():
    assert fields(*network("vgg16"), "maxpool") == [6, 16, 44, 100, 212]


def test_alexnet_sees_so_much_behind_each_layer():
    graph, facts = network("alexnet")
    assert fields(graph, facts, "conv") == [11, 51, 99, 131, 163]
    assert fields(graph, facts, "maxpool") == [19, 67, 195]


def test_mobilenet_v1_sees_so_much_behind_each_3x3():
    graph, facts = network("mobilenet_v1")
    firsts = fields(graph, facts, "conv")[:1] + fields(graph, facts, "depthwise")
    assert firsts == [3, 7, 11, 19, 27, 43, 59, 91, 123, 155, 187, 219, 251, 315]


def test_resnet50_with_the_papers_strides_sees_so_much_behind_each_stage():
    """The paper moves by 2 in the first 1x1 convolution of a stage, torchvision in its 3x3."""
    blocks = (SPECS / "residual.cnn").read_text("utf-8")
    theirs = """            conv channels 1x1 bias=false -> batchnorm -> relu
            conv channels 3x3 stride=stride padding=1 bias=false -> batchnorm -> relu"""
    ours = """            conv channels 1x1 stride=stride bias=false -> batchnorm -> relu
            conv channels 3x3 padding=1 bias=false -> batchnorm -> relu"""
    assert theirs in blocks
    body = FIGURE_LINES.sub("", (SPECS / "resnet50.cnn").read_text("utf-8")).replace('use "residual.cnn"', "")
    _, facts = check_source(Source("resnet50.cnn", blocks.replace(theirs, ours) + body)).network()
    ends = {layer.shape: layer.receptive_field for layer in facts.layers}
    stages = [ends[shape] for shape in [(256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7)]]
    assert [axes[0].size for axes in stages] == [35, 99, 291, 483]
