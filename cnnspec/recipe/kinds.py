"""The registries of the training vocabulary: data sets, losses, optimizers and the like by keyword."""

from __future__ import annotations

from typing import ClassVar, Final, Literal, Self

from cnnspec.language.record import record
from cnnspec.layers.declaration import Declaration

Role = Literal["data", "augment", "loss", "optimizer", "schedule", "init"]
"""The statement of a `train` block that a declaration answers to."""


@record
class RoleFacts:
    """What one of a role is called in messages."""

    noun: str


ROLES: Final[dict[str, RoleFacts]] = {
    "data": RoleFacts("data set"),
    "augment": RoleFacts("augmentation"),
    "loss": RoleFacts("loss"),
    "optimizer": RoleFacts("optimizer"),
    "schedule": RoleFacts("schedule"),
    "init": RoleFacts("initialiser"),
}
"""The statements that name one of several kinds: `optimizer sgd`. One whose field in `Recipe` is a tuple may
stand more than once."""

_KINDS: Final[dict[str, dict[str, type[RecipeKind]]]] = {}


class RecipeKind(Declaration):
    """Base of what a `train` statement may name; a subclass that sets `role` registers its families."""

    role: ClassVar[Role]

    def __init_subclass__(cls) -> None:
        """Register the kind under its role; a class whose name begins with `_` is a shared base."""
        super().__init_subclass__()
        if not cls.__name__.startswith("_"):
            _KINDS.setdefault(cls.role, {})[cls.keyword] = cls

    def field(self) -> str:
        """The field of a recipe that holds it."""
        return self.role

    def located(self, folder: str) -> Self:
        """With its paths relative to where the program runs, as a file of this folder names them."""
        return self

    def misuse(self) -> tuple[str, str, str] | None:
        """An option that others make meaningless: its name, what is wrong, and what to do."""
        return None


def kinds(role: str) -> dict[str, type[RecipeKind]]:
    """The kinds that a statement may name, by keyword."""
    return dict(_KINDS.get(role, {}))
