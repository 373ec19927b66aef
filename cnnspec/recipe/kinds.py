"""The registries of the training vocabulary: data sets, losses, optimizers and initialisers by keyword."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from cnnspec.layers.declaration import Declaration

Role = Literal["data", "loss", "optimizer", "init"]
"""The statement of a `train` block that a declaration answers to."""

ROLES: Final[tuple[Role, ...]] = ("data", "loss", "optimizer", "init")

_KINDS: Final[dict[str, dict[str, type[RecipeKind]]]] = {}


class RecipeKind(Declaration):
    """Base of what a `train` statement may name; a subclass that sets `role` registers its families."""

    role: ClassVar[Role]

    def __init_subclass__(cls) -> None:
        """Register the kind under its role; a class whose name begins with `_` is a shared base."""
        super().__init_subclass__()
        if not cls.__name__.startswith("_"):
            _KINDS.setdefault(cls.role, {})[cls.keyword] = cls


def kinds(role: str) -> dict[str, type[RecipeKind]]:
    """The kinds that a statement may name, by keyword."""
    return dict(_KINDS.get(role, {}))
