"""Networks that go out as ONNX models and come back as specs; models that others made."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from cnnspec.bridges.onnx import to_onnx  # noqa: E402
from cnnspec.bridges.onnx_import import NotAModel, load_model, read_model  # noqa: E402
from cnnspec.bridges.spec import to_spec  # noqa: E402
from cnnspec.bridges.weights import WeightsError, assigned, matched  # noqa: E402
from cnnspec.language.errors import SpecError  # noqa: E402
from cnnspec.language.source import Source  # noqa: E402
from cnnspec.network.check import check_source  # noqa: E402
from cnnspec.numpy_backend import compile_graph  # noqa: E402
from tests.numpy_backend.test_every_layer import CASES, build, names  # noqa: E402
from tests.support.exported import drawn  # noqa: E402
from tests.support.models import alone, as_tuple  # noqa: E402
from tests.support.random_graphs import check_text  # noqa: E402
from tests.support.random_networks import random_network  # noqa: E402
from tests.support.random_programs import random_program  # noqa: E402
from tests.support.three_ways import farthest, quiet_session  # noqa: E402
from tests.zoo.small import SMALL  # noqa: E402

TOLERANCE = 1e-4
SAMPLE, CAMPAIGN = range(10), range(10, 210)
LARGE = ("densenet121", "resnet50", "unet", "vgg16", "alexnet", "mobilenet_v1", "vgg11")
QUICK = [
    case if i % 3 == 0 else pytest.param(case, marks=pytest.mark.campaign) for i, case in enumerate(CASES)
]


def back(model, shape=None):
    """The spec that is made of a model."""
    written = to_spec(read_model(model, "model.onnx", shape), ["A model."])
    graph, facts = check_source(Source("model.cnn", written.text)).network()
    return written, graph, facts


def predicted(graph, facts, weights, x):
    with compile_graph(graph, facts, batch=len(x[0]), training=False, loss=None) as model:
        assert set(model.weights) == set(weights)
        for name, array in weights.items():
            model.weights[name] = array
        return as_tuple(model.predict(alone(x)))


def assert_comes_back(graph, facts, scale=0.3):
    """The same sums, shapes at the ends, fields at the ends and predictions."""
    x, weights, ours = drawn(graph, facts, count=2, scale=scale)
    written, other, found = back(to_onnx(graph, facts, weights))
    before, after = facts.totals(), found.totals()
    kept = ("params", "trainable_params", "macs", "activation_bytes", "weight_bytes")
    assert {name: getattr(after, name) for name in kept} == {name: getattr(before, name) for name in kept}
    assert len(other.nodes) == len(graph.nodes)
    for one, two in zip(graph.outputs, other.outputs, strict=True):
        assert found.shape(two) == facts.shape(one)
        field = facts.layers[one].receptive_field  # none in graphs that were built without a file
        assert field is None or found.layers[two].receptive_field == field
    assert farthest(predicted(other, found, written.weights, x), ours) < TOLERANCE


@pytest.mark.parametrize("case", QUICK, ids=[names(case) for case in CASES])
def test_layer_comes_back(case):
    assert_comes_back(*build(case))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.campaign) if n in LARGE else n for n in SMALL]
)
def test_spec_comes_back(name):
    assert_comes_back(*SMALL[name].network(name), scale=0.1)


@pytest.mark.parametrize("seed", SAMPLE)
def test_random_networks_come_back(seed):
    assert_comes_back(*random_network(seed))
    assert_comes_back(*check_text(random_program(seed)))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", CAMPAIGN)
def test_campaign_of_random_networks_that_come_back(seed):
    assert_comes_back(*random_network(seed))
    assert_comes_back(*check_text(random_program(seed)))


def test_one_scale_behind_another_stays_apart():
    text = "network Net { input 2x3x3\n scale -> scale bias=true trainable=false -> scale bias=true }"
    assert_comes_back(*check_text(text))


def test_repeated_groups_become_blocks_and_rounds():
    graph, facts = SMALL["resnet18"].network("resnet18")
    _, weights, _ = drawn(graph, facts, count=1, scale=0.1)
    written, _, _ = back(to_onnx(graph, facts, weights))
    assert "block residual(channels) {" in written.text
    assert "repeat 2 { residual 64 }" in written.text
    assert written.text.count("conv ") < 8


# --- models of others -----------------------------------------------------------------------------------


def model_of(nodes, initializers, shape, out=("N", 2), opset=17):
    """A model that another system might have written."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(out))]
    arrays = [onnx.numpy_helper.from_array(array, name) for name, array in initializers.items()]
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("f4")


def test_model_of_another_system_computes_the_same():
    """Swish, hard swish by its parts, a mean over positions, MatMul and Add, a Constant and an Identity."""
    pytest.importorskip("onnxruntime")
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 0, 1, 2]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["s", "c"], ["m"]),
        helper.make_node("Identity", ["m"], ["i"]),
        helper.make_node("HardSigmoid", ["i"], ["h"], alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", ["i", "h"], ["k"]),
        helper.make_node("ReduceMean", ["k"], ["r"], axes=[2, 3], keepdims=1),
        helper.make_node("Constant", [], ["shape"], value_ints=[0, -1]),
        helper.make_node("Reshape", ["r", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "d"], ["p"]),
        helper.make_node("Add", ["p", "e"], ["y"]),
    ]
    arrays = {"w": random(4, 3, 3, 3), "b": random(4), "d": random(4, 2), "e": random(2)}
    model = model_of(nodes, arrays, (3, 6, 7))
    written, graph, facts = back(model)
    assert [node.layer.keyword for node in graph.nodes] == [
        *("input", "conv", "silu", "hard_swish", "globalavgpool", "dense")
    ]
    x = random(2, 3, 6, 7)
    theirs = quiet_session(model.SerializeToString()).run(None, {"x": x})
    assert farthest(predicted(graph, facts, written.weights, (x,)), tuple(theirs)) < TOLERANCE


def test_parts_of_channels_and_means_without_axes_come_in():
    """A Split of unequal and one of equal parts, Gelu, and a mean that leaves no positions."""
    pytest.importorskip("onnxruntime")
    nodes = [
        helper.make_node("Split", ["x", "sizes"], ["a", "b"], axis=1),
        helper.make_node("Gelu", ["a"], ["g"], approximate="tanh"),
        helper.make_node("Split", ["g"], ["c", "d"], axis=1, num_outputs=2),
        helper.make_node("Concat", ["d"], ["alone"], axis=1),
        helper.make_node("Concat", ["alone", "b", "c"], ["e"], axis=1),
        helper.make_node("ReduceMean", ["e", "axes"], ["y"], keepdims=0),
    ]
    arrays = {"sizes": np.array([4, 1]), "axes": np.array([-2, -1])}
    model = model_of(nodes, arrays, (5, 3, 4), out=("N", 5), opset=20)
    written, graph, facts = back(model)
    x = random(2, 5, 3, 4)
    theirs = quiet_session(model.SerializeToString()).run(None, {"x": x})
    assert farthest(predicted(graph, facts, written.weights, (x,)), tuple(theirs)) < TOLERANCE


def test_kernels_of_nothing_but_zeros_are_kernels():
    """Pruned channels stay channels; a table of connections comes back from models of our own alone."""
    weight = random(4, 3, 3, 3)
    weight[1, 2] = weight[3, 0] = 0
    node = helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3])
    written, _, _ = back(model_of([node], {"w": weight}, (3, 6, 6), out=("N", 4, 4, 4)))
    assert "connections" not in written.text
    np.testing.assert_array_equal(written.weights["conv1.weight"], weight)


@pytest.mark.parametrize("trainable", ["true", "false"])
def test_what_is_not_trained_comes_back_so(trainable):
    text = f"network Net {{\n input 3x4x4\n scale trainable={trainable}\n rbf 2 trainable={trainable}\n}}"
    graph, facts = check_text(text)
    _, weights, _ = drawn(graph, facts, count=1)
    _, other, found = back(to_onnx(graph, facts, weights))
    assert [node.layer.trainable for node in other.nodes[1:]] == [trainable == "true"] * 2
    assert found.totals().trainable_params == facts.totals().trainable_params


@pytest.mark.parametrize("remark", ["", "[", "[]", '{"conv1": 1}', '{"conv1": {"connections": [[9], [0]]}}'])
def test_damaged_remarks_of_our_own_models_are_left_aside(remark):
    graph, facts = check_text("network Net {\n input 1x5x5\n conv 2 3x3\n}")
    _, weights, _ = drawn(graph, facts, count=1)
    model = to_onnx(graph, facts, weights)
    helper.set_model_props(model, {"cnnspec.layers": remark})
    assert back(model)[2].shape(1) == (2, 3, 3)


def test_all_operators_without_counterpart_are_named_with_their_places():
    nodes = [
        helper.make_node("LSTM", ["x"], ["a"], name="lstm_1"),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Einsum", ["b"], ["c"], equation="ij->ji"),
        helper.make_node("Conv", ["x", "x"], ["d"], name="conv_2"),
        helper.make_node("Add", ["c", "d"], ["y"]),
    ]
    with pytest.raises(SpecError) as raised:
        read_model(model_of(nodes, {}, (3, 4, 4)), "model.onnx")
    messages = [finding.message for finding in raised.value.diagnostics]
    assert messages == [
        "there is no layer for `LSTM` (node 1, `lstm_1`)",
        "there is no layer for `Einsum` (node 3, `c`)",
        "no layer says `Conv` (node 4, `conv_2`): its kernel is computed, and must be part of the model",
    ]
    assert {finding.file for finding in raised.value.diagnostics} == {"model.onnx"}


def test_open_sizes_are_asked_for_and_taken():
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["y"])]
    model = model_of(nodes, {}, ("H", "W", "C"), out=("N", "H", 1, 1))
    with pytest.raises(SpecError, match="leaves sizes of a sample open"):
        read_model(model, "model.onnx")
    assert back(model, (3, 8, 8))[2].shape(1) == (3, 1, 1)


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07", bytes(range(256))])
def test_what_is_no_model_is_refused_by_name(content, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(NotAModel, match=r"model\.onnx"):
        load_model(path)


BROKEN = {
    "an input is missing": (helper.make_node("Conv", ["x"], ["y"]), "input size 1"),
    "an attribute is missing": (helper.make_node("MaxPool", ["x"], ["y"]), "kernel_shape"),
    "an attribute of another kind": (
        helper.make_node("MaxPool", ["x"], ["y"], kernel_shape="ab"),
        "kernel_shape",
    ),
    "nobody makes what is read": (helper.make_node("Relu", ["nobody"], ["y"]), "nobody"),
    "nothing makes the output": (helper.make_node("Relu", ["x"], ["z"]), "y"),
}


@pytest.mark.parametrize(("node", "said"), BROKEN.values(), ids=BROKEN)
def test_a_model_that_breaks_the_rules_of_the_format_is_refused(node, said, tmp_path):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("N", 3, 8, 8))
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)  # exporters may leave it open
    model = helper.make_model(helper.make_graph([node], "g", [value], [result]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(NotAModel, match=rf"model\.onnx` is no valid ONNX model: .*{said}"):
        load_model(tmp_path / "model.onnx")


def test_a_shape_that_an_exporter_left_open_stays_open(tmp_path):
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, (3, 8, 8), out=("N", 3, 8, 8))
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "model.onnx")
    read = load_model(tmp_path / "model.onnx")
    assert not read.graph.output[0].type.tensor_type.HasField("shape")
    assert back(read)[2].shape(1) == (3, 8, 8)


def test_a_weight_that_does_not_fit_is_refused():
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    model = model_of(nodes, {"w": np.ones((4, 2, 3, 3), np.float32)}, (3, 8, 8), out=("N", 4, 6, 6))
    with pytest.raises(SpecError, match="its weight is 4x2x3x3, and 4x3x3x3 fits"):
        read_model(model, "model.onnx")


# --- weights --------------------------------------------------------------------------------------------


def test_weights_of_another_system_find_their_places():
    """By kind, shape and the order of names, in which 10 comes behind 2."""
    text = "network Net { input 1x8x8\n" + "conv 1 3x3 padding=1 -> batchnorm -> relu\n" * 12 + "dense 2 }"
    graph, facts = check_source(Source("net.cnn", text)).network()
    arrays = {"head.weight": np.zeros((2, 64)), "head.bias": np.zeros(2)}
    for number in range(12):
        arrays[f"body.{number}.0.weight"] = np.full((1, 1, 3, 3), number)
        arrays[f"body.{number}.0.bias"] = np.full(1, number)
        for name in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"body.{number}.1.{name}"] = np.full(1, number)
        arrays[f"body.{number}.1.num_batches_tracked"] = np.array(7)
    found = assigned(graph, facts, arrays)
    assert found["conv11.weight"] == "body.10.0.weight"
    assert found["batchnorm12.running_var"] == "body.11.1.running_var"
    assert found["dense1.bias"] == "head.bias"


def test_weights_of_another_network_are_refused_with_what_is_wrong():
    graph, facts = check_source(Source("net.cnn", "network Net { input 4\n dense 3 }")).network()
    with pytest.raises(WeightsError) as raised:
        matched(graph, facts, {"dense1.weight": np.zeros((3, 5)), "dense2.bias": np.zeros(3)})
    assert raised.value.help == (
        "`dense1.weight` is 3x5, not 3x4",
        "`dense1.bias` of 3 is missing: did you mean `dense2.bias`?",
        "there is no `dense2.bias` in the network",
    )
    with pytest.raises(WeightsError, match="not those of `Net`"):
        assigned(graph, facts, {"a.weight": np.zeros((3, 5)), "a.bias": np.zeros(3)})
