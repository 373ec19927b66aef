"""Nothing in a spec can become code: names, file names, class names and comments in every exporter."""

from __future__ import annotations

import ast
import io
import keyword
import random
import tokenize
from dataclasses import replace as replace_field
from html.parser import HTMLParser

import numpy as np
import pytest

import cnnspec
from cnnspec.bridges import keras_source, numpy_source, torch_source
from cnnspec.bridges.source.file import about
from cnnspec.bridges.spec import Item, Items, to_spec
from cnnspec.language.record import replace
from cnnspec.language.source import Source
from cnnspec.layers.activations import Relu
from cnnspec.layers.shapes import Input
from cnnspec.network.check import check_source
from cnnspec.network.graph import UseSite
from cnnspec.render import to_dot
from cnnspec.training import DataSet
from cnnspec.training.report.write import page
from cnnspec.training.run_folder import RunFolder
from cnnspec.training.runs import SavedRun, load_run
from tests.bridges.programs import MARK, DiffersError, assert_alike
from tests.render import pictures

EXPORTERS = {"torch": torch_source, "numpy": numpy_source, "keras": keras_source}
COUNT = 500
TEXT = """# A comment.
block unit(channels) { conv channels 3x3 -> batchnorm -> relu }
network Net {
    input 1x9x9
    a = unit 4
    b = unit 8
    dense 2 -> softmax
}
"""
NASTY = [
    '"); import os; os.system("true") #',
    '"""\nimport os\n"""',
    "'''; evil(); '''",
    "x\nevil()",
    "x\nevil = 1",
    '"\nevil = 1\n"',
    '", evil := 1, "',
    "x\r\nevil()\x0cevil()",
    "\\",
    'ends in a backslash\\"',
    "# -*- coding: utf-7 -*-",
    "coding: latin-1",
    "{evil}",
    "{0.__class__}",
    "%s%n",
    "x\x85evil()\u2028evil()\u2029evil()",
    "\x00\x07\x1b[31m\x7f",
    "\u202eright to left\u2066",
    "\ud800\uffff",
    "self",
    "super",
    "torch",
    "nn",
    "F",
    "forward",
    "train",
    "parameters",
    "state_dict",
    "_modules",
    "__init__",
    "__class__",
    "__dict__",
    "None",
    "print",
    "keras",
    "ops",
    "np",
    "Conv",
    "Network",
    "i",
    "name",
    "x",
    "inputs",
    "<script>alert(1)</script>",
    "]]><!-- --><?xml ?>",
    '" onload="evil()',
    "a.1.b",
    "日本語",
    "ｆｏｒｗａｒｄ",
    "",
    " ",
    "_",
    "___",
    "x" * 500,
    "0; evil()",
    *keyword.kwlist,
]


def strings(step=12):
    """Hostile texts: those above, then pieces of them put together at random; every so manyth of them."""
    draw = random.Random(0)
    found = list(NASTY)
    pieces = [*NASTY, '"', "'", "\\", "\n", "(", ")", "{", "}", "#", ";", "\t", ":", "=", "é"]
    while len(found) < COUNT:
        found.append("".join(draw.choices(pieces, k=draw.randint(2, 5))))
    return found[::step]


def network(text=TEXT):
    return check_source(Source("net.cnn", text)).network()


def renamed(graph, word):
    """A network, its block and one of its layers by this name, and uses and layers that begin with it."""
    nodes = []
    for number, node in enumerate(graph.nodes):
        uses = tuple(UseSite(word, use.span, f"{word}{use.name}", use.arguments) for use in node.origin.uses)
        name = f"{uses[-1].name}.{word}{number}" if uses else (word if number == 7 else f"{word}{number}")
        nodes.append(replace(node, name=name, origin=replace(node.origin, uses=uses)))
    return replace(graph, name=word, nodes=tuple(nodes))


def assert_same_program(plain, text, *, comments=True):
    """The same statements, and as many lines of comments at the head."""
    ast.parse(text.encode("utf-8"))  # as a file, where a comment may name an encoding
    assert_alike(plain, text)
    assert not comments or remarks(text) == remarks(plain)


def remarks(text):
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type == tokenize.COMMENT and token.start[1] == 0 for token in tokens)


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("system", EXPORTERS)
def test_no_name_becomes_code(system, step):
    graph, facts = network()
    plain = EXPORTERS[system].to_source(renamed(graph, MARK), facts, [MARK] * 3).text
    for word in strings(step):
        text = EXPORTERS[system].to_source(renamed(graph, word), facts, [word] * 3).text
        assert_same_program(plain, text)


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.campaign)])
@pytest.mark.parametrize("system", EXPORTERS)
def test_no_file_name_and_no_comment_becomes_code(system, step):
    plain = EXPORTERS[system].to_source(*network(), ["A comment."]).text
    for word in strings(step):
        lines = "".join(f"# {part}\n" for part in word.split("\n")[:1])
        source = Source(f"specs/{word}.cnn", lines + TEXT)
        checked = check_source(source)
        if not checked.ok:  # a comment cannot hold every character
            source = Source(f"specs/{word}.cnn", TEXT)
            checked = check_source(source)
        named = EXPORTERS[system].to_source(*checked.network(), about(source)[:1]).text
        assert_same_program(plain, named)
        everything = EXPORTERS[system].to_source(*checked.network(), about(source)).text
        assert_same_program(plain, everything, comments=False)


@pytest.mark.parametrize("statement", ["evil = 1", "evil()", "import os", "x = evil(x)", "self.evil = 1"])
@pytest.mark.parametrize("system", EXPORTERS)
def test_one_statement_more_is_seen_wherever_it_stands(system, statement):
    """The comparison itself: a statement before any line of the network's own part."""
    plain = EXPORTERS[system].to_source(renamed(network()[0], MARK), network()[1], [MARK]).text
    lines = plain.splitlines()
    seen = 0
    for number in range(len(lines))[-54::3]:
        indent = lines[number][: len(lines[number]) - len(lines[number].lstrip())]
        text = "\n".join([*lines[:number], indent + statement, *lines[number:]]) + "\n"
        try:
            ast.parse(text)
        except SyntaxError:
            continue
        if ast.dump(ast.parse(text)) != ast.dump(ast.parse(plain)):  # it is no part of a text
            seen += 1
            with pytest.raises(DiffersError):
                assert_alike(plain, text)
    assert seen > 5


@pytest.mark.parametrize("word", [w for w in NASTY if w.isidentifier() and w.isascii()][:24:2])
def test_names_that_mean_something_still_compute(word):
    """A layer called `forward` or `torch` hides nothing: the module gives the same as the NumPy file."""
    torch = pytest.importorskip("torch")
    graph, facts = network()
    graph = renamed(graph, word)
    x = np.random.default_rng(0).standard_normal((2, 1, 9, 9))
    source = torch_source.to_source(graph, facts)
    names = {}
    exec(source.text, names)
    module = names[source.main]().double().eval()
    state = {name: value.numpy() for name, value in module.state_dict().items()}
    code = {}
    other = numpy_source.to_source(graph, facts)
    exec(other.text, code)
    own = code[other.main]()
    for name, layer, _ in own.layers:
        for weight in layer.weights:
            layer.weights[weight] = state[source.weights[f"{name}.{weight}"].name]
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.tensor(x)).numpy(), own.forward(x), atol=1e-9)


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.campaign)])
def test_no_name_in_a_model_becomes_a_statement_of_a_spec(step):
    """Names of graphs, values and files are those of others."""
    layers = (Item(Input(shape=(1, 4, 4)), (), (1, 4, 4)), Item(Relu(), (0,), (1, 4, 4)))
    for word in strings(step):
        items = tuple(replace_name(item, word) for item in layers)
        written = to_spec(Items(word, items, (1,)), [f"From {word}."])
        graph, _ = check_source(Source("model.cnn", written.text)).network()
        assert [node.layer.keyword for node in graph.nodes] == ["input", "relu"], word


def replace_name(item, name):
    return Item(item.layer, item.inputs, item.shape, item.weights, name)


@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.campaign)])
def test_names_are_texts_in_a_model(step):
    """Operators, their attributes and how they hang together; names alone differ, each its own."""
    onnx = pytest.importorskip("onnx")
    from cnnspec.bridges.onnx import to_onnx

    graph, facts = network()

    def model(word):
        named = renamed(graph, word)
        pairs = zip(named.nodes, facts.layers, strict=True)
        weights = {f"{n.name}.{w.name}": np.ones(w.shape, "f4") for n, layer in pairs for w in layer.weights}
        made = to_onnx(named, facts, weights)
        onnx.checker.check_model(made, full_check=True)
        return onnx.load_model_from_string(made.SerializeToString()).graph

    plain = structure(model(MARK))
    for word in strings(step):
        whole = word.encode("utf-8", "backslashreplace").decode() or "_"  # what protobuf takes as a text
        assert structure(model(whole)) == plain, word


def structure(graph):
    """Each node's operator, the numbers of the values that it reads and makes, and its attributes."""
    numbers = {}

    def number(name):
        return numbers.setdefault(name, len(numbers))

    ends = [[number(port.name) for port in ports] for ports in (graph.input, graph.output)]
    nodes = [
        (
            node.op_type,
            [number(name) for name in node.input],
            [number(name) for name in node.output],
            [str(attribute) for attribute in node.attribute],
        )
        for node in graph.node
    ]
    held = sorted(number(array.name) for array in graph.initializer)
    return ends, nodes, held, sorted(number(value.name) for value in graph.value_info)


# --- diagrams and the report ----------------------------------------------------------------------------


def elements_of(svg):
    """The elements of a drawing in order with the names of their attributes, but for the lines of text."""
    return [(part.tag, sorted(part.attrib)) for part in svg.iter() if part.tag != f"{pictures.SVG}text"]


@pytest.mark.parametrize("step", [50, pytest.param(1, marks=pytest.mark.campaign)])
def test_no_name_becomes_an_element_of_a_diagram(step):
    graph, facts = network()
    plain = elements_of(pictures.parse(to_dot(renamed(graph, MARK), facts)))
    for word in strings(step):
        drawn = pictures.parse(to_dot(renamed(graph, word), facts))
        assert elements_of(drawn) == plain, word


def parts_of(dot):
    """Nodes, edges and clusters of a DOT text, with the names of attributes, as Graphviz reads it."""
    read = pytest.importorskip("pygraphviz").AGraph(string=dot)
    given = [one.attr for one in (*read.nodes(), *read.edges())]
    clusters = [(sorted(part.graph_attr.keys()), len(part.nodes())) for part in read.subgraphs()]
    return [sorted(attributes.keys()) for attributes in given], clusters


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.campaign)])
def test_no_name_becomes_a_statement_of_a_diagrams_text(step):
    graph, facts = network()
    plain = parts_of(to_dot(renamed(graph, MARK), facts))
    for word in strings(step):
        assert parts_of(to_dot(renamed(graph, word), facts)) == plain, word


class Elements(HTMLParser):
    """The elements of a page with the names of their attributes, opened and closed, and its comments."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, *(name for name, _ in attrs)))

    def handle_endtag(self, tag):
        self.found.append(("/", tag))

    def handle_comment(self, data):
        self.found.append(("comment",))

    handle_decl = handle_pi = unknown_decl = handle_comment


def elements(text):
    parser = Elements()
    parser.feed(text)
    parser.close()
    return parser.found


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one epoch on noise, its model and its data."""
    chance = np.random.default_rng(0)
    x, y = chance.random((30, 1, 9, 9), np.float32), chance.integers(0, 2, 30)
    data = DataSet("digits", x[:20], y[:20], x[20:], y[20:], ("a", "b"))
    folder = tmp_path_factory.mktemp("report") / "run"
    trained = cnnspec.train(cnnspec.loads(TEXT), data, out=folder, epochs=1)
    yield load_run(folder), trained.model, data
    trained.model.close()


def page_about(run, word):
    """The report of a run whose network, layers, classes, data, file and comments are called so."""
    saved, model, data = run
    record = saved.record.model_copy(
        update={
            "network": word,
            "recipe": {**saved.record.recipe, "data": word, "optimizer": word},
            "parameters": {word: word},
            "platform": word,
            "preparation": saved.record.preparation.model_copy(
                update={"classes": (f"first{word}", f"second{word}")}
            ),
            "spec": saved.record.spec.model_copy(update={"file": f"{word}.cnn", "text": f"# {word}\n{TEXT}"}),
            "versions": saved.record.versions.model_copy(update={"numpy": word}),
        }
    )
    other = SavedRun(RunFolder(saved.path.parent / f"a{word}"), record)
    subject = replace_field(saved.subject, graph=renamed(saved.subject.graph, word))
    vars(other).update(subject=subject, history=saved.history)
    return page(other, model, data)


@pytest.mark.parametrize("step", [25, pytest.param(1, marks=pytest.mark.campaign)])
def test_no_text_becomes_an_element_of_the_report(run, step):
    plain = elements(page_about(run, MARK))
    for word in strings(step):
        assert elements(page_about(run, word)) == plain, word
