"""Models whose axes stand in other orders than channels, rows, columns: beside ONNX Runtime, or refused."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from cnnspec.bridges.onnx_import import read_model  # noqa: E402
from cnnspec.bridges.spec import to_spec  # noqa: E402
from cnnspec.language.errors import SpecError  # noqa: E402
from cnnspec.language.source import Source  # noqa: E402
from cnnspec.network.check import check_source  # noqa: E402
from cnnspec.numpy_backend import compile_graph  # noqa: E402
from tests.support.models import as_tuple  # noqa: E402
from tests.support.three_ways import farthest, quiet_session  # noqa: E402

TOLERANCE = 1e-4
LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]


class Building:
    """A model that is written node by node; each call gives the name of a value."""

    def __init__(self, shape, kind=TensorProto.FLOAT):
        self.rng = np.random.default_rng(0)
        self.nodes, self.arrays = [], []
        self.shape, self.kind = shape, kind

    def __call__(self, op, *inputs, **attributes):
        names = [one if isinstance(one, str) else self.number(one) for one in inputs]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [name], **attributes))
        return name

    def number(self, array):
        name = f"a{len(self.arrays)}"
        self.arrays.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def drawn(self, *shape):
        return self.rng.standard_normal(shape).astype("f4")

    def conv(self, x, channels, inputs, **attributes):
        return self("Conv", x, self.drawn(channels, inputs, 3, 3), pads=[1, 1, 1, 1], **attributes)

    def dense(self, x, units, elements):
        return self("Add", self("MatMul", x, self.drawn(elements, units)), self.drawn(units))

    def model(self, output, rank=2, opset=17):
        axes = ["N", *[None] * (rank - 1)]
        inputs = [helper.make_tensor_value_info("x", self.kind, ["N", *self.shape])]
        outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, axes)]
        graph = helper.make_graph(self.nodes, "g", inputs, outputs, self.arrays)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def written(model):
    return to_spec(read_model(model, "model.onnx"), [])


def assert_same(model, *, x=None, like=None):
    """The spec computes what ONNX Runtime does; ends whose notes say so have their channels moved.

    ONNX Runtime may be given a model `like` it, where it does not know the opset.
    """
    told = written(model)
    value = model.graph.input[0]
    shape = [axis.dim_value for axis in value.type.tensor_type.shape.dim][1:]
    x = np.random.default_rng(1).standard_normal((2, *shape)).astype("f4") if x is None else x
    (theirs,) = quiet_session((like or model).SerializeToString()).run(None, {"x": x})
    ours = x.astype("f4")
    if "# `x`" in told.text:
        ours = np.moveaxis(ours, -1, 1)
    if f"`{model.graph.output[0].name}`" in told.text:
        theirs = np.moveaxis(theirs, -1, 1)
    graph, facts = check_source(Source("model.cnn", told.text)).network()
    with compile_graph(graph, facts, batch=2, training=False, loss=None) as compiled:
        assert set(compiled.weights) == set(told.weights)
        for name, array in told.weights.items():
            compiled.weights[name] = array
        found = as_tuple(compiled.predict(np.ascontiguousarray(ours)))
    assert farthest(found, (theirs,)) < TOLERANCE
    return [node.layer.keyword for node in graph.nodes]


# --- cases ----------------------------------------------------------------------------------------------


def test_convolutions_between_transpositions_and_a_flatten_with_channels_last():
    """As Keras writes with PyTorch: biases and batch norms stand where channels are last."""
    b = Building((6, 5, 3))
    y = b("Transpose", b.conv(b("Transpose", "x", perm=FIRST), 4, 3), perm=LAST)
    y = b("Relu", b("Add", y, b.drawn(1, 1, 1, 4)))
    y = b("Add", b("Mul", b("Sub", y, b.drawn(4)), b.drawn(4)), b.drawn(1, 1, 4))
    y = b("Transpose", b("MaxPool", b("Transpose", y, perm=FIRST), kernel_shape=[2, 2]), perm=LAST)
    y = b("Reshape", y, [0, -1])
    statistics = [b.drawn(80), b.drawn(80), b.drawn(80), np.abs(b.drawn(80)) + 0.5]
    y = b("Elu", b("BatchNormalization", y, *statistics))
    model = b.model(b.dense(y, 2, 80))
    assert assert_same(model) == [
        *("input", "conv", "relu", "scale", "maxpool", "flatten", "batchnorm", "elu", "dense")
    ]
    assert "channels last in the model" in written(model).text


def test_two_flattened_maps_are_joined():
    b = Building((4, 3, 2))
    x = b("Transpose", "x", perm=FIRST)
    ends = [b("Flatten", b("Transpose", b.conv(x, c, 2), perm=LAST)) for c in (3, 5)]
    assert_same(b.model(b.dense(b("Concat", *ends, axis=1), 2, 4 * 3 * 8)))


def test_block_of_convnext():
    """Channels last in the middle: a normalization, two products, a gate and a scale of the layer."""
    b = Building((4, 6, 5))
    y = b("Conv", "x", b.drawn(4, 1, 3, 3), group=4, pads=[1, 1, 1, 1])
    y = b("LayerNormalization", b("Transpose", y, perm=LAST), b.drawn(4), b.drawn(4), epsilon=1e-6)
    y = b.dense(y, 8, 4)
    y = b(
        "Mul",
        b("Mul", y, b("Add", b("Erf", b("Div", y, np.float32(2**0.5))), np.float32(1))),
        np.float32(0.5),
    )
    y = b("Mul", b.dense(y, 4, 8), b.drawn(4))
    model = b.model(b("Add", b("Transpose", y, perm=FIRST), "x"), rank=4)
    assert assert_same(model) == [
        *("input", "depthwise", "layernorm", "conv", "gelu", "conv", "scale", "add")
    ]


def test_products_of_a_table_of_all_positions():
    """As TensorFlow multiplies maps."""
    b = Building((4, 6, 5))
    y = b("Reshape", b("Transpose", "x", perm=LAST), [-1, 4])
    y = b("Reshape", b("MatMul", y, b.drawn(4, 3)), [-1, 6, 5, 3])
    assert "conv" in assert_same(b.model(b("Transpose", b("Relu", y), perm=FIRST), rank=4))


def test_vector_becomes_a_map_with_channels_last():
    b = Building((7,))
    y = b("LeakyRelu", b("Add", b("Mul", b("MatMul", "x", b.drawn(7, 60)), b.drawn(60)), b.drawn(60)))
    y = b("Transpose", b("Reshape", y, [-1, 3, 4, 5]), perm=FIRST)
    y = b("Transpose", b.conv(y, 2, 5), perm=LAST)
    assert_same(b.model(b("Gemm", b("Flatten", y), b.drawn(3, 24), b.drawn(3), transB=1)))


def test_gate_of_means_with_channels_last():
    b = Building((4, 5, 6))
    y = b("Transpose", b.conv(b("Transpose", "x", perm=FIRST), 4, 6), perm=LAST)
    g = b("Reshape", b("ReduceMean", y, axes=[1, 2], keepdims=0), [-1, 1, 1, 4])
    g = b("Conv", b("Transpose", g, perm=FIRST), b.drawn(4, 4, 1, 1))
    y = b("Mul", y, b("Sigmoid", b("Transpose", g, perm=LAST)))
    assert_same(b.model(b("ReduceMax", y, axes=[1, 2], keepdims=0)))


def test_axes_are_named_with_channels_last():
    """Concat, Softmax, Pad, Slice and Split name other axes, and Expand repeats them."""
    b = Building((4, 5, 3), TensorProto.FLOAT)
    y = b("Transpose", b.conv(b("Transpose", "x", perm=FIRST), 6, 3), perm=LAST)
    y = b("Concat", y, b("Softmax", y, axis=-1), axis=3)
    y = b("Pad", y, [0, 1, 0, 0, 0, 0, 2, 0], mode="constant")
    y = b("Slice", b("Slice", y, [2], [12], [3]), [2, 0], [6, 5], [1, 2])
    y = b("Transpose", y, perm=FIRST)
    assert_same(b.model(b.conv(y, 2, 10), rank=4))


def test_rows_and_columns_are_repeated_with_channels_last():
    b = Building((3, 4, 2))
    y = b("Transpose", b.conv(b("Transpose", "x", perm=FIRST), 3, 2), perm=LAST)
    y = b("Reshape", b("Expand", b("Unsqueeze", y, [2]), [1, 1, 2, 1, 1]), [-1, 6, 4, 3])
    y = b("Reshape", b("Tile", b("Unsqueeze", y, [3]), [1, 1, 1, 2, 1]), [-1, 6, 8, 3])
    model = b.model(b.conv(b("Transpose", y, perm=FIRST), 2, 3), rank=4)
    assert assert_same(model) == ["input", "conv", "upsample", "conv"]


def test_channels_are_shuffled_with_channels_last():
    b = Building((3, 4, 6))
    y = b("Transpose", b.conv(b("Transpose", "x", perm=FIRST), 6, 6), perm=LAST)
    y = b("Transpose", b("Reshape", y, [-1, 3, 4, 2, 3]), perm=[0, 1, 2, 4, 3])
    y = b("Transpose", b("Reshape", y, [-1, 3, 4, 6]), perm=FIRST)
    assert assert_same(b.model(b.conv(y, 2, 6), rank=4)) == ["input", "conv", "shuffle", "conv"]


def test_signals_by_way_of_maps_of_one_row():
    """As TensorFlow convolves signals."""
    b = Building((12, 3))
    y = b("Transpose", b("Unsqueeze", "x", [1]), perm=FIRST)
    y = b("Conv", y, b.drawn(4, 3, 1, 3), kernel_shape=[1, 3], pads=[0, 1, 0, 1])
    y = b("Relu", b("Add", b("Squeeze", y, [2]), b.drawn(1, 4, 1)))
    y = b("MaxPool", b("Unsqueeze", y, [2]), kernel_shape=[1, 2], strides=[1, 2])
    y = b("Reshape", b("Transpose", b("Squeeze", y, [2]), perm=[0, 2, 1]), [-1, 24])
    assert "maxpool" in assert_same(b.model(b.dense(y, 2, 24)))


def test_tokens_are_looked_up_and_convolved():
    """Places that may be negative are made positive first; a token is never negative."""
    b = Building((9,), TensorProto.INT64)
    places = b("Where", b("Less", "x", np.int64(0)), b("Add", "x", np.int64(20)), "x")
    y = b("Transpose", b("Gather", b.drawn(20, 4), places), perm=[0, 2, 1])
    y = b("ReduceMax", b("Conv", y, b.drawn(3, 4, 3)), axes=[2], keepdims=0)
    x = np.random.default_rng(0).integers(0, 20, (2, 9))
    found = assert_same(b.model(y), x=x)
    assert found[:3] == ["input", "embedding", "conv"]


@pytest.mark.parametrize("squares", [True, False])
@pytest.mark.parametrize("axes", [[1], [1, 2, 3], [2, 3]])
def test_normalization_that_is_written_out(axes, squares):
    """Over channels, all elements and positions; the variance by differences or by squares."""
    b = Building((4, 3, 5))
    mean = b("ReduceMean", "x", axes=axes, keepdims=1)
    if squares:
        second = b("ReduceMean", b("Mul", "x", "x"), axes=axes, keepdims=1)
        variance = b("Sub", second, b("Mul", mean, mean))
    else:
        apart = b("Sub", "x", mean)
        variance = b("ReduceMean", b("Mul", apart, apart), axes=axes, keepdims=1)
    root = b("Sqrt", b("Add", variance, np.float32(1e-3)))
    weight = b.drawn(1, 4, *((3, 5) if len(axes) == 3 else (1, 1)))
    if squares:
        by = b("Mul", b("Reciprocal", root), weight)
        y = b("Add", b("Mul", "x", by), b("Sub", b.drawn(*weight.shape), b("Mul", mean, by)))
    else:
        y = b("Add", b("Mul", b("Div", apart, root), weight), b.drawn(*weight.shape))
    kinds = {1: "layernorm", 2: "instancenorm", 3: "layernorm"}
    assert assert_same(b.model(y, rank=4)) == ["input", kinds[len(axes)]]


@pytest.mark.parametrize("affine", [True, False])
def test_group_norm_that_is_written_out(affine):
    """The channels are taken apart; scales and shifts stand before they are put together again."""
    b = Building((6, 3, 5))
    y = b("Reshape", "x", [-1, 2, 3, 3, 5])
    mean = b("ReduceMean", y, axes=[2, 3, 4], keepdims=1)
    apart = b("Sub", y, mean)
    variance = b("ReduceMean", b("Mul", apart, apart), axes=[2, 3, 4], keepdims=1)
    y = b("Div", apart, b("Sqrt", b("Add", variance, np.float32(1e-3))))
    if affine:
        y = b("Add", b("Mul", y, b.drawn(1, 2, 3, 1, 1)), b.drawn(1, 2, 3, 1, 1))
    y = b("Reshape", y, [-1, 6, 3, 5])
    model = b.model(b.conv(y, 2, 6), rank=4)
    assert assert_same(model) == ["input", "groupnorm", "conv"]
    assert "groupnorm 2" in written(model).text or "groups=2" in written(model).text


# --- what is refused ------------------------------------------------------------------------------------


def refused(model):
    with pytest.raises(SpecError) as raised:
        read_model(model, "model.onnx")
    return [finding.message for finding in raised.value.diagnostics]


def test_rows_that_become_columns_are_refused():
    b = Building((3, 4, 5))
    y = b.conv(b("Transpose", b.conv("x", 3, 3), perm=[0, 1, 3, 2]), 2, 3)
    assert refused(b.model(y, rank=4)) == [
        "no layer says `Transpose` (node 2, `v1`): `Conv` (node 3, `v2`) takes channels, rows and columns in "
        "another order"
    ]


def test_vector_in_another_order_that_the_model_gives_is_refused():
    b = Building((3, 4, 5))
    y = b("Flatten", b("Transpose", b.conv("x", 3, 3), perm=LAST))
    assert refused(b.model(y)) == [
        "no layer says `Flatten` (node 3, `v2`): the output `v2` takes channels, rows and columns in "
        "another order"
    ]


def test_input_that_two_read_in_other_orders_is_refused():
    b = Building((4, 4, 4))
    y = b("Add", b.conv(b("Transpose", "x", perm=FIRST), 2, 4), b.conv("x", 2, 4))
    assert refused(b.model(y, rank=4)) == [
        "input `x` has its channels last: `Conv` (node 3, `v2`) takes channels, rows and columns "
        "in another order"
    ]


def test_axes_that_are_put_together_across_channels_are_refused():
    b = Building((6, 4, 5))
    y = b("Transpose", b.conv("x", 6, 6), perm=LAST)
    y = b("Reshape", y, [-1, 4, 30])
    assert refused(b.model(b("Conv", y, b.drawn(2, 4, 3)), rank=3)) == [
        "no layer says `Transpose` (node 2, `v1`): `Reshape` (node 3, `v2`) takes channels, rows and columns "
        "in another order"
    ]


def test_output_in_another_order_is_refused():
    b = Building((6, 4, 5))
    assert refused(b.model(b("Transpose", b.conv("x", 3, 6), perm=[0, 2, 1, 3]), rank=4)) == [
        "no layer says `Transpose` (node 2, `v1`): the output `v1` takes channels, rows and columns "
        "in another order"
    ]


def test_joined_maps_in_other_orders_are_refused():
    b = Building((4, 4, 4))
    x = b.conv("x", 4, 4)
    assert refused(b.model(b("Add", x, b("Transpose", x, perm=LAST)), rank=4)) == [
        "no layer says `Transpose` (node 2, `v1`): `Add` (node 3, `v2`) takes channels, rows and columns "
        "in another order"
    ]


def test_normalization_that_is_none_is_refused():
    """The variance is that of other axes than the mean."""
    b = Building((4, 3, 5))
    mean = b("ReduceMean", "x", axes=[1], keepdims=1)
    apart = b("Sub", "x", mean)
    variance = b("ReduceMean", b("Mul", apart, apart), axes=[2, 3], keepdims=1)
    y = b("Div", apart, b("Sqrt", b("Add", variance, np.float32(1e-3))))
    assert any("`ReduceMean` (node 1" in message for message in refused(b.model(y, rank=4)))


# --- random models --------------------------------------------------------------------------------------


def random_model(seed):
    """Layers among transpositions of all kinds, which come back before each convolution."""
    rng = np.random.default_rng(seed)
    sizes = [int(n) for n in rng.integers(2, 6, 3)]
    b = Building(tuple(sizes))
    b.rng = rng
    y, order = "x", [0, 1, 2]  # the axis of channels, rows and columns that stands at each place
    for _ in range(int(rng.integers(3, 10))):
        moved = [int(n) for n in rng.permutation(3)]
        y = b("Transpose", y, perm=[0, *(n + 1 for n in moved)])
        order = [order[n] for n in moved]
        place = order.index(0) + 1
        match int(rng.integers(5)):
            case 0:
                shape = [sizes[0] if axis == 0 else 1 for axis in order]
                y = b(str(rng.choice(["Add", "Mul", "Sub"])), y, b.drawn(*shape))
            case 1:
                y = b("Concat", y, b("Tanh", y), axis=place)
                sizes[0] *= 2
            case 2:
                pads = [0] * 8
                pads[order.index(1) + 1], pads[order.index(2) + 5] = 1, 2
                y = b("Pad", y, pads)
                sizes[1], sizes[2] = sizes[1] + 1, sizes[2] + 2
            case 3:
                y = b("Transpose", y, perm=[0, *(order.index(n) + 1 for n in range(3))])
                order, channels = [0, 1, 2], int(rng.integers(2, 5))
                y, sizes[0] = b.conv(y, channels, sizes[0]), channels
            case 4:
                y = b("Softmax", y, axis=place)
    moved = [int(n) + 1 for n in rng.permutation(3)]
    y = b("Flatten", b("Transpose", y, perm=[0, *moved]))
    return b.model(b.dense(y, 3, int(np.prod(sizes))))


@pytest.mark.parametrize("seed", range(12))
def test_random_orders_of_axes(seed):
    assert_same(random_model(seed))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(12, 300))
def test_campaign_of_random_orders_of_axes(seed):
    assert_same(random_model(seed))
