"""The words for what goes wrong when a network is lowered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.diagnostics import Diagnostic, Label, did_you_mean
from cnnspec.language.limits import MAX_LAYERS, MAX_REPEAT
from cnnspec.language.syntax import (
    Identifier,
    LayerCall,
    Name,
    Repeat,
)
from cnnspec.layers import kinds
from cnnspec.network.blocks import STRUCTURE, BlockTable
from cnnspec.network.graph import Node

if TYPE_CHECKING:
    from cnnspec.language.source import Span
    from cnnspec.network.assembly import Frame


ELSEWHERE: Final = {
    "linear": "dense",
    "fc": "dense",
    "fullyconnected": "dense",
    "innerproduct": "dense",
    "deconv": "conv_transpose",
    "residual": "add",
    "shortcut": "add",
}
"""What layers are called in other systems and papers, where it is nothing like their names here."""


def unknown_layer(keyword: Identifier, table: BlockTable) -> Diagnostic:
    """The report for a keyword that names neither a layer kind nor a block."""
    known = [*kinds(), *table.blocks, *STRUCTURE]
    own = ELSEWHERE.get(keyword.text.lower().replace("_", ""))
    help = (f"it is `{own}` here",) if own else did_you_mean(keyword.text, known)
    if not help:
        help = ("`cnnspec explain --list` names every layer",)
    return Diagnostic("unknown-layer", f"there is no layer `{keyword.text}`", keyword.span, help=help)


def unknown_value(operand: Name, frame: Frame) -> Diagnostic:
    """The report for a name that no value has."""
    help = did_you_mean(operand.text, frame.values) or (
        ("values that have a name here: " + ", ".join(f"`{name}`" for name in frame.values),)
        if frame.values
        else ("name a value first: `skip = conv 64 3x3`",)
    )
    return Diagnostic("unknown-value", f"there is no value `{operand.text}`", operand.span, help=help)


def misplaced_input(call: LayerCall, inputs: list[Node], in_block: bool) -> Diagnostic:
    """The report for an input in a block, behind a layer, or a second one without a name."""
    labels = tuple(Label(node.origin.layer, "an input is declared here") for node in inputs[:1])
    message, help = "the input comes before every layer", "put it first"
    if in_block:
        message, help = "an input stands in the network, not in a block", "move it into the network"
    elif inputs:
        message, help = "a second input needs a name", "name it: `input left 1x28x28`"
    return Diagnostic("misplaced-input", message, call.span, labels=labels, help=(help,))


def no_body(call: LayerCall) -> Diagnostic:
    """The report for `{ ... }` behind a layer that joins nothing."""
    assert call.body is not None
    message = f"`{call.keyword.text}` takes no `{{ ... }}`"
    span = call.body.span.source.span(call.body.span.start, call.body.span.start + 1)
    return Diagnostic(
        "unexpected-body", message, span, help=("only `add`, `concat` and their like have branches",)
    )


def too_many_layers(span: Span) -> Diagnostic:
    """The report for a network that expands to more layers than the limit."""
    message = f"the network has more than {MAX_LAYERS} layers"
    return Diagnostic("too-many-layers", message, span, notes=("limit `MAX_LAYERS`",))


def too_many_rounds(repeat: Repeat) -> Diagnostic:
    """The report for a repetition of more rounds than the limit."""
    message = f"`repeat` goes over the limit of {MAX_REPEAT} rounds"
    return Diagnostic("too-many-rounds", message, repeat.last.span, notes=("limit `MAX_REPEAT`",))
