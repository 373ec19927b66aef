"""A layer's numbers derived: formulas against facts, the lecture's numbers, and walks through one element."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cnnspec.cli.main import FINDINGS, OK, USAGE, main
from cnnspec.language.source import Source
from cnnspec.layers import kinds
from cnnspec.layers.formulas import Formula, Symbol
from cnnspec.network.check import check_file, check_source
from cnnspec.network.document import as_data, as_markdown, as_text
from cnnspec.network.explain import explain_layer
from cnnspec.network.latex import latex
from cnnspec.network.walk import Values, parts, result, terms_of, walk
from cnnspec.numpy_backend import compile_graph
from tests.support import golden

ROOT = Path(__file__).parent.parent.parent
LENET = str(ROOT / "specs" / "lenet.cnn")
SPECS = sorted(path for path in (ROOT / "specs").glob("*.cnn") if "\nnetwork " in path.read_text("utf-8"))


def network(*lines):
    return check_source(Source("net.cnn", "\n".join(["network N {", *lines, "}"]))).network()


def number_of(graph, name):
    return [node.name for node in graph.nodes].index(name)


def formulas(document):
    return [line for section in document.sections for line in section.lines if isinstance(line, Formula)]


# --- formulas -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_formula_of_a_spec_gives_its_fact(path):
    """What the formulas give is what the layers' own rules gave, which other tests hold to PyTorch."""
    graph, facts = check_file(path).network()
    for index, (node, layer) in enumerate(zip(graph.nodes, facts.layers, strict=True)):
        found = formulas(explain_layer(graph, facts, index))
        by_left = {formula.left: formula.result for formula in found}
        if "W" in by_left:
            assert by_left["W"] == layer.params, node.name
        if "M" in by_left:
            assert by_left["M"] == layer.macs, node.name
        for formula in found:
            if formula.left[0] == "m":
                assert formula.result in layer.shape[1:], node.name
        _agree(by_left, layer.receptive_field or ())


def _agree(by_left, field):
    """Size, jump, start and centre, of all axes where they are alike."""
    suffixes = {1: ("",), 2: ("_h", "_w"), 3: ("_d", "_h", "_w")}.get(len(field), ())
    for suffix, axis in zip(suffixes, field, strict=True):
        for letter, value in (("r", axis.size), ("j", axis.jump), ("a", axis.start), ("c", axis.centre)):
            for left in (f"{letter}_out", f"{letter}{suffix}_out"):
                assert by_left.get(left, value) == value


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_layers_with_windows_or_weights_have_formulas(path):
    graph, facts = check_file(path).network()
    for index, layer in enumerate(facts.layers):
        if layer.macs:
            lefts = {formula.left for formula in formulas(explain_layer(graph, facts, index))}
            assert {"W", "M"} <= lefts, graph.nodes[index].name


@pytest.mark.parametrize("kind", kinds().values(), ids=lambda kind: kind.keyword)
def test_every_kind_explains_itself(kind):
    """On some input, as its example is written; in all three forms."""
    names = [word for word in kind.example.split()[1:] if kind.arity is None]
    for shape in ("1x28x28", "8x32x32", "64", "84", "400", "4x1000", "3x16x32x32", "1x64x64"):
        lines = [f"input {shape}"] if kind.keyword != "input" else []
        checked = check_source(
            Source(
                "net.cnn",
                "\n".join(["network N {", *lines, *(f"{n} = relu" for n in names), kind.example, "}"]),
            )
        )
        if checked.ok:
            break
    graph, facts = checked.network()
    document = explain_layer(graph, facts, len(graph.nodes) - 1)
    assert kind.summary in as_text(document).replace("\n    ", " ")
    assert as_markdown(document).startswith("## ")
    assert json.dumps(as_data(document))


def test_parameter_sharing_of_the_lecture():
    """conv1 of LeNet: 156 parameters; a dense layer between the same tensors would have 3,692,640."""
    graph, facts = check_file(LENET).network()
    by_left = {f.left: f for f in formulas(explain_layer(graph, facts, number_of(graph, "conv1")))}
    assert by_left["W"].result == 156
    assert by_left["w"].result == 1 * 5 * 5 + 1
    assert by_left["D"].numbers == "784 * 4704 + 4704"
    assert by_left["D"].result == 784 * 4704 + 4704 == 3_692_640


def test_lectures_kernels_over_channels():
    """A neuron has c * kh * kw + 1 parameters; 128 units of 3x3 on a grayscale image have 1,152 weights."""
    graph, facts = network("input 1x256x256", "conv 128 3x3 bias=false")
    (weights,) = [f for f in formulas(explain_layer(graph, facts, 1)) if f.left == "W"]
    assert (weights.numbers, weights.result) == ("128 * 1 * 3 * 3", 1152)


def test_fields_of_a_dilated_convolution():
    graph, facts = network("input 1x40x40", "conv 1 3x3 stride=2", "conv 1 3x3 dilation=4 padding=4")
    by_left = {f.left: f for f in formulas(explain_layer(graph, facts, 2))}
    assert by_left["r_out"].right == "r + d * (k - 1) * j"
    assert (by_left["r_out"].numbers, by_left["r_out"].result) == ("3 + 4 * (3 - 1) * 2", 19)
    assert (by_left["a_out"].numbers, by_left["a_out"].result) == ("0 - 4 * 2", -8)
    assert by_left["c_out"].result == 1


def test_axes_that_differ_have_letters_of_their_own():
    graph, facts = network("input 1x20x30", "conv 1 3x5 stride=(1, 2)")
    lefts = [f.left for f in formulas(explain_layer(graph, facts, 1))]
    assert {"m_h", "m_w", "r_h_out", "j_w_out"} <= set(lefts)


def test_ceiling_that_leaves_a_window_out():
    """Of 6 positions with padding 1 and stride 3 the third window would begin at 5, in the padding behind."""
    graph, facts = network("input 1x5", "maxpool 2 stride=3 padding=1 ceil=true")
    (size,) = [f for f in formulas(explain_layer(graph, facts, 1)) if f.left == "m"]
    assert size.result == facts.shape(1)[1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("floor((n + p - k) / s) + 1", r"\left\lfloor \frac{n + p - k}{s} \right\rfloor + 1"),
        ("c_o * (c_i * k_h + 1)", r"c_{o} \cdot \left(c_{i} \cdot k_{h} + 1\right)"),
        ("a - (b - c)", r"a - \left(b - c\right)"),
        ("a - b - c", "a - b - c"),
        ("max(r_out, 3692640)", r"\max(r_{\mathrm{out}}, 3{,}692{,}640)"),
        ("0 * (-2) + 1000", r"0 \cdot \left(-2\right) + 1{,}000"),
        ("ceil(7 / 2)", r"\left\lceil \frac{7}{2} \right\rceil"),
    ],
)
def test_formula_as_latex(expression, expected):
    assert latex(expression) == expected


def test_numbers_take_the_place_of_symbols():
    formula = Formula(
        "field",
        "start",
        "a",
        "a_1 - p * min(a_1, k)",
        (Symbol("a_1", -2, ""), Symbol("p", 3, ""), Symbol("k", -1, "")),
    )
    assert formula.numbers == "-2 - 3 * min(-2, -1)"
    assert formula.result == 4


# --- one output element -------------------------------------------------------------------------------------


def element(graph, facts, weights, image, channel, unit):
    """The last layer's element by hand."""
    index = len(graph.nodes) - 1
    values = Values(lambda at: float(image[at]), lambda name, at: float(weights[name][at]))
    terms = terms_of(graph, facts, index, channel, unit)
    return result(terms, parts(terms, facts.layers[index].input_shapes[0], values), values)


IMAGE = np.arange(9.0).reshape(1, 3, 3)
KERNEL = np.array([[[[0.0, 1], [2, 3]]]])


@pytest.mark.parametrize(("unit", "expected"), [((0, 0), 19), ((0, 1), 25), ((1, 0), 37), ((1, 1), 43)])
def test_dot_products_of_the_lecture(unit, expected):
    graph, facts = network("input 1x3x3", "conv 1 2x2 bias=false")
    assert element(graph, facts, {"weight": KERNEL}, IMAGE, 0, unit) == expected


def test_two_channels_of_the_lecture():
    graph, facts = network("input 2x3x3", "conv 1 2x2 bias=false")
    weight = np.concatenate([KERNEL, KERNEL + 1], axis=1)
    assert element(graph, facts, {"weight": weight}, np.concatenate([IMAGE, IMAGE + 1]), 0, (0, 0)) == 56


@pytest.mark.parametrize(("unit", "expected"), [((0, 0), 4), ((0, 1), 5), ((1, 0), 7), ((1, 1), 8)])
def test_maxima_of_the_lecture(unit, expected):
    graph, facts = network("input 1x3x3", "maxpool 2x2 stride=1")
    assert element(graph, facts, {}, IMAGE, 0, unit) == expected


WALKED = [
    "conv 4 3x3 padding=1 stride=2",
    "conv 6 3x2 padding=(0, 1, 1, 0) dilation=(1, 2) groups=2",
    "conv 3 3x3 padding=same connections=[[0, 1], [2], [0, 3]]",
    "depthwise 3x3 multiplier=2 padding=1",
    "maxpool 3x3 stride=2 padding=1",
    "maxpool 2x2 dilation=2",
    "avgpool 3x3 stride=2 padding=1",
    "avgpool 3x3 stride=2 padding=1 count_padding=false",
    "avgpool 2x2 stride=3 ceil=true padding=1",
    "l2pool 3x3 stride=2",
    "subsample 2x2",
    "adaptiveavgpool 3x2",
    "adaptivemaxpool 3x4",
    "globalavgpool",
    "globalmaxpool",
]


@pytest.mark.parametrize("line", WALKED)
def test_every_element_by_hand_is_the_models(line):
    """The NumPy backend, which other tests hold to PyTorch, gives the same for each element."""
    rng = np.random.default_rng(0)
    graph, facts = network("input 4x7x8", line)
    image = rng.standard_normal((4, 7, 8))
    with compile_graph(graph, facts, batch=1, training=False, dtype="float64") as model:
        for name, array in model.weights.items():
            model.weights[name] = rng.standard_normal(array.shape)
        weights = {name.rpartition(".")[2]: np.array(array) for name, array in model.weights.items()}
        expected = model.predict(image[None])[0]
    for channel, *unit in np.ndindex(expected.shape):
        found = element(graph, facts, weights, image, channel, tuple(unit))
        assert found == pytest.approx(expected[(channel, *unit)], abs=1e-9)


# --- as text ------------------------------------------------------------------------------------------------


def explained(text):
    """A case: `# explain LAYER [UNIT]`, then a network. A walk has 0, 1, 2, ... everywhere."""
    name, *unit = re.match(r"# explain (.+)\n", text)[1].split()
    graph, facts = check_source(Source("net.cnn", text)).network()
    index = number_of(graph, name)
    if not unit:
        return as_text(explain_layer(graph, facts, index))
    if unit == ["markdown"]:
        return as_markdown(explain_layer(graph, facts, index))
    channel, *position = map(int, unit[0].split(","))
    shape = facts.layers[index].input_shapes[0]
    arrays = {w.name: np.arange(np.prod(w.shape)).reshape(w.shape) for w in facts.layers[index].weights}
    image = np.arange(np.prod(shape)).reshape(shape)
    values = Values(lambda at: float(image[at]), lambda array, at: float(arrays[array][at]))
    document = explain_layer(graph, facts, index)
    section = walk(graph, facts, index, channel, position, values)
    return as_text(type(document)(document.title, (section,)))


@pytest.mark.parametrize("path", golden.cases("layer"), ids=golden.name)
def test_explanation_matches_the_golden_text(path, update_golden):
    golden.check(path, explained, update_golden)


# --- the command --------------------------------------------------------------------------------------------


@pytest.fixture
def explain(capsys):
    def call(*words):
        try:
            code = main(["explain", *map(str, words)])
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def weights(tmp_path):
    """Weights of LeNet, all 0 but for the kernels of conv1, all 1, and its biases, all 0.5."""
    _, facts = check_file(LENET).network()
    graph, _ = check_file(LENET).network()
    arrays = {
        f"{node.name}.{weight.name}": np.zeros(weight.shape, np.float32)
        for node, layer in zip(graph.nodes, facts.layers, strict=True)
        for weight in layer.weights
    }
    arrays["conv1.weight"] += 1
    arrays["conv1.bias"] += 0.5
    save_file(arrays, tmp_path / "weights.safetensors")
    np.save(tmp_path / "image.npy", np.arange(784.0).reshape(28, 28))
    return tmp_path


def test_command_explains_a_layer(explain):
    code, out, err = explain(LENET, "conv1")
    assert (code, err) == (OK, "")
    assert "= 784 * 4704 + 4704\n" in out
    document = json.loads(explain(LENET, "conv1", "--json")[1])
    assert (document["schema"], document["layer"]) == ("cnnspec-layer-1", "conv1")
    assert [section["title"] for section in document["sections"]][:3] == [
        "what it is",
        "output",
        "parameters",
    ]
    assert "$$ m = " in explain(LENET, "conv1", "--markdown")[1]


def test_command_takes_parameters_and_stdin(explain, tmp_path):
    path = tmp_path / "net.cnn"
    path.write_text("network N(width=1) {\n input 1x8x8\n conv (4 * width) 3x3\n}\n")
    assert "12 * (1 * 3 * 3 + 1)" in explain(path, "conv1", "--set", "width=3")[1]


def test_command_walks_an_image_from_a_file(explain, weights):
    """Row 10, column 10: 25 pixels around 10 * 28 + 10 = 290, and the bias."""
    given = ["--weights", weights / "weights.safetensors", "--image", weights / "image.npy"]
    code, out, _ = explain(LENET, "conv1", "--unit", "10,10", *given)
    assert code == OK
    assert "the sum of 25 products = 7250\n" in out
    assert "7250 + 0.5 (the bias) = 7250\n" in out or "7250 + 0.5 (the bias) = 7250.5\n" in out


def test_command_computes_the_layers_before(explain, weights):
    """The sigmoid of what conv1 gives far inside a bright image is 1."""
    given = ["--weights", weights / "weights.safetensors", "--image", weights / "image.npy"]
    out = explain(LENET, "avgpool1", "--unit", "7,7", *given)[1]
    assert "(1 + 1 + 1 + 1) / 4 = 1\n" in out


def test_command_takes_an_image_of_a_data_set(explain, weights):
    given = ["--weights", weights / "weights.safetensors", "--image", "digits:0"]
    code, out, _ = explain(LENET, "conv1", "--unit", "4,7", "--channel", "5", *given)
    assert code == OK
    assert "output element (5, 4, 7) is " in out


def test_unit_without_numbers_names_its_window(explain):
    out = explain(LENET, "conv2", "--unit", "4,7")[1]
    assert "its window in `avgpool1`: rows 4 to 8 and columns 7 to 11 of 6 channels" in out
    assert "with --weights and --image it is computed" in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([LENET, "conv9"], USAGE, "`LeNet` has no layer `conv9`\nhelp: did you mean `conv"),
        ([LENET], USAGE, f"help: name a layer of it: `cnnspec explain {LENET} conv1`"),
        ([LENET, "sigmoid1", "--unit", "1,1"], USAGE, "`sigmoid1` has no window"),
        ([LENET, "conv1", "--unit", "1,28"], USAGE, "its width goes from 0 to 27, not to 28"),
        ([LENET, "conv1", "--unit", "1,1", "--channel", "6"], USAGE, "channels go from 0 to 5, not 6"),
        ([LENET, "conv1", "--weights", "w"], USAGE, "--weights and --image need --unit"),
        ([LENET, "conv1", "--unit", "1,1", "--image", "digits:0"], USAGE, "both are needed"),
        (["nothing.cnn", "conv1"], FINDINGS, "error[file-not-found]"),
    ],
)
def test_wrong_question_is_told(explain, words, code, said):
    found, out, err = explain(*words)
    assert (found, out) == (code, "")
    assert said in err


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("digit:0", "there is no image `digit:0`\nhelp: did you mean `digits`"),
        ("digits:360", "`digits` holds out 360 images: the last is digits:359"),
        ("small.npy", "is 4x4, and the network takes 1x28x28"),
        ("text.npy", "is no array of numbers"),
    ],
)
def test_image_that_cannot_be_had(explain, weights, monkeypatch, image, said):
    monkeypatch.chdir(weights)
    np.save("small.npy", np.zeros((4, 4)))
    Path("text.npy").write_text("no array")
    code, out, err = explain(
        LENET, "conv1", "--unit", "1,1", "--weights", "weights.safetensors", "--image", image
    )
    assert (code, out) == (FINDINGS, "")
    assert said in err


def test_weights_of_another_network(explain, weights, monkeypatch):
    monkeypatch.chdir(weights)
    save_file({"conv1.weight": np.zeros((6, 1, 3, 3), np.float32)}, "other.safetensors")
    Path("none.safetensors").write_bytes(b"nothing")
    Path("folder").mkdir()
    for file, said in (
        ("other.safetensors", "the weight `conv1.weight` is 6x1x3x3, not 6x1x5x5"),
        ("none.safetensors", "holds no weights"),
        (
            "absent.safetensors",
            "there is no `absent.safetensors`\nhelp: give a run folder or a .safetensors file",
        ),
        ("folder", "folder is no run folder: it holds no run.json"),
    ):
        words = ["--unit", "1,1", "--weights", file, "--image", "digits:0"]
        assert said in explain(LENET, "conv1", *words)[2]
