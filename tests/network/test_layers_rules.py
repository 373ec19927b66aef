"""The rules of the layers against outside truths: PyTorch, published figures, the lecture, brute force."""

import random
import time

import pytest

from cnnspec.language.source import Source
from cnnspec.layers import kinds
from cnnspec.network.check import check_source

WINDOWS = ("conv", "maxpool", "avgpool")


def facts(*statements):
    """The facts of a network's layers, by name."""
    text = "network N {\n" + "\n".join(statements) + "\n}\n"
    checked = check_source(Source("net.cnn", text))
    assert checked.ok, [diagnostic.message for diagnostic in checked.diagnostics]
    return {node.name: layer for node, layer in zip(checked.graph.nodes, checked.facts.layers, strict=True)}


def totals(*statements):
    return check_source(Source("net.cnn", "network N {\n" + "\n".join(statements) + "\n}\n")).facts.totals()


def last(table):
    return list(table.values())[-1]


def fields(table, prefix):
    """Size, jump and start along the first axis of the layers whose name begins with a word."""
    found = [layer.receptive_field[0] for name, layer in table.items() if name.startswith(prefix)]
    return [(axis.size, axis.jump, axis.start) for axis in found]


def pair(rng, least, most):
    return rng.randint(least, most), rng.randint(least, most)


# --- output sizes, against PyTorch -----------------------------------------------------------------------


def options(rng, kind):
    """Random options that PyTorch takes too: it wants a pooling's padding within half the kernel."""
    kernel = pair(rng, 1, 7)
    given = {"kernel": kernel, "stride": pair(rng, 1, 4)}
    given["padding"] = pair(rng, 0, 4) if kind == "conv" else tuple(rng.randint(0, k // 2) for k in kernel)
    if kind != "avgpool":
        given["dilation"] = pair(rng, 1, 3)
    if kind != "conv":
        given["ceil"] = rng.random() < 0.5
    return given


def torchs_shape(torch, kind, shape, given):
    image = torch.empty((1, *shape), device="meta")
    given = dict(given)
    if kind == "conv":
        weight = torch.empty((5, shape[0], *given.pop("kernel")), device="meta")
        return tuple(torch.nn.functional.conv2d(image, weight, **given).shape[1:])
    pool = {"maxpool": torch.nn.functional.max_pool2d, "avgpool": torch.nn.functional.avg_pool2d}[kind]
    return tuple(pool(image, given.pop("kernel"), ceil_mode=given.pop("ceil"), **given).shape[1:])


@pytest.mark.parametrize("kind", WINDOWS)
def test_output_sizes_are_pytorchs(kind):
    torch = pytest.importorskip("torch")
    rng = random.Random(kind)
    refused = 0
    for _ in range(400):
        shape = (3, *pair(rng, 1, 24))
        given = options(rng, kind)
        layer = kinds()[kind](**({"channels": 5} if kind == "conv" else {}), **given)
        try:
            expected = torchs_shape(torch, kind, shape, given)
        except RuntimeError:  # PyTorch says so by an error, where the kernel does not fit
            refused += 1
            with pytest.raises(Exception, match=r"does not fit|nothing but padding"):
                layer.infer(shape)
            continue
        assert layer.infer(shape) == expected, (layer, shape)
    assert 0 < refused < 300


@pytest.mark.parametrize("kind", WINDOWS)
def test_same_padding_is_onnx_same_upper(kind):
    """https://onnx.ai/onnx/operators/onnx__Conv.html: ceil(n / stride), the odd position at the end."""
    rng = random.Random(kind)
    for _ in range(300):
        n, k, s = rng.randint(1, 40), rng.randint(1, 7), rng.randint(1, 4)
        d = rng.randint(1, 3) if kind != "avgpool" else 1
        extra = {"channels": 2} if kind == "conv" else {}
        extra |= {"dilation": d} if kind != "avgpool" else {}
        layer = kinds()[kind](kernel=k, stride=s, padding="same", **extra)
        outputs = (n + s - 1) // s
        assert layer.infer((2, n, n))[1:] == (outputs, outputs)
        total = max((outputs - 1) * s + d * (k - 1) + 1 - n, 0)
        (window, _) = layer.window((2, n, n))
        assert (window.before, window.after) == (total // 2, total - total // 2)


def test_one_and_three_axes_are_pytorchs():
    torch = pytest.importorskip("torch")
    rng = random.Random(1)
    for axes, conv in ((1, torch.nn.functional.conv1d), (3, torch.nn.functional.conv3d)):
        for _ in range(60):
            shape = (2, *(rng.randint(7, 16) for _ in range(axes)))
            kernel = tuple(rng.randint(1, 5) for _ in range(axes))
            stride = tuple(rng.randint(1, 3) for _ in range(axes))
            image = torch.empty((1, *shape), device="meta")
            weight = torch.empty((4, 2, *kernel), device="meta")
            layer = kinds()["conv"](channels=4, kernel=kernel, stride=stride, padding=1)
            assert layer.infer(shape) == tuple(conv(image, weight, stride=stride, padding=1).shape[1:])


def test_parameter_counts_are_pytorchs():
    torch = pytest.importorskip("torch")
    rng = random.Random(2)
    for _ in range(100):
        groups, bias = rng.choice((1, 2, 4)), rng.random() < 0.5
        channels, outputs, kernel = 4 * rng.randint(1, 8), 4 * rng.randint(1, 8), pair(rng, 1, 7)
        conv = kinds()["conv"](channels=outputs, kernel=kernel, groups=groups, bias=bias)
        dense = kinds()["dense"](units=outputs, bias=bias)
        twins = (
            (conv, (channels, 9, 9), torch.nn.Conv2d(channels, outputs, kernel, groups=groups, bias=bias)),
            (dense, (channels, 3, 3), torch.nn.Linear(9 * channels, outputs, bias=bias)),
        )
        for layer, shape, module in twins:
            ours = {weight.name: weight.shape for weight in layer.weights(shape)}
            assert ours == {name: tuple(array.shape) for name, array in module.named_parameters()}


# --- the lecture -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 5, 11])
def test_a_kernel_of_one_channel_has_k_times_k_plus_1_parameters(k):
    assert last(facts("input 1x28x28", f"conv 1 {k}x{k}")).params == k * k + 1


@pytest.mark.parametrize(("c", "kh", "kw"), [(3, 3, 3), (16, 5, 5), (2, 1, 7)])
def test_a_kernel_of_several_channels_has_c_kh_kw_plus_1_parameters(c, kh, kw):
    assert last(facts(f"input {c}x28x28", f"conv 1 {kh}x{kw}")).params == c * kh * kw + 1


def test_convolution_needs_fewer_weights_than_a_dense_layer():
    assert last(facts("input 1x256x256", "conv 128 3x3 bias=false")).params == 1_152
    assert last(facts("input 1x256x256", "dense 128 bias=false")).params == 8_388_608


LENET = (
    "input 1x28x28",
    "conv 6 5x5 padding=2 -> sigmoid",
    "avgpool 2x2",
    "conv 16 5x5 -> sigmoid",
    "avgpool 2x2",
    "dense 120 -> sigmoid",
    "dense 84 -> sigmoid",
    "dense 10",
)


def test_lenet_has_the_published_figures_layer_by_layer():
    table = facts(*LENET)
    layers = [layer for name, layer in table.items() if not name.startswith(("sigmoid", "input"))]
    assert [layer.shape for layer in layers] == [
        (6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120,), (84,), (10,),
    ]  # fmt: skip
    assert [layer.params for layer in layers if layer.weights] == [156, 2_416, 48_120, 10_164, 850]
    assert [axis for layer in layers[:4] for axis in layer.receptive_field[:1]] == [
        axis for layer in layers[:4] for axis in layer.receptive_field[1:]
    ]
    sight = [layer.receptive_field[0] for layer in layers[:4]]
    assert [(axis.size, axis.jump, axis.start) for axis in sight] == [
        (5, 1, -2), (6, 2, -2), (14, 2, -2), (16, 4, -2),
    ]  # fmt: skip
    assert totals(*LENET).params == 61_706
    assert totals(*LENET).macs == 416_520


def test_alexnet_sees_what_the_literature_says():
    pool = "maxpool 3x3 stride=2"
    table = facts(
        "input 3x224x224",
        "conv 64 11x11 stride=4 padding=2 -> relu", pool,
        "conv 192 5x5 padding=2 -> relu", pool,
        "conv 384 3x3 padding=1 -> relu",
        "conv 256 3x3 padding=1 -> relu",
        "conv 256 3x3 padding=1 -> relu", pool,
        "dense 4096 -> relu", "dense 4096 -> relu", "dense 1000",
    )  # fmt: skip
    assert [size for size, _, _ in fields(table, "conv")] == [11, 51, 99, 131, 163]
    assert [(size, jump) for size, jump, _ in fields(table, "maxpool")] == [(19, 8), (67, 16), (195, 32)]
    assert sum(layer.params for layer in table.values()) == 61_100_840
    assert sum(layer.macs for layer in table.values()) == 714_188_480


def test_vgg16_sees_what_the_literature_says():
    stages = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
    lines = ["input 3x224x224"]
    for count, channels in stages:
        lines += [f"conv {channels} 3x3 padding=1 -> relu"] * count + ["maxpool 2x2"]
    table = facts(*lines, "dense 4096 -> relu", "dense 4096 -> relu", "dense 1000")
    assert [size for size, _, _ in fields(table, "maxpool")] == [6, 16, 44, 100, 212]
    assert sum(layer.params for layer in table.values()) == 138_357_544
    assert sum(layer.macs for layer in table.values()) == 15_470_264_320


# --- receptive fields, by brute force --------------------------------------------------------------------

LENGTH = 150


def slide(values, kernel, stride, padding, dilation):
    """A window of ones over a row, by the definition."""
    padded = [0] * padding + values + [0] * padding
    outputs = (len(padded) - dilation * (kernel - 1) - 1) // stride + 1
    return [sum(padded[i * stride + j * dilation] for j in range(kernel)) for i in range(outputs)]


def seen(stack, unit):
    """The pixels whose perturbation reaches a unit of a network of ones."""
    pixels = []
    for pixel in range(LENGTH):
        values = [int(place == pixel) for place in range(LENGTH)]
        for window in stack:
            values = slide(values, *window)
        if values[unit]:
            pixels.append(pixel)
    return pixels


def random_stack(rng):
    return [
        (rng.randint(1, 4), rng.choice((1, 1, 2, 3)), rng.randint(0, 1), rng.choice((1, 1, 2)))
        for _ in range(rng.randint(1, 3))
    ]


@pytest.mark.parametrize("seed", range(25))
def test_receptive_field_is_what_perturbing_pixels_finds(seed):
    rng = random.Random(seed)
    stack = random_stack(rng)
    lines = []
    for kernel, stride, padding, dilation in stack:
        # a pooling wants a padding smaller than its window
        kind = rng.choice(("conv 1", "maxpool")) if padding < kernel else "conv 1"
        lines.append(f"{kind} {kernel} stride={stride} padding={padding} dilation={dilation}")
    layer = last(facts(f"input 1x{LENGTH}", *lines))
    (axis,) = layer.receptive_field
    middle = layer.shape[1] // 2
    for unit in (middle, middle + 1):
        pixels = seen(stack, unit)
        begin = axis.start + unit * axis.jump
        assert (pixels[0], pixels[-1]) == (begin, begin + axis.size - 1)


def test_each_axis_has_its_own_receptive_field():
    (height, width) = last(
        facts("input 1x64x64", "conv 1 3x5 stride=2x1 padding=(1, 0)", "maxpool 2x3 stride=(1, 3)")
    ).receptive_field
    assert (height.size, height.jump, height.start) == (5, 2, -1)
    assert (width.size, width.jump, width.start) == (7, 3, 0)


# --- sizes of any magnitude ------------------------------------------------------------------------------


def test_huge_sizes_are_exact_and_checked_in_no_time():
    begin = time.process_time()
    table = facts(
        "input 3x1000000000x1000000000", "conv 64 3x3 padding=1", "maxpool 2x2", "flatten", "dense 10"
    )
    assert time.process_time() - begin < 0.5
    flat = 64 * 500_000_000**2
    assert table["flatten1"].shape == (flat,)
    assert table["dense1"].params == 10 * flat + 10
    assert table["conv1"].macs == 64 * 27 * 10**18
    assert all(type(size) is int for layer in table.values() for size in layer.shape)


def test_products_that_wrap_in_64_bits_do_not_wrap():
    assert facts("input 4294967296x4294967296", "flatten")["flatten1"].shape == (2**64,)
