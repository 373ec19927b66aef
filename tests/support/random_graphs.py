"""Random networks with branches, merges, named values, several inputs and outputs, as the text of a spec."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from cnnspec.language.source import Source
from cnnspec.layers import Layer, LayerError, Shape, product
from cnnspec.layers.activations import Relu
from cnnspec.layers.convolution import Conv
from cnnspec.layers.dense import Dense
from cnnspec.layers.pooling import AvgPool
from cnnspec.layers.shapes import Reshape
from cnnspec.network.check import check_source
from cnnspec.network.graph import Facts, Graph
from tests.support.random_networks import fitting_layer
from tests.support.random_structure import MAKERS

ELEMENTWISE = ("add", "multiply", "mean")


def check_text(text: str) -> tuple[Graph, Facts]:
    """The checked network of a spec's text; what is wrong with it raises."""
    return check_source(Source("<test>", text)).network()


def random_spec(seed: int, classes: int | None = None) -> str:
    """A network over one, two or three spatial axes that branches and joins; with `classes`, a classifier."""
    rng = np.random.default_rng([seed, 7])
    axes = int(rng.choice([1, 2, 2, 2, 3]))
    sizes = tuple(map(int, rng.integers(4, {1: 20, 2: 9, 3: 6}[axes], size=axes)))
    writer = _Writer(rng)
    for name in ("left", "middle", "right")[: int(rng.choice([1, 1, 2, 3]))]:
        shape = (int(rng.integers(1, 4)), *sizes)
        writer.lines.append(f"input {name} {'x'.join(map(str, shape))}")
        writer.values[name] = writer.shape = shape
    writer.body(int(rng.integers(2, 6)))
    for name in ("left", "middle"):  # every input is read by something
        if name in writer.values and rng.random() < 0.9:
            writer.join_named(name)
    if classes is not None:
        writer.add(Dense(units=classes))
        writer.lines += ["softmax"] if rng.random() < 0.5 else []
    else:
        if rng.random() < 0.5:
            writer.add(Dense(units=int(rng.integers(2, 6))))
        writer.outputs()
    return "network Random {\n" + "\n".join(f"    {line}" for line in writer.lines) + "\n}\n"


def _has_no_twin(layer: Layer, shape: Shape) -> bool:
    """PyTorch's average pooling over three axes takes no map that is smaller than the window unpadded."""
    if not isinstance(layer, AvgPool) or len(shape) < 4:
        return False
    return any(n < window.kernel for n, window in zip(shape[1:], layer.window(shape), strict=True))


@dataclass
class _Writer:
    """Writes statements, and knows the shape of the value at their end and of those that have a name."""

    rng: np.random.Generator
    lines: list[str] = field(default_factory=list)
    shape: Shape = ()
    values: dict[str, Shape] = field(default_factory=dict)
    depth: int = 0

    def body(self, statements: int) -> None:
        for _ in range(statements):
            choice = self.rng.random()
            if choice < 0.45 or self.depth > 2:
                self.add(self.drawn())
            elif choice < 0.8:
                self.join_branches()
            elif self.values:
                self.join_named(str(self.rng.choice(list(self.values))))
            if self.rng.random() < 0.3:
                self.name_it()

    def drawn(self) -> Layer:
        """A layer that takes the present value; one in four only moves or resamples it."""
        makers = list(MAKERS.values())
        if len(self.shape) == 1 or self.rng.random() < 0.75:
            layer = fitting_layer(self.rng, self.shape)
            return Relu() if _has_no_twin(layer, self.shape) else layer
        while True:
            layer = makers[int(self.rng.integers(len(makers)))](self.rng, self.shape)
            with suppress(LayerError):
                if product(layer.infer(self.shape)) < 2000:
                    return layer

    def add(self, layer: Layer) -> None:
        self.lines.append(layer.written())
        self.shape = layer.infer(self.shape)

    def name_it(self) -> None:
        """Give the last statement's value a name."""
        if "{" not in self.lines[-1] and "=" not in self.lines[-1].split()[1:2] and self._is_plain():
            name = f"v{self.depth}_{len(self.lines)}"
            self.lines[-1] = f"{name} = {self.lines[-1]}"
            self.values[name] = self.shape

    def _is_plain(self) -> bool:
        word = self.lines[-1].split()[0]
        return word not in ("input", "}", "from", "output") and " = " not in self.lines[-1]

    def join_branches(self) -> None:
        keyword = str(self.rng.choice([*ELEMENTWISE, "concat"]))
        branches = [self.branch(int(self.rng.integers(0, 3)))]
        target = branches[0].shape
        for _ in range(int(self.rng.integers(1, 3))):
            branch = self.branch(int(self.rng.integers(0, 2)))
            branch.reach(self._wanted(keyword, target), exactly=keyword != "concat")
            branches.append(branch)
        if keyword != "concat" and self.rng.random() < 0.5:
            branches.reverse()
        self.lines.append(f"{keyword} {{")
        for each in branches:
            self.lines += ["    branch {", *(f"        {line}" for line in each.lines), "    }"]
        self.lines.append("}")
        channels = sum(each.shape[0] for each in branches) if keyword == "concat" else target[0]
        self.shape = (channels, *target[1:])

    def branch(self, statements: int) -> _Writer:
        """A branch from the present value on."""
        inner = replace(self, lines=[], values=dict(self.values), depth=self.depth + 1)
        inner.body(statements)
        return inner

    def _wanted(self, keyword: str, target: Shape) -> Shape:
        """The shape that a further branch needs: that of the others, or one position that repeats."""
        if keyword != "concat" and len(target) > 1 and self.rng.random() < 0.3:
            return (target[0], *(1 for _ in target[1:]))
        return target

    def reach(self, target: Shape, exactly: bool = True) -> None:
        """Write the layer that makes the value have this shape, but for its channels unless `exactly`."""
        if self.shape == target or (not exactly and self.shape[1:] == target[1:]):
            return
        if len(target) != len(self.shape):
            self.add(Dense(units=product(target)))
            self.add(Reshape(shape=target))
            return
        if len(target) == 1:
            self.add(Dense(units=target[0]))
            return
        channels = target[0] if exactly else int(self.rng.integers(1, 4))
        kernel, padding = [], []
        for n, m in zip(self.shape[1:], target[1:], strict=True):
            k = max(int(self.rng.integers(1, 4)), n - m + 1)
            before = int(self.rng.integers(0, m - n + k))
            kernel.append(k)
            padding += [before, m - n + k - 1 - before]
        self.add(Conv(channels=channels, kernel=tuple(kernel), padding=tuple(padding)))

    def join_named(self, name: str) -> None:
        """`add name`, `add name name`, `concat name` behind what makes the present value fit it."""
        shape = self.values[name]
        keyword = str(self.rng.choice([*ELEMENTWISE, "concat"]))
        if self.rng.random() < 0.15:
            self.lines.append(f"{keyword} {name} {name}")
            self.shape = (2 * shape[0], *shape[1:]) if keyword == "concat" else shape
            return
        self.reach(shape, exactly=keyword != "concat")
        channels = self.shape[0] + shape[0] if keyword == "concat" else shape[0]
        self.lines.append(f"{keyword} {name}")
        self.shape = (channels, *shape[1:])

    def outputs(self) -> None:
        """Perhaps several outputs, among them values that other layers read."""
        if len(self.values) > 1 and self.rng.random() < 0.5:
            count = int(self.rng.integers(1, min(len(self.values), 3) + 1))
            names = self.rng.choice(list(self.values), size=count, replace=False)
            self.add(fitting_layer(self.rng, self.shape))
            self.lines[-1] = f"last = {self.lines[-1]}"
            self.lines.append("output " + " ".join(["last", *map(str, names)]))
