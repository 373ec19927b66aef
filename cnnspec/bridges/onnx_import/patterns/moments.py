"""Normalizations that are written out: means, variances, roots, in whatever order an exporter has them.

Every value between `x` and the end is a polynomial in x, its mean m, the mean q of its squares, and r,
one over the root of the variance and epsilon; the coefficients are numbers. A mean of a polynomial is
one again, since m, q and r are the same for all elements that it is taken over; a variance is q - m^2
however it was computed. The end is a normalization if it is `weight x r - weight m r + bias`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.bridges.onnx_import.nodes import OnnxGraph, OnnxNode
from cnnspec.bridges.onnx_import.patterns.table import ends_in, inner_values
from cnnspec.bridges.onnx_import.table import At, Made, number
from cnnspec.layers.normalization import GroupNorm, InstanceNorm, LayerNorm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.layers import Shape

Powers = tuple[int, int, int, int]
"""The powers of x, m, q and r in a term."""
Polynomial = dict[Powers, "NDArray[np.float64]"]
ONE: Final[Powers] = (0, 0, 0, 0)
X: Final[Powers] = (1, 0, 0, 0)
M: Final[Powers] = (0, 1, 0, 0)
ARITHMETIC: Final = ("Add", "Div", "Mul", "Neg", "Pow", "Reciprocal", "ReduceMean", "Sqrt", "Sub")
LONGEST: Final = 24
"""Operators of a normalization that is written out."""


class _Other(Exception):  # noqa: N818 - no error of ours
    """It is no normalization."""


@dataclass(frozen=True)
class _Found:
    """`weight (x - mean) / sqrt(variance + epsilon) + bias`, over some axes of the value x."""

    x: str
    axes: tuple[int, ...]
    epsilon: float
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    @property
    def affine(self) -> bool:
        return bool((self.weight != 1).any() or (self.bias != 0).any())


def _found(at: At, node: OnnxNode) -> _Found | None:
    """The normalization that ends in a node, or nothing."""
    if at.graph.own:
        return None
    cone = list(_cone(at.graph, node))
    means = [one for one in cone if one.op == "ReduceMean"]
    if not means or not any(one.op in ("Sqrt", "Pow") for one in cone):
        return None
    first = min(means, key=at.graph.nodes.index)
    axes = at.graph.named_axes(first)
    x = first.inputs[0]
    if axes is None or x not in at.shapes:
        return None
    rank = len(at.shape(x)) + 1
    walk = _Algebra(at.graph, x, tuple(sorted(axis % rank for axis in axes)), rank)
    try:
        return walk.normalization(node)
    except _Other:
        return None


def _cone(graph: OnnxGraph, node: OnnxNode) -> Iterator[OnnxNode]:
    """The arithmetic before a node, up to some length."""
    pending, seen = [node], set[str]()
    while pending and len(seen) < LONGEST:
        one = pending.pop(0)
        if one.output in seen or one.op not in ARITHMETIC:
            continue
        seen.add(one.output)
        yield one
        pending += [graph.made_by[name] for name in one.inputs if name in graph.made_by]


class _Algebra:
    """The values between x and the end of a normalization over some axes."""

    def __init__(self, graph: OnnxGraph, x: str, axes: tuple[int, ...], rank: int) -> None:
        self._graph, self._x, self._axes, self._rank = graph, x, axes, rank
        self._values: dict[str, Polynomial] = {x: {X: np.ones(1)}}
        self._epsilon: float | None = None

    def normalization(self, node: OnnxNode) -> _Found:
        """What the polynomial of a node says.

        Raises:
            _Other: it is no normalization.
        """
        terms = self._value(node.output, 0)
        weight, shift = terms.pop((1, 0, 0, 1), None), terms.pop((0, 1, 0, 1), None)
        bias = terms.pop(ONE, np.zeros(1))
        if weight is None or shift is None or terms or self._epsilon is None:
            raise _Other
        if not np.allclose(weight, -shift, rtol=1e-6, atol=0):
            raise _Other
        return _Found(self._x, self._axes, self._epsilon, weight, bias)

    def _value(self, name: str, depth: int) -> Polynomial:
        if name not in self._values:
            array = self._graph.array(name)
            if array is not None:
                self._values[name] = {ONE: np.asarray(array, np.float64)}
            elif name in self._graph.made_by and depth < LONGEST:
                self._values[name] = self._computed(self._graph.made_by[name], depth + 1)
            else:
                raise _Other
        return self._values[name]

    def _computed(self, node: OnnxNode, depth: int) -> Polynomial:
        if node.op not in ARITHMETIC:
            raise _Other
        one, *more = (self._value(name, depth) for name in node.inputs[: 1 if node.op == "ReduceMean" else 2])
        match node.op:
            case "Neg":
                return _scaled(one, -1)
            case "Add":
                return _sum(one, more[0])
            case "Sub":
                return _sum(one, _scaled(more[0], -1))
            case "Mul":
                return _product(one, more[0])
            case "Div":
                return _product(one, _power(more[0], -1))
            case "Reciprocal":
                return _power(one, -1)
            case "ReduceMean":
                return self._mean(node, one)
            case "Sqrt":
                return self._root(one, -1)
        exponent = more[0].get(ONE, np.zeros(0))
        if exponent.size != 1 or len(more[0]) != 1:
            raise _Other
        power = float(exponent.reshape(-1)[0])
        if power in (0.5, -0.5):
            return self._root(one, -1 if power > 0 else 1)
        return _power(one, int(power)) if power in (1, 2, -1) else _refuse()

    def _mean(self, node: OnnxNode, terms: Polynomial) -> Polynomial:
        axes = self._graph.named_axes(node)
        same = axes is not None and tuple(sorted(axis % self._rank for axis in axes)) == self._axes
        plain = all(array.size == 1 for array in terms.values())
        if not same or not plain or not node.attributes.get("keepdims", 1):
            raise _Other
        found: Polynomial = {}
        for (x, m, q, r), array in terms.items():
            if x > 2:
                raise _Other
            powers = (0, m + (x == 1), q + (x == 2), r)
            found = _sum(found, {powers: array})
        return found

    def _root(self, terms: Polynomial, sign: int) -> Polynomial:
        """The root of the variance and epsilon is 1 / r."""
        terms = dict(terms)
        epsilon = terms.pop(ONE, np.zeros(1))
        variance = {(0, 0, 1, 0): 1.0, (0, 2, 0, 0): -1.0}
        same = terms.keys() == variance.keys() and all((terms[p] == c).all() for p, c in variance.items())
        if not same or epsilon.size != 1 or self._epsilon not in (None, float(epsilon.reshape(-1)[0])):
            raise _Other
        self._epsilon = float(epsilon.reshape(-1)[0])
        return {(0, 0, 0, sign): np.ones(1)}


def _refuse() -> Polynomial:
    raise _Other


def _scaled(terms: Polynomial, factor: float) -> Polynomial:
    return {powers: array * factor for powers, array in terms.items()}


def _sum(one: Polynomial, other: Polynomial) -> Polynomial:
    found = dict(one)
    for powers, array in other.items():
        found[powers] = found[powers] + array if powers in found else array
    return {powers: array for powers, array in found.items() if array.any() or powers == ONE}


def _product(one: Polynomial, other: Polynomial) -> Polynomial:
    found: Polynomial = {}
    for a, array in one.items():
        for b, factor in other.items():
            powers = (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3])
            found = _sum(found, {powers: array * factor})
    return found


def _power(terms: Polynomial, exponent: int) -> Polynomial:
    if exponent == 2:
        return _product(terms, terms)
    if len(terms) != 1:
        raise _Other
    ((powers, array),) = terms.items()
    if exponent < 0 and any(powers[:3]):
        raise _Other
    x, m, q, r = (power * exponent for power in powers)
    return {(x, m, q, r): array**exponent}


# --- layers ---------------------------------------------------------------------------------------------


@ends_in("Add", "Div", "Mul", "Sub")
def _normalization(at: At) -> Made | None:
    """Over the channels, over all elements, or over the positions of each channel."""
    found = _found(at, at.node)
    if found is None:
        return None
    shape = at.shape(found.x)
    axes, every = found.axes, tuple(range(1, len(shape) + 1))
    options: dict[str, Any] = {"epsilon": number(found.epsilon), "affine": found.affine}
    if axes == every:
        made = Made(LayerNorm(over="all", **options), (found.x,), _arrays(found, shape, shape))
    elif axes == (1,):
        made = Made(LayerNorm(over="channels", **options), (found.x,), _arrays(found, shape, shape[:1]))
    elif axes == every[1:]:
        made = Made(InstanceNorm(**options), (found.x,), _arrays(found, shape, shape[:1]))
    else:
        return None
    return made if _closed(at.graph, at.node, made) else None


@ends_in("Reshape")
def _group_normalization(at: At) -> Made | None:
    """The channels are taken apart into groups, normalised, and put together."""
    node = at.graph.made_by.get(at.x)
    found = _found(at, node) if node else None
    apart = at.graph.made_by.get(found.x) if found else None
    if found is None or apart is None or apart.op != "Reshape":
        return None
    shape, grouped = at.shape(apart.inputs[0]), at.shape(found.x)
    groups, positions = grouped[0], tuple(range(2, len(grouped) + 1))
    if grouped[2:] != shape[1:] or found.axes != positions or at.shapes.get(at.node.output) != shape:
        return None
    arrays = _arrays(found, grouped, grouped[:2])
    layer = GroupNorm(groups=groups, epsilon=number(found.epsilon), affine=found.affine)
    made = Made(layer, apart.inputs[:1], {name: array.reshape(-1) for name, array in arrays.items()})
    return made if _closed(at.graph, at.node, made) else None


def _arrays(found: _Found, shape: Shape, kept: Shape) -> dict[str, NDArray[np.float32]]:
    """Scales and shifts with the first axes of a sample, along the others of which they are the same.

    Raises:
        _Other: they are not.
    """
    if not found.affine:
        return {}
    wide = (1, *kept, *(1,) * (len(shape) - len(kept)))
    return {name: _of(array, wide, kept) for name, array in (("weight", found.weight), ("bias", found.bias))}


def _of(array: NDArray[np.float64], wide: Shape, kept: Shape) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.broadcast_to(array, wide).reshape(kept), np.float32)


def _closed(graph: OnnxGraph, node: OnnxNode, made: Made) -> bool:
    """Whether nothing else reads what lies between."""
    inner = inner_values(graph, node, made)
    known = {reader.output for name in inner for reader in graph.readers.get(name, [])}
    return known <= inner | {node.output} and not inner & set(graph.outputs)
