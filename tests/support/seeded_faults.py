"""One fault, made at a known place of a program that has none."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cnnspec.language.source import Span
from cnnspec.language.syntax import Body, Chain, If, LayerCall, Name, Repeat
from cnnspec.network.blocks import calls_in
from cnnspec.network.check import Checked
from cnnspec.network.graph import Node


@dataclass(frozen=True)
class Fault:
    """A place, what is put there, the code to be reported on its line, and whether it is in a block."""

    sort: str
    place: Span
    text: str
    code: str
    in_block: bool = False

    @property
    def broken(self) -> str:
        whole = self.place.source.text
        return whole[: self.place.start] + self.text + whole[self.place.end :]


def random_fault(checked: Checked, rng: random.Random, sort: str | None = None) -> Fault:
    """A fault of one of the sorts that the program has a place for, each sort as likely as the other."""
    sorts = {name: list(make(checked)) for name, make in SORTS.items() if sort in (None, name)}
    name = rng.choice([name for name, faults in sorts.items() if faults])
    place, text, code, in_block = rng.choice(sorts[name])
    return Fault(name, place, text, code, in_block)


Place = tuple[Span, str, str, bool]


def nodes(checked: Checked) -> Iterator[tuple[Node, bool]]:
    """Every layer but the input, and whether it was written in a block."""
    assert checked.graph is not None
    for node in checked.graph.nodes:
        if node.inputs:
            yield node, bool(node.origin.uses)


def calls(checked: Checked) -> Iterator[tuple[LayerCall, bool, bool]]:
    """The calls that became layers or were expanded: the call, whether of a block, whether in a block."""
    assert checked.graph is not None
    layers, uses = {}, {}
    for node in checked.graph.nodes:
        layers[node.origin.layer] = bool(node.origin.uses)
        uses |= {use.span: number > 0 for number, use in enumerate(node.origin.uses)}
    for item in checked.tree.items:
        for call in calls_in(item.body):
            if call.span in uses:
                yield call, True, uses[call.span]
            elif call.span in layers and call.keyword.text != "input":
                yield call, False, layers[call.span]


def end(span: Span) -> Span:
    return span.source.span(span.end, span.end)


def wrong_claim(checked: Checked) -> Iterator[Place]:
    for claim in checked.graph.claims:
        yield claim.span, "x".join(map(str, (claim.shape[0] + 1, *claim.shape[1:]))), "wrong-claim", False


def wrong_budget(checked: Checked) -> Iterator[Place]:
    for line in checked.graph.expectations:
        condition = line.condition
        yield condition.span, f"{condition.span.text} and params < 0", "budget", bool(line.uses)


def mistyped_layer(checked: Checked) -> Iterator[Place]:
    for call, _, inside in calls(checked):
        yield call.keyword.span, call.keyword.text + "q", "unknown-layer", inside


def mistyped_option(checked: Checked) -> Iterator[Place]:
    for call, _, inside in calls(checked):
        for argument in call.named:
            yield argument.name.span, argument.name.text + "q", "unknown-option", inside


def option_given_twice(checked: Checked) -> Iterator[Place]:
    for call, _, inside in calls(checked):
        for argument in call.named:
            text = f" {argument.name.text}={argument.value.span.text}"
            yield end(call.span), text, "given-twice", inside


def too_many_arguments(checked: Checked) -> Iterator[Place]:
    for call, _, inside in calls(checked):
        if (
            not call.named
            and call.body is None
            and call.keyword.text not in ("add", "concat", "multiply", "mean")
        ):
            yield end(call.span), " 1" * 9, "too-many-arguments", inside


def missing_argument(checked: Checked) -> Iterator[Place]:
    for call, of_block, inside in calls(checked):
        if of_block or call.keyword.text in ("dense", "conv"):
            yield call.span, call.keyword.text, "missing-argument", inside


def kernel_too_large(checked: Checked) -> Iterator[Place]:
    for node, inside in nodes(checked):
        slides = node.layer.keyword in ("conv", "depthwise", "maxpool", "avgpool", "l2pool", "subsample")
        if slides and node.layer.padding != "same" and not getattr(node.layer, "ceil", False):
            yield node.origin.arguments["kernel"], "999", "kernel-too-large", inside


def stride_zero(checked: Checked) -> Iterator[Place]:
    for node, inside in nodes(checked):
        if "stride" in node.origin.arguments:
            yield node.origin.arguments["stride"], "0", "wrong-value", inside


def groups_that_do_not_divide(checked: Checked) -> Iterator[Place]:
    for (node, inside), facts in zip(nodes(checked), known(checked), strict=True):
        if node.layer.keyword in ("conv", "conv_transpose") and "groups" not in node.origin.arguments:
            groups = facts.input_shapes[0][0] + 1
            yield end(node.origin.layer), f" groups={groups}", "groups-do-not-divide", inside


def known(checked: Checked) -> list:
    return [f for n, f in zip(checked.graph.nodes, checked.facts.layers, strict=True) if n.inputs]


def crop_too_much(checked: Checked) -> Iterator[Place]:
    for node, inside in nodes(checked):
        if node.layer.keyword == "take":
            yield node.origin.arguments["stop"], "999", "channels-out-of-range", inside


def unknown_value(checked: Checked) -> Iterator[Place]:
    for body in bodies(checked):
        for statement in body.statements:
            for link in statement.links if isinstance(statement, Chain) else ():
                merges = isinstance(link, LayerCall) and link.keyword.text in (
                    "add",
                    "concat",
                    "from",
                    "mean",
                )
                for operand in link.positional if merges else ():
                    yield operand.span, operand.span.text + "q", "unknown-value", False


def bodies(checked: Checked) -> list[Body]:
    """The network's own body: what it says is walked, whatever the conditions."""
    return [checked.tree.items[-1].body]


def unknown_name(checked: Checked) -> Iterator[Place]:
    """A name in a calculation, `(width - 1)`."""
    for node, inside in nodes(checked):
        for span in node.origin.arguments.values():
            name, _, rest = span.text.strip("()").partition(" ")
            if name.isidentifier() and rest[:1] in ("+", "-", "*"):
                start = span.start + span.text.index(name)
                yield span.source.span(start, start + len(name)), name + "q", "unknown-name", inside


def unknown_function(checked: Checked) -> Iterator[Place]:
    for node, inside in nodes(checked):
        for span in node.origin.arguments.values():
            if (at := span.text.find("max(")) >= 0:
                yield (
                    span.source.span(span.start + at, span.start + at + 3),
                    "mux",
                    "unknown-function",
                    inside,
                )


def division_by_zero(checked: Checked) -> Iterator[Place]:
    for node, inside in nodes(checked):
        for span in node.origin.arguments.values():
            if (at := span.text.find("// 2")) >= 0:
                place = span.start + at + len("// ")
                yield span.source.span(place, place + 1), "0", "division-by-zero", inside


def malformed_number(checked: Checked) -> Iterator[Place]:
    for node, _ in nodes(checked):
        for span in node.origin.arguments.values():
            if span.text.isdigit():
                yield span, f"{span.text}y3", "malformed-number", False


def unclosed_bracket(checked: Checked) -> Iterator[Place]:
    for node, _ in nodes(checked):
        for span in node.origin.arguments.values():
            if span.text.endswith(")") and span.text.count("(") == 1:
                yield span.source.span(span.end - 1, span.end), "", "unclosed-bracket", False


def unknown_character(checked: Checked) -> Iterator[Place]:
    for call, _, _ in calls(checked):
        yield end(call.keyword.span), " ?", "unknown-character", False


def two_arrows(checked: Checked) -> Iterator[Place]:
    """In the middle of a line: one that begins with an arrow goes on from the line before."""
    for call, _, _ in calls(checked):
        source, start = call.span.source, call.span.start
        if source.line(call.span.line)[: call.span.first.column - 1].strip():
            yield source.span(start, start), "-> -> ", "unexpected-token", False


def wrong_condition(checked: Checked) -> Iterator[Place]:
    for statement in bodies(checked)[0].statements:
        for link in statement.links if isinstance(statement, Chain) else ():
            if isinstance(link, If):
                yield link.condition.span, "1 + 2", "wrong-operand", False


def wrong_rounds(checked: Checked) -> Iterator[Place]:
    for statement in bodies(checked)[0].statements:
        for link in statement.links if isinstance(statement, Chain) else ():
            if isinstance(link, Repeat) and not isinstance(link.last, Name):
                yield link.last.span, "1.5", "wrong-operand", False


SORTS: dict[str, Callable[[Checked], Iterator[Place]]] = {
    make.__name__: make
    for make in (
        wrong_claim,
        wrong_budget,
        mistyped_layer,
        mistyped_option,
        option_given_twice,
        too_many_arguments,
        missing_argument,
        kernel_too_large,
        stride_zero,
        groups_that_do_not_divide,
        crop_too_much,
        unknown_value,
        unknown_name,
        unknown_function,
        division_by_zero,
        malformed_number,
        unclosed_bracket,
        unknown_character,
        two_arrows,
        wrong_condition,
        wrong_rounds,
    )
}
