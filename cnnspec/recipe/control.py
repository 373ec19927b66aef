"""Settings that are no kind of anything: what bounds, freezes, ends and keeps a run."""

from __future__ import annotations

from typing import ClassVar, Final

from cnnspec.layers.declaration import Declaration, OptionError, option
from cnnspec.layers.options import Listed, count, layer_names, positive
from cnnspec.recipe.figures import optional_metric


def optional_positive(value: object) -> float | None:
    """A number above 0, or nothing."""
    return None if value is None else positive(value)


def optional_count(value: object) -> int | None:
    """A whole number of at least 1, or nothing."""
    return None if value is None else count(value)


def some_layers(value: object) -> Listed:
    """Names of layers, or patterns such as `"stage1.*"`."""
    names = layer_names(value)
    if not names:
        raise OptionError("must name a layer")
    return names


class Setting(Declaration):
    """Base of the settings with options of their own."""

    gathers: ClassVar[bool] = False
    """Whether all that stands behind the keyword is one option's value: `freeze conv1 conv2`."""

    def misuse(self) -> tuple[str, str, str] | None:
        """An option that others make meaningless or missing: its name, what is wrong, and what to do."""
        return None


class Clip(Setting):
    """Gradients are scaled down where their norm, that of all of them together, is above `norm`.

    With `value`, each element is held between `-value` and `value`, before its norm is looked at.
    """

    keyword: ClassVar[str] = "clip"
    example: ClassVar[str] = "clip 1.0"

    norm: float | None = option(
        optional_positive, "largest norm of all gradients together", default=None, positional=True
    )
    value: float | None = option(optional_positive, "largest size of an element", default=None)

    def misuse(self) -> tuple[str, str, str] | None:
        """It needs one of the two."""
        if self.norm is None and self.value is None:
            return "norm", "`clip` needs a bound", "write `clip 1.0` for a norm, or `clip value=0.5`"
        return None


class Freeze(Setting):
    """Layers whose weights are not trained: by name, by pattern, or all of a block's use.

    As in PyTorch, a batch normalization goes on gathering its running statistics.
    """

    keyword: ClassVar[str] = "freeze"
    gathers: ClassVar[bool] = True
    example: ClassVar[str] = "freeze conv1 conv2"

    layers: Listed = option(
        some_layers, 'names of layers, or patterns in quotes: `"stage1.*"`', positional=True
    )

    def written(self) -> str:
        """As it would be written, without brackets."""
        return f"freeze {str(self.layers)[1:-1].replace(',', '')}"


class Stop(Setting):
    """Training ends early where a figure has not become better for `patience` epochs."""

    keyword: ClassVar[str] = "stop"
    example: ClassVar[str] = "stop patience=10 metric=test_loss"

    patience: int = option(count, "epochs without a better figure after which training ends", default=10)
    metric: str | None = option(
        optional_metric, "figure that is watched: the loss on held-out data unless given", default=None
    )


class Keep(Setting):
    """The figure by which the best weights are chosen."""

    keyword: ClassVar[str] = "keep"
    example: ClassVar[str] = "keep best=test_accuracy"

    best: str | None = option(
        optional_metric, "figure that decides: the loss on held-out data unless given", default=None
    )


class Checkpoint(Setting):
    """How often a run saves all it needs to go on from there, beside the end of each epoch."""

    keyword: ClassVar[str] = "checkpoint"
    example: ClassVar[str] = "checkpoint every=500"

    every: int | None = option(optional_count, "batches from one to the next", default=None)
    minutes: float | None = option(optional_positive, "minutes from one to the next", default=None)

    def misuse(self) -> tuple[str, str, str] | None:
        """It needs one of the two."""
        if self.every is None and self.minutes is None:
            help = "write `checkpoint every=500` for batches, or `checkpoint minutes=5`"
            return "every", "`checkpoint` needs to be told how often", help
        return None


SETTINGS: Final[dict[str, type[Setting]]] = {
    setting.keyword: setting for setting in (Clip, Freeze, Stop, Keep, Checkpoint)
}
"""The settings with options of their own, by keyword."""
