"""Random `.cnn` programs from a seed, over the whole language and every layer kind.

A program is drawn statement by statement. Each part knows its text and, from the shapes before it, its own
shape; what does not fit is drawn again. So the claims in the text follow from the layers' rules and from the
meaning of the language as it is written down here, not from what the checker makes of the text.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cnnspec.layers import Layer, LayerError, Shape, kinds, product, show
from cnnspec.layers.declaration import Option, OptionError, written

INDENT = "    "
LARGEST_MAP = 600
LARGEST_WEIGHT = 4000
MOST_LAYERS = 90
APART = ("input", "embedding", "dropout", "add", "concat", "multiply", "mean")
"""Kinds that are not drawn like the others."""
STEADY = {"activation": 1, "normalization": 1}
FAMILIES = {"convolution": 6, "pooling": 2, "shape": 3, "dense": 0.3, **STEADY}
"""Families of layers, and how often one is drawn."""


class Misfit(Exception):  # noqa: N818 - no error: what was drawn does not fit here
    """A part that cannot stand where it was drawn."""


@dataclass
class Known:
    """What is known while shapes are followed: values of names, shapes of named values, and sums."""

    values: dict[str, object] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    params: list[int] = field(default_factory=list)

    def inner(self, values: dict[str, object]) -> Known:
        """The same sums, with other names."""
        return Known(values, {}, self.params)

    def branch(self, **values: object) -> Known:
        """The same sums; names given within stay within."""
        return Known({**self.values, **values}, dict(self.shapes), self.params)


@dataclass(frozen=True)
class Expr:
    """An expression: its text, in brackets where it is a calculation, and its value."""

    text: str
    value: Callable[[Known], object]


def constant(value: object, text: str | None = None) -> Expr:
    return Expr(written(value) if text is None else text, lambda known: value)


# --- the parts of a program -----------------------------------------------------------------------------


@dataclass
class Use:
    """A layer, or the use of a block: arguments by position, then by name."""

    kind: type[Layer] | Block
    positional: dict[str, Expr]
    named: dict[str, Expr]

    def text(self, depth: int) -> str:
        words = [expr.text for expr in self.positional.values()]
        words += [f"{name}={expr.text}" for name, expr in self.named.items()]
        return " ".join([self.kind.keyword, *words])

    def shape(self, before: Shape, known: Known) -> Shape:
        values = {name: expr.value(known) for name, expr in {**self.positional, **self.named}.items()}
        if isinstance(self.kind, Block):
            return self.kind.shape(before, known, values)
        return joined(self.kind(**values), (before,), known)


def joined(layer: Layer, shapes: tuple[Shape, ...], known: Known) -> Shape:
    """The shape behind a layer, its parameters counted."""
    shape = layer.infer(*shapes)
    weights = layer.weights(*shapes)
    known.params.append(sum(weight.size for weight in weights if weight.role != "state"))
    if getattr(layer, "ceil", False) and not _fits(layer, shapes[0]):
        raise Misfit
    large = product(shape) > LARGEST_MAP or any(weight.size > LARGEST_WEIGHT for weight in weights)
    if large or len(known.params) > MOST_LAYERS:
        raise Misfit
    return shape


def _fits(layer: Layer, shape: Shape) -> bool:
    """Whether a window fits the map. Rounding up gives an output all the same, but not in `avg_pool3d`."""
    return all(n >= window.reach for n, window in zip(shape[1:], layer.window(shape), strict=True))


@dataclass
class Merge:
    """`add { branch { ... } branch { ... } }`."""

    keyword: str
    branches: list[Body]

    def text(self, depth: int) -> str:
        inner = "\n".join(f"{INDENT * (depth + 1)}branch {b.text(depth + 1)}" for b in self.branches)
        return f"{self.keyword} {{\n{inner}\n{INDENT * depth}}}"

    def shape(self, before: Shape, known: Known) -> Shape:
        shapes = tuple(branch.shape(before, known.branch()) for branch in self.branches)
        return joined(kinds()[self.keyword](), shapes, known)


@dataclass
class MergeNamed:
    """`add skip` with the value before it, `concat a b` without."""

    keyword: str
    names: list[str]

    def text(self, depth: int) -> str:
        return " ".join([self.keyword, *self.names])

    def shape(self, before: Shape, known: Known) -> Shape:
        shapes = tuple(known.shapes[name] for name in self.names)
        return joined(kinds()[self.keyword](), shapes if len(shapes) > 1 else (before, *shapes), known)


@dataclass
class From:
    """`from name`."""

    name: str

    def text(self, depth: int) -> str:
        return f"from {self.name}"

    def shape(self, before: Shape, known: Known) -> Shape:
        return known.shapes[self.name]


@dataclass
class Repeat:
    """`repeat 3 { ... }`, `repeat i in 1..3 { ... }`."""

    variable: str | None
    first: int
    last: Expr
    body: Body

    def text(self, depth: int) -> str:
        head = (
            self.last.text if self.variable is None else f"{self.variable} in {self.first}..{self.last.text}"
        )
        return f"repeat {head} {self.body.text(depth)}"

    def shape(self, before: Shape, known: Known) -> Shape:
        for number in range(self.first, self.last.value(known) + 1):
            inner = {} if self.variable is None else {self.variable: number}
            before = self.body.shape(before, known.branch(**inner))
        return before


@dataclass
class If:
    """`if condition { ... } else { ... }`."""

    condition: Expr
    then: Body
    otherwise: Body | None

    def text(self, depth: int) -> str:
        text = f"if {self.condition.text} {self.then.text(depth)}"
        return text if self.otherwise is None else f"{text} else {self.otherwise.text(depth)}"

    def shape(self, before: Shape, known: Known) -> Shape:
        chosen = self.then if self.condition.value(known) else self.otherwise
        return before if chosen is None else chosen.shape(before, known)


Link = Use | Merge | MergeNamed | From | Repeat | If


@dataclass
class Chain:
    """`[name =] link -> link [: shape]`."""

    links: list[Link]
    name: str | None = None
    claim: str = ""

    def text(self, depth: int) -> str:
        text = " -> ".join(link.text(depth) for link in self.links)
        return (f"{self.name} = " if self.name else "") + text + (f" : {self.claim}" if self.claim else "")

    def shape(self, before: Shape, known: Known) -> Shape:
        for link in self.links:
            before = link.shape(before, known)
        if self.name:
            known.shapes[self.name] = before
        return before


@dataclass
class Let:
    """`let name = value`."""

    name: str
    value: Expr

    def text(self, depth: int) -> str:
        return f"let {self.name} = {self.value.text}"

    def shape(self, before: Shape, known: Known) -> Shape:
        known.values[self.name] = self.value.value(known)
        return before


@dataclass
class Expect:
    """`expect condition`, one that holds."""

    condition: str

    def text(self, depth: int) -> str:
        return f"expect {self.condition}"

    def shape(self, before: Shape, known: Known) -> Shape:
        return before


@dataclass
class Body:
    """`{ ... }`, on one line where it is told so."""

    statements: list[Chain | Let | Expect]
    inline: bool = False

    def text(self, depth: int) -> str:
        if not self.statements:
            return "{ }"
        lines = [statement.text(depth + 1) for statement in self.statements]
        if self.inline and len(lines) == 1 and "\n" not in lines[0] and len(lines[0]) < 60:
            return f"{{ {lines[0]} }}"
        return "\n".join(["{", *(INDENT * (depth + 1) + line for line in lines), INDENT * depth + "}"])

    def shape(self, before: Shape, known: Known) -> Shape:
        for statement in self.statements:
            before = statement.shape(before, known)
        return before


@dataclass
class Block:
    """`block name(parameters) { ... }`. Of the parameters the first is a count, the others have defaults."""

    keyword: str
    defaults: dict[str, Expr]
    body: Body

    def text(self) -> str:
        words = ["channels", *(f"{name}={expr.text}" for name, expr in self.defaults.items())]
        return f"block {self.keyword}({', '.join(words)}) {self.body.text(0)}"

    def shape(self, before: Shape, known: Known, given: dict[str, object]) -> Shape:
        values: dict[str, object] = {"channels": given["channels"]}
        for name, default in self.defaults.items():
            values[name] = given[name] if name in given else default.value(Known(values))
        return self.body.shape(before, known.inner(values))


# --- drawing them ---------------------------------------------------------------------------------------


def random_program(seed: int) -> str:
    """The text of a program that has nothing wrong with it."""
    for attempt in range(100):
        try:
            return _Drawing(random.Random(f"{seed}/{attempt}")).program()
        except Misfit:
            continue
    raise AssertionError("no program fits")


class _Drawing:
    """Draws the parts. `variables` are names with a whole number that is known only where a part is used."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.axes = rng.choice([1, 2, 2, 2, 3])
        self.constants: dict[str, int] = {}
        self.variables: list[str] = []
        self.flags: list[str] = []
        self.blocks: list[Block] = []
        self.names = 0

    def flip(self, probability: float = 0.5) -> bool:
        return self.rng.random() < probability

    # --- programs -----------------------------------------------------------------------------------

    def program(self) -> str:
        rng = self.rng
        self.blocks = []
        for number in range(rng.randint(0, 3)):
            self.blocks.append(self.block(f"unit{number + 1}"))
        classes, known = rng.randint(2, 5), Known()
        self.constants = {"classes": classes, "width": classes + 1}
        lines: list[str] = []
        shape = self.inputs(lines, known)
        for _ in range(rng.randint(3, 9)):
            statements, shape = self.fitting(shape, known)
            lines += [statement.text(1) for statement in statements]
            lines += (
                [rng.choice(["", "# a comment", "# another: with `signs` { -> }"])] if self.flip(0.2) else []
            )
        lines += self.ending(shape, known, classes)
        head = f"network Random(classes={classes}, width=classes + 1) {{"
        body = [INDENT + line if line else "" for line in lines]
        items = [block.text() for block in self.blocks] + ["\n".join([head, *body, "}"])]
        return "\n\n".join(items) + "\n"

    def inputs(self, lines: list[str], known: Known) -> Shape:
        """One input, or two that are joined."""
        rng = self.rng
        if self.axes == 1 and self.flip(0.3):
            words = Use(kinds()["embedding"], {"vocabulary": constant(9), "dimension": constant(3)}, {})
            lines += ["input 12", words.text(1)]
            return words.shape((12,), known)
        sizes = [rng.randint(*{1: (6, 20), 2: (5, 9), 3: (3, 5)}[self.axes]) for _ in range(self.axes)]
        shape = (rng.randint(1, 4), *sizes)
        if self.flip(0.8):
            lines.append(f"input {show(shape)}")
            return shape
        lines += [f"input left {show(shape)}", f"input right {show(shape)}"]
        known.shapes |= {"left": shape, "right": shape}
        start = Chain([MergeNamed(rng.choice(["add", "concat", "multiply", "mean"]), ["left", "right"])])
        lines.append(start.text(1))
        return start.shape(shape, known)

    def ending(self, shape: Shape, known: Known, classes: int) -> list[str]:
        last = Chain([Use(kinds()["dense"], {"units": constant(classes, "classes")}, {})])
        if self.flip(0.3):
            last.links.insert(0, Use(kinds()["flatten"], {}, {}))
        if self.flip(0.7):
            last.links.append(Use(kinds()[self.rng.choice(["softmax", "log_softmax"])], {}, {}))
        shape = last.shape(shape, known)
        last.claim = "classes" if self.flip() else ""
        total = sum(known.params)
        expects = [f"params == {total:_}", f"params <= {total} and macs > 0", "output == classes"]
        return [last.text(1), *(f"expect {e}" for e in self.rng.sample(expects, self.rng.randint(0, 2)))]

    def block(self, keyword: str) -> Block:
        defaults = {"kernel": constant(self.rng.randint(1, 3))}
        if self.flip():
            defaults["twice"] = Expr("2 * channels", lambda known: 2 * known.values["channels"])
        if self.flip():
            defaults["flagged"] = constant(self.flip())
        outside = self.constants, self.variables, self.flags
        numbers = [name for name in defaults if name != "flagged"]
        self.constants, self.variables = {}, ["channels", *numbers]
        self.flags = ["flagged"] if "flagged" in defaults else []
        body = Body([Chain(self.links(2)) for _ in range(self.rng.randint(1, 3))])
        if self.flip(0.3):
            body.statements.append(Expect("params >= 0"))
        if self.flip(0.3):  # a way around the rest of the block
            first, name = body.statements[0], self.name()
            assert isinstance(first, Chain)
            first.name = name
            body.statements.append(Chain([MergeNamed("concat", [name])]))
        self.constants, self.variables, self.flags = outside
        return Block(keyword, defaults, body)

    def name(self) -> str:
        self.names += 1
        return f"value{self.names}"

    # --- statements ---------------------------------------------------------------------------------

    def fitting(self, shape: Shape, known: Known) -> tuple[list[Chain | Let], Shape]:
        """Statements that can stand behind a value of this shape; of a sort that is drawn first."""
        sort = self.rng.random()
        for attempt in range(200):
            tried = Known(dict(known.values), dict(known.shapes), list(known.params))
            statements = self.statements(sort if attempt < 60 else self.rng.random())
            try:
                after = Body(statements).shape(shape, tried)
            except (Misfit, LayerError, OptionError):
                continue
            known.values, known.shapes, known.params = tried.values, tried.shapes, tried.params
            last = statements[-1]
            if isinstance(last, Chain) and self.flip(0.4):
                last.claim = self.claim(after)
            return statements, after
        raise Misfit

    def statements(self, sort: float) -> list[Chain | Let]:
        if sort < 0.12:
            name = f"k{len(self.constants)}"
            value = self.rng.randint(1, 4)
            let = Let(name, self.equal(value))
            self.constants[name] = value
            return [let]
        if sort < 0.24:  # two ways from a named value, joined by name
            one, other = self.name(), self.name()
            way = self.links(1)
            first, second = Chain(self.links(1), one), Chain([*way, self.layer(steady=True)], other)
            third = Chain([From(one), *way, *([self.layer(steady=True)] if self.flip() else [])])
            return [first, second, third, Chain([MergeNamed(self.merging(), [other])])]
        if sort < 0.7:
            draw = self.rng.choice([self.merge, self.repeat, self.conditional, self.use, self.use])
            chain = Chain([draw(0)])
            if self.flip():
                chain.links.insert(self.rng.randint(0, 1), self.layer())
        else:
            chain = Chain(self.links(3))
        if self.flip(0.3):
            chain.name = self.name()
        return [chain]

    def claim(self, shape: Shape) -> str:
        if len(shape) == 1:
            return self.equal(shape[0]).text
        return show(shape) if self.flip(0.7) else f"({', '.join(self.equal(n).text for n in shape)})"

    def merging(self) -> str:
        return self.rng.choice(["add", "concat", "multiply", "mean"])

    def links(self, most: int, deep: int = 0) -> list[Link]:
        return [self.link(deep) for _ in range(self.rng.randint(1, most))]

    def link(self, deep: int) -> Link:
        choice = self.rng.random() if deep < 3 else 1.0
        if choice < 0.12:
            return self.merge(deep)
        if choice < 0.2:
            return self.repeat(deep)
        if choice < 0.28:
            return self.conditional(deep)
        if choice < 0.4:
            return self.use(deep)
        return self.layer()

    def merge(self, deep: int) -> Merge:
        """Branches that begin alike, so that they fit each other, and go on differently."""
        start = self.links(2, deep + 1) if self.flip(0.6) else []
        ways = []
        for _ in range(self.rng.randint(2, 3)):
            more: list[Link] = [self.layer(steady=True) for _ in range(self.rng.randint(0, 2))]
            ways.append(Body([Chain([*start, *more])] if start or more else [], inline=self.flip(0.6)))
        return Merge(self.merging(), ways)

    def conditional(self, deep: int) -> If:
        otherwise = self.body(deep) if self.flip() else None
        return If(self.condition(), self.body(deep), otherwise)

    def body(self, deep: int) -> Body:
        chains = [Chain(self.links(2, deep + 1)) for _ in range(self.rng.randint(1, 2))]
        return Body(chains, inline=self.flip(0.6))

    def repeat(self, deep: int) -> Repeat:
        if self.flip():
            return Repeat(None, 1, self.number(2), self.body(deep))
        variable = f"i{len(self.variables)}"
        self.variables.append(variable)
        body = self.body(deep)
        self.variables.pop()
        return Repeat(variable, 1, self.number(2), body)

    # --- layers and uses of blocks ------------------------------------------------------------------

    def use(self, deep: int) -> Use:
        """The use of a block, or a layer where there is none."""
        if not self.blocks:
            return self.layer()
        block, named = self.rng.choice(self.blocks), {}
        for name in block.defaults:
            if self.flip(0.4):
                named[name] = self.flag() if name == "flagged" else self.number(3)
        return Use(block, {"channels": self.number(4)}, named)

    def layer(self, steady: bool = False) -> Use:
        """A layer of any kind, or of those that keep the shape."""
        families = STEADY if steady or self.flip(0.2) else FAMILIES
        family = self.rng.choices(list(families), list(families.values()))[0]
        kind = self.rng.choice([k for k in kinds().values() if k.family == family and k.keyword not in APART])
        positional: dict[str, Expr] = {}
        named: dict[str, Expr] = {}
        for name, option in kind.options().items():
            if not (option.required or self.flip(0.3)) or name == "connections":
                continue
            before = kind.positional().index(name) if option.positional else -1
            target = positional if len(positional) == before and self.flip(0.9) else named
            target[name] = self.option(option)
        return Use(kind, positional, named)

    def option(self, option: Option) -> Expr:
        """A value for an option, by the function that accepts it."""
        rng, what = self.rng, option.accept.__name__
        match what:
            case "count" | "natural":
                return self.number(4) if what == "count" else constant(rng.randint(0, 2))
            case "flag":
                return self.flag()
            case "extent" | "optional_extent":
                return self.extent(1, 3)
            case "natural_extent" | "frame_size" | "optional_frame_size":
                return self.extent(0, 2)
            case "padding_size":
                return constant("same") if self.flip(0.4) else self.extent(0, 2)
            case "fraction" | "positive" | "non_negative" | "real_number":
                return constant(rng.choice([0.25, 0.5, 0.75]))
            case "sample_shape":
                return constant(tuple(rng.randint(1, 4) for _ in range(rng.randint(1, 3))))
            case _:
                name = rng.choice(inspect.getclosurevars(option.accept).nonlocals["names"])
                bare = name not in self.variables and self.flip()
                return constant(name, name if bare else f'"{name}"')

    def extent(self, least: int, most: int) -> Expr:
        if "kernel" in self.variables and self.flip():
            return Expr("kernel", lambda known: known.values["kernel"])
        if self.flip(0.6):
            return constant(self.rng.randint(least, most))
        sizes = tuple(self.rng.randint(least, most) for _ in range(self.axes))
        text = show(sizes) if len(sizes) > 1 and min(sizes) > 0 else f"({', '.join(map(str, sizes))},)"
        return constant(sizes, text)

    # --- expressions --------------------------------------------------------------------------------

    def number(self, most: int) -> Expr:
        """A whole number from 1 on: known here, or known where the name of a parameter or a loop is."""
        if not self.variables or self.flip():
            return self.equal(self.rng.randint(1, most))
        name = self.rng.choice(self.variables)
        return self.rng.choice(
            [
                Expr(name, lambda known: known.values[name]),
                Expr(f"({name} + 1)", lambda known: known.values[name] + 1),
                Expr(f"(2 * {name} - 1)", lambda known: 2 * known.values[name] - 1),
                Expr(f"(max({name}, 2))", lambda known: max(known.values[name], 2)),
            ]
        )

    def equal(self, value: int) -> Expr:
        """An expression that has this value, in a way that may be put anywhere."""
        texts = [
            str(value),
            str(value),
            f"({value + 2} - 2)",
            f"({2 * value + 1} // 2)",
            f"(max({value}, -7))",
        ]
        texts += [f"({value} if {self.truth().text} else {value})", f"(round({value}.2))"]
        for name, known in self.constants.items():
            texts.append(f"({name} {'+' if value >= known else '-'} {abs(value - known)})")
        return constant(value, self.rng.choice(texts))

    def flag(self) -> Expr:
        if self.flags and self.flip():
            name = self.rng.choice(self.flags)
            return Expr(name, lambda known: known.values[name])
        return constant(self.flip())

    def truth(self) -> Expr:
        """A condition whose value is known here."""
        value = self.flip()
        yes = ["true", "1 < 2", "not 3 == 4", "2 ** 3 >= 8 and 7 % 4 == 3", "5x5 == (5, 5)"]
        no = ["false", "2 <= 1", "not true", "1 > 2 or 3 != 3"]
        return constant(value, self.rng.choice(yes if value else no))

    def condition(self) -> Expr:
        if not self.variables or self.flip(0.3):
            return self.truth()
        name, limit = self.rng.choice(self.variables), self.rng.randint(1, 3)
        return Expr(f"{name} > {limit}", lambda known: known.values[name] > limit)
