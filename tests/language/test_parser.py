"""Text to syntax tree: what stands where, and how faults are read over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnnspec.language import syntax
from cnnspec.language.limits import MAX_AXES, MAX_INTEGER_DIGITS, MAX_NESTING, MAX_SYNTAX_ERRORS
from cnnspec.language.parser import parse
from cnnspec.language.record import fields
from cnnspec.language.source import Source, Span
from cnnspec.language.syntax import Binary, Broken, Group, Invalid, Network, Number, Sizes, Text, Unary
from tests.language import soup
from tests.language.test_grammar import EXPRESSIONS
from tests.support import golden

EXPRESSION_KINDS = syntax.Expression.__args__
STATEMENT_KINDS = (*syntax.Statement.__args__, *syntax.Link.__args__)
ITEM_KINDS = syntax.Item.__args__

TEXTS = [path.read_text("utf-8").partition(golden.MARKER)[0] for path in golden.cases("tree")]
TEXTS += soup.SPECS
TEXTS.append("""\
block b(n, s = (1,
    2)) {  # a block
    y = conv n 3x3 stride = s
        -> relu  # over two lines

        -> maxpool 2x2 : 4x5x5
    repeat i in 1 .. 3 { conv (i * ( 2 + n )) 3x3 -> relu }
    if n > 1 and not (s == 1) { relu } else if n == 0 { tanh }
    else { add { branch { relu } branch { } } }
    let k = max(1, 2) if n > 2 else -3 ** 2
}
network\tN { input 3x32x32
    b 4 -> dense 10
    expect [1, "日本", 1e-3] == (1, "a", 2.5k) }
train { batch 3
\tseed 1 }
""")


def tree(text):
    parsed = parse(Source("t", text))
    assert not parsed.faults
    return parsed.tree


def nodes(value):
    """Every node below a value, itself included."""
    if isinstance(value, tuple):
        for item in value:
            yield from nodes(item)
    elif fields(value) and not isinstance(value, Span | Source):
        yield value
        for name in fields(value):
            yield from nodes(getattr(value, name))


def bare(value):
    """A node without its places."""
    if isinstance(value, tuple):
        return tuple(map(bare, value))
    if fields(value):
        parts = [getattr(value, name) for name in fields(value)]
        return (type(value).__name__, *(bare(part) for part in parts if not isinstance(part, Span | Source)))
    return value


def expression(text):
    return tree(f"network N {{\nexpect ({text})\n}}").items[0].body.statements[0].condition


def statement(text):
    return tree(f"network N {{\n{text}\n}}").items[0].body.statements[0]


def reread(node, text):
    """A node read again from its own text."""
    if isinstance(node, EXPRESSION_KINDS):
        return expression(text)
    if isinstance(node, ITEM_KINDS):
        return tree(text).items[0]
    read = statement(text)
    return read.links[0] if isinstance(node, syntax.Link.__args__) else read


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_every_span_covers_the_text_it_stands_for(text):
    for node in nodes(tree(text)):
        if isinstance(node, syntax.Identifier | syntax.Name):
            assert node.span.text == node.text
        if isinstance(node, (*EXPRESSION_KINDS, *STATEMENT_KINDS, *ITEM_KINDS)):
            covered = node.span.text
            assert covered == covered.strip()
            assert bare(reread(node, covered)) == bare(node)


@settings(max_examples=200)
@given(EXPRESSIONS)
def test_every_expression_is_read_again_from_its_span(text):
    parsed = parse(Source("t", f"network N {{\nexpect ({text})\n}}"))
    for node in nodes(() if parsed.faults else parsed.tree.items[0].body.statements[0].condition):
        if isinstance(node, EXPRESSION_KINDS):
            assert bare(expression(node.span.text)) == bare(node)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_comments_and_line_ends_change_nothing(text):
    lines = text.split("\n")
    expected = bare(tree(text))
    assert bare(tree("\r\n".join(lines))) == expected
    assert bare(tree("\n".join(f"{line} # note" for line in lines))) == expected
    assert bare(tree("\n# note\n".join(lines))) == expected
    assert bare(tree("\n\n".join(lines))) == expected
    assert bare(tree("\t" + text.replace("\n", "\n\t"))) == expected


# --- precedence, as Python has it ---------------------------------------------------------------------------

VALUES = {"a": 3, "b": 2, "c": 5}


def value(node):
    """The value of an expression, computed from the tree alone."""
    match node:
        case Number(value=number):
            return number
        case syntax.Name(text=name):
            return VALUES[name]
        case Unary(operator="-", operand=operand):
            return -value(operand)
        case Unary(operand=operand):
            return not value(operand)
        case Binary(operator=sign, left=left, right=right):
            return eval(f"x {sign} y", {"x": value(left), "y": value(right)})
        case syntax.Conditional(then=then, condition=condition, otherwise=otherwise):
            return value(then) if value(condition) else value(otherwise)
    raise AssertionError(node)


SIGNS = st.sampled_from(["+", "-", "*", "//", "%", "and", "or", "+ -", "* -", "if b < a else"])
FLAT = st.lists(st.tuples(st.sampled_from("abc123"), SIGNS), min_size=1, max_size=6)


@settings(max_examples=400)
@given(FLAT, st.sampled_from(["", "not ", "-"]))
def test_precedence_is_pythons(parts, before):
    text = before + " ".join(f"{operand} {sign}" for operand, sign in parts) + " 4"
    try:
        expected = eval(text, dict(VALUES))
    except ZeroDivisionError:
        return
    assert value(expression(text)) == expected


@pytest.mark.parametrize(
    "text", ["-2 ** 2", "2 ** -1", "2 ** 3 ** 2", "a < b and b < c", "not a == b", "10 - 4 - 3"]
)
def test_precedence_is_pythons_in_the_traps(text):
    assert value(expression(text)) == eval(text, dict(VALUES))


# --- literals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0), ("007", 7), ("61_706", 61706), ("5k", 5000), ("5M", 5_000_000), ("2G", 2_000_000_000),
        ("1.5M", 1_500_000), ("0.05M", 50_000), ("0.1", 0.1), ("1e-3", 0.001), ("1E3", 1000.0),
        ("9" * MAX_INTEGER_DIGITS, 10**MAX_INTEGER_DIGITS - 1),
    ],
)  # fmt: skip
def test_numbers(text, expected):
    node = expression(text)
    assert isinstance(node, Number)
    assert node.value == expected
    assert type(node.value) is type(expected)


@pytest.mark.parametrize(("text", "expected"), [("5x5", (5, 5)), ("1x28x28", (1, 28, 28)), ("0x3", (0, 3))])
def test_sizes(text, expected):
    assert bare(expression(text)) == ("Sizes", expected)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1" + "0" * MAX_INTEGER_DIGITS, "integer-too-long"),
        ("1" * 18 + "x2x" + "1" * 19, "integer-too-long"),
        ("1e999", "integer-too-long"),
        ("1e18", "integer-too-long"),
        ("5.0e9G", "integer-too-long"),
        ("x".join("1" * (MAX_AXES + 1)), "too-many-axes"),
        ("1__0", "malformed-number"),
        ("1_", "malformed-number"),
        ("5x", "malformed-number"),
        ("5X5", "malformed-number"),
        ("1e", "malformed-number"),
        ("1e1000", "malformed-number"),
        ("5km", "malformed-number"),
        ("0b1", "malformed-number"),
    ],
)
def test_numbers_that_are_none(text, code):
    parsed = parse(Source("t", f"network N {{\nexpect {text}\n}}"))
    (fault,) = parsed.faults
    assert fault.code == code
    assert fault.span.text == text
    assert isinstance(parsed.tree.items[0].body.statements[0].condition, Invalid)


def test_round_brackets_around_one_expression_vanish():
    assert bare(expression("((1))")) == bare(expression("1"))
    assert isinstance(expression("(1,)"), Group)
    assert isinstance(expression("(1 # why\n , # not\n)"), Group)
    assert isinstance(expression("[1]"), Group)
    assert expression("()").items == ()


def test_strings_keep_every_character():
    assert isinstance(expression('"a # b \\n 日本"'), Text)
    assert expression('"a # b \\n 日本"').value == "a # b \\n 日本"


# --- faults -------------------------------------------------------------------------------------------------


def faults(text):
    return [(fault.code, fault.span.line) for fault in parse(Source("t", text)).faults]


def test_every_faulty_statement_is_reported_and_the_others_are_read():
    text = "network N {\n input 4\n conv ->\n relu\n = 3\n tanh\n dense )\n sigmoid\n}\n"
    text += "train {\n batch =\n seed 3\n}\n"
    parsed = parse(Source("t", text))
    assert [fault.span.line for fault in sorted(parsed.faults, key=lambda fault: fault.span.start)] == [
        3,
        5,
        7,
        11,
    ]
    network, train = parsed.tree.items
    assert [type(one).__name__ for one in network.body.statements] == [
        "Chain", "Broken", "Chain", "Broken", "Chain", "Broken", "Chain",
    ]  # fmt: skip
    assert [type(setting) for setting in train.settings] == [Broken, syntax.LayerCall]


def test_a_fault_in_a_nested_body_leaves_the_rest_whole():
    text = "network N {\n input 4\n repeat 2 {\n  conv ->\n  relu\n }\n tanh\n}\n"
    assert faults(text) == [("unexpected-token", 4)]
    statements = parse(Source("t", text)).tree.items[0].body.statements
    assert [type(one).__name__ for one in statements] == ["Chain", "Chain", "Chain"]


@pytest.mark.parametrize(
    "item", ["hello", "conv 3", "{ }", "network {\n relu\n}", "train N {\n seed 1\n}", "-> a"]
)
def test_a_fault_between_items_leaves_the_others_whole(item):
    text = f"{item}\nnetwork N {{\n relu\n}}\n"
    parsed = parse(Source("t", text))
    assert len(parsed.faults) == 1
    assert isinstance(parsed.tree.items[-1], Network)


def test_syntax_errors_have_a_limit():
    assert len(faults("network N {\n" + "conv ->\n = 3\n" * 100 + "}")) == MAX_SYNTAX_ERRORS


def test_one_report_for_an_expression_however_deep():
    for deep in ("1 + " * 500 + "1", "not " * 500 + "a", "1 ** " * 500 + "1", "-" * 500 + "1"):
        assert faults(f"network N {{\n expect {deep}\n}}") == [("nesting-too-deep", 2)]


def test_expressions_up_to_the_limit_are_read():
    text = "1 + " * (MAX_NESTING - 1) + "1"
    assert expression(text).depth == MAX_NESTING


def test_an_empty_file_is_reported():
    assert [fault.code for fault in parse(Source("t", " \n# nothing\n")).faults] == ["empty-file"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(soup.WORDS), max_size=40).map(" ".join))
def test_there_is_a_tree_whatever_the_text(text):
    for node in nodes(parse(Source("t", text)).tree):
        span = getattr(node, "span", None)
        assert span is None or 0 <= span.start <= span.end <= len(text)
        assert not isinstance(node, Sizes) or len(node.values) <= MAX_AXES
