"""Texts that nobody wrote: token soup, mutated specs, junk. Every text follows from a number."""

import random
import re
from pathlib import Path

from cnnspec.language import tables
from cnnspec.layers import kinds

ROOT = Path(__file__).parent.parent.parent
SPECS = sorted((path.read_text("utf-8") for path in (ROOT / "specs").glob("*.cnn")), key=len)[:8]
"""The short ones, which are enough to begin with."""
CASES = [path.read_text("utf-8") for path in sorted((ROOT / "tests" / "cases" / "diagnostics").glob("*.txt"))]
MEBIBYTE = 1024 * 1024

KNOWN = tables.load()
WORDS = [
    *KNOWN.keywords,
    *KNOWN.punctuation,
    *("==", "!=", "<=", ">=", "<", ">"),
    *kinds(),
    *("branch", "from", "output", "a", "same", "true", "params", "receptive_field", "min", "stride", "i"),
    *("0", "1", "3", "5x5", "1x28x28", "0.5", "1e-3", "5M", "61_706", "2.5k", "1e999", "9" * 19, "-1"),
    *('"text"', '"', "# comment", "@", "×", "\x1b[31m", "日本", "\u202e", "\u0301", "\0", "\t", "5X5"),
    *("\n", "\n", "\n", "\r\n", "\r", " "),
]
TOKEN = re.compile(r"\w+|\s+|->|[^\w\s]")


def random_bytes(rng):
    return rng.randbytes(rng.randrange(1, 300))


def token_soup(rng):
    words = rng.choices(WORDS, k=rng.randrange(1, 120))
    return rng.choice((" ", "", "  ")).join(words)


def network_soup(rng):
    """Soup inside a network, so that more than the parser sees it."""
    lines = [" ".join(rng.choices(WORDS, k=rng.randrange(1, 9))) for _ in range(rng.randrange(1, 12))]
    return "network N {\n    input 1x28x28\n    " + "\n    ".join(lines) + "\n}\n"


def mutated(rng, pieces):
    """One to four pieces of a text deleted, repeated, swapped or replaced."""
    pieces = list(pieces)
    for _ in range(rng.randrange(1, 5)):
        place, other = rng.randrange(len(pieces)), rng.randrange(len(pieces))
        match rng.randrange(4):
            case 0:
                pieces[place] = ""
            case 1:
                pieces.insert(place, pieces[place])
            case 2:
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case _:
                pieces.insert(place, rng.choice(WORDS))
    return "".join(pieces)


def mutated_tokens(rng):
    return mutated(rng, TOKEN.findall(rng.choice(SPECS)))


def mutated_cases(rng):
    return mutated(rng, TOKEN.findall(rng.choice(CASES)))


def mutated_characters(rng):
    return mutated(rng, rng.choice(SPECS))


def mutated_lines(rng):
    return mutated(rng, rng.choice(SPECS).splitlines(keepends=True))


def cut(rng):
    text = rng.choice(SPECS)
    return text[: rng.randrange(len(text))]


def nested(rng):
    opener, closer = rng.choice(
        ["()", "[]", ("repeat 2 {", "}"), ("add { branch {", "} }"), ("if 1 < 2 {", "}")]
    )
    depth = rng.randrange(1, 200)
    text = opener * depth + rng.choice(("relu", "1", "")) + closer * (depth + rng.randrange(-1, 2))
    return "network N {\n input 1x28x28\n" + rng.choice(("", "conv ", "expect ")) + text + "\n}\n"


def long_line(rng):
    word = rng.choice(WORDS)
    return "network N {\n input 4\n relu " + (word + " ") * rng.randrange(100, 3000) + "\n}\n"


def one_fault(rng):
    """A network that is fine but for one argument."""
    examples = [kind.example for kind in kinds().values() if kind.arity == 1]
    lines = [rng.choice(examples) for _ in range(rng.randrange(1, 10))]
    place = rng.randrange(len(lines))
    lines[place] += " " + rng.choice(
        ("stride=0", "padding=99", "kernel=1000", "zork=1", "3 3", ": 1x1", "->")
    )
    return "network N {\n    input 3x64x64\n    " + "\n    ".join(lines) + "\n}\n"


RECIPES = (
    random_bytes, token_soup, network_soup, network_soup, mutated_tokens, mutated_tokens, mutated_cases,
    mutated_characters, mutated_lines, cut, nested, long_line, one_fault,
)  # fmt: skip


def text(number):
    """The name of the recipe and the bytes that a number stands for."""
    rng = random.Random(number)
    recipe = RECIPES[number % len(RECIPES)]
    made = recipe(rng)
    return recipe.__name__, made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")


HEAD = "network N {\n input 1x28x28\n"


def filled(unit, head="", tail=""):
    """One mebibyte of repetitions."""
    count = (MEBIBYTE - len((head + tail).encode())) // len(unit.encode())
    return head + unit * count + tail


def numbered(line, count, head=HEAD, tail="}"):
    """Lines that differ in a number."""
    return head + "".join(line.format(number) + "\n" for number in range(count)) + tail


def doubling(count, end):
    """Blocks each of which uses the next one twice."""
    lines = [f"block b{number} {{ b{number + 1} -> b{number + 1} }}\n" for number in range(count)]
    return "".join(lines) + f"block b{count} {{ {end} }}\n{HEAD}b0\n}}"


HUGE = {
    "opening": filled("("),
    "closing": filled(")"),
    "crossed": filled("conv (]\n", HEAD),
    "square": filled("["),
    "braces": filled("{"),
    "brace pairs": filled("}{"),
    "unclosed lines": filled("conv (\n", HEAD),
    "newlines": filled("\n"),
    "windows newlines": filled("\r\n"),
    "returns": filled("\r"),
    "tabs": filled("\t"),
    "arrows": filled("->"),
    "arrow lines": filled("->\n"),
    "minus": filled("-"),
    "equals": filled("="),
    "commas": filled(","),
    "colons": filled(" : 3", HEAD + "relu"),
    "digits": filled("7"),
    "sizes": filled("1x", HEAD + "conv 1 "),
    "one name": filled("a"),
    "names": filled("ab ", HEAD + "conv "),
    "name lines": filled("ab\n"),
    "long names": filled("a" * 70 + "\n"),
    "numbers": filled("9" * 20 + " ", HEAD + "conv "),
    "number lines": filled("conv " + "9" * 20 + " 3x3\n", HEAD),
    "exponents": filled("1e9", HEAD + "dropout "),
    "strings": filled('"a" '),
    "quotes": filled('"\n'),
    "comments": filled("#\n"),
    "zeros": filled("\0"),
    "unknown": filled("@"),
    "unknown lines": filled("@\n"),
    "wide": filled("日"),
    "accents": filled("e\u0301"),
    "layers": filled("relu\n", HEAD, "}"),
    "convolutions": filled(" conv 1 3x3 padding=1 -> relu : 1x28x28\n", HEAD, "}"),
    "broken lines": filled("dense 10 :\n", HEAD, "}"),
    "chain": filled(" -> relu", HEAD + "a = relu", "\n}"),
    "long chain": HEAD + "a = relu" + " -> relu" * 19_000 + "\n}",
    "sum": filled("1+", HEAD + "expect ", "1\n}"),
    "long sum": HEAD + "expect " + "1+" * 24_000 + "1\n}",
    "nots": HEAD + "expect " + "not " * 45_000 + "1\n}",
    "powers": HEAD + "expect " + "1**" * 24_000 + "1\n}",
    "conditionals": HEAD + "expect " + "1 if 1 else " * 12_000 + "1\n}",
    "group": HEAD + "conv (" + "1," * 24_000 + ")\n}",
    "networks": filled("network N {\n", "", ""),
    "trains": filled("train {\n}\n"),
    "settings": numbered("s{} 1", 16_000, "train {\n"),
    "unknown layers": numbered("z{}", 12_000),
    "same unknown layer": HEAD + "zork\n" * 19_000 + "}",
    "unknown options": HEAD + "conv 1 1" + "".join(f" a{number}=1" for number in range(16_000)) + "\n}",
    "wrong claims": HEAD + "relu : 3\n" * 12_000 + "}",
    "wrong kernels": HEAD + "conv 1 1000\n" * 12_000 + "}",
    "broken budgets": numbered("expect params < {}", 9_500, HEAD + "dense 1\n"),
    "unknown names": numbered("expect p{} < 1", 9_500, HEAD + "dense 1\n"),
    "values": numbered("let a{} = 1", 9_500),
    "parameters": "network N(" + ",".join(f"a{number}=1" for number in range(12_000)) + ") {\ninput 3\n}",
    "values in rounds": numbered("let a{} = 1", 250, tail="")
    + "repeat i in 1..10000 { relu\nexpect i > 0 }\n}",
    "same name": HEAD + "a = relu\n" * 12_000 + "}",
    "names given": numbered("a{} = relu", 12_000),
    "blocks": numbered("block b{} {{\n}}", 9_000, ""),
    "doubling": doubling(60, "relu"),
    "empty doubling": doubling(60, ""),
    "block chain": numbered("block b{} {{ relu }}", 5_000, "", "") + HEAD + "b0\n}",
    "repeats": HEAD + "repeat 10000 { " * 60 + "relu" + "}" * 60 + "\n}",
    "empty repeats": HEAD + "repeat 10000 { " * 60 + "}" * 60 + "\n}",
    "repeat lines": HEAD + "repeat 10000 { }\n" * 2_000 + "}",
    "counted repeats": HEAD + "repeat i in 1..10000 { " * 3 + "}" * 3 + "\n}",
    "claims in rounds": HEAD + "repeat 10000 { relu : 3 }\n}",
    "conditions": HEAD + "if 1 == 2 { relu } else " * 4_500 + "{ relu }\n}",
}  # fmt: skip
