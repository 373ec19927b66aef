"""Lints of layers in a row: what one computes and the next makes useless."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cnnspec.language.diagnostics import Label
from cnnspec.layers import product
from cnnspec.network.lint.registry import Remark, Subject, lint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnspec.layers import Shape


@lint
def linear_on_linear(subject: Subject) -> Iterator[Remark]:
    """Two convolutions or dense layers with nothing between them that is not linear, on any way.

    Where the two are a factorization they are meant so: one is depthwise or grouped, they are narrow in the
    middle, or one looks along the height and the other along the width.
    """
    linear = _linear_before(subject)
    for index, node in enumerate(subject.nodes):
        if not subject.is_linear(index):
            continue
        before = linear[node.inputs[0]]
        if before is None or _is_factorization(subject, before, index):
            continue
        first = subject.nodes[before]
        elsewhere = first.origin.layer != node.origin.layer
        yield Remark(
            f"`{node.name}` follows `{first.name}` with no activation between them",
            node.origin.keyword,
            label=f"together they compute what one layer can: {_ends(subject, before, index)}",
            labels=(Label(first.origin.layer, f"`{first.name}` is linear"),) if elsewhere else (),
            help=(f"put an activation behind `{first.name}`: `-> relu`",),
            uses=node.origin.uses,
        )


@lint
def bias_before_batchnorm(subject: Subject) -> Iterator[Remark]:
    """A bias that the normalization behind it takes out again with the mean of the channel."""
    outputs = set(subject.graph.outputs)
    for index, node in enumerate(subject.nodes):
        readers = [subject.nodes[reader] for reader in subject.readers[index]]
        biases = [w for w in subject.facts.layers[index].weights if w.role == "bias"]
        if not biases or "bias" not in node.layer.options() or index in outputs or not readers:
            continue
        if all(reader.layer.cancels_bias for reader in readers):
            size = sum(weight.size for weight in biases)
            yield Remark(
                f"`{readers[0].name}` takes the bias of `{node.name}` out again",
                node.origin.place("bias"),
                label=f"{size} parameter{'s' if size > 1 else ''} without effect",
                notes=("it subtracts the mean of each channel, and the bias with it",),
                help=("write `bias=false`",),
                uses=node.origin.uses,
            )


@lint
def softmax_twice(subject: Subject) -> Iterator[Remark]:
    """A softmax of what a softmax gave."""
    for index, node in enumerate(subject.nodes):
        if not node.layer.takes_logits:
            continue
        before = node.inputs[0]
        while subject.nodes[before].layer.family in ("shape", "regularization"):
            before = subject.nodes[before].inputs[0]
        first = subject.nodes[before]
        if not first.layer.takes_logits:
            continue
        classes = subject.facts.shape(index)[0]
        highest = math.e / (math.e + classes - 1)
        yield Remark(
            f"`{node.name}` normalises what `{first.name}` has normalised",
            node.origin.keyword,
            label=f"of probabilities of {classes} classes, none comes out above {highest:.2f}"
            if node.layer.keyword == first.layer.keyword == "softmax"
            else "",
            labels=(Label(first.origin.layer, "the first one"),) if first.origin != node.origin else (),
            notes=("`loss cross_entropy` computes the last softmax together with itself",),
            help=("leave one of the two out",),
            uses=node.origin.uses,
        )


@lint
def dropout_before_batchnorm(subject: Subject) -> Iterator[Remark]:
    """Dropout right before a layer that keeps running statistics (Li et al. 2018, arXiv:1801.05134)."""
    for index, node in enumerate(subject.nodes):
        dropped = node.layer.values().get("drop_probability")
        if not isinstance(dropped, float) or not 0 < dropped < 1:
            continue
        for reader in subject.readers[index]:
            if any(weight.role == "state" for weight in subject.facts.layers[reader].weights):
                after = subject.nodes[reader]
                yield Remark(
                    f"`{node.name}` changes the variance that `{after.name}` keeps for prediction",
                    node.origin.keyword,
                    label=f"1 / (1 - {dropped:g}) = {1 / (1 - dropped):.3g} times the mean square",
                    labels=(Label(after.origin.keyword, "keeps the statistics of training"),),
                    notes=("at prediction nothing is dropped, and the variance is another (Li et al. 2018)",),
                    help=(f"put it behind `{after.name}`, or leave it out",),
                    uses=node.origin.uses,
                )


# --- linear maps ------------------------------------------------------------------------------------------


def _linear_before(subject: Subject) -> list[int | None]:
    """For each node the last convolution or dense layer that its output is linear in, if each way has one."""
    found: list[int | None] = []
    for index, node in enumerate(subject.nodes):
        if subject.is_linear(index):
            found.append(index)
            continue
        known = [before for source in node.inputs if (before := found[source]) is not None]
        linear = node.layer.linear and node.inputs and len(known) == len(node.inputs)
        found.append(max(known) if linear else None)
    return found


def _is_factorization(subject: Subject, first: int, second: int) -> bool:
    if _is_sparse(subject, first) or _is_sparse(subject, second):
        return True
    start, middle, end = _widths(subject, first, second)
    if middle < min(start, end):
        return True
    kernels = _kernels(subject, first), _kernels(subject, second)
    if len(kernels[0]) != len(kernels[1]) or 1 in (product(kernels[0]), product(kernels[1])):
        return False
    return all(min(axis) == 1 for axis in zip(*kernels, strict=True))


def _is_sparse(subject: Subject, index: int) -> bool:
    """Whether outputs see only some of the input's channels."""
    facts = subject.facts.layers[index]
    kernel = _kernels(subject, index)
    inputs = facts.input_shapes[0][0] if kernel else product(facts.input_shapes[0])
    return facts.weights[0].size < inputs * subject.facts.shape(index)[0] * product(kernel)


def _kernels(subject: Subject, index: int) -> Shape:
    """The sizes of a convolution's kernel; none for a dense layer."""
    window = subject.windows[index]
    return () if isinstance(window, str) else tuple(getattr(axis, "kernel", 1) for axis in window)


def _widths(subject: Subject, first: int, second: int) -> tuple[int, int, int]:
    """The channels before, between and behind two convolutions; elements where one of the two is dense."""
    shapes = (
        subject.facts.layers[first].input_shapes[0],
        subject.facts.shape(first),
        subject.facts.shape(second),
    )
    convolutions = bool(_kernels(subject, first) and _kernels(subject, second))
    start, middle, end = (shape[0] if convolutions else product(shape) for shape in shapes)
    return start, middle, end


def _ends(subject: Subject, first: int, second: int) -> str:
    start, _, end = _widths(subject, first, second)
    what = "channels" if _kernels(subject, first) and _kernels(subject, second) else "elements"
    return f"{start} to {end} {what}"
