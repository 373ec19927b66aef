"""Lints of the receptive field: convolutions that see too little of the input, or that come too late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.layers import show
from cnnspec.network import receptive_field
from cnnspec.network.lint.registry import Remark, Subject, lint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnspec.layers import Shape
    from cnnspec.network.graph import ReceptiveField

SIGHT: Final = 8
"""The last convolution is called blind where it sees less than one part in so many of an axis.

LeNet's sees half of the input, and the bottom of U-Net a quarter: what follows combines what they see. Where
it is an order less, nothing that is larger than a speck can be told from another.
"""

SEVERAL: Final = 2
"""Convolutions from which on a network is held to compose them; one alone is meant to see its kernel."""

UNPRODUCTIVE: Final = 4
"""Convolutions behind the whole input are called unproductive where they are one in so many, or more.

That the last one sees beyond the input is what one asks for (MobileNet: 315 of 224 pixels).
"""


@lint
def blind_convolution(subject: Subject) -> Iterator[Remark]:
    """The last of several convolutions sees only a small part of the input."""
    sizes = _input_sizes(subject)
    if sum(_looks_around(subject, index) for index in range(len(subject.nodes))) < SEVERAL:
        return
    last = _last_convolutions(subject)
    fields = [field for index in last if (field := subject.facts.layers[index].receptive_field)]
    if not sizes or not fields or any(len(field) != len(sizes) for field in fields):
        return
    seen = tuple(max(axis.size for axis in axes) for axes in zip(*fields, strict=True))
    parts = [(size, n) for size, n in zip(seen, sizes, strict=True) if SIGHT * size < n]
    if parts:
        node = subject.nodes[last[-1]]
        size, n = parts[0]
        yield Remark(
            f"`{node.name}`, the last convolution, sees {_sizes(seen)} of the {_sizes(sizes)} input",
            node.origin.keyword,
            label=f"{size} of {n} is {100 * size / n:.0f} %",
            notes=("its receptive field should contain the whole input, ideally",),
            help=("pooling, strides, dilation or larger kernels before it let it see more",),
            uses=node.origin.uses,
        )


@lint
def unproductive_layers(subject: Subject) -> Iterator[Remark]:
    """Convolutions whose input sees the whole image already.

    They cannot relate more of the image, only compute deeper. Where ways part, the one that sees least
    counts, so that what goes around a residual branch keeps the layers behind it productive
    (Richter et al. 2021, arXiv:2106.12307).
    """
    sizes = _input_sizes(subject)
    if not sizes:
        return
    fields = _least_fields(subject)
    looking = [i for i in range(len(subject.nodes)) if _looks_around(subject, i)]
    late = [i for i in looking if _exceeds(fields[subject.nodes[i].inputs[0]], sizes)]
    if not late or UNPRODUCTIVE * len(late) < len(looking):
        return
    node = subject.nodes[late[0]]
    field = fields[node.inputs[0]]
    assert field
    yield Remark(
        f"the whole {_sizes(sizes)} input is seen before {len(late)} of the {len(looking)} convolutions",
        node.origin.keyword,
        label=f"the input of `{node.name}` sees {_sizes(tuple(axis.size for axis in field))}",
        notes=(f"those are {_listed([subject.nodes[i].name for i in late])}",),
        help=("a larger input, later pooling, or fewer layers puts them to use",),
        uses=node.origin.uses,
    )


def _input_sizes(subject: Subject) -> Shape:
    """The spatial sizes of the input; none where it has none, or where inputs differ."""
    sizes = {subject.facts.shape(index)[1:] for index in subject.graph.sources()}
    return sizes.pop() if len(sizes) == 1 else ()


def _last_convolutions(subject: Subject) -> list[int]:
    """The convolutions behind which there is no other."""
    followed = [False] * len(subject.nodes)
    last = []
    for index in reversed(range(len(subject.nodes))):
        node = subject.nodes[index]
        convolves = node.layer.family == "convolution"
        if convolves and not followed[index]:
            last.append(index)
        for before in node.inputs:
            followed[before] |= convolves or followed[index]
    return last[::-1]


def _least_fields(subject: Subject) -> list[ReceptiveField | None]:
    """The receptive field of every node along the way that sees least."""
    fields: list[ReceptiveField | None] = []
    for index, node in enumerate(subject.nodes):
        facts, window = subject.facts.layers[index], subject.windows[index]
        after = subject.facts.shape(index)
        if not node.inputs:
            fields.append(receptive_field.of_input(after))
            continue
        ways: list[ReceptiveField] = []
        for before, shape in zip(node.inputs, facts.input_shapes, strict=True):
            field = fields[before]
            way = receptive_field.through(field, window, shape, after) if field is not None else None
            ways += [way] if way is not None else []
        fields.append(min(ways, key=_extent) if len(ways) == len(node.inputs) else None)
    return fields


def _extent(field: ReceptiveField) -> tuple[int, ...]:
    return tuple(sorted(axis.size for axis in field))


def _looks_around(subject: Subject, index: int) -> bool:
    """Whether a layer is a convolution with a kernel of more than one position."""
    convolves = subject.nodes[index].layer.family == "convolution"
    return convolves and any(window.reach > 1 for window in subject.sliding(index))


def _exceeds(field: ReceptiveField | None, sizes: Shape) -> bool:
    if not field or len(field) != len(sizes):
        return False
    return all(axis.size > n for axis, n in zip(field, sizes, strict=True))


def _sizes(sizes: Shape) -> str:
    return show(sizes) if len(sizes) > 1 else f"{sizes[0]}"


def _listed(names: list[str], most: int = 6) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
