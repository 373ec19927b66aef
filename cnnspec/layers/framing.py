"""Layers that enlarge and cut maps at their edges."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from cnnspec.layers.base import AxisSight, AxisWindow, Family, Layer, LayerError, Shape
from cnnspec.layers.declaration import OptionError, option
from cnnspec.layers.options import (
    Extent,
    describe,
    one_of,
    optional_extent,
    padding_size,
    real_number,
)
from cnnspec.layers.windows import axis_names, pads, per_axis, spatial


class _Frame(Layer):
    """What padding and cropping share: positions added to or cut from both ends of every spatial axis."""

    family: ClassVar[Family] = "shape"
    linear: ClassVar[bool] = True

    @abstractmethod
    def frame(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """Positions added before and after every axis; negative where they are cut."""

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C, Ho, Wo)`."""
        (shape,) = inputs
        return (shape[0], *(n + sum(ends) for n, ends in zip(shape[1:], self.frame(shape), strict=True)))

    def window(self, *inputs: Shape) -> tuple[AxisSight, ...]:
        """One position, moved by what comes before it."""
        return tuple(AxisWindow(1, before=before, after=after) for before, after in self.frame(inputs[0]))

    def arithmetic(self, *inputs: Shape) -> tuple[str, ...]:
        """The size along each axis."""
        (shape,) = inputs
        sums = [_sum(n, ends) for n, ends in zip(shape[1:], self.frame(shape), strict=True)]
        if len(set(sums)) == 1:
            return (sums[0],)
        return tuple(f"{name}: {line}" for name, line in zip(axis_names(len(sums)), sums, strict=True))


def frame_size(value: object) -> Extent:
    """Whole numbers of at least 0: one for all ends, one for each axis, or one for each end."""
    if isinstance(value, str):
        raise OptionError(f"must be a number, one an axis, or both ends of each, not {describe(value)}")
    size = padding_size(value)
    assert size != "same"
    return size


def optional_frame_size(value: object) -> Extent | None:
    """A frame's size, or nothing."""
    return None if value is None else frame_size(value)


def _sum(n: int, ends: tuple[int, int]) -> str:
    """`28 + 2 + 2 = 32`, `28 - 2 - 1 = 25`, `28`."""
    added = "".join(f" {'-' if end < 0 else '+'} {abs(end)}" for end in ends if end)
    return f"{n}{added} = {n + sum(ends)}" if added else str(n)


class Pad(_Frame):
    """Adds positions around a map: a constant, the map reflected in its edge, or its edge repeated.

    Reflection leaves out the edge itself, as PyTorch's does: `2 1 [0 1 2 3] 2 1`.
    """

    example: ClassVar[str] = "pad 2 mode=reflect"

    amounts: Extent = option(
        frame_size,
        "positions added: a number, one an axis, or `(top, bottom, left, right)`",
        positional=True,
    )
    mode: str = option(
        one_of("constant", "reflect", "edge"), "what the added positions hold", default="constant"
    )
    value: float = option(real_number, "the constant that they hold", default=0)

    def frame(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """The amounts, as many pairs as there are axes."""
        return pads(self.amounts, len(spatial(shape, self.keyword)), shape, "amounts")

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C, Ho, Wo)`."""
        output = super().infer(*inputs)
        if self.mode != "constant" and self.value:
            raise LayerError(
                "option-without-effect",
                f"`value` does nothing where `mode` is `{self.mode}`",
                option="value",
                help=("leave it out, or write `mode=constant`",),
            )
        if self.mode == "reflect":
            self._check_reflection(inputs[0])
        return output

    def _check_reflection(self, shape: Shape) -> None:
        for name, n, ends in zip(axis_names(len(shape) - 1), shape[1:], self.frame(shape), strict=True):
            if max(ends) >= n:
                raise LayerError(
                    "reflection-too-large",
                    f"{max(ends)} positions cannot be reflected: the {name} is {n}",
                    option="amounts",
                    label=f"{max(ends)} >= {n}",
                    help=(f"reflect up to {n - 1}, or write `mode=edge`",),
                )


class Crop(_Frame):
    """Cuts positions off the edges of a map, or all but its middle: `crop 2`, `crop to=56x56`.

    With `to`, as much is cut before as after, and of an odd number the smaller half before.
    """

    example: ClassVar[str] = "crop to=56x56"

    amounts: Extent | None = option(
        optional_frame_size,
        "positions cut off: a number, one an axis, or `(top, bottom, left, right)`",
        default=None,
        positional=True,
    )
    to: Extent | None = option(optional_extent, "size of the middle that is kept", default=None)

    def frame(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """The amounts cut off, negative."""
        sizes = spatial(shape, self.keyword)
        self._check_given()
        if self.to is None:
            cuts = pads(self.amounts or 0, len(sizes), shape, "amounts")
        else:
            kept = per_axis(self.to, len(sizes), "to", shape)
            cuts = tuple(((n - k) // 2, (n - k + 1) // 2) for n, k in zip(sizes, kept, strict=True))
        return tuple((-before, -after) for before, after in cuts)

    def infer(self, *inputs: Shape) -> Shape:
        """`(C, H, W)` to `(C, Ho, Wo)`."""
        (shape,) = inputs
        ends = self.frame(shape)
        for name, n, (before, after) in zip(axis_names(len(ends)), shape[1:], ends, strict=True):
            if n + before + after < 1 or before + after > 0:
                raise self._too_large(name, n, (before, after))
        return super().infer(*inputs)

    def _check_given(self) -> None:
        if self.amounts is None and self.to is None:
            raise LayerError(
                "missing-argument",
                "`crop` needs to be told how much",
                help=("write what is cut off, `crop 2`, or what is kept, `crop to=24x24`",),
            )
        if self.amounts is not None and self.to is not None:
            raise LayerError(
                "given-twice",
                "`crop` is given what is cut off and what is kept",
                option="to",
                help=("leave one of them out",),
            )

    def _too_large(self, name: str, n: int, ends: tuple[int, int]) -> LayerError:
        kept = n + sum(ends)
        if self.to is not None:
            message, label = f"`crop` cannot keep {kept} positions: the {name} is {n}", f"{kept} > {n}"
            help = f"keep up to {n}, or use `pad` to enlarge the map"
        else:
            message, label = f"`crop` leaves nothing of the {name}, which is {n}", _sum(n, ends)
            help = f"cut off {n - 1} in all at most"
        return LayerError(
            "crop-too-large",
            message,
            option="amounts" if self.to is None else "to",
            label=label,
            help=(help,),
        )
