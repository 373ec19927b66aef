"""Operators of older opsets, whose meaning was another: beside ONNX Runtime, or refused."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from tests.bridges.test_layouts import FIRST, LAST, Building, assert_same, refused, written  # noqa: E402


def conv_and(op, *inputs, shape=(3, 4, 5), opset=17, rank=4, **attributes):
    """A convolution that gives four channels, and an operator behind it."""
    b = Building(shape)
    return b.model(b(op, b.conv("x", 4, shape[0]), *inputs, **attributes), rank=rank, opset=opset)


# --- softmax --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("attributes", [{}, {"axis": 1}, {"axis": 2}, {"axis": 3}, {"axis": -1}])
@pytest.mark.parametrize("opset", [9, 11, 12])
def test_old_softmax_of_maps_is_never_read_along_one_axis(op, attributes, opset):
    message = refused(conv_and(op, opset=opset, **attributes))
    assert message[0].startswith(f"no layer says `{op}` (node 2, `v1`): ")


def test_old_softmax_names_the_reason():
    assert refused(conv_and("Softmax", opset=11)) == [
        "no layer says `Softmax` (node 2, `v1`): in opset 11 it is taken over axis 1 and all behind it, "
        "not over one"
    ]
    assert refused(conv_and("Softmax", axis=0, opset=11)) == [
        "no layer says `Softmax` (node 2, `v1`): in opset 11 it is taken over axis 0 and all behind it, "
        "the batch too"
    ]


@pytest.mark.parametrize("opset", [9, 12, 13])
def test_softmax_of_one_position_is_taken_over_the_channels(opset):
    b = Building((3, 4, 5))
    y = b("GlobalAveragePool", b.conv("x", 4, 3))
    found = assert_same(b.model(b("Softmax", y, axis=1), rank=4, opset=opset))
    assert found == ["input", "conv", "globalavgpool", "softmax"]


@pytest.mark.parametrize("attributes", [{}, {"axis": 1}, {"axis": -1}])
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_of_vectors(attributes, opset):
    b = Building((6,))
    assert_same(b.model(b("Softmax", b.dense("x", 5, 6), **attributes), opset=opset))


def test_old_softmax_of_channels_last_is_taken_over_the_last_axis():
    """Of rows, columns and channels from axis 3 on there are channels alone."""
    b = Building((4, 5, 3))
    y = b("Transpose", b.conv(b("Transpose", "x", perm=FIRST), 6, 3), perm=LAST)
    assert "softmax" in assert_same(b.model(b("Softmax", y, axis=3), rank=4, opset=11))


# --- inputs that were attributes ------------------------------------------------------------------------


@pytest.mark.parametrize("opset", [8, 10])
def test_clip_pad_slice_and_squeeze_by_attributes(opset):
    b = Building((3, 6, 5))
    y = b("Clip", b.conv("x", 4, 3), min=0.0, max=6.0)
    y = b("Pad", y, pads=[0, 0, 1, 0, 0, 0, 2, 1], value=1.5)
    if opset < 10:
        y = b("Slice", y, starts=[1, -4], ends=[9, 9], axes=[2, 3])
    y = b("ReduceMean", b("Squeeze", b("Unsqueeze", y, axes=[4]), axes=[4]), axes=[2, 3], keepdims=0)
    assert "relu6" in assert_same(b.model(y, opset=opset))


def test_hard_swish_by_clip_with_attributes():
    b = Building((3, 4, 5))
    y = b.conv("x", 4, 3)
    gate = b("Div", b("Clip", b("Add", y, np.float32(3)), min=0.0, max=6.0), np.float32(6))
    assert "hard_swish" in assert_same(b.model(b("Mul", y, gate), rank=4, opset=9))


def test_clip_to_other_ends_is_refused():
    (message,) = refused(conv_and("Clip", min=-1.0, max=1.0, opset=9))
    assert message == "no layer says `Clip` (node 2, `v1`): it clips to -1.0 and 1.0, not to 0 and 6"


def test_reshape_and_concat_of_the_first_opsets():
    old, new = Building((2, 3, 4)), Building((2, 3, 4))
    x = old("Concat", "x", old("Relu", "x"))
    old_model = old.model(old.dense(old("Reshape", x, shape=[0, -1]), 3, 48), opset=3)
    x = new("Concat", "x", new("Relu", "x"), axis=1)
    assert_same(old_model, like=new.model(new.dense(new("Reshape", x, [0, -1]), 3, 48)))


# --- broadcasting ---------------------------------------------------------------------------------------


def test_old_operands_begin_at_an_axis():
    """With as many columns as channels, a summand that is read along the wrong axis would fit."""
    numbers = Building((4, 4, 4)).drawn(4)
    old, new = Building((4, 4, 4)), Building((4, 4, 4))
    y = old(
        "PRelu",
        old("Mul", old("Add", "x", numbers, axis=1, broadcast=1), numbers, axis=1, broadcast=1),
        numbers,
    )
    z = numbers.reshape(4, 1, 1)
    like = new("PRelu", new("Mul", new("Add", "x", z), z), z)
    found = assert_same(old.model(y, rank=4, opset=6), like=new.model(like, rank=4))
    assert found == ["input", "scale", "prelu"]


def test_old_operands_that_are_computed_are_refused():
    b = Building((4, 4, 4))
    gate = b("Sigmoid", b("Squeeze", b("GlobalAveragePool", "x"), axes=[2, 3]))
    assert refused(b.model(b("Mul", "x", gate, axis=0, broadcast=1), rank=4, opset=6)) == [
        "no layer says `Mul` (node 4, `v3`): in opset 6 its second operand begins at axis 0 of the first"
    ]


def test_slopes_and_summands_along_the_columns_are_refused():
    numbers = Building((3, 4, 4)).drawn(4)
    assert any("within a channel" in m for m in refused(conv_and("PRelu", numbers, shape=(3, 4, 4))))
    assert any("within a channel" in m for m in refused(conv_and("Add", numbers, shape=(3, 4, 4))))


# --- training -------------------------------------------------------------------------------------------


def statistics():
    b = Building((1,))
    return b.drawn(4), b.drawn(4), b.drawn(4), np.abs(b.drawn(4)) + 0.5


def test_batch_norm_and_dropout_of_predictions():
    for opset in (9, 12, 15):
        more = {"training_mode": 0} if opset > 13 else {}
        ratio = [np.float32(0.3)] if opset >= 12 else []
        given = {} if ratio else {"ratio": 0.3}
        b = Building((3, 4, 5))
        y = b("BatchNormalization", b.conv("x", 4, 3), *statistics(), **more)
        model = b.model(b("Dropout", y, *ratio, **given), rank=4, opset=opset)
        assert assert_same(model) == ["input", "conv", "batchnorm", "dropout"]
        assert "dropout 0.3" in written(model).text


@pytest.mark.parametrize(
    ("opset", "attributes", "reason"),
    [
        (15, {"training_mode": 1}, "it takes the statistics of the batch: export the model for inference"),
        (6, {}, "it takes the statistics of the batch: export the model for inference"),
        (7, {"spatial": 0}, "`spatial` is 0: it has statistics for each element"),
    ],
)
def test_other_batch_norms_are_refused(opset, attributes, reason):
    model = conv_and("BatchNormalization", *statistics(), opset=opset, **attributes)
    assert refused(model) == [f"no layer says `BatchNormalization` (node 2, `v1`): {reason}"]


def test_dropout_that_drops_in_predictions_is_refused():
    model = conv_and("Dropout", np.float32(0.5), np.array(True), opset=13)
    assert refused(model) == [
        "no layer says `Dropout` (node 2, `v1`): it drops in predictions, too: export the model for inference"
    ]


# --- larger maps, windows -------------------------------------------------------------------------------


FACTORS = np.array([1, 1, 2, 3], "f4")


def test_larger_maps_of_old_opsets():
    for model in (
        conv_and("Upsample", opset=7, scales=[1.0, 1.0, 2.0, 3.0]),
        conv_and("Upsample", FACTORS, opset=9),
        conv_and("Resize", FACTORS, opset=10),
        conv_and("Resize", "", FACTORS, opset=13),
        conv_and("Resize", "", FACTORS, opset=13, mode="linear"),
    ):
        assert assert_same(model) == ["input", "conv", "upsample"]


@pytest.mark.parametrize(("op", "opset"), [("Upsample", 9), ("Resize", 10)])
def test_linear_maps_of_old_opsets_are_refused(op, opset):
    assert refused(conv_and(op, FACTORS, opset=opset, mode="linear")) == [
        f"no layer says `{op}` (node 2, `v1`): `mode` is linear with asymmetric and floor"
    ]


def test_channels_become_positions_in_the_order_that_is_meant():
    assert "pixel_shuffle" in " ".join(assert_same(conv_and("DepthToSpace", blocksize=2, opset=9)))
    b = Building((3, 4, 5))
    model = b.model(b("DepthToSpace", b.conv("x", 8, 3), blocksize=2), rank=4, opset=9)
    assert refused(model) == ["no layer says `DepthToSpace` (node 2, `v1`): `mode` is DCR"]


@pytest.mark.parametrize("opset", [10, 17])
@pytest.mark.parametrize("counts", [0, 1])
@pytest.mark.parametrize("ceil", [0, 1])
def test_means_count_padding_where_they_say_so(opset, counts, ceil):
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    more = {"count_include_pad": counts, "ceil_mode": ceil}
    assert_same(conv_and("AveragePool", shape=(3, 6, 8), opset=opset, **window, **more))


def test_flatten_from_another_axis_is_refused():
    assert refused(conv_and("Flatten", axis=2, opset=9, rank=2)) == [
        "no layer says `Flatten` (node 2, `v1`): `axis` is 2"
    ]


def test_gemm_that_adds_to_each_sample_is_refused():
    b = Building((6,))
    y = b("Gemm", "x", b.drawn(6, 3), b.drawn(3, 1))
    assert refused(b.model(y)) == [
        "no layer says `Gemm` (node 1, `v0`): it adds other numbers to each sample"
    ]


# --- what leads to no output ----------------------------------------------------------------------------


def test_readers_that_lead_to_no_output_hide_no_layer():
    b = Building((3, 4, 5))
    y = b.conv("x", 4, 3)
    gate = b("Sigmoid", y)
    b("Neg", b("LSTM", gate))
    assert assert_same_alive(b, b("Mul", y, gate)) == ["input", "conv", "silu"]


def assert_same_alive(b, output):
    """Beside the model without the nodes that ONNX Runtime does not load."""
    model = b.model(output, rank=4)
    like = b.model(output, rank=4)
    left = [node for node in like.graph.node if node.op_type not in ("LSTM", "Neg")]
    del like.graph.node[:]
    like.graph.node.extend(left)
    return assert_same(model, like=like)


def test_inputs_that_nothing_reads_are_left_out():
    """As tf2onnx leaves them of numbers that it has put into weights."""
    b = Building((3, 4, 5))
    model = b.model(b.conv("x", 4, 3), rank=4)
    like = b.model(model.graph.output[0].name, rank=4)
    model.graph.input.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, [1, 1, 1, 3]))
    assert assert_same(model, like=like) == ["input", "conv"]
