"""`name=value` as text: a value for a parameter of a network, or for a setting of its `train` block.

It comes from the command line or the record of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cnnspec.language.parser import parse
from cnnspec.language.source import Source
from cnnspec.language.syntax import Block, Let
from cnnspec.network.evaluate import EvaluationError, Scope, evaluate

if TYPE_CHECKING:
    from cnnspec.layers.options import Value

_AROUND: Final = "block _ {\nlet "


def read_assignment(text: str) -> tuple[str, Value]:
    """A name and its value, read as the language reads `let name = value`; a name may be such as `sgd.lr`.

    Raises:
        ValueError: the text is no assignment.
    """
    name, _, value = text.partition("=")
    if "." in name and all(part.isidentifier() for part in name.strip().split(".")):
        return name.strip(), read_assignment(f"_ = {value}")[1]
    parsed = parse(Source("--set", f"{_AROUND}{text}\n}}"))
    block = parsed.tree.items[0] if parsed.tree.items else None
    if parsed.faults or len(parsed.tree.items) != 1 or not isinstance(block, Block):
        raise ValueError("write it as name=value, such as classes=10")
    statement = block.body.statements[0]
    if len(block.body.statements) != 1 or not isinstance(statement, Let):
        raise ValueError("write it as name=value, such as classes=10")
    try:
        return statement.name.text, evaluate(statement.value, Scope())
    except EvaluationError as error:
        reasons = "; ".join(finding.message for finding in error.findings)
        raise ValueError(reasons) from None
