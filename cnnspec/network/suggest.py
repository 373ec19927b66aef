"""What makes a claim true: one option of a layer changed so that its output has the claimed shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.layers import LayerError
from cnnspec.layers.declaration import OptionError, written

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cnnspec.layers import Layer, Shape

SLIDING: Final = ("padding", "output_padding", "stride", "kernel")
"""The options that decide the sizes, in the order in which they are tried: what changes least comes first."""

COUNTS: Final = ("channels", "units")
"""The options that are the length of the output's first axis."""

LARGEST: Final = 11
"""Paddings, strides and kernels up to this one are tried: AlexNet's first kernel is as large."""


def fitting_option(layer: Layer, inputs: tuple[Shape, ...], claimed: Shape) -> str | None:
    """The option that makes the output have the claimed shape, as one writes it: `padding=2`.

    Nothing where no change of one option does. One by position is shown in its layer: `conv 6 5x5`.
    """
    for name in (*SLIDING, *COUNTS):
        if name not in layer.options():
            continue
        for value in _values(layer, name, inputs, claimed):
            changed = _changed(layer, name, value)
            if changed is not None and _shape(changed, inputs) == claimed:
                by_name = not layer.options()[name].positional
                return f"{name}={written(value)}" if by_name else changed.written()
    return None


def _values(layer: Layer, name: str, inputs: tuple[Shape, ...], claimed: Shape) -> Iterator[object]:
    """Values that may fit: the nearest one for all axes, else the nearest for each."""
    if name in COUNTS:
        yield claimed[0]
        return
    least, most = (0, _most_padding(layer, inputs)) if "padding" in name else (1, LARGEST)
    given = layer.values()[name]
    near = given if isinstance(given, int) else max(given) if isinstance(given, tuple) else least
    fits: list[list[int]] = [[] for _ in claimed[1:]]
    for value in sorted(range(least, most + 1), key=lambda value: (abs(value - near), value)):
        changed = _changed(layer, name, value)
        shape = _shape(changed, inputs) if changed is not None else None
        if shape is None or len(shape) != len(claimed):
            continue
        for found, size, wanted in zip(fits, shape[1:], claimed[1:], strict=True):
            if size == wanted:
                found.append(value)
    if not fits or not all(fits):
        return
    common = [value for value in fits[0] if all(value in found for found in fits)]
    if common:
        yield (common[0],) * len(fits) if name == "kernel" and len(fits) > 1 else common[0]
    else:
        yield tuple(found[0] for found in fits)


def _most_padding(layer: Layer, inputs: tuple[Shape, ...]) -> int:
    """With more padding than this, a window would see nothing but padding."""
    window = layer.window(*inputs)
    reaches = [getattr(axis, "reach", 1) for axis in window] if not isinstance(window, str) else []
    return min([LARGEST, *(reach - 1 for reach in reaches)])


def _changed(layer: Layer, name: str, value: object) -> Layer | None:
    try:
        return layer.replaced(**{name: value})
    except OptionError:
        return None


def _shape(layer: Layer, inputs: tuple[Shape, ...]) -> Shape | None:
    try:
        return layer.infer(*inputs)
    except LayerError:
        return None
