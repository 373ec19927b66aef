"""The networks of specs/ with small inputs, so that a processor computes them in a moment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from torch import nn

from cnnspec.language.source import Source
from cnnspec.network.check import check_source
from cnnspec.network.graph import Facts, Graph
from tests.zoo.specs import FIGURE_LINES, SPECS
from tests.zoo.twins import TWINS

DROPOUT = re.compile(r"dropout [0-9.]+")


@dataclass(frozen=True)
class Small:
    """What is replaced in a spec's text, the arguments that make its twin alike, and how many samples."""

    replaced: dict[str, str] = field(default_factory=dict)
    twin: dict[str, int] = field(default_factory=dict)
    count: int = 4

    def network(self, name: str) -> tuple[Graph, Facts]:
        """The network without dropout, claims and budgets, which speak of the published sizes."""
        path = SPECS / f"{name}.cnn"
        text = DROPOUT.sub("dropout 0", FIGURE_LINES.sub("", path.read_text(encoding="utf-8")))
        for old, new in self.replaced.items():
            assert old in text, f"{name}: {old}"
            text = text.replace(old, new)
        return check_source(Source(str(path), text, str(path))).network()

    def module(self, name: str) -> nn.Module:
        """Its twin, without dropout."""
        module = TWINS[name](**self.twin)
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        return module


def image(pixels: int) -> dict[str, str]:
    """An image of this size in place of 224x224."""
    return {"224x224": f"{pixels}x{pixels}"}


UNET_SIZES = {"572x572": "188x188", "56x56": "8x8", "104x104": "8x8", "200x200": "8x8", "392x392": "8x8"}
NARROW = {"dense 4096": "dense 96"}

SMALL: dict[str, Small] = {
    "lenet": Small(),
    "lenet_caffe": Small(),
    "mlp": Small({"256x256": "24x24"}, {"pixels": 24 * 24}),
    "shared": Small({"256x256": "24x24"}),
    "alexnet": Small({**image(95), **NARROW}, {"flat": 256 * 2 * 2, "hidden": 96}),
    "vgg11": Small({**image(32), **NARROW}, {"flat": 512, "hidden": 96}),
    "vgg16": Small({**image(32), **NARROW}, {"flat": 512, "hidden": 96}),
    "nin": Small(image(96)),
    "squeezenet1_1": Small(image(64)),
    "googlenet": Small(image(64)),
    "resnet18": Small(image(64)),
    "resnet50": Small(image(64)),
    "resnet20_cifar": Small(),
    "densenet121": Small(image(64)),
    "mobilenet_v1": Small(image(64)),
    "mobilenet_v2": Small(image(64)),
    "unet": Small(UNET_SIZES, count=1),
    "m5_audio": Small(),
    "text_cnn": Small({"20_000": "50"}, {"vocabulary": 50}),
    "mnist_net": Small(),
    "fashion_net": Small(),
    "cifar_net": Small(),
    "video": Small({"3x16x56x56": "3x8x16x16"}),
}
