"""Lints of the loss and what stands before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.syntax import Train
from cnnspec.network.lint.registry import Remark, Subject, lint
from cnnspec.recipe.learning import BinaryCrossEntropy, CrossEntropy

if TYPE_CHECKING:
    from collections.abc import Iterator

SQUASHING: Final = ("relu", "relu6", "sigmoid", "softmax", "log_softmax", "tanh", "hard_sigmoid")
"""Activations whose outputs are no logits: they have bounds, or lose the sign."""


@lint
def activation_under_loss(subject: Subject) -> Iterator[Remark]:
    """An activation at the end that the loss does not know: it takes what comes as logits."""
    loss, outputs = subject.recipe.loss, subject.graph.outputs
    trained = any(isinstance(item, Train) for item in subject.tree.items)
    if not trained or len(outputs) != 1 or not isinstance(loss, CrossEntropy | BinaryCrossEntropy):
        return
    node = subject.nodes[outputs[0]]
    keyword = node.layer.keyword
    if keyword in loss.absorbs or keyword not in SQUASHING:
        return
    own = loss.absorbs[0]
    yield Remark(
        f"`{loss.keyword}` takes the values of `{node.name}` as logits",
        node.origin.keyword,
        notes=(f"it computes its own {own} of what it is given, here of what `{keyword}` gave",),
        help=(f"leave `{keyword}` out, or end with `{own}`, which the loss knows",),
        uses=node.origin.uses,
    )
